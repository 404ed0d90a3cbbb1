"""Networks of Docker without an address on their bridge, as with gateway mode "isolated" (docker network create)."""

from __future__ import annotations

import pytest

from iptsim.netfilter.walk import walk
from iptsim.question.model import Question
from iptsim.sources import loads_host

TEXT = """\
$ ip addr
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP
    inet 192.0.2.10/24 scope global eth0
4: br-0a1b2c3d4e5f: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP
$ sudo iptables -S
-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-N DOCKER-FORWARD
-N DOCKER-INTERNAL
-A FORWARD -j DOCKER-FORWARD
-A DOCKER-FORWARD -j DOCKER-INTERNAL
-A DOCKER-FORWARD -i br-0a1b2c3d4e5f -o br-0a1b2c3d4e5f -j ACCEPT
-A DOCKER-INTERNAL ! -s 172.30.0.0/24 -o br-0a1b2c3d4e5f -j DROP
-A DOCKER-INTERNAL ! -d 172.30.0.0/24 -i br-0a1b2c3d4e5f -j DROP
"""


@pytest.mark.parametrize(
    ("to", "verdict", "rule"),
    [("172.30.0.3", "ACCEPT", ("DOCKER-FORWARD", 2)), ("198.51.100.7", "DROP", ("DOCKER-INTERNAL", 2))],
)
def test_its_packets_arrive_on_its_bridge(to: str, verdict: str, rule: tuple[str, int]) -> None:
    """No route leads to the network, but its containers are ports of the bridge."""
    fields = {"from": "172.30.0.2", "to": to, "proto": "tcp", "dport": 80}
    trace = walk(loads_host(TEXT), Question(**fields))
    last = [step for step in trace.legs[0].steps if step.rule is not None and step.verdict == verdict][-1]
    assert trace.legs[0].verdict == verdict
    assert last.rule is not None
    assert (last.rule.chain, last.rule.position) == rule


@pytest.mark.parametrize(("mode", "verdict"), [("nat", "ACCEPT"), ("isolated", "DROP")])
def test_its_bridge_has_no_address_by_its_settings(mode: str, verdict: str) -> None:
    """Docker 28 gives the bridge of an internal network none in gateway mode "isolated" (docker network create)."""
    text = (
        f"docker network create -o com.docker.network.bridge.gateway_mode_ipv4={mode} --internal "
        "--subnet 172.30.0.0/24 closed\ndocker run -d --name app --network closed alpine\n"
    )
    host = loads_host(text)
    fields = {"from": "app", "to": "172.30.0.1", "proto": "tcp", "dport": 80}
    assert walk(host, Question(**fields)).verdict == verdict


NFT = """\
table ip docker-bridges {
    map filter-forward-in-jumps {
        type ifname : verdict
        elements = { "br-0a1b2c3d4e5f" : jump filter-forward-in__br-0a1b2c3d4e5f }
    }
    chain filter-FORWARD {
        type filter hook forward priority filter; policy accept;
        oifname vmap @filter-forward-in-jumps
    }
    chain filter-forward-in__br-0a1b2c3d4e5f {
        ct state established,related counter accept
        iifname != "br-0a1b2c3d4e5f" counter drop comment "INTERNAL NETWORK INGRESS"
        counter accept comment "ICC"
    }
}
"""
#: The rules alone, without the addresses of the host.
RULES = "$ sudo iptables -S" + TEXT.partition("$ sudo iptables -S")[2]
ON_BRIDGE = {"in": "br-0a1b2c3d4e5f"}


@pytest.mark.parametrize(
    ("text", "fields", "verdict"),
    [
        (RULES, {"from": "172.30.0.2", "to": "172.30.0.1"}, "DEPENDS"),
        (NFT, {"src": "172.30.0.2", "dst": "172.30.0.1", **ON_BRIDGE}, "ACCEPT by either"),
        # it is switched either way
        (RULES, {"from": "172.30.0.2", "to": "172.30.0.3"}, "ACCEPT"),
        # before 28, every bridge has an address
        (RULES.replace("DOCKER-FORWARD", "DOCKER-ISOLATION-STAGE-1").replace("DOCKER-INTERNAL", "DOCKER"),
         {"from": "172.30.0.2", "to": "172.30.0.1"}, "ACCEPT"),
    ],
)  # fmt: skip
def test_rules_alone_do_not_show_whether_its_bridge_has_an_address(
    text: str, fields: dict[str, str], verdict: str
) -> None:
    """Docker 29.7.2 writes the same rules for an internal network with gateway mode "nat" and "isolated"."""
    trace = walk(loads_host(text), Question(**fields, proto="tcp", dport=80))
    assert trace.verdict == verdict.partition(" ")[0]
    known = verdict == "ACCEPT"
    assert [one.match for one in trace.hinges] == ([] if known else ["own_address"])
