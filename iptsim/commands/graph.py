"""`iptsim graph`: which chain leads where."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from iptsim.commands.common import ANSWERED, add_command, add_rules, add_source, open_rules
from iptsim.errors import UsageError


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "graph", run, "draw which chain leads where")
    add_source(parser)
    add_rules(parser)
    parser.add_argument(
        "-o",
        dest="output",
        metavar="FILE",
        help="write to a file: .txt (a tree), .mmd (Mermaid) or .dot (Graphviz)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Draw the graph."""
    from iptsim.render.graph import FORMATS

    suffix = os.path.splitext(arguments.output)[1] if arguments.output else ".txt"
    if suffix not in FORMATS:
        raise UsageError(f"{arguments.output}: the name must end in one of {', '.join(FORMATS)}")
    _, ruleset = open_rules(arguments)
    text = FORMATS[suffix](ruleset, arguments.table)
    if arguments.output is None:
        sys.stdout.write(text)
        return ANSWERED
    try:
        with open(arguments.output, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{arguments.output}: {error.strerror or error}") from None
    return ANSWERED
