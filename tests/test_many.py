"""Many sources: which ones words mean, work in processes, what hosts have in common and which differ."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from iptsim.cli import main
from iptsim.commands.many import sources_of
from iptsim.commands.working import Result, each
from iptsim.errors import CaptureError, UsageError
from iptsim.fleet import HostResult, outliers_of, policy_of
from iptsim.host.capture import load_host

FIXTURES = Path(__file__).parent.parent / "fixtures/captures/docker-28.5"
BEGIN = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
RULES = ("-A INPUT -i lo -j ACCEPT", "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")


def dump(*rules: str) -> str:
    return BEGIN + "".join(f"{rule}\n" for rule in rules) + "COMMIT\n"


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    """Six web servers, of which web03 lacks a rule and web05 is not readable, and a database server."""
    folder = tmp_path / "hosts"
    folder.mkdir()
    for number in range(1, 7):
        rules = [*RULES, f"-A INPUT -s 10.0.0.{number}/32 -p tcp -m tcp --dport 22 -j ACCEPT"]
        (folder / f"web{number:02}.txt").write_text(dump(*(rules[1:] if number == 3 else rules)))
    (folder / "web05.txt").write_text("nothing about a host\n")
    (folder / "db1.txt").write_text(dump("-A INPUT -j ACCEPT"))
    return folder


def test_words_for_many_sources(hosts: Path, tmp_path: Path) -> None:
    names = [str(hosts / f"web{number:02}.txt") for number in range(1, 7)]
    assert sources_of([f"{hosts}/web*.txt"]) == names
    assert sources_of([str(hosts)]) == [str(hosts / "db1.txt"), *names]
    listed = tmp_path / "list"
    listed.write_text("# servers\nhosts/web01.txt\n\nhosts/web02.txt\n")
    assert sources_of([f"@{listed}", names[3]]) == [names[0], names[1], names[3]]
    assert sources_of(["-", "missing.txt"]) == ["-", "missing.txt"]


def test_unreadable_sources_are_rows_with_errors(
    hosts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Root may read everything, so a directory that only its owner may read is simulated."""
    locked, listed = hosts / "locked", tmp_path / "list"
    locked.mkdir()
    iterate, exists, is_file = Path.iterdir, os.path.exists, Path.is_file

    def permitted(path: Path) -> Path:
        if locked in (path, path.parent):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return path

    monkeypatch.setattr(Path, "iterdir", lambda path: iterate(permitted(path)))
    monkeypatch.setattr(Path, "is_file", lambda path: is_file(permitted(path)))
    monkeypatch.setattr(os.path, "exists", lambda path: locked not in Path(path).parents and exists(path))
    listed.write_bytes(f"{locked}\n{hosts}/web01.txt\na\0b\n\xff.txt\n".encode("latin-1"))
    assert main(["lint", f"@{listed}", "--summary", "--json"]) == 2
    errors = {Path(one["source"]).name: one["error"] for one in json.loads(capsys.readouterr().out)["errors"]}
    assert errors.keys() == {"locked", "a\0b", "\ufffd.txt"}
    assert errors["locked"].endswith("locked: Permission denied")
    assert errors["a\0b"].endswith("not a valid file name")


def test_captures_in_a_directory(tmp_path: Path) -> None:
    for name in ("icc-off", "published"):
        shutil.copytree(FIXTURES / name, tmp_path / name)
    assert sources_of([str(tmp_path)]) == [str(tmp_path / "icc-off"), str(tmp_path / "published")]
    assert sources_of([str(tmp_path / "published")]) == [str(tmp_path / "published")]


def test_words_that_mean_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file matches this pattern"):
        sources_of([f"{tmp_path}/*.txt"])
    (tmp_path / "list").write_text("# nothing\n")
    with pytest.raises(UsageError, match="the list is empty"):
        sources_of([f"@{tmp_path}/list"])
    with pytest.raises(CaptureError):
        sources_of([f"@{tmp_path}/none"])


def size_of(source: str) -> int:
    """Return the size of a file; work for other processes."""
    if source.endswith("web05.txt"):
        raise CaptureError("web05 cannot be read")
    return Path(source).stat().st_size


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.thorough)])
def test_each_source_has_a_result(hosts: Path, jobs: int) -> None:
    sources = sources_of([str(hosts)]) * 6
    found = list(each(sources, size_of, jobs))
    assert [one.source for one in found] == sources
    assert found[0] == Result(sources[0], Path(sources[0]).stat().st_size)
    assert {one.source: one.error for one in found if one.error} == {
        str(hosts / "web05.txt"): "web05 cannot be read"
    }


def ended(source: str) -> int:
    """Return a number; one source ends the process that works on it."""
    if source == "deadly":
        # Dask does not always replace a worker that ends as soon as it has started
        time.sleep(1)
        os._exit(9)
    return len(source)


@pytest.mark.thorough
def test_a_process_that_ends_costs_one_source() -> None:
    sources = [f"host{number}" for number in range(60)]
    sources[37] = "deadly"
    found = list(each(sources, ended, 2))
    assert [one.source for one in found] == sources
    assert [one.source for one in found if one.error] == ["deadly"]
    assert "ended unexpectedly" in found[37].error


def test_a_list_without_its_sign_is_recognised(
    hosts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list").write_text(f"# the web servers\n{hosts}/web01.txt\n{hosts.name}/web02.txt\n")
    assert main(["lint", str(tmp_path / "list")]) == 2
    assert f"write @{tmp_path}/list" in capsys.readouterr().err
    (tmp_path / "list").write_text(f"{hosts}/web01.txt\nno such file\n")
    assert main(["lint", str(tmp_path / "list")]) == 2
    assert "@" not in capsys.readouterr().err


def test_a_dump_that_is_cut_off_is_a_row_of_its_own(hosts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (hosts / "web02.txt").read_text()
    (hosts / "web05.txt").write_text(whole[: whole.index("-A INPUT -s")])
    assert main(["lint", str(hosts), "--summary", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["cut_off"] == [str(hosts / "web05.txt")]
    assert [row["source"] for row in found["results"] if row["cut_off"]] == found["cut_off"]
    assert [one["source"] for one in found["outliers"]] == [str(hosts / "web03.txt")]


def test_the_row_of_a_host_tells_what_is_odd_in_its_rules(
    hosts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = hosts / "web02.txt"
    odd.write_text(odd.read_text().replace("COMMIT", "-A INPUT -p tcp --dportt 22 -j ACCEPT\nCOMMIT"))
    main(["lint", str(hosts), "--summary", "--json"])
    rows = json.loads(capsys.readouterr().out)["results"]
    warned = {row["source"]: row["warnings"] for row in rows if row["warnings"]}
    assert list(warned) == [str(odd)]
    assert "unknown option --dportt" in warned[str(odd)][0]
    main(["lint", str(hosts), "--summary", "--format", "csv"])
    assert "unknown option --dportt" in capsys.readouterr().out
    main(["lint", str(hosts), "--summary"])
    shown = capsys.readouterr().out.splitlines()
    assert shown[shown.index("1 warning") + 1].startswith(f"  {odd}: ")
    assert "unknown option --dportt" in shown[shown.index("1 warning") + 1]


def test_summary_over_hosts(hosts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.parquet"
    assert main(["lint", str(hosts), "--summary", "--json", "--parquet", str(rows)]) == 2
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["hosts"]) == ("iptsim.hosts/1", 7)
    assert [one["source"] for one in found["errors"]] == [str(hosts / "web05.txt")]
    assert found["outliers"] == [
        {
            "source": str(hosts / "web03.txt"),
            "group": "web#",
            "missing": [f"IPv4 filter {RULES[0]}"],
            "further": [],
        }
    ]
    codes = [code for row in found["results"] for code in set(row["findings"])]
    assert {one["code"]: one["hosts"] for one in found["findings"]} == {
        code: codes.count(code) for code in codes
    }
    table = pq.read_table(rows).to_pylist()
    assert [row["source"] for row in table] == [row["source"] for row in found["results"]]
    assert [row["differs"] for row in table] == [False, False, False, True, False, False, False]
    assert [row["rules"] for row in table] == [1, 3, 3, 2, 3, 0, 3]


@pytest.mark.parametrize("form", ["text", "html", "markdown", "csv"])
def test_summary_in_other_formats(hosts: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(hosts), "--summary", "--format", form]) == 2
    out = capsys.readouterr().out
    assert "web03.txt" in out
    assert "web05.txt" in out
    if form == "text":
        # its error names it already
        assert out.count("web05.txt") == 1


def test_a_host_with_rules_of_its_own_differs() -> None:
    def host(name: str, *rules: str) -> HostResult:
        return HostResult(name, rules=b"".join(rule.ljust(8).encode() for rule in rules))

    alike = [host(f"web{number}", "a", "b") for number in range(9)]
    (found,) = outliers_of([*alike, host("web9", "a", "b", "own"), host("db1", "z"), host("db2", "y")])
    assert (found.source, found.missing, found.further) == ("web9", [], [b"own     "])


def test_own_addresses_are_no_difference() -> None:
    """192.0.2.10 is the captured host's own address, to which its rules refer."""
    told = policy_of(load_host(FIXTURES / "published")).values()
    assert not [text for text in told if "192.0.2.10" in text]
    assert "IPv4 filter :FORWARD DROP" in told


# -- check, reach and diff ---------------------------------------------------------------------------

POLICY = """
expectations:
  - {name: no ssh from the internet, from: internet, to: host, ports: 22, expect: closed}
  - {name: lo, from: host, to: host, expect: accept}
"""


def summary(capsys: pytest.CaptureFixture[str], status: int, *words: str) -> dict[str, Any]:
    """Return the summary that a command prints as JSON."""
    assert main([*words, "--summary", "--json"]) == status
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [one["source"].rpartition("/")[2] for one in found["errors"]] == ["web05.txt"]
    return found


def counted(found: dict[str, Any]) -> dict[str, int]:
    return {one["code"]: one["hosts"] for one in found["findings"]}


def test_many_hosts_against_a_policy(hosts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    found = summary(capsys, 2, "check", str(policy), str(hosts))
    # db1 accepts everything; web03 lacks the rule for lo, so the replies alone are accepted there
    assert counted(found) == {"no ssh from the internet": 1, "lo": 1}
    rows = {Path(row["source"]).name: row["findings"] for row in found["results"]}
    assert rows["db1.txt"] == ["no ssh from the internet"]
    assert rows["web03.txt"] == ["lo"]
    assert [Path(one["source"]).name for one in found["outliers"]] == ["web03.txt"]
    (hosts / "web05.txt").unlink()
    assert main(["check", str(policy), f"{hosts}/web0[12].txt", "--summary"]) == 0


def test_what_is_open_on_many_hosts(hosts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (hosts / "web01.txt").write_text(dump("-A INPUT -p tcp -m multiport --dports 80,443 -j ACCEPT"))
    (hosts / "db1.txt").write_text(dump("-A INPUT -p tcp -m tcp --dport 443 -j ACCEPT"))
    found = summary(capsys, 2, "reach", str(hosts), "-p", "tcp")
    assert counted(found) == {"internet → host: tcp/443": 2, "internet → host: tcp/80": 1}
    found = summary(capsys, 2, "reach", str(hosts), "--from", "10.0.0.2", "--to", "host", "-p", "tcp")
    assert counted(found)["other machines → host: tcp/22"] == 1


def test_two_directories_are_compared_by_name(
    hosts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = tmp_path / "after"
    shutil.copytree(hosts, after)
    (after / "db1.txt").write_text(dump())
    (after / "web01.txt").rename(after / "web01.save")
    found = summary(capsys, 2, "diff", str(hosts), str(after))
    assert counted(found)["internet → host: ACCEPT → DROP"] == 1
    rows = {Path(row["source"]).name: row["findings"] for row in found["results"]}
    assert [name for name, labels in rows.items() if labels] == ["db1.txt"]
    assert "web01.save" in rows
    (hosts / "web02.txt").unlink()
    (hosts / "web05.txt").unlink()
    assert main(["diff", str(hosts), str(after), "--json"]) == 2
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    errors = {Path(one["source"]).name: one["error"] for one in lines if "error" in one}
    assert "contains no web02" in errors["web02.txt"]
    assert [Path(one["after"]).name for one in lines if not one.get("same", True)] == ["db1.txt"]


def test_each_against_a_baseline(hosts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = str(hosts / "web02.txt")
    found = summary(capsys, 2, "diff", str(hosts), "--against", base)
    rows = {Path(row["source"]).name: bool(row["findings"]) for row in found["results"]}
    assert not rows["web02.txt"]
    assert rows["db1.txt"]
    assert rows["web03.txt"]


def test_each_before_and_after_a_change(hosts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = summary(capsys, 2, "diff", str(hosts), "--policy", "INPUT=ACCEPT")
    assert counted(found)["internet → host: DROP → ACCEPT"] == 5


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["diff", "a"], "--against BASELINE"),
        (["diff", "a", "b", "c"], "--against BASELINE"),
        (["diff", "a", "--against", "b", "--policy", "INPUT=DROP"], "--against cannot be used with changes"),
        (["reach", "a", "--classes", "--summary"], "--summary cannot be used with --classes"),
        (["reach", "a", "--engine", "dask"], "require --summary or --parquet"),
        (["lint", "a", "--summary", "--engine", "spark"], "unknown engine 'spark'"),
        (["lint", "a", "--summary", "--jobs=-1"], "must not be negative"),
        (["lint", "a", "--parquet", "/nowhere/rows.parquet"], "/nowhere: no such directory"),
        (["check", "p", "a", "--summary"], "p: No such file"),
    ],
)
def test_what_does_not_go_together(
    words: list[str], fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c"):
        Path(name).write_text(dump())
    assert main(words) == 2
    assert fault in capsys.readouterr().err


@pytest.mark.thorough
def test_a_full_disk_keeps_what_was_found(hosts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reach", str(hosts), "--parquet", "/dev/full"]) == 2
    out, err = capsys.readouterr()
    assert "/dev/full: No space left on device" in err
    assert "7 hosts" in out
    assert main(["reach", str(hosts), "--summary", "-o", "/dev/full"]) == 2
    out, err = capsys.readouterr()
    assert "/dev/full: No space left on device" in err
    assert "7 hosts" in out


# -- a cluster -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler and two workers, each a process with its nanny."""
    import distributed

    made: Any = distributed.LocalCluster  # type: ignore[attr-defined,unused-ignore]
    with made(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as found:
        yield found


def slow_size(source: str, pids: str) -> int:
    """Note in a file which process works, and return the size of a source."""
    with open(pids, "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(0.02)
    return size_of(source)


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")
def test_a_killed_worker_loses_and_doubles_nothing(hosts: Path, tmp_path: Path, cluster: Any) -> None:
    sources = sources_of([str(hosts)]) * 40
    pids = tmp_path / "pids"
    work = partial(slow_size, pids=str(pids))
    found = []
    for number, one in enumerate(each(sources, work, engine=f"dask={cluster.scheduler_address}")):
        found.append(one)
        if number == 40:
            os.kill(int(pids.read_text().split()[-1]), signal.SIGKILL)
    assert found == list(each(sources, size_of, 1))
    assert len(set(pids.read_text().split())) > 2


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("command", ["lint", "check", "reach", "diff"])
def test_commands_on_a_cluster(
    command: str, hosts: Path, tmp_path: Path, cluster: Any, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(POLICY)
    shutil.copytree(hosts, "before")
    words = {
        "lint": ["lint", "hosts"],
        "check": ["check", "policy.yaml", "hosts"],
        "reach": ["reach", "hosts"],
        "diff": ["diff", "before", "hosts"],
    }[command]
    engine = "--cluster" if command == "diff" else "--engine"
    alone = summary(capsys, 2, *words)
    assert summary(capsys, 2, *words, engine, f"dask={cluster.scheduler_address}") == alone


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")
def test_workers_elsewhere_find_the_other_files(
    hosts: Path, tmp_path: Path, cluster: Any, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    # the workers have been started in another folder
    monkeypatch.chdir(tmp_path)
    Path("more.rules").write_text("*filter\n-I INPUT -p tcp --dport 9999 -j ACCEPT\nCOMMIT\n")
    words = ["lint", "hosts", "--noflush", "more.rules"]
    alone = summary(capsys, 2, *words)
    assert summary(capsys, 2, *words, "--engine", f"dask={cluster.scheduler_address}") == alone
    assert not any("more.rules" in one["error"] for one in alone["errors"])


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")
def test_a_source_that_ends_its_worker_is_a_result(tmp_path: Path) -> None:
    import distributed
    from dask import config

    sources = [f"host{number}" for number in range(20)]
    sources[7] = "deadly"
    made: Any = distributed.LocalCluster  # type: ignore[attr-defined,unused-ignore]
    # no task gets a second worker: a machine under load replaces many workers, one after the other, only slowly
    with (
        config.set({"distributed.scheduler.allowed-failures": 0}),
        made(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as cluster,
    ):
        found = list(each(sources, ended, engine=f"dask={cluster.scheduler_address}"))
    assert [one.source for one in found] == sources
    assert [one.source for one in found if one.error] == ["deadly"]


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_ends_keeps_what_is_done(hosts: Path) -> None:
    import distributed

    sources = sources_of([str(hosts)]) * 40
    made: Any = distributed.LocalCluster  # type: ignore[attr-defined,unused-ignore]
    found = []
    with made(n_workers=1, threads_per_worker=1, dashboard_address=None, processes=False) as cluster:
        for number, one in enumerate(each(sources, size_of, engine=f"dask={cluster.scheduler_address}")):
            found.append(one)
            if number == 40:
                cluster.close()
    assert [one.source for one in found] == sources
    assert sum(one.value is not None for one in found) >= 40
    assert "the Dask cluster failed" in found[-1].error


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_without_workers(hosts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    monkeypatch.setattr("iptsim.flows.engines._PATIENCE", "1s")
    made: Any = distributed.LocalCluster  # type: ignore[attr-defined,unused-ignore]
    with made(n_workers=0, dashboard_address=None, processes=False) as cluster:
        found = list(each(sources_of([str(hosts)]), size_of, engine=f"dask={cluster.scheduler_address}"))
    assert {one.error for one in found} == {"the Dask cluster failed: it has no workers"}


def test_no_scheduler(
    hosts: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iptsim.flows.engines._PATIENCE", "1s")
    assert main(["lint", str(hosts), "--summary", "--engine", "dask=tcp://127.0.0.1:9"]) == 2
    assert "the Dask scheduler tcp://127.0.0.1:9 does not answer" in capsys.readouterr().err
