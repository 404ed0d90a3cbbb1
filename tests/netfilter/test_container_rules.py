"""Rules in a container's own network namespace, which decide before and after those of the host."""

from dataclasses import replace

import pytest

from iptsim.host.conntrack_entries import conntrack_entries
from iptsim.netfilter.walk import walk
from iptsim.question.model import Question
from tests.netfilter.hosts import BRIDGE_PORTS, dump, number, router

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


def test_a_container_has_a_conntrack_table_of_its_own() -> None:
    """A packet is looked up among the connections of its own namespace (nf_ct_net_eq); a capture has the host's."""
    host = router(dump(filter=":FORWARD ACCEPT"), sysctls={"net.bridge.bridge-nf-call-iptables": "0"})
    host.containers["a"].namespace.iptables = dump(
        nat=":POSTROUTING ACCEPT\n-A POSTROUTING -p icmp -j MASQUERADE"
    )
    a, b = (BRIDGE_PORTS[name][0] for name in ("a", "b"))
    line = f"udp 17 25 src=10.2.0.9 dst=10.2.0.1 sport=4000 dport=53 src={b} dst={a} sport=53 dport=4000"
    host.conntrack = list(conntrack_entries(line))
    packet = {"from": "a", "to": "b", "proto": "udp", "sport": 4000, "dport": 53, "reply": False}
    trace = walk(host, Question(**packet))
    (leg,) = trace.legs
    assert leg.delivered is not None
    assert leg.delivered.packet.sport == 4000


@pytest.mark.parametrize(
    ("peer", "policy", "verdict"),
    [(6, "ACCEPT", "DEPENDS"), (6, "DROP", "DROP"), (None, "ACCEPT", "ACCEPT")],
    ids=["to the host", "dropped", "anywhere"],
)
def test_what_a_container_forwards_to_the_host_again_is_left_open(
    peer: int | None, policy: str, verdict: str
) -> None:
    """Guest a sends through b, whose default route leads to the host: the rules of FORWARD see the packet again."""
    host = router(dump(filter=":FORWARD ACCEPT\n-A FORWARD -i br0 -o eth0 -j DROP"))
    sender, gateway = (host.containers[name].namespace for name in ("a", "b"))
    sender.routes[-1] = replace(sender.routes[-1], gateway=number("10.9.0.3"))
    gateway.interfaces["eth0"] = replace(gateway.interfaces["eth0"], peer_index=peer)
    gateway.sysctls["net.ipv4.ip_forward"] = "1"
    gateway.iptables = dump(filter=f":FORWARD {policy}")
    trace = walk(host, Question(**{"from": "a", "to": "198.51.100.7", "dport": 80, "reply": False}))
    assert trace.verdict == verdict
    assert [hinge.match for hinge in trace.hinges] == ["onward"] * (verdict == "DEPENDS")
