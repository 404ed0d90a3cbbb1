"""Rules in a container's own network namespace, which decide before and after those of the host."""

import pytest

from iptsim.netfilter.walk import walk
from iptsim.question.model import Question
from tests.netfilter.hosts import dump, router

#: Whether a packet matches is chance (xt_statistic.c), so either way has to be followed.
CHANCE = "-m statistic --mode random --probability 0.5 -j DROP"


@pytest.mark.parametrize(("owner", "chain"), [("a", "OUTPUT"), ("b", "INPUT")])
def test_an_undecided_rule_of_a_container_is_followed_both_ways(owner: str, chain: str) -> None:
    host = router(dump(filter=":FORWARD ACCEPT"))
    host.containers[owner].namespace.iptables = dump(filter=f":{chain} ACCEPT\n-A {chain} -p tcp {CHANCE}")
    trace = walk(host, Question(**{"from": "a", "to": "b", "dport": 80, "reply": False}))
    assert trace.verdict == "DEPENDS"
    assert {way.verdict for way in trace.branches} == {"ACCEPT", "DROP"}
    assert [(hinge.match, hinge.step) for hinge in trace.hinges] == [("statistic", ("filter", chain, 1))]
