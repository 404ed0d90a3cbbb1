"""`--expect`, and `expect` in a line of a batch. What listens is in ss.txt of the capture, and the probes met it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from iptsim.cli import main

CAPTURES = Path(__file__).parents[1] / "fixtures/captures"
LISTENING, ICC_OFF = CAPTURES / "docker-28.5/listening", CAPTURES / "docker-28.5/icc-off"

#: source, target from outside: the words that hold. 22 is sshd's, docker-proxy listens on 8082 and nothing behind it.
HOLDS = {
    ("host:22", LISTENING): {"accept", "open"},
    ("host:8080", LISTENING): {"accept", "open"},
    ("host:8082", LISTENING): {"accept", "refused", "closed"},
    ("host:9999", LISTENING): {"accept", "refused", "closed"},
    # without sockets in the capture something may listen
    ("host:9999", ICC_OFF): {"accept", "open"},
    # dropped in the raw table
    ("172.17.0.2:80", ICC_OFF): {"drop", "closed"},
}


@pytest.mark.parametrize("word", ["accept", "drop", "reject", "depends", "open", "refused", "closed"])
@pytest.mark.parametrize("case", HOLDS, ids=lambda case: f"{case[0]} {case[1].name}")
def test_words(case: tuple[str, Path], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    target, source = case
    status = main(["explain", str(source), "--from", "internet", "--to", target, "-q", "--expect", word])
    assert status == (0 if word in HOLDS[case] else 1)
    assert (f"expected {word.upper()}" in capsys.readouterr().err) == bool(status)


def test_open_states_what_it_assumes(capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", str(ICC_OFF), "--from", "client", "--to", "host:9999", "--expect", "open"])
    assert "assumed to listen on host 192.0.2.10:9999" in capsys.readouterr().out
    main(["explain", str(LISTENING), "--from", "internet", "--to", "host:22", "--expect", "open"])
    assert "assumed to listen" not in capsys.readouterr().out


def test_unknown_words_are_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(ICC_OFF), "--from", "client", "--to", "web", "--expect", "shut"]) == 2
    assert "unknown 'shut'; choose from: accept" in capsys.readouterr().err


DROPPED = {"from": "client", "to": "web:80"}


@pytest.mark.parametrize(
    ("lines", "options", "status"),
    [
        ([], [], 0),
        ([], ["--expect", "drop"], 2),
        ([DROPPED], ["--expect", "drop"], 0),
        ([DROPPED], ["--expect", "open"], 1),
        ([{"from": "nemo", "to": "web"}], [], 0),
        ([DROPPED, {"from": "nemo", "to": "web"}], ["--expect", "drop"], 2),
        ([{**DROPPED, "expect": "closed"}], [], 0),
        ([{**DROPPED, "expect": "open"}], [], 1),
        # the line's own word counts more
        ([{**DROPPED, "expect": "closed"}], ["--expect", "accept"], 0),
        ([{**DROPPED, "expect": "shut"}], [], 2),
        ([{**DROPPED, "expect": "open"}, {"from": "nemo", "to": "web"}], [], 2),
    ],
)
def test_batches(
    lines: list[dict[str, Any]],
    options: list[str],
    status: int,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    batch = tmp_path / "batch.jsonl"
    batch.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["explain", str(ICC_OFF), "--batch", str(batch), "--json", *options]) == status
    assert len(capsys.readouterr().out.splitlines()) == len(lines)
