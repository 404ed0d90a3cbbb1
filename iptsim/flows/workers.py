"""Code that runs on the workers of a Dask cluster. Each worker reads the hosts once, even if it starts later."""

from __future__ import annotations

import hashlib
import pickle
from typing import TYPE_CHECKING

import pyarrow as pa
from distributed import WorkerPlugin, get_worker

from iptsim.flows.deciding import Part, part_of
from iptsim.host.model import Host

if TYPE_CHECKING:
    from distributed import Worker


class HostsOfWorker(WorkerPlugin):
    """Holds the hosts in a worker.

    Args:
        data: the hosts, pickled.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.name = name_of(data)
        self.hosts: list[Host] = []

    def setup(self, worker: Worker) -> None:
        """Read the hosts when the worker starts."""
        self.hosts = pickle.loads(self._data)  # noqa: S301 -- from the client


def name_of(data: bytes) -> str:
    """Return a name for pickled hosts."""
    return f"iptsim-{hashlib.sha256(data).hexdigest()[:16]}"


def work(name: str, batch: pa.RecordBatch) -> list[Part]:
    """Decide about a batch on each of the hosts."""
    plugin = get_worker().plugins[name]
    assert isinstance(plugin, HostsOfWorker)
    return [part_of(host, batch) for host in plugin.hosts]
