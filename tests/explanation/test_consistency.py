"""The reason of an answer says nothing but what the trace shows: on all questions that the captures suggest.

The rule that a reason names is the one that decided: the last of a blocked packet, one that accepted a packet that
arrived, and on every way that the packet can go. The kernel judges the traces themselves (tests/test_captures.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import iptsim
from iptsim.errors import UsageError
from iptsim.explanation import Explanation, explain_trace
from iptsim.netfilter.walk import Simulator
from iptsim.reach import questions
from tests.thoroughness import every_nth

FIXTURES = Path(__file__).parents[2] / "fixtures"
CAPTURES = sorted(path.parent for path in FIXTURES.rglob("iptables-save.txt"))
BLOCKS = ("DROP", "REJECT", "QUEUE", "STOLEN")
DOES = re.compile(r"((?:(?:inet|ip6?) )?\w+) ([\w-]+) rule (\d+) (?:drops|accepts|rejects)")
MASQUERADED = re.compile(r"On the way out its source \S+ becomes \S+ \((\w+)\)")


def faults(answer: Explanation) -> Iterator[str]:
    """Yield what a reason claims and the trace does not show."""
    reason, step = answer.reason, answer.reason.step
    if not reason.text:
        yield "no reason"
    if answer.verdict == "DEPENDS":
        for branch in answer.branches:
            yield from (f"branch: {fault}" for fault in faults(branch))
        return
    if step is not None:
        yield from _faults_of_step(answer)
    for table, chain, number in DOES.findall(reason.text):
        rule = step.rule if step is not None else None
        deciding = (rule.table, rule.chain, str(rule.position)) if rule is not None else None
        replies = [one.rule for leg in answer.trace.legs[1:] for one in leg.steps if one.verdict == "ACCEPT"]
        reply = any(
            one and (one.table, one.chain, str(one.position)) == (table, chain, number) for one in replies
        )
        if deciding != (table, chain, number) and not reply:
            yield f"the text names {table} {chain} rule {number}"
    if (found := MASQUERADED.search(reason.text)) is not None:
        firm = [one.verdict for one in answer.trace.legs[0].steps if "src" in one.changes and not one.maybe]
        if found[1] not in firm:
            yield f"{found[1]} is on some ways only"


def _faults_of_step(answer: Explanation) -> Iterator[str]:
    step = answer.reason.step
    assert step is not None
    place = f"{step.table} {step.chain} {step.rule.position if step.rule else 'policy'}: {step.verdict}"
    if step.maybe:
        yield f"only some ways have {place}"
    if answer.verdict == "ACCEPT" and step.verdict != "ACCEPT":
        yield f"{place} does not accept"
    if answer.verdict in ("DROP", "REJECT"):
        if step.verdict not in BLOCKS:
            yield f"{place} does not block"
        leg = next((one for one in answer.trace.legs if any(step is found for found in one.all_steps)), None)
        if leg is None or leg.all_steps[-1] is not step:
            yield f"{place} is not the last step"


@pytest.mark.parametrize("capture", every_nth(CAPTURES, 3), ids=lambda path: str(path.relative_to(FIXTURES)))
def test_reasons_say_what_the_traces_show(capture: Path) -> None:
    host = iptsim.load_host(capture)
    simulator = Simulator(host)
    found = []
    for family in host.rulesets:
        for row in questions(host, family)[:150]:
            question = row.question(family)
            try:
                answer = explain_trace(host, question, simulator.walk(question))
            except UsageError:
                continue
            found += [f"{row.sender} → {row.to} {row.what}: {fault}" for fault in faults(answer)]
    assert found == []


# -- ways ------------------------------------------------------------------------------------------

FORKED = (
    "*filter\n:INPUT {policy} [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:sub - [0:0]\n"
    "-A INPUT -m limit --limit 1/s -j sub\n-A sub -p tcp -j {policy}\nCOMMIT\n"
)


def explain_rules(rules: str, sender: str, target: str) -> Explanation:
    host = iptsim.load_host(FIXTURES / "captures/hosts/ferm")
    host.rulesets = {4: iptsim.loads(rules)}
    return iptsim.explain(host, sender, target)


@pytest.mark.parametrize(("policy", "does"), [("DROP", "dropped"), ("ACCEPT", "accepted")])
def test_ways_that_end_alike_at_different_rules_name_both(policy: str, does: str) -> None:
    answer = explain_rules(FORKED.format(policy=policy), "internet", "host:22")
    assert answer.verdict == policy
    assert answer.reason.text == (
        f"It is {does} in any case: by filter sub rule 1 or by the policy of filter INPUT."
    )
    assert answer.reason.step is None
    assert "Decided by" not in str(answer)


def test_no_source_address_is_promised_that_only_some_ways_give() -> None:
    rules = (
        "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -m limit --limit 1/s -j MASQUERADE\nCOMMIT\n"
        "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -i eth1 -j ACCEPT\nCOMMIT\n"
    )
    host = iptsim.load_host(FIXTURES / "captures/hosts/ferm")
    host.rulesets = {4: iptsim.loads(rules)}
    arrives: dict[str, Any] = {"in": "eth0"}
    answer = iptsim.explain(host, "internet", "10.80.0.9:80", **arrives)
    assert list(faults(answer)) == []
    assert "MASQUERADE" not in answer.reason.text


def test_a_way_that_ends_outside_the_rules_says_why() -> None:
    rules = (
        "*nat\n:PREROUTING ACCEPT [0:0]\n"
        "-A PREROUTING -p tcp -m limit --limit 1/s -j DNAT --to-destination 127.0.0.1\nCOMMIT\n"
        "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"
    )
    answer = explain_rules(rules, "internet", "host:22")
    assert answer.verdict == "DEPENDS"
    way = next(one for one in answer.branches if one.verdict == "DROP")
    assert way.reason.code == "martian"
    assert way.reason.text in str(answer)


ONE_WAY = (
    "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT DROP [0:0]\n"
    "-A INPUT -p tcp -m limit --limit 1/s -j ACCEPT\n-A INPUT -p tcp -j DROP\n{back}COMMIT\n"
)


def test_a_request_or_its_reply_that_is_blocked_on_every_way_is_blocked() -> None:
    answer = explain_rules(ONE_WAY.format(back=""), "internet", "host:22")
    assert (answer.verdict, answer.reason.code) == ("DROP", "rule-drop")
    assert answer.reason.text == (
        "The request or its reply is blocked in any case, by the policy of filter OUTPUT or filter INPUT rule 2."
    )
    assert [way.verdict for way in answer.branches] == ["DROP", "DROP"]
    assert list(faults(answer)) == []


def test_ways_to_a_lost_reply_and_a_lost_request_can_be_told_apart() -> None:
    back = "-A OUTPUT -p tcp -m limit --limit 1/s -j ACCEPT\n"
    answer = explain_rules(ONE_WAY.format(back=back), "internet", "host:22")
    assert answer.verdict == "DEPENDS"
    assert "The request arrives, but its reply is lost on the way back." in str(answer)
