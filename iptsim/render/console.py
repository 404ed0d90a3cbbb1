"""The terminal, or the file, that answers are printed to."""

from __future__ import annotations

import sys
from typing import NoReturn

from rich.console import Console


class Output(Console):
    """Standard output; colours only on a terminal, and `NO_COLOR` respected."""

    def __init__(self) -> None:
        super().__init__(file=sys.stdout, highlight=False)

    def on_broken_pipe(self) -> NoReturn:
        """Leave it to the command line, which has its own way to end."""
        raise BrokenPipeError
