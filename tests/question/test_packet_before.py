"""Questions about the next packet of a connection whose first packet is given."""

from __future__ import annotations

import json
from typing import Any

import pytest

import iptsim
from iptsim.addresses import address_text
from iptsim.cli import main
from iptsim.errors import UsageError
from iptsim.netfilter.trace import Trace
from iptsim.netfilter.walk import walk
from iptsim.question.model import Question
from tests.netfilter.hosts import router

HOST = "fixtures/captures/docker-28.5/icc-off"
DUMP = """\
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.2.0.9:8080
COMMIT
*filter
:FORWARD DROP [0:0]
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m limit --limit 1/hour -j ACCEPT
COMMIT
"""
FIRST: dict[str, Any] = {"in": "eth0", "src": "10.1.0.9", "dst": "10.1.0.1", "dport": 80}
PASSES = {**FIRST, "assume": {"limit": True}}


def ask(**fields: Any) -> Trace:
    return walk(router(DUMP), Question(**fields))


def tables(trace: Trace) -> list[tuple[str | None, str | None, int | None]]:
    return [
        (step.table, step.chain, step.rule.position if step.rule else None) for step in trace.legs[0].steps
    ]


def test_the_next_packet_keeps_the_translation_without_the_nat_chain() -> None:
    trace = ask(after=PASSES)
    assert trace.verdict == "ACCEPT"
    assert len(trace.legs) == 1
    assert tables(trace) == [("filter", "FORWARD", 1)]
    delivered = trace.legs[0].delivered
    assert delivered is not None
    packet = delivered.packet
    assert (address_text(4, packet.dst), packet.dport) == ("10.2.0.9", 8080)


def test_a_packet_the_other_way_is_translated_back() -> None:
    way = {"in": "eth1", "src": "10.2.0.9", "dst": "10.1.0.9", "sport": 8080, "dport": 40000}
    trace = ask(**way, after=PASSES)
    assert trace.verdict == "ACCEPT"
    delivered = trace.legs[0].delivered
    assert delivered is not None
    assert (address_text(4, delivered.packet.src), delivered.packet.sport) == ("10.1.0.1", 80)


def test_an_unanswered_packet_again_is_new_and_does_not_see_the_nat_chain_again() -> None:
    trace = ask(tcp_flags="SYN", after={**PASSES, "reply": False})
    assert tables(trace) == [("filter", "FORWARD", 2)]
    assert trace.verdict == "ACCEPT"


def test_a_packet_that_was_dropped_leaves_no_connection() -> None:
    trace = ask(after={**FIRST, "assume": {"limit": False}})
    assert trace.verdict == "DROP"
    assert tables(trace) == [("nat", "PREROUTING", 1), ("filter", "FORWARD", None)]
    assert any("The earlier packet or its reply did not pass" in text for text in map(str, trace.assumptions))


def test_what_is_open_about_the_first_packet_is_open_for_the_next() -> None:
    assert ask(after=FIRST).verdict == "DEPENDS"


def test_another_connection_is_new() -> None:
    assert ask(**{**FIRST, "sport": 41000}, tcp_flags="ACK", after=PASSES).verdict == "DROP"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"after": {**FIRST, "after": FIRST}}, "the earlier packet can't have an 'after' of its own"),
        ({"after": FIRST, "state": "established"}, "leave out state"),
        ({"after": "{"}, "after: "),
        ({"after": "[" * 100_000}, "after: "),
        ({"after": 7}, "expected a question"),
        ({"after": {"frm": "a"}}, "after: unknown field 'frm'"),
        ({"after": {"dport": 80}}, "a source and a destination are needed"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ask(**fields)


def test_in_python_the_answer_to_the_first_packet_is_enough() -> None:
    host = iptsim.load_host(HOST)
    first = iptsim.explain(host, "client", "internet", dport=443)
    assert iptsim.explain(host, after=first).verdict == "ACCEPT"
    # icc is off: the first packet is dropped, and so is the next
    blocked = iptsim.explain(host, "client", "web", dport=80)
    assert iptsim.explain(host, after=blocked).verdict == "DROP"


def test_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    before = json.dumps({"from": "client", "to": "internet:443"})
    assert main(["explain", HOST, "--after", before, "--json", "--expect", "accept"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "ACCEPT"
    assert main(["explain", HOST, "--after", before]) == 0
    assert "new connection" not in capsys.readouterr().out
    assert main(["explain", HOST, "--after", "{"]) == 2
