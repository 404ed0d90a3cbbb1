"""`iptsim lint`: likely problems of a host."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from iptsim.commands.common import (
    ANSWERED,
    BAD,
    DIFFERS,
    add_command,
    add_plain,
    add_source,
    add_teach,
    complain_of,
    json_text,
    one_by_one,
    open_source,
    output,
    print_json,
)
from iptsim.commands.formats import add_formats, needs_all, write_beside, written
from iptsim.commands.many import add_many, reading_options, sources_of, summarise, wants_summary
from iptsim.errors import IptsimError
from iptsim.languages import say

if TYPE_CHECKING:
    from iptsim.findings import Findings
    from iptsim.fleet import HostResult

#: The sources that could be read, and what was found there.
_Found = Sequence[tuple[str, "Findings"]]


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "lint",
        run,
        say("find likely problems in the configuration of hosts"),
        epilog=say(
            "Each finding has a stable code (listed in docs/findings.md), the evidence, what it does to a packet,\n"
            "and a remedy. With several sources, one that cannot be read does not stop the others.\n"
            "With --json, several sources give one object per line.\n"
            "Exit status: 2 if a source cannot be read or the usage is wrong, else 1 if anything was found, else 0."
        ),
        examples=(
            "ticket.txt",
            "'hosts/*.txt' --summary",
        ),
    )
    add_source(parser, several=True)
    parser.add_argument(
        "--audit",
        action="store_true",
        help=say(
            "also list what is open to the internet, and the interfaces that accept spoofed source addresses"
        ),
    )
    add_plain(parser)
    add_teach(parser)
    add_formats(parser, "text", "json", "markdown", "csv", "html", "github", "sarif", "junit")
    add_many(
        parser,
        say("print a summary over all sources: findings by the number of hosts, and hosts that differ"),
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the findings of each source."""
    arguments.source = sources_of(arguments.source)
    with written(arguments):
        if wants_summary(arguments):
            work = partial(codes_of, options=reading_options(arguments), audit=arguments.audit)
            return summarise(arguments, work, arguments.source)
        return _lint_all(arguments)


def codes_of(source: str, options: dict[str, Any], *, audit: bool = False) -> HostResult:
    """Return the codes of the findings of one source, and its rules."""
    from iptsim.findings import codes
    from iptsim.fleet import result_of
    from iptsim.sources import load_host

    host = load_host(source, **options)
    return result_of(source, host, codes(host, audit=audit))


def _lint_all(arguments: argparse.Namespace) -> int:
    from iptsim.findings import lint

    found, errors, is_any = [], {}, False
    console = output(arguments) if arguments.format == "text" else None
    for source in one_by_one(arguments.source):
        try:
            findings = lint(open_source(arguments, source), audit=arguments.audit)
        except IptsimError as error:
            if len(arguments.source) == 1:
                raise
            errors[source] = str(error)
            complain_of(arguments, source, str(error))
            continue
        is_any |= bool(findings)
        if needs_all(arguments):
            found.append((source, findings))
        if arguments.format in ("text", "json"):
            _show(arguments, source, findings, console)
    if arguments.format not in ("text", "json"):
        sys.stdout.write(_as_whole(arguments, arguments.format, found, errors))
    write_beside(arguments, lambda name: _as_whole(arguments, name, found, errors))
    return BAD if errors else DIFFERS if is_any else ANSWERED


def _show(arguments: argparse.Namespace, source: str, found: Findings, console: Any) -> None:
    """Print the findings of one source, headed by its name if there are several sources."""
    from iptsim.glossary import terms_in
    from iptsim.render.findings import findings_lines

    is_one_of_several = len(arguments.source) > 1
    lines = (
        list(findings_lines(found, source, heading=is_one_of_several)) if console or arguments.teach else []
    )
    terms = terms_in(line.plain for line in lines) if arguments.teach else []
    if console is None:
        out: dict[str, Any] = {
            "schema": "iptsim.findings/1",
            **({"source": source} if is_one_of_several else {}),
            "findings": [one.as_json() for one in found],
        }
        if found.cause is not None:
            out["cause"] = found.cause.as_json()
        if found.mended is not None:
            out["mended"] = found.mended.as_json()
        if found.unseen:
            out["unseen"] = found.unseen
        if arguments.teach:
            out["teach"] = [term.as_json() for term in terms]
        print_json(out)
        return
    for line in lines:
        console.show(line)
    if arguments.teach:
        from iptsim.render.glossary import print_terms

        print_terms(terms, console)


def _as_whole(arguments: argparse.Namespace, name: str, found: _Found, errors: dict[str, str]) -> str:
    """Return the findings of all sources in a format that holds them together."""
    from iptsim.findings.codes import CODES
    from iptsim.render.annotations import github, junit, sarif
    from iptsim.render.findings import annotations_of, findings_sheet
    from iptsim.render.sheets import comma_separated, markdown, page

    if name in ("markdown", "csv", "html"):
        sheets = [findings_sheet(findings, source) for source, findings in found]
        if name == "markdown":
            return "\n".join(map(markdown, sheets))
        if name == "csv":
            return comma_separated(sheets)
        return page(sheets, say("Findings"))
    annotations = [one for source, findings in found for one in annotations_of(findings, source)]
    if name == "github":
        return "".join(f"{line}\n" for line in github(annotations))
    if name == "junit":
        return junit(annotations, errors)
    meanings = {code: str(kind.meaning) for code, kind in CODES.items()}
    return json_text(sarif(annotations, meanings, arguments.program, [*errors.values()]), indent=2) + "\n"
