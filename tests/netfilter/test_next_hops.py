"""What the kernel decides by more than the rules tell: next hops by a hash, DF that the question leaves open."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from iptsim.explanation.explanation import explain_trace
from iptsim.host.model import Host
from iptsim.host.namespace import NextHop, Route, RoutingRule
from iptsim.netfilter.walk import walk
from iptsim.question.model import Question
from tests.netfilter.hosts import add_policy_route, ask, dump, number, route_of, router

ONE_WAY = dump(filter=":FORWARD DROP\n-A FORWARD -o eth1 -j ACCEPT\n-A FORWARD -i eth1 -j ACCEPT")
OUT = {"in_": "br0", "src": "10.9.0.2", "dst": "198.51.100.7", "reply": False}


def two_uplinks(rules: str, **sysctls: str) -> Host:
    """The router with a default route over eth0 and eth1."""
    host = router(rules, sysctls=sysctls)
    uplinks = (("eth0", "10.1.0.254"), ("eth1", "10.2.0.254"))
    host.namespace.routes[-1] = Route(
        family=4,
        destination=0,
        prefix_length=0,
        nexthops=tuple(NextHop(device=device, gateway=number(gateway)) for device, gateway in uplinks),
    )
    return host


def test_each_next_hop_is_a_way() -> None:
    trace = ask(two_uplinks(ONE_WAY), **OUT)
    assert trace.verdict == "DEPENDS"
    assert [(way.verdict, route_of(way.legs[0])) for way in trace.branches] == [
        ("DROP", ["filter:FORWARD:policy=DROP"]),
        ("ACCEPT", ["filter:FORWARD:1=ACCEPT"]),
    ]


@pytest.mark.parametrize("hop", ["eth1", "10.2.0.254"])
def test_the_question_may_name_the_next_hop(hop: str) -> None:
    trace = ask(two_uplinks(ONE_WAY), **OUT, facts={"next_hop": hop})
    assert (trace.verdict, trace.branches) == ("ACCEPT", [])


def test_ways_that_end_alike_are_one() -> None:
    trace = ask(two_uplinks(dump(filter=":FORWARD ACCEPT")), **OUT)
    assert (trace.verdict, trace.branches) == ("ACCEPT", [])


def test_the_answer_names_the_next_hops() -> None:
    host = two_uplinks(ONE_WAY)
    question = Question(**{"in" if name == "in_" else name: value for name, value in OUT.items()})
    answer = explain_trace(host, question, walk(host, question))
    assert "10.1.0.254 on eth0 or 10.2.0.254 on eth1" in answer.reason.text
    assert "--set next_hop=eth0" in answer.reason.advice
    assert answer.as_json()["branches"][0]["decided"][0]["match"] == "next_hop"


def test_a_large_packet_of_unknown_df_goes_both_ways() -> None:
    host = router(dump(filter=":FORWARD ACCEPT"))
    eth1 = host.namespace.interfaces["eth1"]
    host.namespace.interfaces["eth1"] = replace(eth1, mtu=1400)
    asked = {"in_": "eth0", "src": "10.1.0.9", "dst": "10.2.0.9", "length": 1401, "reply": False}
    assert [way.verdict for way in ask(host, **asked).branches] == ["DROP", "ACCEPT"]
    assert ask(host, **asked, extra={"ip_df": 1}).verdict == "DROP"
    assert ask(host, **asked, extra={"ip_df": 0}).verdict == "ACCEPT"
    assert ask(host, **{**asked, "length": 1400}, extra={"ip_df": 1}).verdict == "ACCEPT"


@pytest.mark.parametrize(
    ("rule", "asked", "arrives"),
    [
        ({"src": number("10.2.0.1"), "src_length": 32}, {"to": "10.2.0.1"}, "eth1"),
        ({"src": number("10.2.0.1"), "src_length": 32}, {"to": "10.1.0.1"}, "eth0"),
        ({"iif": "br0"}, {"to": "10.9.0.2"}, "eth1"),
        ({"ipproto": 6, "sport": (443, 443)}, {"to": "10.1.0.1", "dport": 443}, "eth1"),
        ({"ipproto": 6, "sport": (443, 443)}, {"to": "10.1.0.1", "sport": 443, "dport": 80}, "eth0"),
    ],
)
def test_a_packet_comes_in_where_its_answer_would_leave(
    rule: dict[str, Any], asked: dict[str, Any], arrives: str
) -> None:
    """Policy rules see the way back with the packet's own destination as source, its ports swapped."""
    host = router(dump(filter=":INPUT ACCEPT\n:FORWARD ACCEPT"))
    add_policy_route(host, RoutingRule(family=4, priority=100, table="7", **rule), "eth1", "10.2.0.254")
    trace = ask(host, sender="198.51.100.7", reply=False, **asked)
    assert trace.legs[0].steps[0].interfaces[0] == arrives
