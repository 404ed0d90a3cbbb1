"""`iptsim lint`: what is probably wrong with a host."""

from __future__ import annotations

import argparse
from typing import Any

from iptsim.commands.common import (
    ANSWERED,
    DIFFERS,
    add_command,
    add_plain,
    add_source,
    add_teach,
    open_source,
    output,
    print_json,
)


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "lint",
        run,
        "find what is probably wrong with a host",
        epilog="Each finding has a stable code (docs/findings.md lists them), what shows it, what it does to a\n"
        "packet, and a remedy. Exit status: 0 nothing found, 1 something found, 2 bad usage or bad input.",
    )
    add_source(parser)
    add_plain(parser)
    add_teach(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the findings."""
    from iptsim.findings import lint
    from iptsim.glossary import words_in
    from iptsim.render.findings import findings_lines

    found = lint(open_source(arguments))
    if arguments.json:
        out: dict[str, Any] = {"schema": "iptsim.findings/1", "findings": [one.as_json() for one in found]}
        if arguments.teach:
            lines = findings_lines(found, arguments.source)
            out["teach"] = [word.as_json() for word in words_in(line.plain for line in lines)]
        print_json(out)
    else:
        console = output(arguments)
        shown = []
        for line in findings_lines(found, arguments.source):
            console.show(line)
            shown.append(line.plain)
        if arguments.teach:
            from iptsim.render.teaching import print_words

            print_words(words_in(shown), console)
    return DIFFERS if found else ANSWERED
