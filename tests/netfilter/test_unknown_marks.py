"""Marks of which some bits are unknown: what depends on them is left open, all else is certain.

The hash of HMARK is that of `tests/extensions/test_targets.py`; which branches exist follows from the rules.
"""

from __future__ import annotations

from typing import Any

import pytest

from iptsim.host.model import Host
from iptsim.host.namespace import Route, RoutingRule
from iptsim.netfilter.trace import Trace
from tests.netfilter.hosts import ask, dump, number, route_of, router

ERROR = {
    "in_": "eth0", "src": "10.1.0.9", "dst": "10.2.0.9", "proto": "icmp", "icmp_type": 3, "icmp_code": 1,
    "reply": False,
}  # fmt: skip
HMARK = (
    "-A PREROUTING -j HMARK --hmark-tuple src,dst,sport,dport --hmark-mod 4 --hmark-offset 8 --hmark-rnd 1"
)


def host(*forward: str, prerouting: tuple[str, ...] = ()) -> Host:
    mangle = "\n".join((":PREROUTING ACCEPT", ":FORWARD ACCEPT", HMARK, *prerouting))
    rules = "\n".join((":FORWARD ACCEPT", *(f"-A FORWARD {line}" for line in forward)))
    return router(dump(mangle=mangle, filter=rules))


def branches(trace: Trace) -> list[tuple[str, list[str]]]:
    return [
        (way.verdict, [step for step in route_of(way.legs[0]) if "filter" in step]) for way in trace.branches
    ]


def test_a_mark_that_decides_is_left_open() -> None:
    trace = ask(host("-m mark --mark 9 -j DROP"), **ERROR)
    assert trace.verdict == "DEPENDS"
    assert branches(trace) == [
        ("DROP", ["filter:FORWARD:1=DROP"]),
        ("ACCEPT", ["filter:FORWARD:policy=ACCEPT"]),
    ]
    assert [str(hinge.unknown.reason) for hinge in trace.hinges] == [
        "the mark that HMARK makes of the packet that the ICMP error quotes"
    ]


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        # outside the range of HMARK
        ("-m mark --mark 5 -j DROP", "ACCEPT"),
        ("-m mark --mark 0x8/0xc -j DROP", "DROP"),
        ("-m mark ! --mark 0x8/0xc -j DROP", "ACCEPT"),
        ("-p icmp -j DROP", "DROP"),
    ],
)
def test_what_does_not_depend_on_it_is_certain(rule: str, verdict: str) -> None:
    assert ask(host(rule), **ERROR).verdict == verdict


def test_a_rule_finds_out_something_for_later_ones() -> None:
    lines = [f"-m mark --mark {mark} -j DROP" for mark in (8, 9, 10, 11)]
    assert ask(host(*lines, "-j ACCEPT"), **ERROR).verdict == "DROP"
    assert ask(host("-m mark --mark 9 -m mark ! --mark 0x1/0x1 -j DROP"), **ERROR).verdict == "ACCEPT"


def test_bits_that_a_rule_sets_are_known() -> None:
    changed = ("-A PREROUTING -j MARK --set-xmark 0x2/0x3",)
    assert ask(host("-m mark --mark 10 -j DROP", prerouting=changed), **ERROR).verdict == "DROP"
    assert ask(host("-m mark --mark 0x4/0x4 -j DROP", prerouting=changed), **ERROR).verdict == "ACCEPT"


def test_a_mark_saved_in_the_connection_is_the_same() -> None:
    saved = (
        "-A PREROUTING -j CONNMARK --save-mark",
        "-A PREROUTING -j MARK --set-mark 0",
        "-A FORWARD -m connmark --mark 9 -j MARK --set-mark 1",
        "-A FORWARD -m connmark ! --mark 9 -j CONNMARK --restore-mark",
    )
    question = {**ERROR, "inner": {"dst": "10.1.0.9"}, "state": "related"}
    trace = ask(host("-m mark --mark 9 -j DROP", prerouting=saved), **question)
    assert trace.verdict == "ACCEPT"


def test_the_quoted_packet_may_be_stated() -> None:
    inner = {"src": "10.2.0.9", "dst": "10.1.0.9", "proto": "udp", "sport": 5000, "dport": 53}
    verdicts = {
        mark: ask(host(f"-m mark --mark {mark} -j DROP"), **ERROR, inner=inner).verdict
        for mark in (8, 9, 10, 11)
    }
    assert sorted(verdicts.values()) == ["ACCEPT", "ACCEPT", "ACCEPT", "DROP"]


def test_policy_routing_by_an_unknown_mark() -> None:
    def routed(mark: int) -> Trace:
        found = host("-o eth1 -j ACCEPT", "-j DROP")
        found.namespace.rules += [
            RoutingRule(family=4, priority=0, table="local"),
            RoutingRule(family=4, priority=10, table="7", fwmark=mark),
            RoutingRule(family=4, priority=32766, table="main"),
        ]
        found.namespace.routes.append(
            Route(family=4, destination=number("10.2.0.9"), prefix_length=32, device="eth0", table="7")
        )
        return ask(found, **ERROR)

    assert (routed(9).verdict, routed(5).verdict) == ("DEPENDS", "ACCEPT")


def test_the_mark_in_an_answer_is_null_if_unknown() -> None:
    leg = ask(host("-j ACCEPT"), **ERROR).legs[0].as_json()
    assert leg["delivered"]["packet"]["mark"] is None
    changes: list[dict[str, Any]] = [step["changes"] for step in leg["steps"] if "changes" in step]
    assert changes[0]["mark"] == [0, None]


@pytest.mark.parametrize("state", ["established", "related"])
def test_the_mark_of_a_connection_that_no_rule_here_opened(state: str) -> None:
    rules = (
        ":FORWARD ACCEPT\n-A FORWARD -m state --state NEW -j DROP\n-A FORWARD -m connmark --mark 5 -j DROP"
    )
    found = router(dump(filter=rules))
    question = {"in_": "eth0", "src": "10.1.0.9", "dst": "10.2.0.9", "state": state, "reply": False}
    assert ask(found, **question).verdict == "DEPENDS"
    stated = {mark: ask(found, **question, ct={"mark": mark}).verdict for mark in (5, 6)}
    assert stated == {5: "DROP", 6: "ACCEPT"}


def test_the_mark_of_a_connection_that_the_rules_opened_is_known() -> None:
    rules = ":FORWARD ACCEPT\n-A FORWARD -m state --state NEW -j CONNMARK --set-mark 5\n"
    found = router(dump(filter=f"{rules}-A FORWARD -m connmark --mark 6 -j DROP"))
    question = {"in_": "eth0", "src": "10.1.0.9", "dst": "10.2.0.9", "state": "established", "reply": False}
    assert ask(found, **question).verdict == "ACCEPT"
