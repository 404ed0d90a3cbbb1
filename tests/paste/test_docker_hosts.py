"""What sentences and commands tell about a host of Docker: its address, subnets, and what removed its rules."""

from __future__ import annotations

import pytest

import iptsim
from iptsim.addresses import parse_address
from iptsim.dump.rule import Jump
from iptsim.findings import lint
from iptsim.host.model import Host


def read(text: str) -> Host:
    return iptsim.loads_host(text)


BRIDGE = """\
$ docker network create apart
0123456789abf0f0f0f0
$ docker run -d --name one --network apart busybox top
$ docker run -d --name two --network apart busybox top
$ sudo iptables -nvL FORWARD
Chain FORWARD (policy ACCEPT 0 packets, 0 bytes)
 pkts bytes target     prot opt in     out     source               destination
    0     0 ACCEPT     all  --  docker0 docker0  0.0.0.0/0            0.0.0.0/0
    2   168 DROP       all  --  br-0123456789ab br-0123456789ab  0.0.0.0/0            0.0.0.0/0
"""


def test_a_bridge_of_unknown_subnet_has_the_next_one_of_dockerd() -> None:
    """Ipamutils: localScopeDefaultNetworks, 172.17.0.0/16 first, which docker0 has."""
    host = read(BRIDGE)
    found = iptsim.explain(host, "one", "two", proto="icmp")
    assert [host.containers[name].address(4) for name in ("one", "two")] == [0xAC120002, 0xAC120003]
    assert found.verdict == "DROP"
    assert "br-0123456789ab is assumed to have the subnet 172.18.0.0/16." in map(str, found.assumptions)


@pytest.mark.parametrize(
    ("sentence", "known"),
    [
        ("my host ip is 192.168.7.20", True),
        ("Docker host IP address: **192.168.7.20**", True),
        ("(the IP address of the server is 192.168.7.20)", True),
        ("The host's IP: 192.168.7.20, the server's IP: 192.168.7.21", True),
        ("my host ip is 192.168.7.20\nthe server ip is 192.168.7.21", False),
        ("the container ip is 192.168.7.20", False),
        ("the host ip is 192.168.7.20/24.1", False),
        ("the host ip is 192.168.7.300", False),
    ],
)
def test_a_sentence_tells_the_address_of_the_host(sentence: str, known: bool) -> None:
    text = f"{sentence}\n-P INPUT DROP\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n-A INPUT -i eth0 -p icmp -j ACCEPT\n"
    assert read(text).namespace.has_address(*parse_address("192.168.7.20")) is known


@pytest.mark.parametrize(
    ("sentence", "known"),
    [
        ("curl -I http://192.168.7.20:8080/ times out", True),
        ("`nc -zv 192.168.7.20 8080` times out", True),
        (
            "curl http://192.168.7.20:8080 works, http://127.0.0.1:8080 and http://172.17.0.1:8080 do, too",
            True,
        ),
        ("curl http://192.168.7.20:8080 fails, http://192.168.7.30:8080 works", False),
        ("curl http://192.168.7.20:80 fails", False),  # a port that is not published
        ("the image is at http://198.51.100.20:8080", False),
        ("curl http://192.168.7.20:8080 from another machine times out", True),
        ("it passes requests on to http://192.168.7.20:8080 on another machine", False),
    ],
)
def test_published_ports_tell_the_address_of_the_host(sentence: str, known: bool) -> None:
    """The one private address at which a text looks for a port that Docker publishes is the host's."""
    found = read(f"docker run -d -p 8080:80 nginx\n\n{sentence}\n")
    assert found.namespace.has_address(*parse_address("192.168.7.20")) is known
    if known:
        answer = iptsim.explain(found, "192.168.7.20", "192.168.7.20", proto="tcp", dport=8080)
        assert answer.verdict == "ACCEPT"


def test_an_address_of_a_network_is_not_that_of_the_host() -> None:
    text = (
        "docker network create --subnet 10.7.0.0/16 inner\n"
        "docker run -d --net inner --ip 10.7.0.20 -p 8080:8080 app\n\ncurl http://10.7.0.20:8080 works\n"
    )
    assert not read(text).namespace.has_address(*parse_address("10.7.0.20"))


def test_a_container_on_macvlan_cannot_reach_the_host_that_a_sentence_names() -> None:
    """Docker's documentation of macvlan; the network's subnet is the LAN of the host."""
    text = (
        "docker network create -d macvlan --subnet=10.9.8.0/24 --gateway=10.9.8.1 -o parent=eno1 lan\n"
        "docker run --net=lan --ip=10.9.8.40 -d --name web nginx\nThe host ip is 10.9.8.7\n"
    )
    found = iptsim.explain(read(text), "10.9.8.40", "10.9.8.7", proto="icmp")
    assert found.verdict == "DROP"
    assert iptsim.explain(read(text), "10.9.8.40", "10.9.8.9", proto="icmp").verdict == "ACCEPT"


@pytest.mark.parametrize("references", ["1 references", "0 references"])
def test_a_chain_of_nat_that_nothing_shown_calls_may_masquerade(references: str) -> None:
    """xt_MASQUERADE: valid in POSTROUTING only; without references, nothing calls it."""
    text = (
        f"Chain OUT_NAT ({references})\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
        "   25 24913 MASQUERADE  all  --  *      !lan1   10.7.0.0/16          0.0.0.0/0\n"
    )
    found = str(iptsim.explain(read(text), "10.7.0.3", "internet", in_interface="lan1", dport=443).reason)
    assert ("whether packets are sent to chain OUT_NAT" in found) is (references[0] == "1")


@pytest.mark.parametrize(
    ("later", "found"),
    [
        ("$ docker run --rm busybox ping example.org\n$ systemctl restart docker\n", True),
        ("$ systemctl restart docker\n$ docker run --rm busybox ping example.org\n", False),
    ],
)
def test_containers_were_used_after_the_rules_were_replaced(later: str, found: bool) -> None:
    """A restart of Docker mends it (https://docs.docker.com/engine/network/packet-filtering-firewalls/)."""
    text = f"$ systemctl start docker\n$ docker run --rm busybox true\n$ systemctl restart iptables\n{later}"
    assert ("docker-rules-flushed" in {one.code for one in lint(read(text))}) is found


@pytest.mark.parametrize(
    ("version", "chain"),
    [
        ("20.10.24+dfsg1", "DOCKER-ISOLATION-STAGE-1"),
        ("28.5.1", "DOCKER-FORWARD"),
        # its rules are unknown; those of another one are assumed
        ("17.06.0", "DOCKER-FORWARD"),
    ],
)
def test_rules_that_a_text_does_not_show_are_those_of_its_version(version: str, chain: str) -> None:
    """Docker 28 was the first one with the chain DOCKER-FORWARD (moby 28.0.0)."""
    text = (
        f"# docker --version\nDocker version {version}, build 1\n# docker run -d --name web -p 80:80 nginx\n"
    )
    host = read(text)
    forward = host.rulesets[4].tables["filter"].chains["FORWARD"].rules
    assert chain in {rule.target.chain for rule in forward if isinstance(rule.target, Jump)}
    assert iptsim.explain(host, "internet", "host:80").verdict == "ACCEPT"
