"""`iptsim flows`: the summary, files of results, going on after an interruption, another ruleset."""

from __future__ import annotations

import gzip
import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from iptsim.cli import main
from iptsim.flows import logs, running, summary
from iptsim.flows.columns import Records, ipv4_numbers
from iptsim.flows.sinks import open_sink
from iptsim.flows.summary import Sketch

FIXTURES = Path(__file__).parent.parent.parent / "fixtures/captures/docker-28.5"
PUBLISHED = str(FIXTURES / "published")
RECORDS: list[dict[str, Any]] = [
    {"src": "172.17.0.3", "dst": "8.8.8.8", "proto": "udp", "sport": 40000, "dport": 53},
    {"src": "192.0.2.20", "dst": "172.17.0.2", "proto": "tcp", "sport": 40000, "dport": 22},
    {"src": "192.0.2.20", "dst": "192.0.2.10", "proto": "tcp", "sport": 40001, "dport": 8080},
    {"src": "nowhere", "dst": "192.0.2.10"},
    {"src": "192.0.2.20", "dst": "192.0.2.10", "proto": "tcp", "sport": 40002, "dport": 8080},
]
#: Prints the peak memory of a command in kB. The kernel counts that of what starts it, too: little here.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
#: The columns of results that a test compares: on this host, port 8080 of the host leads to 172.17.0.2:80, and raw
#: PREROUTING drops what is sent to a container's own address from outside.
WANTED = [
    ("ACCEPT", "outgoing", "filter", "DOCKER-FORWARD", 4, None, None),
    ("DROP", "direct-route-drop", "raw", "PREROUTING", 1, None, None),
    ("ACCEPT", "published-port", "filter", "DOCKER", 2, "172.17.0.2", 80),
    (None, None, None, None, None, None, None),
    ("ACCEPT", "published-port", "filter", "DOCKER", 2, "172.17.0.2", 80),
]
NAMES = ("verdict", "code", "table", "chain", "rule", "nat_dst", "nat_dport")


@pytest.fixture
def log(tmp_path: Path) -> str:
    file = tmp_path / "log.jsonl"
    file.write_text("".join(f"{json.dumps(record)}\n" for record in RECORDS))
    return str(file)


def rows_of(file: Path) -> list[dict[str, Any]]:
    """Return the rows of a result, with None for what is missing."""
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in file.read_text().splitlines()]
    if file.suffix == ".csv":
        options = pyarrow.csv.ConvertOptions(strings_can_be_null=True)
        rows: list[dict[str, Any]] = pyarrow.csv.read_csv(file, convert_options=options).to_pylist()
        return rows
    rows = pq.read_table(file).to_pylist()
    return list(rows)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_result_for_each_record(tmp_path: Path, log: str, ending: str) -> None:
    file = tmp_path / f"result.{ending}"
    assert main(["flows", PUBLISHED, log, "-o", str(file)]) == 0
    rows = rows_of(file)
    assert [tuple(row.get(name) for name in NAMES) for row in rows] == WANTED
    assert [row["record"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["src"] for row in rows] == [record["src"] for record in RECORDS]
    assert "unknown endpoint 'nowhere'" in rows[3]["error"]
    assert not (tmp_path / f"result.{ending}.progress").exists()


def test_summary(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flows", PUBLISHED, log, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["records"], found["errors"], found["alone"]) == (5, 1, 0)
    assert found["verdicts"] == {"ACCEPT": 3, "DROP": 1}
    first = found["deciders"][0]
    assert (first["table"], first["chain"], first["rule"], first["records"]) == ("filter", "DOCKER", 2, 2)
    assert first["counters"] == {"packets": 0, "bytes": 0}
    assert found["blocked"] == {
        "sources": [{"src": "192.0.2.20", "at_least": 1, "at_most": 1}], "approximate": False,
    }  # fmt: skip
    unmatched = {(rule["table"], rule["chain"], rule["rule"]) for rule in found["unmatched"]}
    assert ("raw", "PREROUTING", 3) in unmatched
    assert not unmatched & {("filter", "DOCKER", 2), ("raw", "PREROUTING", 1)}


def test_records_that_are_followed_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A target that picks a new port by the connection's own fields is followed for each record."""
    dump, file, result = tmp_path / "dump.txt", tmp_path / "log.jsonl", tmp_path / "result.jsonl"
    dump.write_text(
        "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8000-8003\n"
        "COMMIT\n"
    )
    file.write_text(
        "".join(
            f"{json.dumps({'in': 'eth0', 'src': '203.0.113.5', 'dst': '192.0.2.1', 'proto': 'tcp', 'dport': port})}\n"
            for port in (22, 80, 80, 81)
        )
    )
    assert main(["flows", str(dump), str(file), "-o", str(result), "--summary"]) == 0
    assert "2 records were followed one by one: rules count, remember or pick" in capsys.readouterr().out
    assert main(["flows", str(dump), str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["alone"] == 2


def test_results_on_standard_output(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flows", PUBLISHED, log, "-o", "-"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [tuple(row.get(name) for name in NAMES) for row in rows] == WANTED


def test_a_full_disk_leaves_no_half_of_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit on the size of files stands for the disk: it, too, lets a part of the data be written."""
    monkeypatch.setattr(running, "read_log", lambda name, columns: logs.read_log(name, columns, 200))
    log, whole, file = (str(tmp_path / name) for name in ("log.csv", "whole.csv", "result.csv"))
    Path(log).write_text("src,dst,proto,dport\n" + "192.0.2.20,192.0.2.10,tcp,8080\n" * 500)
    assert main(["flows", PUBLISHED, log, "-o", whole]) == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (Path(whole).stat().st_size - 5, limits[1]))
    try:
        assert main(["flows", PUBLISHED, log, "-o", file]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    err = capsys.readouterr().err
    assert f"{file}: File too large" in err
    assert "400 records are done; the same command with --resume continues" in err
    assert len(rows_of(Path(file))) == 400
    assert main(["flows", PUBLISHED, log, "-o", file, "--resume"]) == 0
    assert Path(file).read_text() == Path(whole).read_text()


def test_a_rule_of_nftables_is_shown_as_nft_prints_it(
    tmp_path: Path, log: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = "type filter hook prerouting priority 0;\nmeta l4proto { tcp, udp } drop\n"
    (tmp_path / "rules").write_text(f"table inet f {{\nchain c {{\n{rules}}}\n}}\n")
    assert main(["flows", str(tmp_path / "rules"), log, "--summary", "--json"]) == 0
    deciders = json.loads(capsys.readouterr().out)["deciders"]
    assert "meta l4proto { tcp, udp } drop" in [one["text"] for one in deciders]


def test_summary_as_text(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flows", PUBLISHED, log, log]) == 0
    out = capsys.readouterr().out
    assert out.startswith("10 records   ACCEPT 6   DROP 2   not valid 2\n-o FILE contains the error of each")
    assert "           4  ACCEPT  filter DOCKER rule 2  published-port  counter: 0 packets\n" in out


def test_only_what_another_ruleset_treats_differently(
    tmp_path: Path, log: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other, file = tmp_path / "other", tmp_path / "differ.jsonl"
    shutil.copytree(PUBLISHED, other)
    rules = other / "iptables-save.txt"
    jump = "-A FORWARD -j DOCKER-USER\n"
    assert jump in rules.read_text()
    rules.write_text(
        rules.read_text().replace(jump, f"{jump}-A DOCKER-USER -p udp -m udp --dport 53 -j DROP\n")
    )
    assert main(["flows", PUBLISHED, log, "--against", str(other), "--json", "-o", str(file)]) == 1
    (group,) = json.loads(capsys.readouterr().out)["differences"]
    assert group["records"] == 1
    assert [group[side]["verdict"] for side in ("before", "after")] == ["ACCEPT", "DROP"]
    assert [group[side]["chain"] for side in ("before", "after")] == ["DOCKER-FORWARD", "DOCKER-USER"]
    assert group["samples"] == [{"record": 1, **RECORDS[0]}]
    (row,) = rows_of(file)
    assert (row["record"], row["verdict"], row["other_verdict"], row["other_rule"]) == (
        1,
        "ACCEPT",
        "DROP",
        1,
    )
    assert main(["flows", PUBLISHED, log, "--against", PUBLISHED]) == 0
    assert capsys.readouterr().out == "0 of 5 records differ\n1 record is not valid\n"


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("fails_at", [1, 2])
def test_an_interrupted_run_goes_on(
    tmp_path: Path,
    log: str,
    ending: str,
    fails_at: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever is done when Ctrl-C comes is kept, and is neither lost nor doubled by --resume."""
    monkeypatch.setattr(logs, "SIZE", 2)
    monkeypatch.setattr(running, "read_log", lambda name, columns: logs.read_log(name, columns, 2))
    file = tmp_path / f"result.{ending}"
    written = running.Output.write

    def interrupted(self: running.Output, *rest: Any) -> None:
        if self.done // 2 == fails_at:
            raise KeyboardInterrupt
        written(self, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(running.Output, "write", interrupted)
        assert main(["flows", PUBLISHED, log, "-o", str(file)]) == 130
    assert len(rows_of(file)) == 2 * fails_at
    if ending == "jsonl":
        with file.open("a") as half:
            half.write('{"record": 99, "ver')
    assert main(["flows", PUBLISHED, log, "-o", str(file), "--resume", "--summary", "--json"]) == 0
    assert [tuple(row.get(name) for name in NAMES) for row in rows_of(file)] == WANTED
    assert json.loads(capsys.readouterr().out)["verdicts"] == {"ACCEPT": 3, "DROP": 1}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--resume"], "--resume requires -o FILE"),
        (["-o", "DIR/result.txt"], "unknown format; choose from: .parquet, .csv, .jsonl"),
        (["--columns", "src"], "not FIELD=COLUMN"),
        (["--columns", "source=a"], "unknown field 'source'; choose from:"),
        (["--engine", "spark"], "unknown engine 'spark'; choose from:"),
    ],
)
def test_bad_usage(
    tmp_path: Path, log: str, words: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["flows", PUBLISHED, log, *(word.replace("DIR", str(tmp_path)) for word in words)]) == 2
    assert error in capsys.readouterr().err
    assert not list(tmp_path.glob("*.progress"))


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_resume_starts_where_nothing_is_done_and_keeps_what_is_complete(
    tmp_path: Path, log: str, ending: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"result.{ending}"
    words = ["flows", PUBLISHED, log, "-o", str(file)]
    with monkeypatch.context() as patch:
        patch.setattr(summary.Summary, "add", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(words) == 130
    assert main([*words, "--resume"]) == 0
    assert len(rows_of(file)) == len(WANTED)
    assert main([*words, "--resume"]) == 2
    assert "is complete, or from something else" in capsys.readouterr().err
    assert len(rows_of(file)) == len(WANTED)


def test_another_run_is_not_continued(
    tmp_path: Path, log: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "result.csv")
    with monkeypatch.context() as patch:
        patch.setattr(summary.Summary, "add", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(["flows", PUBLISHED, log, "-o", file]) == 130
    (tmp_path / "result.csv.progress").write_text(
        json.dumps({"about": {}, "done": 0, "position": 0, "columns": [], "state": {}})
    )
    assert main(["flows", PUBLISHED, log, "-o", file, "--resume"]) == 2
    assert "with another source" in capsys.readouterr().err


def test_the_output_must_not_be_an_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read, link = tmp_path / "log.csv", tmp_path / "link.csv"
    read.write_text("src,dst\n192.0.2.1,192.0.2.2\n")
    link.symlink_to(read)
    assert main(["flows", PUBLISHED, str(read), "-o", str(link)]) == 2
    assert "choose another file" in capsys.readouterr().err
    assert read.read_text().endswith("192.0.2.2\n")


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_results_that_are_gone_are_not_continued(
    ending: str, log: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"result.{ending}"
    words = ["flows", PUBLISHED, log, str(tmp_path / "missing.csv"), "-o", str(file)]
    assert main(words) == 2
    if ending == "parquet":
        (file / "part-000000.parquet").unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    assert main([*words, "--resume"]) == 2
    assert "no longer has all results" in capsys.readouterr().err
    Path(f"{file}.progress").write_text("[]")
    assert main([*words, "--resume"]) == 2
    assert "is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_run_that_was_killed_before_its_first_results_is_resumed(
    ending: str, log: str, tmp_path: Path
) -> None:
    whole, file = tmp_path / f"whole.{ending}", tmp_path / f"result.{ending}"
    assert main(["flows", PUBLISHED, log, "-o", str(whole)]) == 0
    # as a kill leaves it
    about = {
        "log": [log],
        "source": PUBLISHED,
        "against": None,
        "columns": "",
        "extra": [],
        "docker_inspect": None,
    }
    running.Output(str(file), {**about, "noflush": None, "strict": False})._sink.close()
    if ending == "parquet":
        (file / "part-000000.begun").write_bytes(b"PAR1")
    assert main(["flows", PUBLISHED, log, "-o", str(file), "--resume"]) == 0
    assert not file.with_name(f"{file.name}.progress").exists()
    if ending == "parquet":
        assert [part.name for part in file.iterdir()] == [part.name for part in whole.iterdir()]
    else:
        assert file.read_bytes() == whole.read_bytes()


def test_the_sketch_is_never_off_by_more_than_it_says() -> None:
    sketch, truth = Sketch(size=3), {"a": 60, "b": 24, "c": 8, "d": 4, "e": 2}
    for name, count in truth.items():
        for _ in range(count // 2):
            sketch.add({name: 2})
    for name, count in sketch.counts.items():
        assert count <= truth[name] <= count + sketch.error
    assert sketch.counts.most_common(1)[0][0] == "a"


@pytest.mark.parametrize("addresses", [3, 60, 2000])
@pytest.mark.parametrize("other", ["10.0.0.1", "::1", "10.0.0.01", "client"])
def test_addresses_are_counted_like_other_texts(addresses: int, other: str) -> None:
    random, quick, slow = Random(addresses), Sketch(size=50), Sketch(size=50)
    for _ in range(3):
        texts = [f"10.0.{number >> 8}.{number & 255}" for number in random.choices(range(addresses), k=2000)]
        rows = np.array(random.sample(range(2001), 900))
        column = pa.array([*texts, other], pa.string())
        numbers, good = ipv4_numbers(column)
        quick.add_addresses(column, rows, numbers if good.all() else None)
        slow.add_texts(column.take(pa.array(rows)))
        assert ([*quick.counts.items()], quick.error) == ([*slow.counts.items()], slow.error)


@pytest.mark.parametrize(
    ("sources", "known"),
    [
        (pa.array(["1.2.3.4", "10.0.0.1"]), True),
        (pa.array([16909060, 167772161], pa.uint32()), True),
        (pa.array(["1.2.3.4", "10.0.0.1"]).dictionary_encode(), True),
        (pa.array(["1.2.3.4", "::1"]), False),
        (pa.array(["1.2.3.4", None]), False),
        (pa.array([16909060, 2**32]), False),
        (pa.array([[1], [2]]), False),
    ],
)
def test_sources_are_passed_on_as_numbers(sources: pa.Array, known: bool) -> None:
    batch = pa.RecordBatch.from_pydict(
        {"record": pa.array([1, 2]), "src": sources, "dst": pa.array(["a", "b"])}
    )
    records = Records.of(batch)
    questions = records.questions(("record",))
    assert questions.schema.names == ["src", "dst"]
    if known:
        assert records.sources is not None
        assert records.sources.to_pylist() == ["1.2.3.4", "10.0.0.1"]
        assert questions.column("src").to_pylist() == [16909060, 167772161]
    else:
        assert records.numbers is None
        assert questions.column("src") == sources


def test_lines_are_those_of_json(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    texts = [None, "", "ü", 'a "quoted" word', "back\\slash", "tab\t", "\x00\x1f\x7f", "\u2028", "null"]
    batch = pa.RecordBatch.from_pydict(
        {
            'a "name"': pa.array([None, *range(8)], pa.int64()),
            "text": pa.array(texts, pa.string()),
            "plain": pa.array([None, *"abcdefgh"], pa.string()),
            "truth": pa.array([None, True, False] * 3, pa.bool_()),
        }
    )
    open_sink("-", None).write(batch)
    rows = [{name: value for name, value in row.items() if value is not None} for row in batch.to_pylist()]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    assert capsysbinary.readouterr().out == "".join(lines).encode()


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    """Five million records, of which hardly any two are alike: 100 bytes kept of each would already be too much."""
    log, line = tmp_path / "log.csv", "192.0.{}.{},172.17.0.{},tcp,{},{}\n"
    with log.open("w") as file:
        file.write("src,dst,proto,sport,dport\n")
        file.writelines(
            line.format(
                one >> 8 & 255, one & 255, one % 251 + 1, one * 7919 % 64000 + 1024, one * 31 % 65535 + 1
            )
            for one in range(5_000_000)
        )
    command = [sys.executable, "-m", "iptsim", "flows", PUBLISHED, str(log), "-o", str(tmp_path / "out.csv")]
    peak = subprocess.run([sys.executable, "-c", PEAK, *command], capture_output=True, text=True, check=True)
    assert int(peak.stdout) < 640_000


@pytest.mark.parametrize("name", ["kern.log", "kern.log.gz"])
def test_a_log_of_the_host_tells_its_addresses(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A packet that leaves by no interface (OUT=) is for the host itself: it passes INPUT, not FORWARD."""
    dump = tmp_path / "dump"
    dump.write_text("*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n")
    kernel = "Dec  1 06:00:01 gw kernel: [1.0] BLOCK: IN=eth0 OUT= SRC=203.0.113.9 DST=10.61.2.3 LEN=60 TTL=50 ID=1 "
    text = f"{kernel}PROTO=TCP SPT=4000 DPT=23 WINDOW=64240 RES=0x00 SYN URGP=0\n".encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert main(["flows", str(dump), str(tmp_path / name), "-o", "-"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["verdict"], row["chain"]) == ("DROP", "INPUT")
