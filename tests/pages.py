"""The pages of `docs/` that are made from the code, and the README's table: `python -m tests.pages` writes them anew.

`tests/test_documents.py` fails until they are true.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from iptsim.explanation import REASONS
from iptsim.extensions.base import Extension, Match
from iptsim.extensions.registry import all_extensions
from iptsim.findings.finding import CODES
from iptsim.glossary import WORDS
from iptsim.languages import LANGUAGES, language, told
from iptsim.render.frames import COLUMNS, DTYPES

ROOT = Path(__file__).resolve().parent.parent

# -- extensions ------------------------------------------------------------------------------------

#: What each status means to a reader.
STATUSES = {
    "exact": "decided from the packet and the capture",
    "given": "decided when the capture or the question holds the fact; else the answer depends on it",
    "unknown": "nobody can tell beforehand; the answer depends on it, or `--assume` decides",
}
_SUPPORT = """\
# Supported matches and targets

Made by `make pages`; a test keeps it true.

iptsim reads any other extension too. It keeps its options as they are, writes them back unchanged, and
says that the answer depends on it.

The column *kernel* counts where iptsim and a Linux kernel agreed: for a match, how often it held and how often
it did not, in rules of its own; for a target, how often a rule with it matched in the
[random rulesets](verification.md).

"""
#: What the kernel tests counted.
_COUNTS = ROOT / "docs" / "kernel-verified.json"
_BEGIN, _END = "<!-- made by make pages -->", "<!-- end -->"


def support_table() -> str:
    """Return `docs/support.md`."""
    return "".join(f"{line}\n" for line in _lines())


def counts() -> tuple[int, int]:
    """Return how many matches and how many targets there are, each name once."""
    names = {(issubclass(extension, Match), extension.name) for extension in all_extensions()}
    matches = sum(is_match for is_match, _ in names)
    return matches, len(names) - matches


def summary() -> str:
    """Return the README's table: each name under its status, with the number of packets in the kernel tests."""
    known = _known()
    lines = ["| | matches | targets |", "|---|---|---|"]
    for status in STATUSES:
        cells = []
        for kind in (True, False):
            packets: dict[str, int] = {}
            for extension in all_extensions():
                if issubclass(extension, Match) is kind and extension.status == status:
                    packets[extension.name] = sum(_agreed(extension, known))
            cells.append(", ".join(f"`{name}` {n:,}" if n else f"`{name}`" for name, n in packets.items()))
        lines.append(f"| **{status}** | {' | '.join(cells)} |")
    return "".join(f"{line}\n" for line in lines)


def _known() -> dict[str, Any]:
    known: dict[str, Any] = json.loads(_COUNTS.read_text("utf-8")) if _COUNTS.exists() else {}
    return known


def _lines() -> Iterator[str]:
    known = _known()
    yield _SUPPORT.rstrip("\n")
    yield ""
    for status, text in STATUSES.items():
        yield f"* **{status}**: {text}."
    for title, kind in (("Matches", True), ("Targets", False)):
        yield ""
        yield f"## {title}"
        yield ""
        yield "| name | family | status | kernel | options | what it is about |"
        yield "|---|---|---|---|---|---|"
        for extension in all_extensions():
            if issubclass(extension, Match) is kind:
                yield _row(extension, known)


def _agreed(extension: type[Extension], known: Mapping[str, Any]) -> tuple[int, ...]:
    """Return how often the kernel tests found an extension to mean what the kernel means.

    Of options tried alone: how often they held, and how often not; else how often a rule with it matched.
    """
    tried = {**known.get("options", {}), **known.get("memories", {})}
    options = tried.get(extension.name)
    if issubclass(extension, Match) and options:
        return tuple(sum(seen[truth] for seen in options.values()) for truth in ("true", "false"))
    kind = "m" if issubclass(extension, Match) else "j"
    matched = known.get("fuzz", {}).get(f"-{kind} {extension.name}")
    return (matched,) if matched else ()


def _row(extension: type[Extension], known: Mapping[str, Any]) -> str:
    family = f"IPv{extension.family}" if extension.family else "both"
    flags = " ".join(dict.fromkeys(f"`{option.flag}`" for option in extension.options))
    about = (extension.__doc__ or "").strip().partition("\n")[0].rstrip(".").replace("|", r"\|")
    agreed = " + ".join(f"{count:,}" for count in _agreed(extension, known))
    return f"| `{extension.name}` | {family} | {extension.status} | {agreed} | {flags} | {about} |"


def readme(text: str) -> str:
    """Return the README with its table made anew, between the comments that mark it."""
    head, begin, rest = text.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    table = "".join(f"  {line}\n" for line in summary().splitlines())
    return f"{head}{begin}\n\n{table}\n  {end}{tail}"


# -- codes -----------------------------------------------------------------------------------------

_REASONS = """\
# Reason codes

Made by `make pages`; a test keeps it true.

Every answer has one of these codes: `reason.code` in JSON and in Python. The words are stable; the sentences beside
them in an answer may change.

| code | meaning |
|---|---|
"""
_FINDINGS = """\
# Findings

Made by `make pages`; a test keeps it true.

`iptsim lint SOURCE` looks at a host for what people commonly trip over. Each finding has one of the codes below, the
rules and settings that show it, what it does to a packet (a real walk, and the command that shows it again), and a
remedy. `--json` gives the same as data. With several sources, one that cannot be read does not stop the others. The
exit status is 2 if there is such a source, else 1 if anything was found, else 0. In Python: `iptsim.lint(source)`.

What only a saved list of containers can show (`docker inspect`) is not looked for where the source lacks it.

| code | what was found |
|---|---|
"""


def reasons_table() -> str:
    """Return `docs/reasons.md`."""
    return _REASONS + "".join(f"| `{code}` | {text} |\n" for code, text in REASONS.items())


def findings_table() -> str:
    """Return `docs/findings.md`."""
    return _FINDINGS + "".join(f"| `{code}` | {text} |\n" for code, text in CODES.items())


# -- words ------------------------------------------------------------------------------------------

_GLOSSARY = """\
# Glossary

Made by `make pages`; a test keeps it true.

With `--teach`, `iptsim explain`, `rules`, `whatif` and `lint` explain those of these words that occur in the answer.

| word | meaning | 意思 |
|---|---|---|
"""


def glossary_table() -> str:
    """Return `docs/glossary.md`, in all languages."""
    rows = []
    for word in WORDS:
        meanings = []
        for name in LANGUAGES:
            with language(name):
                meanings.append(told(word.meaning))
        rows.append(f"| {word.term} | {' | '.join(meanings)} |\n")
    return _GLOSSARY + "".join(rows)


# -- frames ----------------------------------------------------------------------------------------

_TITLES = {
    "rules": (
        "Rules",
        "`Ruleset.frame()`, `Table.frame()`, `Chain.frame()`; `Host.frame()` has the rules of both families, and knows "
        "the names of Docker's networks and containers.",
    ),
    "steps": (
        "Steps",
        "`Explanation.frame()`, `Trace.frame()`: what happened to the packet, in order. Of an answer that depends, the "
        "steps that all ways share.",
    ),
    "answers": (
        "Answers",
        "`iptsim.explain_many(host, questions).frame()`: a row a question. Where the questions were a frame, it has "
        "their index.",
    ),
    "reachability": ("Reachability", "`iptsim.reachability(host).frame()`: who reaches whom."),
    "shifts": ("What changes", "`iptsim.whatif(host, changes).frame()`: what has another outcome."),
    "comparison": (
        "Before and after",
        "`iptsim.whatif(host, changes, sender, receiver).frame()`: the steps of both walks.",
    ),
    "proposals": (
        "Proposals",
        "`iptsim.proposals(host, answer).frame()`: what would let a packet through, or keep it out.",
    ),
    "findings": ("Findings", "`iptsim.lint(host).frame()`: what is probably wrong."),
}


def columns_table() -> str:
    """Return `docs/frames.md`."""
    lines = [
        "# Frames\n\nMade by `make pages`; a test keeps it true.\n\n"
        "`.frame()` makes a pandas DataFrame; `pip install 'iptsim[notebook]'` brings pandas. Texts have the dtype\n"
        '`string` and are never missing: `""` stands for what does not apply. Numbers are `Int64` and may be missing.\n'
    ]
    for name, columns in COLUMNS.items():
        title, text = _TITLES[name]
        lines.append(f"\n## {title}\n\n{text}\n\n| column | dtype | meaning |\n|---|---|---|\n")
        lines += [f"| `{key}` | {DTYPES[kind]} | {meaning} |\n" for key, (kind, meaning) in columns.items()]
    return "".join(lines)


#: The pages by their names in `docs/`.
PAGES = {
    "findings.md": findings_table,
    "frames.md": columns_table,
    "glossary.md": glossary_table,
    "reasons.md": reasons_table,
    "support.md": support_table,
}


def write() -> None:
    """Write the pages and the README's table."""
    for name, page in PAGES.items():
        (ROOT / "docs" / name).write_text(page(), "utf-8")
    front = ROOT / "README.md"
    front.write_text(readme(front.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    write()
