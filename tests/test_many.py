"""Many sources: which ones words mean, work in processes, what hosts have in common and which differ."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from iptsim.cli import main
from iptsim.commands.many import Result, each, sources_of
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


def test_captures_in_a_directory(tmp_path: Path) -> None:
    for name in ("icc-off", "published"):
        shutil.copytree(FIXTURES / name, tmp_path / name)
    assert sources_of([str(tmp_path)]) == [str(tmp_path / "icc-off"), str(tmp_path / "published")]
    assert sources_of([str(tmp_path / "published")]) == [str(tmp_path / "published")]


def test_words_that_mean_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file fits this pattern"):
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


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_source_has_a_result(hosts: Path, jobs: int) -> None:
    sources = sources_of([str(hosts)]) * 6
    found = list(each(sources, size_of, jobs))
    assert [one.source for one in found] == sources
    assert found[0] == Result(sources[0], Path(sources[0]).stat().st_size)
    assert {one.source: one.error for one in found if one.error} == {
        str(hosts / "web05.txt"): "web05 cannot be read"
    }


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
