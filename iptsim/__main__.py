"""The program `iptsim`, also `python -m iptsim`: what must be set up before the rest is loaded."""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

#: What a shell reports for a program that SIGINT ended; :mod:`iptsim.cli` handles it once a command runs.
_INTERRUPTED = 128 + signal.SIGINT


def run() -> NoReturn:
    """Run the command line as a program.

    Until a command runs there is nothing to clean up, so Ctrl-C ends the program at once. Closed standard streams
    are opened as dummies; otherwise the next opened file would take their place.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))
    _open_streams()
    from iptsim import cli

    cli.run()


def _open_streams() -> None:
    """Open closed standard streams: reading and writing fails, except for diagnostics, which are lost."""
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDWR)):
        try:
            os.fstat(number)
        except OSError:
            # the lowest free descriptor is this one
            os.open(os.devnull, mode)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    run()
