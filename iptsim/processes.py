"""Worker processes that do not outlive the process that started them."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import wait
from threading import Thread


def end_with_parent() -> None:
    """End this worker process as soon as its parent has ended, for whatever reason.

    A worker of :mod:`concurrent.futures` waits for work at a pipe that it holds open itself, so it would wait forever.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
