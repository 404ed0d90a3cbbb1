"""`iptsim diff`: recorded hosts of which it is known what differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iptsim.cli import main

ROOT = Path(__file__).parents[2]
ICC_ON = "fixtures/captures/docker-28.5/icc-on"


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_icc_off_cuts_containers_off_from_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", ICC_ON, "--whatif", "icc=false", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    between = {
        (one["sender"], *one["packets"][0]["to"])
        for one in answer["classes"]
        if (one["before"]["verdict"], one["after"]["verdict"]) == ("ACCEPT", "DROP")
    }
    assert {("client", "172.17.0.2"), ("web", "172.17.0.3")} <= between
    assert all(one["sender"] != "internet" for one in answer["classes"])


@pytest.mark.thorough
def test_an_upgrade_of_docker(capsys: pytest.CaptureFixture[str]) -> None:
    """Docker 28 closes container addresses and ports of 127.0.0.1 to the link (moby 28.0, release notes)."""
    assert main(["diff", "fixtures/captures/docker-20.10/published", "--engine", "28", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    closed = [one for one in answer["classes"] if one["after"]["reason"]["code"] == "direct-route-drop"]
    assert [one["before"]["verdict"] for one in closed]
    assert {one["after"]["verdict"] for one in closed} == {"DROP"}


RULES = """*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
[1:60] -A INPUT -s 10.0.0.0/8 -p tcp -j ACCEPT
[2:80] -A INPUT -p tcp -m tcp --dport 22 -m comment --comment "shell" -j ACCEPT
COMMIT
"""


def compared(tmp_path: Path, other: str) -> int:
    for name, text in (("a", RULES), ("b", other)):
        (tmp_path / name).write_text(text)
    return main(["diff", str(tmp_path / "a"), str(tmp_path / "b")])


def test_what_does_not_matter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(tmp_path, RULES) == 0
    assert capsys.readouterr().out == "Nothing differs: no packet is treated differently.\n"
    assert compared(tmp_path, RULES.replace("[2:80]", "[3:80]").replace("shell", "ssh")) == 0
    assert (
        capsys.readouterr().out
        == "Only these differ: counters, comments. No packet is treated differently.\n"
    )
    lines = RULES.splitlines(keepends=True)
    lines[4], lines[5] = lines[5], lines[4]
    assert compared(tmp_path, "".join(lines)) == 0
    assert "the order of rules. No packet is treated differently." in capsys.readouterr().out
    # other rules that do the same
    two = "-A INPUT -s 10.0.0.0/9 -p tcp -j ACCEPT\n-A INPUT -s 10.128.0.0/9 -p tcp -j ACCEPT"
    assert compared(tmp_path, RULES.replace("[1:60] -A INPUT -s 10.0.0.0/8 -p tcp -j ACCEPT", two)) == 0
    assert "Still, no packet is treated differently." in capsys.readouterr().out


def test_what_matters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(tmp_path, RULES.replace("--dport 22", "--dport 22:23")) == 1
    out = capsys.readouterr().out
    assert "tcp 23" in out
    assert "before  DROP    filter INPUT, policy DROP" in out
    assert "after   ACCEPT  filter INPUT rule 2" in out


def test_rules_that_lose_their_effect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(tmp_path, RULES.replace("[1:60]", "-A INPUT -p tcp -j DROP\n[1:60]")) == 1
    out = capsys.readouterr().out
    assert "filter INPUT rule 2: -A INPUT -s 10.0.0.0/8 -p tcp -j ACCEPT" in out


@pytest.mark.parametrize(
    "words",
    [
        [ICC_ON],
        [ICC_ON, ICC_ON, ICC_ON],
        [ICC_ON, ICC_ON, "--icc=false"],
        [ICC_ON, "--whatif", "%"],
        [ICC_ON, "missing"],
    ],
)
def test_bad_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *words]) == 2
    assert capsys.readouterr().out == ""


ROUTER = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:to_dmz - [0:0]
-A FORWARD -o eth1.96 -j to_dmz
-A FORWARD -i eth1.96 -j ACCEPT
-A to_dmz -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
"""


def test_chains_are_compared_for_interfaces_whose_networks_are_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("a", ROUTER), ("b", ROUTER.replace("--dport 22", "--dport 22:23"))):
        (tmp_path / name).write_text(text)
    assert main(["diff", str(tmp_path / "a"), str(tmp_path / "b"), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["same"] is False
    assert answer["classes"] == []
    (only,) = answer["by_chain"]
    assert (only["table"], only["chain"], only["before"], only["after"]) == (
        "filter",
        "FORWARD",
        "DROP",
        "ACCEPT",
    )
    (packets,) = only["packets"]
    assert (packets["out"], packets["proto"], packets["dports"]) == (["eth1.96"], ["tcp"], ["23"])
    assert main(["diff", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    assert "filter FORWARD: DROP → ACCEPT" in capsys.readouterr().out
    # the same in other words
    two = ROUTER.replace(
        "-i eth1.96 -j ACCEPT", "-i eth1.96 -p tcp -j ACCEPT\n-A FORWARD -i eth1.96 -j ACCEPT"
    )
    (tmp_path / "b").write_text(two)
    assert main(["diff", str(tmp_path / "a"), str(tmp_path / "b")]) == 0


def test_packets_of_other_states_are_compared_if_new_ones_are_treated_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A packet that fits no connection is INVALID, and may come from anybody (nf_conntrack_in)."""
    invalid = "-A INPUT -m conntrack --ctstate INVALID -j DROP\n"
    rules = RULES.replace("[2:80]", f"{invalid}[2:80]")
    (tmp_path / "a").write_text(rules)
    assert compared_files(tmp_path / "a", tmp_path, rules.replace(invalid, "")) == 1
    answer = json.loads(capsys.readouterr().out)
    states = {(one["state"], one["before"]["verdict"], one["after"]["verdict"]) for one in answer["classes"]}
    assert states == {("invalid", "DROP", "ACCEPT")}
    assert all("--state invalid" in command for one in answer["classes"] for command in one["commands"])


def compared_files(first: Path, folder: Path, other: str) -> int:
    (folder / "other").write_text(other)
    return main(["diff", str(first), str(folder / "other"), "--json"])
