"""Worker processes that do not outlive the process that started them, and leave Ctrl-C to it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.resource_tracker import ensure_running
from threading import Thread


def end_with_parent() -> None:
    """End this worker process as soon as its parent has ended, for whatever reason.

    A worker of :mod:`concurrent.futures` waits for work at a pipe that it holds open itself, so it would wait forever.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


@contextmanager
def without_interrupt() -> Iterator[None]:
    """Start processes and threads that Ctrl-C does not reach; this process handles it, and ends them.

    A terminal sends it to all processes, and each would print where it was.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # its start, with the first of these processes, would undo the mask
    ensure_running()
    # the mask is inherited, also by what these processes and threads start
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_now(pool: ProcessPoolExecutor) -> None:
    """End a pool whose results are no longer wanted, whatever its processes are doing."""
    # Python 3.14 has kill_workers() for this
    for process in list((pool._processes or {}).values()):
        process.kill()
    pool.shutdown(cancel_futures=True)


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
