"""`iptsim report`: a host as one page to look at and to search."""

from __future__ import annotations

import argparse
import os
from typing import Any

from iptsim.commands.common import ANSWERED, add_command, add_source, open_source
from iptsim.errors import UsageError

_EPILOG = (
    "The page needs nothing else: no network, no other file. Open it in a browser, send it along, print it.\n"
    "What it shows of the source is text; nothing in a dump can run in it."
)


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "report", run, "write a host as one HTML page to look at", epilog=_EPILOG)
    add_source(parser)
    parser.add_argument(
        "-o", dest="output", metavar="FILE", required=True, help="the page, such as report.html"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the report."""
    from iptsim.report import page, report
    from iptsim.saving import save

    if os.path.isdir(arguments.output):
        raise UsageError(f"{arguments.output}: it is a directory")
    save(arguments.output, page(report(open_source(arguments))))
    return ANSWERED
