"""Policy rules that compare the mark, the protocol or ports divide the packets (net/core/fib_rules.c)."""

from __future__ import annotations

from pathlib import Path

import pytest

from iptsim.asking import ask
from iptsim.dump import loads
from iptsim.host import load_host
from iptsim.host.model import Host
from iptsim.host.namespace import Route, RoutingRule
from iptsim.host.routing_policy import DEFAULT_RULES
from iptsim.question.model import Question
from iptsim.reaching import reach
from iptsim.sets.landscape import Landscape
from iptsim.sets.space import Space

CAPTURES = Path(__file__).parent.parent.parent / "fixtures" / "captures"
#: Marks packets to port 80 before they are routed.
MARKING = """*mangle
:PREROUTING ACCEPT
-A PREROUTING -p tcp -m tcp --dport 80 -j MARK --set-mark 1
COMMIT
"""
FILTER = "*filter\n:FORWARD ACCEPT\nCOMMIT\n"


def policed(rules: str, policy: RoutingRule) -> Host:
    """Return a host on which packets that a policy rule selects are discarded."""
    host = load_host(CAPTURES / "docker-28.5" / "published")
    host.rulesets[4] = loads(rules, family=4)
    usual = (RoutingRule(family=4, priority=number, table=table) for number, table in DEFAULT_RULES[4])
    host.namespace.rules = [*usual, policy]
    blackhole = Route(family=4, table="100", destination=0, prefix_length=0, type="blackhole")
    host.namespace.routes = [*host.namespace.routes, blackhole]
    host.namespace.cache.clear()
    return host


@pytest.mark.parametrize(
    ("rules", "policy"),
    [
        (MARKING + FILTER, RoutingRule(family=4, priority=100, table="100", fwmark=1)),
        (FILTER, RoutingRule(family=4, priority=100, table="100", ipproto=6, dport=(80, 80))),
    ],
)
def test_a_policy_rule_selects_some_packets_between_the_same_addresses(
    rules: str, policy: RoutingRule
) -> None:
    found = reach(policed(rules, policy), "internet", "client")
    verdicts = {
        (one.verdict, dport) for one in found for dport in (80, 443) if one.within(6, ((dport, dport),)).usual
    }
    # the reply to a request from port 80 goes to port 80
    assert verdicts == {("DROP", 80), ("ACCEPT", 443)}
    assert all(one.fate.confirmed for one in found)


def test_sets_agree_with_walks_where_a_policy_rule_meets_a_random_port() -> None:
    masquerade = "-A POSTROUTING -p tcp -m limit --limit 10/sec -j MASQUERADE --to-ports 2000-2003"
    policy = RoutingRule(
        family=4, priority=100, action="unreachable", negated=True, ipproto=6, dport=(80, 80)
    )
    host = policed(f"*nat\n:POSTROUTING ACCEPT\n{masquerade}\nCOMMIT\n", policy)
    found = reach(host, "host", "host", proto="tcp", dport=80)
    assert {one.verdict for one in found}
    assert all(one.fate.confirmed for one in found)


@pytest.mark.parametrize(("ports", "verdict"), [((2000, 2001), "DEPENDS"), ((1, 65535), "DROP")])
def test_a_policy_rule_about_a_random_port_is_undecided_unless_it_names_all_ports(
    ports: tuple[int, int], verdict: str
) -> None:
    rules = """*nat
:PREROUTING ACCEPT
-A PREROUTING -i eth0 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 172.17.0.2:2000-2003 --random
COMMIT
"""
    policy = RoutingRule(family=4, priority=100, table="100", ipproto=6, dport=ports)
    host = policed(rules + FILTER, policy)
    question = Question(**{"in": "eth0"}, src="203.0.113.9", dst="192.0.2.10", dport=8081)
    assert ask(host, question).trace.verdict == verdict
    found = reach(host, "internet", "host", proto="tcp", dport=8081)
    assert verdict in {one.verdict for one in found}
    assert all(one.fate.confirmed for one in found)


def test_a_policy_rule_about_some_of_a_group_divides_it() -> None:
    host = load_host(CAPTURES / "hosts" / "docker-many")
    whole = Landscape(host, Space(4)).groups
    member, *others = whole[0]
    assert others
    usual = (RoutingRule(family=4, priority=number, table=table) for number, table in DEFAULT_RULES[4])
    pair = RoutingRule(family=4, priority=100, table="100", src=member.address & ~1, src_length=31)
    host.namespace.rules = [*usual, pair]
    host.namespace.cache.clear()
    for group in Landscape(host, Space(4)).groups:
        inside = {one.address >> 1 == member.address >> 1 for one in group}
        assert len(inside) == 1
