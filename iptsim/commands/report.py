"""`iptsim report`: a host as one page to look at and to search."""

from __future__ import annotations

import argparse
import os
import tempfile
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

    if os.path.isdir(arguments.output):
        raise UsageError(f"{arguments.output}: it is a directory")
    _write(arguments.output, page(report(open_source(arguments))))
    return ANSWERED


def _write(path: str, text: str) -> None:
    """Write a file, whole or not at all; a device or a pipe is written to as it is.

    Raises:
        UsageError: it can't be written.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            return
        # beside the file that a symbolic link leads to, so that the link stays
        target = os.path.realpath(path)
        number, name = tempfile.mkstemp(prefix=".iptsim-", dir=os.path.dirname(target))
        try:
            with open(number, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(name, _mode(target))
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None


def _mode(path: str) -> int:
    """Return the permissions of a file, for a new one those that the umask leaves."""
    if os.path.exists(path):
        return os.stat(path).st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
