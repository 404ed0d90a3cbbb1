"""Work on many sources: in this process, in several on this machine, or on a Dask cluster.

A source that cannot be read gives a result too: the text of its error. So does a source whose process dies, and, if a
    cluster fails, each source that is not done.
"""

from __future__ import annotations

import gc
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from iptsim.errors import IptsimError, UsageError
from iptsim.languages import Text, current_language, message

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

T = TypeVar("T")
#: Sources of one task, tasks that wait for each process, and tasks after which a process is replaced.
_CHUNK, _WAITING, _TASKS = 16, 3, 64
#: So few sources are quicker without further processes.
_FEW = 2 * _CHUNK
#: How often Dask tries a task whose worker failed.
_RETRIES = 2
_ENDED = message("the process that read it ended unexpectedly")


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """The result for a source.

    Attributes:
        value: None if there was an error.
        error: why there is no value; "" if there is one.
    """

    source: str
    value: T | None
    error: str = ""


def each(
    sources: Sequence[str], work: Callable[[str], T], jobs: int = 0, engine: str = ""
) -> Iterator[Result[T]]:
    """Yield what a function returns for each source, in their order.

    Args:
        work: called with a source, in another process if there are many: a function of a module, or a partial of one;
            it and its result are pickled.
        jobs: how many processes; 0 for one per processor.
        engine: "" for this machine, "dask" for a cluster of processes that is started here, or "dask=ADDRESS".

    Raises:
        UsageError: there is no such engine, its extra is not installed, or its scheduler does not answer.
    """
    from iptsim.progress import tracked

    kind, _, address = engine.partition("=")
    if kind not in ("", "dask"):
        raise UsageError(message("unknown engine {name!r}; choose from: dask, dask=ADDRESS", name=engine))
    if jobs < 0:
        raise UsageError(
            message("--jobs {count}: must not be negative; 0 means one process per processor", count=jobs)
        )
    jobs = jobs or os.cpu_count() or 1
    if kind == "dask":
        done = _on_cluster(sources, work, address, jobs)
    elif len(sources) <= _FEW or jobs == 1:
        done = _here(sources, work)
    else:
        done = _in_processes(sources, work, jobs)
    yield from tracked(_Counted(done, len(sources)), "reading hosts")


class _Counted(Iterable[T]):
    """Items whose number is known."""

    def __init__(self, items: Iterator[T], count: int) -> None:
        self._items, self._count = items, count

    def __iter__(self) -> Iterator[T]:
        return self._items

    def __len__(self) -> int:
        return self._count


def _here(sources: Iterable[str], work: Callable[[str], T]) -> Iterator[Result[T]]:
    for source in sources:
        yield _result(work, source)


def _result(work: Callable[[str], T], source: str) -> Result[T]:
    try:
        return Result(source, work(source))
    except IptsimError as error:
        return Result(source, None, str(error))


def _chunks(sources: Sequence[str]) -> deque[Sequence[str]]:
    return deque(sources[begin : begin + _CHUNK] for begin in range(0, len(sources), _CHUNK))


# -- processes of this machine ---------------------------------------------------------------------


def _in_processes(sources: Sequence[str], work: Callable[[str], T], jobs: int) -> Iterator[Result[T]]:
    from concurrent.futures.process import BrokenProcessPool

    from iptsim.processes import end_now, without_interrupt

    chunks = _chunks(sources)
    while chunks:
        pool = _pool(min(jobs, len(chunks)))
        tasks: deque[tuple[Sequence[str], Any]] = deque()
        try:
            while chunks or tasks:
                while chunks and len(tasks) < jobs * _WAITING:
                    with without_interrupt():
                        tasks.append((chunks[0], pool.submit(_work, work, chunks[0])))
                    chunks.popleft()
                found = tasks[0][1].result()
                tasks.popleft()
                yield from found
            # once its processes have ended, nothing of it is left over when the program ends
            pool.shutdown()
        except BrokenProcessPool:
            # a source of the current chunks ended its process; running them one by one shows which
            yield from _one_by_one([source for chunk, _ in tasks for source in chunk], work)
        finally:
            end_now(pool)


def _one_by_one(sources: Iterable[str], work: Callable[[str], T]) -> Iterator[Result[T]]:
    """Work in a process that is replaced when a source ends it."""
    from concurrent.futures.process import BrokenProcessPool

    from iptsim.processes import end_now, without_interrupt

    pool = _pool(1)
    try:
        for source in sources:
            try:
                with without_interrupt():
                    task = pool.submit(_work, work, [source])
                yield from task.result()
            except BrokenProcessPool:
                yield Result(source, None, str(_ENDED))
                end_now(pool)
                pool = _pool(1)
    finally:
        end_now(pool)


def _pool(jobs: int) -> ProcessPoolExecutor:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    return ProcessPoolExecutor(
        jobs, get_context("spawn"), _start, (current_language(),), max_tasks_per_child=_TASKS
    )


def _start(lang: str) -> None:
    """Prepare a worker process: garbage is collected only between tasks, and imported modules are exempt."""
    from iptsim.languages import use_language
    from iptsim.processes import end_with_parent

    end_with_parent()
    use_language(lang)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 -- warnings of 10,000 hosts help no one; errors are results
    gc.disable()


def _work(work: Callable[[str], T], sources: Sequence[str]) -> list[Result[T]]:
    gc.freeze()
    found = [_result(work, source) for source in sources]
    gc.collect()
    gc.unfreeze()
    return found


# -- Dask ------------------------------------------------------------------------------------------


def _on_cluster(
    sources: Sequence[str], work: Callable[[str], T], address: str, jobs: int
) -> Iterator[Result[T]]:
    try:
        from iptsim.flows.engines import client_of
    except ImportError:
        raise UsageError(message("--engine dask requires Dask: pip install 'iptsim[dask]'")) from None
    with client_of(address, workers=jobs) as client:
        yield from _with_client(client, sources, work)


def _with_client(client: Any, sources: Sequence[str], work: Callable[[str], T]) -> Iterator[Result[T]]:
    """Yield the results of a cluster; if it fails for good, the error for all sources that are left."""
    from asyncio import CancelledError
    from concurrent.futures import CancelledError as FutureCancelledError

    from iptsim.flows.engines import killed_worker, result_of

    # the workers may run elsewhere
    places = {source: os.path.abspath(source) if os.path.exists(source) else source for source in sources}

    def submit(chunk: Sequence[str]) -> Any:
        there = [places[source] for source in chunk]
        return client.submit(_work_there, work, there, current_language(), pure=False, retries=_RETRIES)

    def named(chunk: Sequence[str], found: Iterable[Result[T]]) -> Iterator[Result[T]]:
        for source, one in zip(chunk, found, strict=True):
            yield Result(source, one.value, one.error.replace(places[source], source))

    chunks, tasks = _chunks(sources), deque[tuple[Sequence[str], Any]]()
    failed: Text = ""
    while (chunks or tasks) and not failed:
        try:
            waiting = max(len(client.scheduler_info(n_workers=-1)["workers"]), 1) * _WAITING
            while chunks and len(tasks) < waiting:
                tasks.append((chunks[0], submit(chunks[0])))
                chunks.popleft()
            chunk, task = tasks[0]
            found = result_of(client, task or submit(chunk))
        except killed_worker():
            tasks.popleft()
            if len(chunk) > 1:
                # running the sources one after another shows which one ends the workers
                tasks.extendleft(([source], None) for source in reversed(chunk))
            else:
                yield Result(chunk[0], None, str(_ENDED))
        except (OSError, CancelledError, FutureCancelledError, RuntimeError) as error:
            failed = message("the Dask cluster failed: {error}", error=str(error) or type(error).__name__)
        else:
            tasks.popleft()
            yield from named(chunk, found)
    for chunk in (*(chunk for chunk, _ in tasks), *chunks):
        yield from (Result(source, None, str(failed)) for source in chunk)


def _work_there(work: Callable[[str], T], sources: Sequence[str], lang: str) -> list[Result[T]]:
    from iptsim.languages import use_language

    use_language(lang)
    return [_result(work, source) for source in sources]
