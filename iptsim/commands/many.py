"""Many sources at once: which ones they are, and work on each of them in several processes.

A source that cannot be read is a result like others: the text of its error.
"""

from __future__ import annotations

import argparse
import gc
import glob
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from iptsim.commands.common import ANSWERED, BAD, DIFFERS, output, print_json
from iptsim.errors import IptsimError, UsageError
from iptsim.languages import current_language, message, say

if TYPE_CHECKING:
    from concurrent.futures import Future

    from iptsim.fleet import HostResult

T = TypeVar("T")
#: The formats of a summary over many sources.
_FORMATS = ("text", "json", "markdown", "csv", "html")

#: Sources of one task, tasks that wait for each process, and tasks after which a process is replaced.
_CHUNK, _WAITING, _TASKS = 16, 3, 64
#: So few sources are quicker without further processes.
_FEW = 2 * _CHUNK


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """What was found for a source.

    Attributes:
        value: None if there was an error.
        error: why it could not be read, "" if it could.
    """

    source: str
    value: T | None
    error: str = ""


def add_many(parser: Any) -> None:
    """Add the options for many sources."""
    parser.add_argument(
        "--jobs", metavar="N", type=int, default=0,
        help=say("processes for --summary and --parquet (default: one a processor)"),
    )  # fmt: skip
    parser.add_argument(
        "--summary", action="store_true",
        help=say("print a summary over all sources: findings by the number of hosts, and hosts that differ"),
    )  # fmt: skip
    parser.add_argument(
        "--parquet", metavar="FILE", help=say("write a row for each source to this Parquet file")
    )


def reading_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return how sources are read, for :func:`iptsim.sources.load_host`."""
    return {
        "strict": arguments.strict,
        "extra": arguments.extra,
        "docker_inspect": arguments.docker_inspect,
        "noflush": arguments.noflush,
    }


def summarise(arguments: argparse.Namespace, work: Callable[[str], HostResult]) -> int:
    """Do some work on each source, and print the summary over all.

    Args:
        arguments: of the command.
        work: returns what was found in a source; see :func:`each`.

    Returns:
        The exit status: 2 if a source could not be read, else 1 if anything was found, else 0.

    Raises:
        UsageError: the format is not one of a summary, or the file cannot be written.
    """
    from iptsim.fleet import HostResult, group_of, summary_of
    from iptsim.sources import load_host

    if arguments.format not in _FORMATS:
        raise UsageError(
            message("--summary has no format {name!r}; choose from: {choices}", name=arguments.format,
                    choices=", ".join(_FORMATS))
        )  # fmt: skip
    hosts = [
        one.value or HostResult(one.source, error=one.error)
        for one in each(arguments.source, work, arguments.jobs)
    ]
    summary = summary_of(hosts, partial(load_host, **reading_options(arguments)))
    rows = [
        {"source": one.source, "group": group_of(one.source), "rules": one.count, "findings": list(one.findings),
         "error": one.error or None}
        for one in hosts
    ]  # fmt: skip
    if arguments.parquet:
        from iptsim.flows.sinks import save_rows

        outliers = {one["source"] for one in summary["outliers"]}
        save_rows(arguments.parquet, [{**row, "differs": row["source"] in outliers} for row in rows])
    if arguments.summary or not arguments.parquet:
        _print(arguments, summary, rows)
    return BAD if summary["errors"] else DIFFERS if summary["findings"] else ANSWERED


def _print(arguments: argparse.Namespace, summary: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    from iptsim.render.hosts import hosts_lines, hosts_sheets
    from iptsim.render.sheets import comma_separated, markdown, page

    if arguments.format == "json":
        print_json({**summary, "results": rows})
    elif arguments.format == "text":
        console = output(arguments)
        for line in hosts_lines(summary):
            console.show(line)
    else:
        sheets = hosts_sheets(summary, rows)
        if arguments.format == "markdown":
            sys.stdout.write("\n".join(map(markdown, sheets)))
        else:
            sys.stdout.write(
                page(sheets, say("Hosts")) if arguments.format == "html" else comma_separated(sheets[-1:])
            )


def sources_of(given: Iterable[str]) -> list[str]:
    """Return the sources that the words of a command line stand for.

    A pattern such as `hosts/*.txt` means all files that fit, `@FILE` the sources in the lines of a file, and a
    directory that is no capture the captures, archives and dumps in it.

    Raises:
        UsageError: a pattern fits no file, or a directory or a list is empty.
        CaptureError: a list cannot be read.
    """
    return [source for word in given for source in _meant(word)]


def _meant(word: str) -> list[str]:
    path = Path(word)
    if word.startswith("@") and not path.exists():
        return _listed(word[1:])
    if any(mark in word for mark in "*?[") and not path.exists():
        found = sorted(glob.glob(word, recursive=True))
        if not found:
            raise UsageError(message("{word}: no file fits this pattern", word=word))
        return found
    if path.is_dir() and not is_capture(path):
        inside = sorted(one for one in path.iterdir() if not one.name.startswith("."))
        if any(one.is_dir() and is_capture(one) for one in inside) or len(inside) > 1:
            return [str(one) for one in inside]
    return [word]


def _listed(name: str) -> list[str]:
    from iptsim.reading import read_file

    lines = read_file(name).decode("utf-8", "replace").splitlines()
    found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not found:
        raise UsageError(message("{name}: the list is empty", name=name))
    folder = Path(name).parent
    return [one if os.path.isabs(one) or one == "-" else str(folder / one) for one in found]


def is_capture(folder: Path) -> bool:
    """Return whether a directory is the capture of one host."""
    from iptsim.host.files import FILES

    return any((folder / name).exists() for name in FILES)


def each(sources: Sequence[str], work: Callable[[str], T], jobs: int = 0) -> Iterator[Result[T]]:
    """Yield what a function returns for each source, in their order.

    Args:
        work: is called with a source, in another process if there are many: a function of a module, or a partial of
            one; it, and what it returns, is pickled.
        jobs: how many processes; 0 for one a processor.
    """
    from iptsim.progress import tracked

    jobs = jobs or os.cpu_count() or 1
    done = _here(sources, work) if len(sources) <= _FEW or jobs == 1 else _in_processes(sources, work, jobs)
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


def _in_processes(sources: Sequence[str], work: Callable[[str], T], jobs: int) -> Iterator[Result[T]]:
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    chunks = deque(sources[begin : begin + _CHUNK] for begin in range(0, len(sources), _CHUNK))
    pool = ProcessPoolExecutor(
        min(jobs, len(chunks)),
        get_context("spawn"),
        _start,
        (current_language(),),
        max_tasks_per_child=_TASKS,
    )
    tasks: deque[tuple[Sequence[str], Future[list[Result[T]]]]] = deque()
    try:
        while chunks or tasks:
            while chunks and len(tasks) < jobs * _WAITING:
                chunk = chunks.popleft()
                tasks.append((chunk, pool.submit(partial(_work, work, chunk))))
            chunk, task = tasks.popleft()
            yield from task.result()
    except BrokenProcessPool:
        raise IptsimError(message("a process that reads hosts ended unexpectedly")) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _start(lang: str) -> None:
    """Prepare a worker process: garbage is collected only between tasks, and imported modules are exempt."""
    from iptsim.languages import use_language

    use_language(lang)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 -- warnings of 10,000 hosts help no one; errors are results
    gc.disable()


def _work(work: Callable[[str], T], sources: Sequence[str]) -> list[Result[T]]:
    gc.freeze()
    found = [_result(work, source) for source in sources]
    gc.unfreeze()
    gc.collect()
    return found
