"""`iptsim lint`: likely problems of a host."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from iptsim.commands.common import (
    ANSWERED,
    BAD,
    DIFFERS,
    add_command,
    add_plain,
    add_source,
    add_teach,
    complain,
    open_source,
    output,
    print_json,
)
from iptsim.errors import IptsimError
from iptsim.languages import say

if TYPE_CHECKING:
    from iptsim.render.console import Output


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
            "Exit status: 2 if a source cannot be read or the usage is wrong, else 1 if anything was found, else 0."
        ),
    )
    add_source(parser, several=True)
    add_plain(parser)
    add_teach(parser)
    parser.add_argument(
        "--json", action="store_true", help=say("print JSON; with several sources, one object per line")
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the findings of each source."""
    console = None if arguments.json else output(arguments)
    if len(arguments.source) == 1:
        return _lint(arguments, arguments.source[0], console)
    statuses = []
    for source in arguments.source:
        try:
            statuses.append(_lint(arguments, source, console))
        except IptsimError as error:
            if arguments.json:
                print_json({"source": source, "error": str(error)})
            statuses.append(complain(str(error), BAD))
    return max(statuses)


def _lint(arguments: argparse.Namespace, source: str, console: Output | None) -> int:
    """Print the findings of one source, headed by its name if there are several sources."""
    from iptsim.findings import lint
    from iptsim.glossary import words_in
    from iptsim.render.findings import findings_lines

    found = lint(open_source(arguments, source))
    is_one_of_several = len(arguments.source) > 1
    lines = (
        list(findings_lines(found, source, heading=is_one_of_several)) if console or arguments.teach else []
    )
    words = words_in(line.plain for line in lines) if arguments.teach else []
    if console is None:
        out: dict[str, Any] = {
            "schema": "iptsim.findings/1",
            **({"source": source} if is_one_of_several else {}),
            "findings": [one.as_json() for one in found],
        }
        if found.cause is not None:
            out["cause"] = found.cause.as_json()
        if arguments.teach:
            out["teach"] = [word.as_json() for word in words]
        print_json(out)
    else:
        for line in lines:
            console.show(line)
        if arguments.teach:
            from iptsim.render.glossary import print_words

            print_words(words, console)
    return DIFFERS if found else ANSWERED
