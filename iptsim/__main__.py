"""The program `iptsim`, also `python -m iptsim`: what must hold before the rest is loaded."""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

#: What a shell reports of a program that SIGINT ended; :mod:`iptsim.cli` has it once a command runs.
_INTERRUPTED = 128 + signal.SIGINT


def run() -> NoReturn:
    """Run the command line as a program.

    Until a command runs there is nothing to tidy up on Ctrl-C, so that it ends the program at once. A standard
    stream that is closed is opened on nothing: else the next file that is opened took its place.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))
    _open_streams()
    from iptsim import cli

    cli.run()


def _open_streams() -> None:
    """Open closed standard streams: what reads or writes them fails, but for diagnostics, which are lost."""
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDWR)):
        try:
            os.fstat(number)
        except OSError:
            # the lowest free descriptor, which is this one
            os.open(os.devnull, mode)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    run()
