"""The snippets of docs/howto/flows.md run on other engines, where these are installed."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iptsim.flows import decide
from iptsim.host.capture import load_host

ROOT = Path(__file__).parent.parent.parent
TRAFFIC = {
    "src": ["172.17.0.3", "192.0.2.20", "192.0.2.20"],
    "dst": ["8.8.8.8", "172.17.0.2", "192.0.2.10"],
    "proto": ["udp", "tcp", "tcp"],
    "dport": [53, 22, 8080],
}
VERDICTS = ["ACCEPT", "DROP", "ACCEPT"]

pytestmark = pytest.mark.filterwarnings("ignore")


def snippet(engine: str) -> str:
    """Return the code for an engine, from the document."""
    text = (ROOT / "docs/howto/flows.md").read_text()
    found = re.search(rf'^=== "{engine}"\n\n    ```python\n(.*?)^    ```', text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return dedent(found[1])


def run(engine: str, **names: Any) -> dict[str, Any]:
    """Run the code for an engine, and return its variables."""
    known: dict[str, Any] = {
        "pa": pa, "decide": decide, "host": load_host(ROOT / "fixtures/captures/docker-28.5/published"), **names,
    }  # fmt: skip
    exec(snippet(engine), known)
    return known


def test_polars() -> None:
    polars = pytest.importorskip("polars")
    assert (
        run("Polars", pl=polars, frame=polars.DataFrame(TRAFFIC))["answers"]["verdict"].to_list() == VERDICTS
    )


def test_duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table(TRAFFIC), "traffic.parquet")
    assert run("DuckDB", duckdb=duckdb)["answers"]["verdict"].to_pylist() == VERDICTS


@pytest.mark.thorough
def test_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    sql = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    # else its workers are the first python3 of the path
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    spark = sql.SparkSession.builder.master("local[2]").getOrCreate()
    try:
        frame = spark.createDataFrame(list(zip(*TRAFFIC.values(), strict=True)), list(TRAFFIC)).coalesce(1)
        found = run("Spark", spark=spark, frame=frame)["answers"].collect()
    finally:
        spark.stop()
    assert [row["verdict"] for row in found] == VERDICTS


@pytest.mark.thorough
def test_ray() -> None:
    ray = pytest.importorskip("ray")
    data = pytest.importorskip("ray.data")
    ray.init(num_cpus=1, include_dashboard=False)
    try:
        found = run("Ray", ray=ray, dataset=data.from_arrow(pa.table(TRAFFIC)))["answers"].take_all()
    finally:
        ray.shutdown()
    assert [row["verdict"] for row in found] == VERDICTS
