"""Docker's settings beside the interfaces and routes of the host."""

from __future__ import annotations

import pytest

from iptsim.netfilter.walk import walk
from iptsim.question.model import Question
from tests.paste.test_settings import read, verdict

COMPOSE = """services:
  web:
    image: nginx
    ports: ["8080:80"]
  db:
    image: postgres
"""
SHOWN = """
root@host:~# ip a
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536
    inet 127.0.0.1/8 scope host lo
2: ens18: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500
    inet 192.168.1.20/24 brd 192.168.1.255 scope global ens18
3: docker0: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500
    inet 172.18.0.1/16 scope global docker0
5: br-0123456789ab: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500
    inet 172.22.0.1/16 scope global br-0123456789ab
7: veth1a2b3c4@if6: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 master br-0123456789ab
"""
ROUTES = """
root@host:~# ip route
default via 192.168.1.1 dev ens18
172.18.0.0/16 dev docker0 proto kernel scope link src 172.18.0.1 linkdown
172.22.0.0/16 dev br-0123456789ab proto kernel scope link src 172.22.0.1
192.168.1.0/24 dev ens18 proto kernel scope link src 192.168.1.20
"""


@pytest.mark.parametrize("text", [SHOWN, SHOWN + ROUTES, ROUTES])
def test_services_beside_the_interfaces_of_their_host(text: str) -> None:
    host = read(COMPOSE + text)
    published = walk(host, Question(**{"from": "192.168.1.50", "to": "192.168.1.20:8080", "proto": "tcp"}))
    assert published.verdict == "ACCEPT"
    assert [leg.delivered.name for leg in published.legs[:1] if leg.delivered] == ["project-web-1"]
    assert verdict(host, "project-web-1", "project-db-1:5432") == "ACCEPT"
    assert verdict(host, "project-db-1", "8.8.8.8:53") == "ACCEPT"


def test_networks_have_the_subnets_of_their_bridges() -> None:
    host = read(COMPOSE + SHOWN)
    bridges = {name: network.bridge for name, network in host.networks.items()}
    assert bridges["project_default"] == "br-0123456789ab"
    assert "br-0123456789ab" in host.namespace.interfaces
    assert [str(subnet) for subnet in host.networks["project_default"].subnets] == ["172.22.0.0/16"]
    assert verdict(
        read("docker run --name web -p 80:80 nginx" + SHOWN.split("5: br")[0]), "internet", "host:80"
    ) == ("ACCEPT")


def test_a_command_after_docker_run() -> None:
    text = (
        SHOWN.split("3: docker0")[0]
        + "# docker run -d --name web -p 80:80 nginx\n# iptables -I FORWARD -j DROP\n"
    )
    assert verdict(read(text), "192.168.1.50", "192.168.1.20:80") == "DROP"


def test_bridges_of_other_networks_than_those_of_the_settings() -> None:
    """Which of the two bridges is which network's is not known, so dockerd's rules are not known either."""
    two = (
        COMPOSE.replace("  db:\n", "    networks: [a]\n  db:\n    networks: [b]\n")
        + "networks:\n  a:\n  b:\n"
    )
    assert verdict(read(two + SHOWN), "192.168.1.50", "192.168.1.20:8080") == "DEPENDS"


def test_bridges_of_other_programs_have_rules_that_are_not_shown() -> None:
    libvirt = "4: virbr0: <BROADCAST,MULTICAST,UP> mtu 1500\n    inet 192.168.122.1/24 scope global virbr0\n5: br-0123"
    host = read(COMPOSE + SHOWN.replace("5: br-0123", libvirt))
    assert verdict(host, "192.168.122.5", "8.8.8.8:53") == "DEPENDS"


def test_a_comment_that_was_wrapped_at_a_hyphen() -> None:
    text = (
        "*nat\n:POSTROUTING ACCEPT [0:0]\n"
        "-I POSTROUTING -s 10.6.0.0/24 -o eth0 -j MASQUERADE -m comment --comment wireguard\n-nat-rule\nCOMMIT\n"
    )
    (rule,) = read(text).rulesets[4].tables["nat"].chains["POSTROUTING"].rules
    assert rule.target_name == "MASQUERADE"
    assert "wireguard-nat-rule" in rule.specification


def test_a_redirect_on_an_interface_whose_address_is_not_shown() -> None:
    """nf_nat_redirect_ipv4 drops a packet only if the interface has no address."""
    host = read("iptables -t nat -A PREROUTING -i gwi-x -p tcp -j REDIRECT --to-ports 10000")
    question = Question(
        **{"from": "10.0.0.5", "to": "203.0.113.80", "proto": "tcp", "dport": 80, "in": "gwi-x"}
    )
    assert walk(host, question).verdict == "ACCEPT"


GUESTS = (
    "-A FORWARD -i wg0 -j ACCEPT\n-A FORWARD -o wg0 -j ACCEPT\n# iptables -t nat -S\n"
    "-P PREROUTING ACCEPT\n-P INPUT ACCEPT\n-P OUTPUT ACCEPT\n-P POSTROUTING ACCEPT\n"
)
NAT = "-A POSTROUTING -s 10.8.0.0/24 -o eth0 -j MASQUERADE\n"


@pytest.mark.parametrize(
    "interfaces",
    [
        "# ip route\ndefault via x.x.x.1 dev eth0 proto dhcp src x.x.x.x metric 100\n"
        "x.x.x.0/24 dev eth0 proto kernel scope link src x.x.x.x\n"
        "10.8.0.0/24 dev wg0 proto kernel scope link src 10.8.0.1\n",
        "# ip route\ndefault via 51.x.x.1 dev eth0\n10.8.0.0/24 dev wg0 proto kernel scope link src 10.8.0.1\n",
        "# ip a\n2: eth0: <BROADCAST,UP,LOWER_UP> mtu 1500\n    inet 51.xx.xx.20/24 scope global eth0\n"
        "3: wg0: <POINTOPOINT,NOARP,UP> mtu 1420\n    inet 10.8.0.1/24 scope global wg0\n# ip route\n"
        "default via 51.xx.xx.1 dev eth0\n10.8.0.0/24 dev wg0 proto kernel scope link src 10.8.0.1\n",
        "eth0: flags=4163<UP,BROADCAST,RUNNING,MULTICAST>  mtu 1500\n        inet vpsip  netmask 255.255.255.255\n"
        "wg0: flags=209<UP,POINTOPOINT>  mtu 1420\n        inet 10.8.0.1  netmask 255.255.255.0\n",
        "auto eth0\niface eth0 inet static\n    address 110.xx.xx.xx/24\n    gateway 110.xx.xx.1\n"
        "iface wg0 inet static\n    address 10.8.0.1/24\n",
    ],
)
def test_addresses_that_were_replaced(interfaces: str) -> None:
    host = read(interfaces + "# iptables -S\n-P FORWARD DROP\n" + GUESTS + NAT)
    shown = walk(host, Question(**{"from": "10.8.0.2", "to": "8.8.8.8:443", "proto": "tcp", "in": "wg0"}))
    assert shown.verdict == "ACCEPT"
    assert [step.rule.target_name for step in shown.legs[0].all_steps if step.rule] == [
        "ACCEPT",
        "MASQUERADE",
    ]


@pytest.mark.parametrize(
    ("bridge", "parent", "containers"),
    [
        ("br-lan", "br-lan", ["ha"]),
        ("br-lan", "br-lan.7", ["ha"]),
        ("br-lan", "eth7", []),
        ("br0", "eth7", ["ha"]),
    ],
)
def test_a_bridge_of_the_lan(bridge: str, parent: str, containers: list[str]) -> None:
    """No network of containers or guests, whose rules would be missing: the default route or macvlan leads there."""
    gateway = "192.0.2.1 dev br0" if bridge == "br0" else "198.51.100.1 dev ppp0"
    host = read(
        f"2: {bridge}: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP\n"
        "    inet 192.0.2.2/24 brd 192.0.2.255 scope global\n"
        f"$ ip route\ndefault via {gateway}\n192.0.2.0/24 dev {bridge} proto kernel scope link src 192.0.2.2\n\n"
        "$ docker network create -d macvlan --subnet=192.0.2.0/24 --gateway=192.0.2.2 "
        f"-o parent={parent} lan\n$ docker run -d --name ha --network lan --ip=192.0.2.3 alpine\n"
    )
    assert list(host.containers) == containers
    if parent == "br-lan":  # its gateway is the host, which a macvlan interface does not reach (macvlan.c)
        asked = Question(**{"from": "ha", "to": "203.0.113.9", "proto": "icmp"})
        assert walk(host, asked).verdict == "DROP"
