"""The terminal, or the file, that answers are printed to."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from rich.console import Console
from rich.text import Text

from iptsim.errors import printable


def inert(text: Text) -> Text:
    """Return a text with its control characters made visible, whoever forgot to; then without colours."""
    safe = "\n".join(map(printable, text.plain.split("\n")))
    return text if safe == text.plain else Text(safe)


class Output(Console):
    """Standard output; colours only on a terminal, and `NO_COLOR` respected."""

    def __init__(self) -> None:
        super().__init__(file=sys.stdout, highlight=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; what a dump holds never reaches the terminal as anything but text."""
        super().print(*(inert(one) if isinstance(one, Text) else one for one in objects), **options)

    def on_broken_pipe(self) -> NoReturn:
        """Leave it to the command line, which has its own way to end."""
        raise BrokenPipeError
