"""A connection that the question gives as a line of `conntrack -L`."""

from __future__ import annotations

import pytest

from iptsim.cli import main
from iptsim.errors import UsageError
from iptsim.fields import make_question
from iptsim.host import load_host
from iptsim.netfilter.walk import walk

HOST = "fixtures/captures/docker-28.5/icc-off"
LINE = (
    "tcp      6 431999 ESTABLISHED src=172.17.0.3 dst=172.17.0.2 sport=40001 dport=80 "
    "src=172.17.0.2 dst=172.17.0.3 sport=80 dport=40001 [ASSURED] mark=7 use=1"
)


@pytest.mark.parametrize(
    "fields",
    [
        {"from": "client", "to": "web:80"},
        {"from": "web", "to": "client", "sport": 80},
        {},
    ],
)
def test_its_packets_are_established(fields: dict[str, object]) -> None:
    trace = walk(load_host(HOST), make_question({**fields, "conntrack": LINE, "tcp_flags": "ACK"}))
    # icc is off: a new connection between the two would be dropped
    assert trace.verdict == "ACCEPT"
    rule = trace.legs[0].steps[-1].rule
    assert rule is not None
    assert (rule.chain, rule.position) == ("DOCKER-CT", 1)


def test_an_unreplied_connection_is_new() -> None:
    line = LINE.replace("[ASSURED]", "[UNREPLIED]")
    trace = walk(load_host(HOST), make_question({"from": "client", "to": "web:80", "conntrack": line}))
    assert trace.verdict == "DROP"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"from": "client", "to": "web:81", "conntrack": LINE}, "the packet is none of this connection"),
        ({"from": "client", "to": "web:80", "conntrack": "tcp 6"}, "is no line of conntrack -L"),
        ({"from": "client", "to": "web:80", "conntrack": "tcp 6 src=x"}, "is no conntrack entry"),
    ],
)
def test_other_lines_and_packets_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        walk(load_host(HOST), make_question(fields))


def test_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explain", HOST, "--from", "client", "--to", "web:80", "--quiet", "--expect", "accept"]
    assert main([*words, "--set", f"conntrack={LINE}", "--set", "tcp_flags=ACK"]) == 0
    capsys.readouterr()
