"""What a source without addresses, networks' routes or the engine's version leaves open.

Expected: measured with Docker 20.10, 28.5 and 29.7 and real connections, each on a host with an internal network and
two addresses.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import iptsim

CAPTURES = Path(__file__).parents[2] / "fixtures/captures"
RULES = """\
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A DOCKER ! -i docker0 -p udp -m udp --dport 5353 -j DNAT --to-destination 172.17.0.2:53
COMMIT
*filter
:INPUT {input} [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p udp -m udp --dport 53 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 ! -s 172.26.0.0/16 -o br-int -j DROP
-A DOCKER-ISOLATION-STAGE-1 ! -d 172.26.0.0/16 -i br-int -j DROP
COMMIT
"""


def ask(tmp_path: Path, text: str, sender: str, to: str, **fields: Any) -> iptsim.Explanation:
    path = tmp_path / "paste"
    path.write_text(text)
    return iptsim.explain(path, sender, to, **fields)


@pytest.mark.parametrize(
    ("port", "policy", "verdict"),
    [(8080, "DROP", "DEPENDS"), (22, "ACCEPT", "DEPENDS"), (22, "DROP", "DROP")],
)
def test_a_public_address_may_be_the_hosts(port: int, policy: str, verdict: str, tmp_path: Path) -> None:
    """Docker forwards 8080 to the container only if the address is local."""
    answer = ask(tmp_path, RULES.format(input=policy), "198.51.100.7", "203.0.113.80", dport=port)
    assert answer.verdict == verdict
    if verdict == "DEPENDS":
        assert "whether 203.0.113.80 is an address of this host" in str(answer.reason.text)


@pytest.mark.parametrize(
    ("name", "to", "verdict"),
    [
        ("vnet7", "10.66.0.4", "DEPENDS"),
        ("vnet7", "10.67.0.1", "ACCEPT"),
        ("podman3", "10.66.0.1", "DEPENDS"),
        ("podman3", "10.66.0.4", "ACCEPT"),
    ],
)
def test_a_neighbour_behind_an_interface_without_addresses(
    name: str, to: str, verdict: str, tmp_path: Path
) -> None:
    """Neighbours reach each other without the host, except through a bridge of it, which has the first address."""
    text = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
    answer = ask(tmp_path, text, "10.66.0.9", to, dport=53, proto="udp", in_interface=name)
    assert answer.verdict == verdict


@pytest.mark.parametrize(
    "shown",
    [
        "2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP\n"
        "    inet 203.0.113.80/24 scope global eth0\n"
        "3: docker0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP\n"
        "    inet 172.17.0.1/16 scope global docker0\n",
        "",
    ],
)
def test_an_address_that_is_known(shown: str, tmp_path: Path) -> None:
    """`ip addr` shows it, or the question names the host."""
    lo = "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN\n    inet 127.0.0.1/8 scope host lo\n"
    text = RULES.format(input="DROP") + (f"# ip addr\n{lo}{shown}" if shown else "")
    to = "203.0.113.80" if shown else "host"
    assert ask(tmp_path, text, "198.51.100.7", to, dport=8080).verdict == "ACCEPT"


def test_what_is_on_its_way_out_is_not_for_the_host(tmp_path: Path) -> None:
    answer = ask(
        tmp_path, RULES.format(input="ACCEPT"), "10.8.0.2", "8.8.8.8", dport=443, in_interface="tun0"
    )
    assert answer.verdict == "DROP"


def test_docker_proxy_may_reply_from_another_address(tmp_path: Path) -> None:
    """Before 28 its datagrams leave from the bridge's address, whatever address was asked."""
    text = RULES.format(input="ACCEPT")
    assert ask(tmp_path, text, "172.17.0.2", "host", dport=5353, proto="udp").verdict == "DEPENDS"
    assert ask(tmp_path, text, "172.17.0.2", "172.17.0.1", dport=5353, proto="udp").verdict == "ACCEPT"
    version = "# docker version\nServer: Docker Engine - Community\n Engine:\n  Version:          {}\n"
    old, new = (text + version.format(one) for one in ("20.10.24", "28.5.2"))
    assert ask(tmp_path, old, "172.17.0.2", "host", dport=5353, proto="udp").verdict == "DROP"
    assert ask(tmp_path, new, "172.17.0.2", "host", dport=5353, proto="udp").verdict == "ACCEPT"


@pytest.mark.parametrize(
    ("to", "verdict"), [("host", "DEPENDS"), ("172.26.0.1", "ACCEPT"), ("8.8.8.8", "DROP")]
)
def test_containers_of_internal_networks_may_lack_a_default_route(
    to: str, verdict: str, tmp_path: Path
) -> None:
    """They have had none since Docker 25."""
    assert ask(tmp_path, RULES.format(input="ACCEPT"), "172.26.0.3", to, dport=22).verdict == verdict


@pytest.mark.parametrize(("gateway", "verdict"), [("172.26.0.1", "ACCEPT"), ("", "DROP")])
def test_docker_inspect_shows_the_gateway_on_an_internal_network(
    gateway: str, verdict: str, tmp_path: Path
) -> None:
    endpoint = {"IPAddress": "172.26.0.3", "IPPrefixLen": 16, "Gateway": gateway, "NetworkID": "4" * 64}
    container = {
        "Id": "c" * 64,
        "Name": "/inner",
        "State": {"Running": True},
        "NetworkSettings": {"Ports": {}, "Networks": {"int": endpoint}},
    }
    network = {
        "Id": "4" * 64,
        "Name": "int",
        "Driver": "bridge",
        "Internal": True,
        "IPAM": {"Config": [{"Subnet": "172.26.0.0/16"}]},
        "Options": {"com.docker.network.bridge.name": "br-int"},
    }
    text = RULES.format(input="ACCEPT") + "$ docker inspect inner\n" + json.dumps([container], indent=1)
    text += "\n$ docker network inspect int\n" + json.dumps([network], indent=1)
    assert ask(tmp_path, text, "inner", "192.0.2.10", dport=22).verdict == verdict


def test_docker_network_inspect_does_not_show_ports(tmp_path: Path) -> None:
    """It lists the containers of a network, on all of their networks, but not what they publish."""
    networks = [
        {
            "Name": name,
            "Id": name * 32,
            "Driver": "bridge",
            "IPAM": {"Config": [{"Subnet": f"{subnet}.0.0/16"}]},
            "Internal": internal,
            "Containers": {"c" * 64: {"Name": "web", "IPv4Address": f"{subnet}.0.2/16"}},
            "Options": {"com.docker.network.bridge.name": bridge},
        }
        for name, subnet, bridge, internal in (
            ("ab", "172.26", "br-int", True),
            ("bb", "172.17", "docker0", False),
        )
    ]
    rules = RULES.format(input="DROP").partition("COMMIT\n")[2]
    text = rules + json.dumps(networks, indent=1)
    assert ask(tmp_path, text, "198.51.100.7", "host", dport=8080).verdict == "DEPENDS"
    assert ask(tmp_path, text, "web", "8.8.8.8", dport=443).trace.legs[0].verdict == "ACCEPT"


def test_a_container_that_docker_ps_names_reaches_itself(tmp_path: Path) -> None:
    """Its rules name it after its address; its packets stay in its namespace."""
    listed = (
        "$ docker ps\nCONTAINER ID   IMAGE   COMMAND   CREATED   STATUS   PORTS                  NAMES\n"
        '0123456789ab   nginx   "nginx"   1 hour ago   Up 1 hour   0.0.0.0:8080->80/tcp   web\n'
    )
    assert ask(tmp_path, RULES.format(input="DROP") + listed, "web", "web", dport=80).verdict == "ACCEPT"


@pytest.mark.parametrize(
    ("address", "fields", "replies"),
    [
        ("172.17.0.1", {"proto": "tcp", "dport": 8080}, True),
        ("172.17.255.255", {"proto": "tcp", "dport": 8080}, False),
        ("172.17.0.1", {"proto": "icmp"}, True),
        ("172.17.255.255", {"proto": "icmp"}, False),
    ],
)
def test_nothing_replies_at_the_broadcast_address_of_a_subnet(
    address: str, fields: dict[str, Any], replies: bool
) -> None:
    """Measured: a connection to the address of a bridge succeeds, one to its broadcast address times out.

    So does a ping, as net.ipv4.icmp_echo_ignore_broadcasts is 1 by default.
    """
    answer = iptsim.explain(CAPTURES / "docker-28.5/published", "192.0.2.1", address, **fields)
    assert answer.verdict == "ACCEPT"
    assert (len(answer.trace.legs) > 1) is replies
