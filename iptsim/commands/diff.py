"""`iptsim diff`: which packets two hosts, or one host before and after a change, treat differently."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from iptsim.commands.changes import add_docker_changes, add_host_changes, read_change
from iptsim.commands.common import (
    ANSWERED,
    DIFFERS,
    add_command,
    add_plain,
    add_source,
    open_source,
    output,
    print_json,
)
from iptsim.commands.formats import add_formats, written
from iptsim.errors import UsageError
from iptsim.languages import message, say

_EPILOG = message(
    'All packets are compared, not samples: "no packet is treated differently" is a proof. With one SOURCE, name\n'
    "changes: iptsim diff SOURCE --whatif icc=false, or the options below, such as --engine 28 for what an\n"
    "upgrade of Docker changes. The answer to one packet: iptsim whatif.\n"
    "Exit status: 0 no packet is treated differently, 1 some are, 2 bad usage or input."
)


def add(commands: Any) -> None:
    """Add the command."""
    text = say("show which packets two hosts, or a host before and after a change, treat differently")
    parser = add_command(commands, "diff", run, text, epilog=str(_EPILOG))
    add_source(parser, several=True)
    parser.add_argument(
        "--whatif",
        nargs="*",
        metavar="NAME=VALUE",
        help=say(
            "compare SOURCE with itself after changes: the names of the options below, such as icc=false"
        ),
    )
    parser.add_argument(
        "-6", dest="family", action="store_const", const=6, default=4, help=say("change the IPv6 rules")
    )
    add_plain(parser)
    add_formats(parser, "text", "json", "markdown", "csv", "html")
    add_docker_changes(parser)
    add_host_changes(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compare, and print what differs."""
    from iptsim.alternatives import change_host
    from iptsim.diff.comparing import compare
    from iptsim.render.diff import Diff
    from iptsim.render.sheets import comma_separated, markdown, page

    changes = [*map(read_change, arguments.whatif or ()), *arguments.changes]
    sources = arguments.source
    if len(sources) > 2 or (len(sources) == 2) == bool(changes):
        raise UsageError(
            message("give two sources, or one source and changes: iptsim diff SOURCE --whatif icc=false")
        )
    with written(arguments):
        before = open_source(arguments, sources[0])
        after = (
            change_host(before, changes, arguments.family) if changes else open_source(arguments, sources[1])
        )
        diff = Diff(compare(before, after), (sources[0], sources[-1]), changes)
        if arguments.format == "json":
            print_json(diff.as_json())
        elif arguments.format == "text":
            console = output(arguments)
            for line in diff.lines():
                console.show(line)
        elif arguments.format == "csv":
            sys.stdout.write(comma_separated([diff.sheet()]))
        else:
            sheet = diff.sheet()
            sys.stdout.write(
                markdown(sheet) if arguments.format == "markdown" else page([sheet], say("Diff"))
            )
    return ANSWERED if diff.comparison.is_same else DIFFERS
