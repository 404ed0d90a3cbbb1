"""Rules of both backends at one hook: who was registered last comes first (nf_hook_entries_grow).

The expectations are what `tests/kernel/test_two_backends.py` shows the kernel to do.
"""

from __future__ import annotations

import pytest

from iptsim.addresses import Family
from iptsim.dump import loads
from iptsim.netfilter.trace import Trace
from iptsim.netfilter.walk import walk
from iptsim.question.model import Question
from tests.netfilter.hosts import router

_ENDS: dict[Family, tuple[str, str]] = {4: ("10.1.0.9", "10.2.0.9"), 6: ("fd01::9", "fd02::9")}


def _dump(table: str, *rules: str) -> str:
    chains = {"filter": ":FORWARD ACCEPT\n", "nat": ":PREROUTING ACCEPT\n:POSTROUTING ACCEPT\n"}[table]
    return f"*{table}\n{chains}{''.join(f'-A {rule}{chr(10)}' for rule in rules)}COMMIT\n"


def ask(nft: str, legacy: str, *, first: str | None = None, family: Family = 4) -> Trace:
    host = router(nft, family=family)
    host.extra_rulesets[family] = loads(legacy, family=family)
    host.extra_rulesets[family].backend = "legacy"
    source, target = _ENDS[family]
    facts = {} if first is None else {"first_backend": first}
    question = {"in": "eth0", "src": source, "dst": target, "proto": "udp", "dport": 53, "facts": facts}
    return walk(host, Question(**question))


_DROPS_MARKED = _dump("filter", "FORWARD -m mark --mark 0x1 -j DROP")
_MARKS = _dump("filter", "FORWARD -j MARK --set-xmark 0x1/0xffffffff")


@pytest.mark.parametrize("family", [4, 6])
def test_the_order_of_two_backends_is_not_known(family: Family) -> None:
    trace = ask(_DROPS_MARKED, _MARKS, family=family)
    assert trace.verdict == "DEPENDS"
    assert {branch.verdict for branch in trace.branches} == {"ACCEPT", "DROP"}
    assert ask(_DROPS_MARKED, _MARKS, first="nf_tables", family=family).verdict == "ACCEPT"
    assert ask(_DROPS_MARKED, _MARKS, first="legacy", family=family).verdict == "DROP"


@pytest.mark.parametrize(
    ("nft", "legacy", "verdict"),
    [
        (_dump("filter", "FORWARD -j DROP"), _MARKS, "DROP"),
        (_dump("filter", "FORWARD -p tcp -j DROP"), _MARKS, "ACCEPT"),
        (_DROPS_MARKED, _dump("filter", "FORWARD -p udp -j ACCEPT", "FORWARD -j LOG"), "ACCEPT"),
    ],
)
def test_where_the_order_makes_no_difference_there_is_one_answer(nft: str, legacy: str, verdict: str) -> None:
    assert ask(nft, legacy).verdict == verdict


def test_a_chain_that_only_accepts_asks_nothing() -> None:
    trace = ask(_DROPS_MARKED, _dump("filter", "FORWARD -p udp -j ACCEPT"))
    assert not trace.decisions
    assert not trace.branches


def test_the_order_of_nat_chains_decides_where_it_goes() -> None:
    nft = _dump("nat", "PREROUTING -p udp -j DNAT --to-destination 10.2.0.10")
    legacy = _dump("nat", "PREROUTING -p udp -j DNAT --to-destination 10.2.0.11")
    trace = ask(nft, legacy)
    ends = [leg.delivered.name for way in trace.branches for leg in way.legs[:1] if leg.delivered]
    assert sorted(ends) == ["10.2.0.10", "10.2.0.11"]
