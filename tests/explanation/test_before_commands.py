"""Answers on a pasted text with commands behind its rules say so, and what the answer was before them."""

from __future__ import annotations

import pytest

from iptsim.asking import ask_all
from iptsim.explanation import Explanation
from iptsim.question.model import Question
from iptsim.render.explanation import as_text
from iptsim.sources import loads_host

TEXT = """\
# iptables -S
-P INPUT DROP
-P FORWARD DROP
-P OUTPUT ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
"""
OPENS = "\nThen I ran\n$ iptables -I INPUT -p tcp --dport 80 -j ACCEPT\n"


def asked(text: str, port: int) -> Explanation:
    return ask_all(
        loads_host(text), Question(**{"from": "internet", "to": "host", "proto": "tcp", "dport": port})
    )


@pytest.mark.parametrize(
    ("port", "sentence"),
    [
        (80, "This is the answer after the command in line 8, below the rules. Before it: DROP."),
        (22, "The command in line 8, below the rules, does not change that."),
    ],
)
def test_what_the_answer_was_before_the_commands(port: int, sentence: str) -> None:
    shown = asked(TEXT + OPENS, port)
    assert shown.verdict == "ACCEPT"
    assert sentence in as_text(shown)


def test_the_answer_before_as_data_and_in_words() -> None:
    shown = asked(TEXT + OPENS, 80)
    before = shown.as_json()["before"]
    assert (before["lines"], before["verdict"], before["reason"]["code"]) == ("8", "DROP", "policy-drop")
    assert "policy of filter INPUT" in as_text(shown, level="verbose")


@pytest.mark.parametrize("text", [TEXT, OPENS, OPENS + TEXT])
def test_no_commands_behind_the_rules(text: str) -> None:
    shown = asked(text, 80)
    assert shown.before is None
    assert "below the rules" not in as_text(shown)
