"""A progress bar for long operations, on a terminal's standard error and in notebooks.

Nothing is shown or loaded before a second has passed; the bar disappears when the work is done.
The environment variable `IPTSIM_PROGRESS=never` turns it off.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")

#: Seconds until a bar appears.
PATIENCE = 1.0
#: Nested work has no bar of its own: the outer bar moves.
_at_work = False


def tracked(items: Iterable[T], what: str) -> Iterator[T]:
    """Yield the items; if it takes long, show the progress.

    Args:
        items: the items of work.
        what: the description of the work.
    """
    global _at_work
    if _at_work or not _wanted():
        yield from items
        return
    started = time.monotonic()
    total = len(items) if isinstance(items, Sized) else None
    bar: Progress | None = None
    _at_work = True
    try:
        for done, item in enumerate(items):
            if bar is None and time.monotonic() - started > PATIENCE:
                bar = _bar()
                task = bar.add_task(what, total=total)
                bar.start()
            if bar is not None:
                bar.update(task, completed=done)
            yield item
    finally:
        _at_work = False
        if bar is not None:
            bar.stop()


def _wanted() -> bool:
    """Return whether standard error is a terminal, or a notebook shows the bar."""
    if os.environ.get("IPTSIM_PROGRESS") == "never":
        return False
    return _in_notebook() or (sys.stderr is not None and sys.stderr.isatty())


def _in_notebook() -> bool:
    """Return whether this runs in a notebook, with the widgets that rich needs for its bar."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return False
    return find_spec("ipywidgets") is not None


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
