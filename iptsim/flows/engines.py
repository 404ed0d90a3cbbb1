"""Where batches are decided: in this process, in several on this machine, or on a Dask cluster."""

from __future__ import annotations

import logging
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from typing import Any

import pyarrow as pa

from iptsim.errors import IptsimError, UsageError
from iptsim.flows.deciding import Part, part_of
from iptsim.host.model import Host
from iptsim.languages import message
from iptsim.processes import end_now, end_with_parent, without_interrupt

#: Decides about batches on several hosts: returns, for each batch, a part for each host.
Engine = Callable[[Iterable[pa.RecordBatch]], Iterator[list[Part]]]
#: Batches that wait for each process.
_WAITING = 2
#: How long a scheduler may take to answer.
_PATIENCE = "10s"
#: How many times that long a cluster may be without any worker.
_ALONE = 3
#: The size of a task up to which Dask says nothing.
_LARGEST_TASK = "1GB"


@contextmanager
def engine_of(name: str, hosts: list[Host]) -> Iterator[Engine]:
    """Start an engine for some hosts.

    Args:
        name: "" for this process, "processes" or "processes=N", "dask" or "dask=ADDRESS".

    Raises:
        UsageError: there is no such engine, its extra is not installed, or its scheduler does not answer.
    """
    kind, _, value = name.partition("=")
    if kind == "":
        yield lambda batches: ([part_of(host, batch) for host in hosts] for batch in batches)
    elif kind == "processes":
        if value and not value.isdecimal():
            raise UsageError(
                message("--engine processes={value}: not a valid number of processes", value=value)
            )
        with _processes(hosts, int(value or 0) or os.cpu_count() or 1) as engine:
            yield engine
    elif kind == "dask":
        with client_of(value) as client:
            yield _on_cluster(client, hosts)
    else:
        raise UsageError(
            message(
                "unknown engine {name!r}; choose from: processes, processes=N, dask, dask=ADDRESS", name=name
            )
        )


def _in_order(
    batches: Iterable[pa.RecordBatch],
    submit: Callable[[pa.RecordBatch], Any],
    result: Callable[[Any], list[Part]],
    waiting: int,
) -> Iterator[list[Part]]:
    """Yield the results of tasks in the order of the batches; only some batches are in memory at once.

    Raises:
        IptsimError: the batches cannot be read further; the results of those before are yielded first.
    """
    tasks: deque[Any] = deque()
    fault = None
    source = iter(batches)
    while fault is None:
        try:
            batch = next(source)
        except StopIteration:
            break
        except IptsimError as error:
            fault = error
        else:
            tasks.append(submit(batch))
            if len(tasks) >= waiting:
                yield result(tasks.popleft())
    while tasks:
        yield result(tasks.popleft())
    if fault is not None:
        raise fault


# -- processes of this machine ---------------------------------------------------------------------

_hosts: list[Host] = []


def _start(data: bytes) -> None:
    """Read the hosts, once in each process."""
    end_with_parent()
    _hosts[:] = pickle.loads(data)  # noqa: S301 -- from the parent process


def _work(batch: pa.RecordBatch) -> list[Part]:
    return [part_of(host, batch) for host in _hosts]


@contextmanager
def _processes(hosts: list[Host], count: int) -> Iterator[Engine]:
    pool = ProcessPoolExecutor(
        count, mp_context=get_context("spawn"), initializer=_start, initargs=(pickle.dumps(hosts),)
    )

    def submit(batch: pa.RecordBatch) -> Future[list[Part]]:
        with without_interrupt():
            return pool.submit(_work, batch)

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[list[Part]]:
        try:
            yield from _in_order(batches, submit, Future.result, count * _WAITING)
        except BrokenProcessPool:
            raise IptsimError(message("a worker process ended unexpectedly; is memory short?")) from None

    try:
        yield run
        # once its processes have ended, nothing of it is left over when the program ends
        pool.shutdown()
    finally:
        end_now(pool)


# -- Dask ------------------------------------------------------------------------------------------


@contextmanager
def client_of(address: str, *, workers: int | None = None) -> Iterator[Any]:
    """Connect to a Dask cluster.

    Args:
        address: the address of its scheduler; "" to start a cluster of processes on this machine.
        workers: the number of these processes; None for one per processor.

    Raises:
        UsageError: the extra is not installed, or the scheduler does not answer.
    """
    try:
        tools: Any = import_module("distributed")
    except ImportError:
        raise UsageError(message("--engine dask requires Dask: pip install 'iptsim[dask]'")) from None
    cluster = None
    if not address:
        with without_interrupt():
            cluster = tools.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
    try:
        client: Any = tools.Client(cluster or address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            message(
                "the Dask scheduler {address} does not answer: {error}", address=address, error=str(error)
            )
        ) from None
    log = logging.getLogger("distributed.client")
    level = log.level
    # when the scheduler ends, the client would log where it was; the error that is raised says what happened
    log.setLevel(logging.CRITICAL)
    try:
        yield client
    finally:
        client.close()
        log.setLevel(level)
        if cluster is not None:
            cluster.close()


def result_of(client: Any, task: Any) -> Any:
    """Wait for a task of a cluster, and return its result.

    Raises:
        OSError: the cluster is without workers; tasks would wait for ever.
    """
    alone = 0
    while alone < _ALONE:
        try:
            return task.result(timeout=_PATIENCE)
        except TimeoutError:
            alone = 0 if client.scheduler_info(n_workers=-1)["workers"] else alone + 1
    raise OSError(str(message("it has no workers")))


def killed_worker() -> type[Exception]:
    """Return the error for a task that killed all workers that tried it."""
    from distributed import KilledWorker

    return KilledWorker


def _on_cluster(client: Any, hosts: list[Host]) -> Engine:
    from asyncio import CancelledError
    from concurrent.futures import CancelledError as FutureCancelledError

    from dask import config
    from distributed import KilledWorker

    from iptsim.flows.workers import HostsOfWorker, name_of, work

    data = pickle.dumps(hosts)
    name = name_of(data)
    client.register_plugin(HostsOfWorker(data), name=name)

    def submit(batch: pa.RecordBatch) -> Any:
        # a batch goes with its task, so that another worker can do it if one dies; Dask would warn of its size
        with config.set({"distributed.admin.large-graph-warning-threshold": _LARGEST_TASK}):
            return client.submit(work, name, batch, pure=False, retries=2)

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[list[Part]]:
        workers = max(len(client.scheduler_info(n_workers=-1)["workers"]), 1)
        try:
            yield from _in_order(batches, submit, partial(result_of, client), workers * _WAITING)
        except (KilledWorker, OSError, CancelledError, FutureCancelledError, RuntimeError) as error:
            # tasks are cancelled when the connection to the scheduler is lost
            first = str(error).partition("\n")[0] or type(error).__name__
            raise IptsimError(message("the Dask cluster failed: {error}", error=first)) from None

    return run
