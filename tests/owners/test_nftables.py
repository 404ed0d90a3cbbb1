"""Programs that write rules of nftables: firewalld's and fail2ban's terms for them.

The verdicts on connections through firewalld's rules are the kernel's: they were made in network namespaces with the
recorded rules, from a client behind eth0 and another behind eth1. So are those on kube-proxy's rules, which are in the
form of pkg/proxy/nftables/proxier.go: from pods on the node's bridge, from the node and from outside.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

import iptsim
from iptsim.findings import lint
from iptsim.host import load_host
from iptsim.host.model import Host
from iptsim.owners.chain_owners import chain_owners
from iptsim.owners.rule_owners import authorship, rulesets_of
from iptsim.owners.zones_and_jails import zones
from iptsim.sources import loads_host
from tests.docker.hosts import FIXTURES

RECORDED = FIXTURES.parent / "recorded"


@cache
def host(name: str) -> Host:
    path = RECORDED / name
    return load_host(path) if path.is_dir() else loads_host(path.read_text())


@pytest.mark.parametrize("name", ["firewalld-nft", "firewalld-nft.txt"])
@pytest.mark.parametrize(
    ("arriving", "sender", "to", "port", "verdict", "told"),
    [
        ("eth0", "203.0.113.9", "192.0.2.10", 22, "ACCEPT", "firewalld zone external allows 22/tcp"),
        ("eth0", "203.0.113.9", "192.0.2.10", 80, "REJECT", "no service, port or rule of firewalld zone external"),
        ("eth0", "203.0.113.9", "192.0.2.10", 5432, "REJECT", "no service, port or rule of firewalld zone external"),
        ("eth0", "203.0.113.9", "192.0.2.10", 9005, "ACCEPT", "firewalld zone external allows 9000:9010/tcp"),
        ("eth0", "203.0.113.9", "192.0.2.10", 8080, "ACCEPT", "connections of forward-ports (DNAT)"),
        ("eth0", "198.51.100.7", "192.0.2.10", 5432, "ACCEPT", "a rich rule of firewalld zone external accepts it"),
        ("eth0", "198.51.100.66", "192.0.2.10", 22, "DROP", "a rich rule of firewalld zone external blocks it"),
        ("eth0", "198.51.100.66", "192.0.2.10", 8080, "ACCEPT", "connections of forward-ports (DNAT)"),
        ("eth1", "10.0.0.5", "203.0.113.9", 443, "ACCEPT", "the target of firewalld policy out is ACCEPT"),
        ("eth1", "10.0.0.5", "192.0.2.10", 22, "ACCEPT", "firewalld zone internal allows 22/tcp"),
        ("eth1", "10.0.0.5", "192.0.2.10", 80, "REJECT", "no service, port or rule of firewalld zone internal"),
    ],
)  # fmt: skip
def test_connections(
    name: str, arriving: str, sender: str, to: str, port: int, verdict: str, told: str
) -> None:
    question: dict[str, Any] = {
        "from": sender,
        "to": to,
        "proto": "tcp",
        "dport": port,
        "in_interface": arriving,
    }
    trace = iptsim.explain(host(name), **question)
    assert trace.verdict == verdict
    assert told in trace.reason.text


def test_a_connection_from_outside_to_a_machine_inside() -> None:
    """The text does not show where 10.0.0.5 is."""
    question: dict[str, Any] = {"from": "203.0.113.9", "to": "10.0.0.5", "proto": "tcp", "dport": 81}
    trace = iptsim.explain(host("firewalld-nft"), **question)
    assert trace.verdict == "REJECT"
    assert "no rule or policy allows forwarding from firewalld zone external" in trace.reason.text


@pytest.mark.parametrize("name", ["firewalld-nft", "firewalld-nft.txt"])
def test_zones(name: str) -> None:
    assert zones(host(name)) == {"internal": ["eth1"], "external": ["eth0"], "public": ["default"]}


def test_fail2ban() -> None:
    """All jails share a chain (fail2ban's config/action.d/nftables.conf)."""
    rules = """table inet f2b-table {
    set addr-set-sshd {
        type ipv4_addr
        elements = { 198.51.100.9, 203.0.113.9 }
    }
    chain f2b-chain {
        type filter hook input priority filter - 1; policy accept;
        tcp dport 22 ip saddr @addr-set-sshd reject with icmp port-unreachable
    }
}
"""
    answer = iptsim.explain(loads_host(rules), "203.0.113.9", "host:22")
    assert answer.verdict == "REJECT"
    assert answer.reason.text.endswith(": fail2ban has banned 203.0.113.9.")
    assert answer.reason.advice == "To allow it: fail2ban-client unban 203.0.113.9."


#: A pod without a service, an endpoint of shop/web, a client outside.
POD, ENDPOINT, CLIENT = "10.244.0.9", "10.244.0.4", "203.0.113.9"
NODE = "192.0.2.10"


@pytest.mark.parametrize(
    ("sender", "to", "verdict", "told"),
    [
        (POD, "10.96.0.20:80", "ACCEPT", "forwarded to one of 3 endpoints: 10.244.0.4:8080, 10.244.0.5:8080"),
        (POD, "svc/shop/web:80", "ACCEPT", "cluster IP 10.96.0.20 80/tcp of service shop/web:http"),
        (POD, "10.96.0.30:80", "REJECT", "service shop/empty:http has no endpoints"),
        (POD, "10.96.0.20:81", "REJECT", "a port of a cluster IP that no service has"),
        (POD, "10.96.99.99:80", "DROP", "a cluster IP that no service has"),
        (POD, f"{NODE}:30080", "ACCEPT", "node port 30080/tcp of service shop/web:http"),
        (CLIENT, "nodeport/30080", "ACCEPT", "source 203.0.113.9 becomes 10.244.0.1 (MASQUERADE)"),
        (CLIENT, f"{NODE}:30090", "DROP", "no endpoint on this node, and its externalTrafficPolicy is Local"),
        (CLIENT, "10.96.0.20:80", "ACCEPT", "source 203.0.113.9 becomes 10.244.0.1 (MASQUERADE)"),
        ("host", "10.96.0.20:80", "ACCEPT", "cluster IP 10.96.0.20 80/tcp"),
        ("host", "10.96.0.30:80", "REJECT", "service shop/empty:http has no endpoints"),
        ("host", "10.96.0.20:81", "REJECT", "a port of a cluster IP that no service has"),
        (CLIENT, f"{ENDPOINT}:8080", "ACCEPT", ""),
        (POD, f"{ENDPOINT}:8080", "ACCEPT", ""),
    ],
)  # fmt: skip
def test_connections_to_services(sender: str, to: str, verdict: str, told: str) -> None:
    answer = iptsim.explain(host("kube-proxy-nft.txt"), sender, to)
    assert answer.verdict == verdict
    assert told in answer.reason.text


def test_an_endpoint_of_a_service_reaches_the_others() -> None:
    """Not itself: its port of the bridge has no hairpin mode there."""
    answer = iptsim.explain(host("kube-proxy-nft.txt"), ENDPOINT, "10.96.0.20:80")
    assert [way.verdict for way in answer.branches] == ["DROP", "ACCEPT", "ACCEPT"]
    assert "hairpin mode" in answer.branches[0].reason.text


def test_services_without_endpoints_are_found() -> None:
    """The kernel refuses the connections of both findings; see above."""
    found = [one for one in lint(host("kube-proxy-nft.txt")) if one.code == "service-without-endpoints"]
    assert [str(one.title) for one in found] == [
        "Service shop/empty:http of Kubernetes has no local endpoints: this node drops connections from outside to it.",
        "Service shop/empty:http of Kubernetes has no endpoints, so its connections are refused.",
    ]
    assert [one.shown.verdict for one in found if one.shown is not None] == ["DROP", "REJECT"]


DOCKER = FIXTURES / "docker-29.7"


@pytest.mark.parametrize(
    ("capture", "sender", "to", "code"),
    [
        ("nftables", "client", "web:80", "icc-enabled"),
        ("nftables", "client", "internet:443", "outgoing"),
        ("nftables", "internet", "host:8080", "published-port"),
        ("nftables", "internet", "web:80", "direct-route-drop"),
        ("nftables", "host", "localhost:8081", "docker-proxy"),
        ("nftables-icc-off", "client", "web:80", "link"),
        ("nftables-icc-off", "client", "web:81", "icc-disabled"),
        ("nftables-icc-off", "a2", "a1:80", "icc-disabled"),
        ("nftables-icc-off", "web", "s1:80", "internal-network"),
    ],
)
def test_dockers_reasons_with_nftables(capture: str, sender: str, to: str, code: str) -> None:
    """What came of these connections is in probes.json of the captures."""
    assert iptsim.explain(DOCKER / capture, sender, to).reason.code == code


@pytest.mark.parametrize("capture", ["nftables", "nftables-icc-off", "nftables-modes"])
def test_each_rule_of_docker_is_known(capture: str) -> None:
    """Table docker-bridges has no other rules than dockerd's."""
    found = load_host(DOCKER / capture)
    rules = [rule for ruleset in rulesets_of(found) for rule in ruleset.rules()]
    roles = {(authorship(rule, found)[0], authorship(rule, found)[1] is None) for rule in rules}
    assert roles == {("docker", False)}
    assert {
        chain_owners(ruleset).chain(rule.chain) for ruleset in rulesets_of(found) for rule in ruleset.rules()
    } == {"docker"}


@pytest.mark.parametrize(
    ("chain", "position", "role", "why"),
    [
        ("filter-forward-in__br-unprot", 3, "routed", "allows packets into unprot: its gateway mode is routed or "
         "nat-unprotected"),
        ("filter-forward-in__br-iso", 2, "internal", "iso is an internal network: nothing goes in or out"),
        ("filter-forward-out__br-nat", 1, "answers", "allows replies from nat"),
        ("filter-forward-in__br-routed", 2, "routed", "allows pings and ICMP errors into routed: its gateway mode is "
         "routed"),
        ("raw-PREROUTING", 1, "direct-routing", "only the container's network and trusted interfaces may send to "
         "t1's own address; from elsewhere, use a published port"),
        ("nat-prerouting-and-output", 1, "port-forward", "forwards 8081/tcp of the host to u1 on 80/tcp: a published "
         "port"),
    ],
)  # fmt: skip
def test_roles_of_dockers_rules(chain: str, position: int, role: str, why: str) -> None:
    found = load_host(DOCKER / "nftables-modes")
    rule = next(
        rule
        for ruleset in rulesets_of(found)
        for rule in ruleset.rules()
        if (rule.table, rule.chain, rule.position) == ("ip docker-bridges", chain, position)
    )
    read = authorship(rule, found)[1]
    assert read is not None
    assert (read.code, str(read.why)) == (role, why)


def test_the_chain_that_keeps_others_from_a_containers_address_is_named() -> None:
    """Table raw is one of iptables; dockerd 29 has a chain in its own table."""
    text = str(iptsim.explain(DOCKER / "nftables", "192.0.2.20", "web:80").reason.text)
    assert text.startswith("172.17.0.2 is web's own address on docker0.")
    assert "chain raw-PREROUTING drops it before any other rule sees it" in text
