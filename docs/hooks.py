"""What the site holds beside the pages in docs/: pages made from the code, and the repository's own documents.

mkdocs calls `on_files` and `on_page_markdown` while it builds the site.
"""

from __future__ import annotations

import argparse
import posixpath
import re
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from iptsim.cli import make_parser
from iptsim.question.endpoints import Address, Endpoint
from iptsim.question.facts import FACTS, RARE_FIELDS
from iptsim.question.model import Question, QuotedPacket, StatedConnection, StatedFlow

ROOT = Path(__file__).parent.parent
#: Documents of the repository that are pages of the site as well.
DOCUMENTS = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "fixtures/README.md": "reference/fixtures.md",
}
#: Sources from which a page of the site is generated: in a checkout, a link to the page leads to the source.
SOURCES = {
    "iptsim/cli.py": "reference/commands.md",
    "iptsim/commands/changes.py": "reference/commands.md#iptsim-whatif",
    "iptsim/question/model.py": "reference/questions.md",
}
_LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")
#: Roles in docstrings, which Markdown does not know: :class:`iptsim.Host` reads `Host`.
_ROLE = re.compile(r":(?:class|func|data|mod|meth|attr):<code>~?(?:[\w.]*\.)?(\w+)</code>")
_PICTURE = re.compile(r'(<img [^>]*src="([^"]+\.svg)"[^>]*>)')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    for place, text in generated().items():
        files.append(File.generated(config, place, content=text))
    for origin, place in DOCUMENTS.items():
        files.append(File.generated(config, place, content=(ROOT / origin).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links between files of the repository to links within the site; mkdocs reports broken ones."""
    here = page.file.src_uri
    origin = {place: origin for origin, place in DOCUMENTS.items()}.get(here, f"docs/{here}")

    def moved(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), match[1]))
        pages = DOCUMENTS | SOURCES
        if target not in pages and not target.startswith("docs/"):
            return match[1]
        place = pages.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(place, posixpath.dirname(here))

    return _LINK.sub(moved, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show roles in docstrings as code, and link each picture to its full size."""
    return _PICTURE.sub(r'<a href="\2">\1</a>', _ROLE.sub(r"<code>\1</code>", html))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Tell browsers and screen readers the language of translated pages."""
    return output.replace('<html lang="en"', '<html lang="zh-Hant"', 1) if "/zh-TW/" in page.url else output


def generated() -> dict[str, str]:
    """Return the pages that are generated from the code, by their places."""
    return {
        "reference/commands.md": "".join(_commands(make_parser())),
        "reference/questions.md": "".join(_fields()),
    }


# -- the command line ------------------------------------------------------------------------------


def _commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"# Command line\n\n{parser.description}\n\n"
    yield "Exit status: 0 success, 1 an expectation failed or something was found, 2 bad usage or bad input.\n"
    yield "Data goes to standard output, warnings and errors to standard error. Colours are used only on a terminal,\n"
    yield "and not if `NO_COLOR` is set.\n"
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from _command(name, command)


def _command(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    # the help must not depend on the width of the terminal that builds the site
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=88)
    usage = re.sub(r"\n {8,}", "\n    ", parser.format_usage().removeprefix("usage: ").strip())
    yield f"\n## iptsim {name}\n\n{parser.description}\n\n```text\n{usage}\n```\n"
    if parser.epilog:
        as_it_is = "\n  " in parser.epilog  # a list in columns
        yield f"\n```text\n{parser.epilog}\n```\n" if as_it_is else f"\n{_text(parser.epilog)}\n"
    for group in parser._action_groups:
        rows = [action for action in group._group_actions if action.dest != "help"]
        if not rows:
            continue
        title = {"positional arguments": "arguments"}.get(group.title or "", group.title or "")
        yield f"\n**{title[:1].upper()}{title[1:]}**\n\n"
        if group.description:
            yield f"{_text(group.description)}\n\n"
        yield "| option | meaning |\n|---|---|\n"
        for action in rows:
            yield f"| {_invocation(action)} | {_text(_help(action))} |\n"


def _invocation(action: argparse.Action) -> str:
    value = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    if action.choices is not None and not isinstance(action.metavar, str):
        value = "|".join(map(str, action.choices))
    shown = " ".join(value) if isinstance(value, tuple) else value
    if not action.option_strings:
        return f"`{shown}`"
    if shown and action.nargs == "?":
        shown = f"[{shown}]"
    names = ", ".join(f"`{name}`" for name in action.option_strings)
    return f"{names} `{shown}`" if shown else names


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%")


def _text(text: str) -> str:
    """Return a help text as Markdown."""
    return re.sub(r"([|<>*_\[\]])", r"\\\1", " ".join(text.split()))


# -- the fields of a question ----------------------------------------------------------------------


def _fields() -> Iterator[str]:
    yield """\
# Fields of a question

A question is an object: a line of `--batch`, the keyword arguments of `iptsim.explain`, or the options of
`iptsim explain`. All fields are optional and have defaults; an answer that depends on a default says so. On the command
line, `--set NAME=VALUE` sets a field that has no option of its own. Numbers may be hexadecimal (0x10).

"""
    yield from _table(Question)
    yield "\n## ct: the connection\n\n`--set ct.mark=7`, or an object in a batch line.\n\n"
    yield from _table(StatedConnection, "ct.")
    yield "\n### ct.orig and ct.reply: one direction of the connection\n\n"
    yield from _table(StatedFlow, "ct.orig.")
    yield "\n## inner: the packet quoted in an ICMP error\n\nThe packet as the machine that reports the error received "
    yield "it, after any translation. `--set inner.dst=198.51.100.7`, or an object in a batch line.\n\n"
    yield from _table(QuotedPacket, "inner.")
    yield "\n## Facts\n\nFacts about the world around the packet, which some matches need.\n\n"
    yield from _named(FACTS)
    yield "\n## Rare header fields\n\nHeader fields that only a few matches use.\n\n"
    yield from _named(RARE_FIELDS)


def _table(model: type[Any], prefix: str = "") -> Iterator[str]:
    yield "| field | value | meaning |\n|---|---|---|\n"
    hints = get_type_hints(model)
    for field in fields(model):
        shown = f"{prefix}{field.metadata['alias'] or field.name}"
        yield f"| `{shown}` | {_kind(hints[field.name])} | {field.metadata['text'].replace('|', '&#124;')} |\n"


def _named(texts: dict[str, str]) -> Iterator[str]:
    yield "| field | meaning |\n|---|---|\n"
    for name, text in texts.items():
        yield f"| `{name}` | {text} |\n"


def _kind(annotation: Any) -> str:
    """Describe the values that a field takes."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation == Endpoint | None or annotation == Address | None:
        return "text"
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(argument) for argument in arguments if argument is not type(None))
    if origin is Literal:
        return ", ".join(f"`{argument}`" for argument in arguments)
    if origin is dict or (
        isinstance(annotation, type) and is_dataclass(annotation) and annotation is not Address
    ):
        return "object"
    if origin is tuple:
        return "list"
    return {int: "number", bool: "true or false"}.get(
        annotation, "time" if "datetime" in str(annotation) else "text"
    )
