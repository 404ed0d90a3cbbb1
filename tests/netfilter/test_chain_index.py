"""The index of a chain finds what a scan finds, step by step."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from iptsim.dump.reader import loads
from iptsim.errors import IptsimError
from iptsim.extensions.constraints import Constraint, Masked, packet_field
from iptsim.host.model import Host
from iptsim.netfilter import chain_rules, program
from iptsim.netfilter.chain_index import _prefixes
from iptsim.netfilter.trace import Trace
from iptsim.netfilter.walk import Simulator
from iptsim.question.model import Question
from iptsim.ranges import complement, within
from tests.netfilter.random_rules import random_fields, random_host
from tests.thoroughness import first_ones


def told(trace: Trace) -> Any:
    """Return all of a trace that an answer may show."""
    steps = [
        [
            (*step.key(), step.maybe, step.changes, step.code, step.depth, step.interfaces)
            for step in leg.all_steps
        ]
        for leg in trace.legs
    ]
    decisions = [(one.match, one.step, one.value, str(one.unknown.reason)) for one in trace.decisions]
    hinges = [(one.match, one.step) for one in trace.hinges]
    return (
        trace.verdict, steps, decisions, hinges, sorted(trace.consulted), list(map(str, trace.assumptions)),
        [told(branch) for branch in trace.branches],
    )  # fmt: skip


def answers(host: Host, questions: list[dict[str, Any]]) -> list[Any]:
    simulator, found = Simulator(host), []
    for fields in questions:
        try:
            found.append(told(simulator.walk(Question(**fields))))
        except IptsimError as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize("seed", first_ones(range(25), 8))
def test_index_and_scan_agree(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(seed)
    host = random_host(random)
    questions = [random_fields(random) for _ in range(25)]
    questions += [{"from": "internet", "to": "web", "dport": 80}, {"from": "client", "to": "internet"}]
    monkeypatch.setattr(chain_rules, "_INDEX_FROM", 10**9)
    scanned = answers(host, questions)
    monkeypatch.setattr(chain_rules, "_INDEX_FROM", 1)
    monkeypatch.setattr(chain_rules, "_INDEX_AFTER", 0)
    assert answers(host, questions) == scanned
    assert any(isinstance(one, tuple) for one in scanned)


def test_only_rules_that_may_match_are_evaluated() -> None:
    rules = "".join(
        f"-A FORWARD -d 10.0.{number}.0/24 -p tcp -m tcp --dport 80 -j DROP\n" for number in range(256)
    )
    ruleset = loads(f"*filter\n:FORWARD ACCEPT [0:0]\n{rules}COMMIT\n")
    chain = ruleset.tables["filter"].chains["FORWARD"]
    made = program.Program(ruleset).rules(chain)
    index = made.index()
    context: Any = type("Context", (), {"consulted": set()})()
    from iptsim.packet import Packet

    context.packet = Packet(4, 0, 0x0A004D01, 6, 40000, 80)
    assert index.following(context, 0) == 77
    assert index.following(context, 78) == 256
    context.packet.dport = 81
    assert index.following(context, 0) == 256


def test_a_default_is_read_once() -> None:
    """A rule that reads a default is evaluated, though it does not match, until the default was read."""
    from iptsim.packet import Packet

    ruleset = loads(
        "*filter\n:FORWARD ACCEPT [0:0]\n"
        "-A FORWARD -s 10.0.0.9/32 -p udp -m udp --sport 1 -j DROP\n"
        "-A FORWARD -p udp -m udp --sport 1 -j DROP\n-A FORWARD -p udp -m udp --sport 2 -j DROP\nCOMMIT\n"
    )
    index = program.Program(ruleset).rules(ruleset.tables["filter"].chains["FORWARD"]).index()
    context: Any = type("Context", (), {"consulted": set()})()
    context.packet = Packet(4, 1, 2, 17, 40000, 53, defaults=frozenset({"sport"}))
    assert index.following(context, 0) == 1
    assert context.consulted == set()
    context.consulted.add("sport")
    assert index.following(context, 2) == 3


@pytest.mark.parametrize(
    ("allowed", "negated", "within"),
    [
        (((3, 9),), False, set(range(3, 10))),
        (((3, 9), (8, 12), (300, 400)), False, set(range(3, 13))),
        (((3, 9),), True, set(range(256)) - set(range(3, 10))),
        (((9, 3),), False, set()),
        (Masked(0x40, 0xF0), False, set(range(0x40, 0x50))),
        (Masked(0, 0), False, set(range(256))),
        (Masked(0, 0), True, set()),
    ],
)
def test_prefixes_are_the_numbers_of_a_condition(allowed: Any, negated: bool, within: set[int]) -> None:
    prefixes = _prefixes(Constraint(packet_field("dport"), allowed, negated), 8)
    assert prefixes is not None
    numbers = [number for value, free in prefixes for number in range(value << free, (value + 1) << free)]
    assert sorted(numbers) == sorted(within)


def test_a_mask_with_gaps_is_no_prefix() -> None:
    assert _prefixes(Constraint(packet_field("dst"), Masked(5, 5)), 8) is None


def test_ranges() -> None:
    assert list(within([(5, 6), (0, 2), (7, 9), (250, 999)], 255)) == [(0, 2), (5, 9), (250, 255)]
    assert list(complement([(0, 2), (5, 9)], 10)) == [(3, 4), (10, 10)]
