"""Batches are decided alike in this process, in several, and on a cluster of Dask of several processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from random import Random
from typing import Any

import distributed
import numpy as np
import pyarrow as pa
import pytest

from iptsim.cli import main
from iptsim.errors import IptsimError, UsageError
from iptsim.flows import engines, logs, running
from iptsim.flows.deciding import Part
from iptsim.flows.engines import engine_of
from iptsim.host.capture import load_host
from tests.flows.comparing import addresses_in, batch_of, random_records

PUBLISHED = Path(__file__).parent.parent.parent / "fixtures/captures/docker-28.5/published"

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def batches() -> list[pa.RecordBatch]:
    random, pool = Random(7), addresses_in(PUBLISHED)
    return [batch_of(random_records(random, pool, 60)) for _ in range(12)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler and two workers, each a process with its nanny."""
    made: Any = distributed.LocalCluster  # type: ignore[attr-defined,unused-ignore]
    with made(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as found:
        yield found


def answers(engine: str, batches: list[pa.RecordBatch]) -> list[list[Any]]:
    """Return the answer to each record of each batch."""
    with engine_of(engine, [load_host(PUBLISHED)]) as decide:
        return [[one.answers[number] for number in one.numbers] for (one,) in decide(iter(batches))]


def test_results_before_a_broken_log_are_kept() -> None:
    def read() -> Iterator[pa.RecordBatch]:
        for number in range(5):
            yield pa.RecordBatch.from_pydict({"record": [number]})
        raise UsageError("broken")

    def result(task: pa.RecordBatch) -> list[Part]:
        return [Part([], np.zeros(0), task["record"][0].as_py())]

    found: list[int] = []
    parts = engines._in_order(read(), lambda batch: batch, result, waiting=4)
    with pytest.raises(UsageError, match="broken"):
        found.extend(one.alone for (one,) in parts)
    assert found == [0, 1, 2, 3, 4]


@pytest.mark.thorough
def test_processes(batches: list[pa.RecordBatch]) -> None:
    assert answers("processes=2", batches) == answers("", batches)


@pytest.mark.thorough
def test_a_cluster(batches: list[pa.RecordBatch], cluster: Any) -> None:
    assert answers(f"dask={cluster.scheduler_address}", batches) == answers("", batches)


@pytest.mark.thorough
def test_a_killed_worker_loses_and_doubles_nothing(batches: list[pa.RecordBatch], cluster: Any) -> None:
    killed = []

    def fed() -> Iterator[pa.RecordBatch]:
        for number, batch in enumerate(batches * 3):
            if number == 15:
                with distributed.Client(cluster, set_as_default=False) as client:  # type: ignore[no-untyped-call,unused-ignore]
                    pids = client.run(os.getpid)  # type: ignore[no-untyped-call,unused-ignore]
                killed.append(next(iter(pids.values())))
                os.kill(killed[0], signal.SIGKILL)
            yield batch

    with engine_of(f"dask={cluster.scheduler_address}", [load_host(PUBLISHED)]) as decide:
        found = [[one.answers[number] for number in one.numbers] for (one,) in decide(fed())]
    assert killed
    assert found == answers("", batches) * 3


@pytest.mark.thorough
@pytest.mark.filterwarnings("error:Sending large graph")
def test_large_batches_cause_no_warning(batches: list[pa.RecordBatch], cluster: Any) -> None:
    whole = pa.Table.from_batches([batches[0]] * 7000).combine_chunks()
    (batch,) = whole.to_batches()
    assert batch.nbytes > 11_000_000
    with engine_of(f"dask={cluster.scheduler_address}", [load_host(PUBLISHED)]) as decide:
        ((part,),) = decide([batch])
    assert len(part.numbers) == batch.num_rows


@pytest.mark.thorough
def test_the_command_on_a_cluster(tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "read_log", lambda name, columns: logs.read_log(name, columns, 50))
    records = random_records(Random(3), addresses_in(PUBLISHED), 180)
    log = tmp_path / "log.jsonl"
    log.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    results = []
    for name, engine in (("one", ""), ("many", f"dask={cluster.scheduler_address}")):
        file = tmp_path / f"{name}.jsonl"
        assert main(["flows", str(PUBLISHED), str(log), "-o", str(file), "--engine", engine]) == 0
        results.append(file.read_text())
    assert results[0] == results[1]
    assert results[0].count("\n") == 180


def has_results(note: Path) -> bool:
    """Return whether a progress file says that records are done."""
    return note.exists() and json.loads(note.read_text())["done"] > 0


@pytest.mark.skipif(os.name != "posix", reason="the signal goes to a process group")
@pytest.mark.thorough
def test_an_interruption_is_quiet(tmp_path: Path) -> None:
    """A terminal sends Ctrl-C to the workers, too."""
    log, result = tmp_path / "log.csv", tmp_path / "result.jsonl"
    log.write_text("src,dst,proto,dport\n" + "192.0.2.20,192.0.2.10,tcp,8080\n" * 1_500_000)
    words = ["flows", str(PUBLISHED), str(log), "-o", str(result), "--engine", "processes=2"]
    command = [sys.executable, "-m", "iptsim", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        note = tmp_path / "result.jsonl.progress"
        while not has_results(note) and process.poll() is None:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert "records are done" in said
    assert said.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="elsewhere pyarrow waits for the next line")
@pytest.mark.thorough
def test_an_interruption_ends_a_pipe_that_stays_open(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "iptsim",
        "flows",
        str(PUBLISHED),
        "-",
        "-o",
        str(tmp_path / "result.csv"),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write("src,dst,proto,dport\n" + "192.0.2.20,192.0.2.10,tcp,8080\n" * 600_000)
        process.stdin.flush()
        while not has_results(tmp_path / "result.csv.progress") and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == ""


@pytest.mark.thorough
def test_a_scheduler_that_ends(
    batches: list[pa.RecordBatch], cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> list[Part]:
        raise CancelledError("work-1 cancelled for reason: scheduler-connection-lost.\nPlease check")

    monkeypatch.setattr(engines, "result_of", lost)
    with pytest.raises(IptsimError, match=r"^the Dask cluster failed: work-1 .*-lost\.$"):
        answers(f"dask={cluster.scheduler_address}", batches)


def test_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_PATIENCE", "1s")
    with (
        pytest.raises(UsageError, match=r"the Dask scheduler tcp:.* does not answer"),
        engine_of("dask=tcp://127.0.0.1:9", [load_host(PUBLISHED)]),
    ):
        pass


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(engines, "import_module", missing)
    with (
        pytest.raises(UsageError, match=r"pip install 'iptsim\[dask\]'"),
        engine_of("dask", [load_host(PUBLISHED)]),
    ):
        pass
