"""Interfaces and addresses in pasted texts, of which only some lines are shown."""

from __future__ import annotations

import pytest

from iptsim.addresses import address_text
from iptsim.host.files import Source
from iptsim.paste.assembly import host_of_source


def addresses(text: str) -> dict[str, list[str]]:
    host = host_of_source(Source("paste", {}, text.encode()))
    return {
        name: [f"{address_text(one.family, one.address)}/{one.prefix_length}" for one in interface.addresses]
        for name, interface in host.namespace.interfaces.items()
    }


def test_addresses_without_their_interface_above() -> None:
    """The label of an address begins with the name of its interface (ip-address(8))."""
    found = addresses(
        "$ ip a | grep inet\n"
        "    inet 127.0.0.1/8 scope host lo\n"
        "    inet6 ::1/128 scope host\n"
        "    inet 203.0.113.20/24 brd 203.0.113.255 scope global dynamic noprefixroute eth0\n"
        "    inet 203.0.113.21/24 scope global secondary eth0:1\n"
        "    inet6 fe80::1/64 scope link\n"
        "    inet 10.8.0.1 peer 10.8.0.2/32 scope global tun0\n"
    )
    assert found == {
        "lo": ["127.0.0.1/8"],
        "eth0": ["203.0.113.20/24", "203.0.113.21/24"],
        "tun0": ["10.8.0.1/32"],
    }


def test_what_only_looks_like_an_address() -> None:
    text = "inet 999.1.1.1/99 scope global eth0\ninet 1.2.3.4/24 scope\n*filter\n:INPUT DROP [0:0]\nCOMMIT\n"
    assert "eth0" in addresses(text)  # the usual guess, with the usual address
    assert addresses(text)["eth0"] == ["192.0.2.10/24"]


def test_an_address_that_the_host_only_asks_for() -> None:
    """A rule of OUTPUT redirects what the host sends to any machine, so its address need not be the host's."""
    rule = "-A OUTPUT -d 198.51.100.9/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.2:80"
    assert addresses(f"iptables -t nat {rule}\n")["eth0"] == ["192.0.2.10/24"]


def test_interfaces_and_routes_that_a_container_printed() -> None:
    """Its address is of a bridge of Docker that the host shows, or the bridge's address is its gateway."""
    inside = (
        "in the container, ifconfig:\neth0      Link encap:Ethernet  HWaddr 02:42:AC:13:00:02\n"
        "          inet addr:172.19.0.2  Bcast:172.19.255.255  Mask:255.255.0.0\n\n"
        "default via 172.19.0.1 dev eth0\n172.19.0.0/16 dev eth0 scope link src 172.19.0.2\n\non the host:\n"
    )
    # in German, and without the line of the flags; without -a, ifconfig lists only interfaces that are up
    host = (
        "br-0123456789ab Link encap:Ethernet  Hardware Adresse 02:42:f1:f7:2a:05\n"
        "          inet Adresse:172.19.0.1  Bcast:172.19.255.255  Maske:255.255.0.0\n"
        "          UP BROADCAST RUNNING MULTICAST  MTU:1500  Metrik:1\n\n"
        "ens3      Link encap:Ethernet  Hardware Adresse 52:54:00:f7:2a:05\n"
        "          inet Adresse:198.51.100.7  Bcast:198.51.100.255  Maske:255.255.255.0\n"
    )
    for text in (inside + host, host + inside):
        found = addresses(text)
        assert (found["br-0123456789ab"], found["ens3"]) == (["172.19.0.1/16"], ["198.51.100.7/24"])
        assert found["eth0"] == ["192.0.2.10/24"]  # the usual guess, as no default route of the host is shown
    shown = host_of_source(Source("paste", {}, host.encode())).namespace.interfaces
    assert (shown["ens3"].up, shown["ens3"].mac) == (True, "52:54:00:f7:2a:05")


def test_a_sender_in_rules_whose_chain_is_not_shown() -> None:
    """In OUTPUT it would be an address of the host, but the rules need not be there."""
    rows = "ACCEPT     tcp  --  192.168.51.24        anywhere             multiport dports http,https\n"
    assert addresses(rows)["eth0"] == ["192.0.2.10/24"]


def test_the_hosts_own_interface_in_the_range_of_a_bridge() -> None:
    """It has another prefix than the bridge, so it is none of a container, but overlaps with it."""
    shown = "{}: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP\n    inet {} scope global {}\n\n"
    text = "my card:\n" + shown.format("2: eth0", "172.17.3.4/24", "eth0")
    text += "and Docker's:\n" + shown.format("3: docker0", "172.17.0.1/16", "docker0")
    assert addresses(text)["eth0"] == ["172.17.3.4/24"]


@pytest.mark.parametrize(
    ("card", "is_own"),
    [
        (
            "2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500",
            True,
        ),  # the network of a company has these addresses
        ("2: eth0@if7: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500", False),
        ("24: eth0: <BROADCAST,UP,LOWER_UP> mtu 1500", False),  # before Linux 4.1, which shows no peer
    ],
)
def test_an_interface_in_the_network_of_a_docker_bridge(card: str, is_own: bool) -> None:
    text = (
        "$ ip addr show docker0\n3: docker0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500\n"
        f"    inet 172.17.0.1/16 scope global docker0\n\n$ ip addr show eth0\n{card}\n"
        "    inet 172.17.34.5/16 scope global eth0\n"
    )
    found = addresses("$ iptables -S\n-P INPUT ACCEPT\n\n" + text)
    assert ("172.17.34.5/16" in found["eth0"]) is is_own


@pytest.mark.parametrize(
    ("mac", "chain", "is_own"),
    [
        ("02:42:ac:15:00:03", "DOCKER-USER", False),
        ("52:54:00:15:00:03", "DOCKER-USER", True),
        ("02:42:ac:15:00:03", "DOCKER_OUTPUT", True),  # the rules are the container's, too
    ],
)
def test_the_mac_address_of_a_container(mac: str, chain: str, is_own: bool) -> None:
    """Docker made it of the IP address until 27 (libnetwork, GenerateMACFromIP); no bridge is shown."""
    text = (
        "In the first one:\n# ip addr show\n7: eth0@if8: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue\n"
        f"    link/ether {mac} brd ff:ff:ff:ff:ff:ff\n    inet 172.21.0.3/16 scope global eth0\n"
    )
    found = addresses(f"{text}\n# iptables -S\n-P INPUT ACCEPT\n-N {chain}\n")
    assert ("172.21.0.3/16" in found["eth0"]) is is_own
