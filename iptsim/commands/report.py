"""`iptsim report`: a host as one HTML page that can be searched."""

from __future__ import annotations

import argparse
import os
from typing import Any

from iptsim.commands.common import (
    ANSWERED,
    add_command,
    add_output,
    add_source,
    collector_paused,
    open_source,
)
from iptsim.errors import UsageError
from iptsim.languages import message, say

_EPILOG = message(
    "The page is self-contained: it needs no network and no other file. Open it in a browser, mail it, print it.\n"
    "Everything from the source is shown as text; nothing in a dump can run as a script."
)


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "report",
        run,
        say("write an HTML report about a host"),
        epilog=str(_EPILOG),
        examples=("capture.tar.gz -o report.html",),
    )
    add_source(parser)
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the report."""
    from iptsim.report import page, report
    from iptsim.saving import save

    if os.path.isdir(arguments.output):
        raise UsageError(
            message(
                "{output} is a directory; give the name of a file, such as report.html",
                output=arguments.output,
            )
        )
    with collector_paused():
        text = page(report(open_source(arguments)))
    save(arguments.output, text)
    return ANSWERED
