"""`iptsim whatif` and `iptsim explain --proposals` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iptsim.cli import main

FIXTURES = Path(__file__).parents[2] / "fixtures/captures"
ICC_ON = str(FIXTURES / "docker-28.5/icc-on")
ICC_OFF = str(FIXTURES / "docker-28.5/icc-off")
IPV6 = str(FIXTURES / "docker-28.5/ipv6")
Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *words: str) -> tuple[int, str, str]:
    try:
        status = main(words)
    except SystemExit as error:
        status = int(error.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


def test_a_packet_before_and_after(capsys: Capture) -> None:
    status, out, _ = run(capsys, "whatif", ICC_ON, "--icc=false", "--from", "client", "--to", "web:80")
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "What if  --icc=false"
    assert any(line.startswith("ACCEPT") and "DROP" in line for line in lines)


def test_everything_before_and_after(capsys: Capture) -> None:
    status, out, _ = run(capsys, "whatif", ICC_OFF, "--link", "client:web")
    assert status == 0
    assert out.splitlines()[-1].split() == ["client", "web", "80/tcp", "DROP", "ACCEPT", "at", "web"]


def test_as_json(capsys: Capture) -> None:
    _, out, _ = run(capsys, "whatif", ICC_ON, "--icc=false", "--from", "client", "--to", "web:80", "--json")
    answer = json.loads(out)
    assert (answer["before"]["verdict"], answer["after"]["verdict"]) == ("ACCEPT", "DROP")


def test_changes_are_made_in_their_order(capsys: Capture) -> None:
    words = ["--insert", "FORWARD 1 -j DROP", "--delete", "FORWARD", "1"]
    words += ["--policy", "INPUT=DROP", "--icc", "true"]
    _, out, _ = run(capsys, "whatif", ICC_ON, *words, "--json")
    answer = json.loads(out)
    assert answer["changes"] == [
        ["insert", "FORWARD 1 -j DROP"], ["delete", "FORWARD 1"], ["policy", "INPUT=DROP"], ["icc", "true"],
    ]  # fmt: skip
    # packets to the host are dropped, replies to its own questions as well
    assert {(row["from"], row["to"]) for row in answer["shifts"]} == {
        ("client", "host"), ("web", "host"), ("host", "client"), ("host", "web"),
    }  # fmt: skip


def test_other_tables_and_the_other_family(capsys: Capture) -> None:
    words = ["--insert", "-t raw PREROUTING -p tcp --dport 80 -j DROP", "--from", "client", "--to", "web:80"]
    _, out, _ = run(capsys, "whatif", IPV6, *words, "-6", "--json")
    answer = json.loads(out)
    assert (answer["before"]["verdict"], answer["after"]["verdict"]) == ("ACCEPT", "DROP")
    assert answer["parting"]["after"]["table"] == "raw"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "client", "--to", "web"], "no change given"),
        (["--link", "client:nobody"], "no container 'nobody' is running"),
        (["--delete", "FORWARD", "9"], "chain FORWARD has 2 rules, so there is no rule 9"),
        (["--icc=false", "--from", "client"], "the destination is missing; give --to"),
        (["--engine", "19"], "from 20.10 to 29"),
    ],
)
def test_bad_usage(capsys: Capture, words: list[str], message: str) -> None:
    status, out, err = run(capsys, "whatif", ICC_ON, *words)
    assert (status, out) == (2, "")
    assert message in err


def test_proposals_follow_the_answer(capsys: Capture) -> None:
    words = ["explain", ICC_OFF, "--from", "client", "--to", "web:80"]
    _, out, _ = run(capsys, *words, "--proposals")
    assert out.startswith("DROP ")
    told = out.partition("What would allow it\n")[2].splitlines()
    assert told[:3] == [
        "  --link client:web",
        "    link client to web",
        "    no other checked connection changes",
    ]
    _, out, _ = run(capsys, *words, "--proposals", "--quiet")
    assert out.startswith("DROP\nWhat would allow it\n")
    _, out, _ = run(capsys, *words, "--proposals", "--json")
    assert json.loads(out)["proposals"][0]["changes"] == [["link", "client:web"]]
    _, out, _ = run(capsys, *words, "--json")
    assert "proposals" not in json.loads(out)
