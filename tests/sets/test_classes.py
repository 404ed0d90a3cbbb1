"""Address classes, and sources behind interfaces: by hand, and as fffuu's README publishes them for its DMZ."""

from __future__ import annotations

import pytest

from iptsim.address_sets import AddressSet
from iptsim.errors import UsageError
from iptsim.host.address_regions import sources_behind
from iptsim.host.namespace import Namespace, Route
from iptsim.sets.chains import Chains
from iptsim.sets.classes import address_classes
from iptsim.sets.space import Space
from tests.sets.test_chains import program

#: The example of a DMZ in fffuu's README (Iptables_Semantics, haskell_tool/README.md), whose matrix it prints.
DMZ = (
    "-A FORWARD -j DOS_PROTECT",
    "-A FORWARD -j GOOD~STUFF",
    "-A FORWARD -p tcp -m multiport ! --dports 80,443,6667,6697 -m hashlimit --hashlimit-above 10/sec "
    "--hashlimit-burst 20 --hashlimit-mode srcip --hashlimit-name aflood --hashlimit-srcmask 8 -j LOG",
    "-A FORWARD ! -i lo -s 127.0.0.0/8 -j DROP",
    "-A FORWARD -i inteneral -s 131.159.21.0/24 -j ACCEPT",
    "-A FORWARD -s 131.159.15.240/28 -d 131.159.21.0/24 -j DROP",
    "-A FORWARD -p tcp -d 131.159.15.240/28 -j ACCEPT",
    "-A FORWARD -i dmz -p tcp -s 131.159.15.240/28 -j ACCEPT",
    "-A GOOD~STUFF -i lo -j ACCEPT",
    "-A GOOD~STUFF -m state --state ESTABLISHED -j ACCEPT",
    "-A GOOD~STUFF -p icmp -m state --state RELATED -j ACCEPT",
    "-A DOS_PROTECT -i eth1 -p icmp -m icmp --icmp-type 8 -m limit --limit 1/sec -j RETURN",
    "-A DOS_PROTECT -i eth1 -p icmp -m icmp --icmp-type 8 -j DROP",
)


def test_the_service_matrix_of_a_dmz(space: Space) -> None:
    found = address_classes(Chains(space, program(*DMZ, policy="DROP")), "filter", "FORWARD", dport=22)
    assert found.as_json() == {
        "schema": "iptsim.classes/1",
        "classes": [
            ["131.159.15.240/28"],
            ["131.159.21.0/24"],
            ["127.0.0.0/8"],
            [
                "0.0.0.0-126.255.255.255", "128.0.0.0-131.159.15.239", "131.159.16.0-131.159.20.255",
                "131.159.22.0-255.255.255.255",
            ],
        ],
        # in the README's letters a b c d: (b,b) (b,c) (b,d), (a,*), (c,*), (d,b)
        "edges": [[0, 0], [0, 2], [0, 3], [1, 0], [1, 1], [1, 2], [1, 3], [2, 0], [2, 1], [2, 2], [2, 3], [3, 0]],
    }  # fmt: skip


def test_what_is_undecided_is_accepted_or_denied(space: Space) -> None:
    chains = Chains(space, program("-A FORWARD -m limit --limit 1/sec -j ACCEPT", policy="DROP"))
    assert address_classes(chains, "filter", "FORWARD", dport=22).edges == ((0, 0),)
    assert address_classes(chains, "filter", "FORWARD", dport=22, unknown="deny").edges == ()


def test_an_ethernet_address_is_undecided(space: Space) -> None:
    chains = Chains(
        space,
        program(
            "-A FORWARD -s 10.0.0.1/32 -m mac --mac-source 02:00:00:00:00:01 -j ACCEPT",
            "-A FORWARD -s 10.0.0.2/32 -j ACCEPT",
            policy="DROP",
        ),
    )
    accepted = address_classes(chains, "filter", "FORWARD", dport=22)
    assert list(accepted.classes[0].texts()) == ["10.0.0.1-10.0.0.2"]
    denied = address_classes(chains, "filter", "FORWARD", dport=22, unknown="deny")
    assert list(denied.classes[0].texts()) == ["10.0.0.2"]


def test_only_loopback_sources_come_by_lo(space: Space) -> None:
    chains = Chains(space, program("-A INPUT -i lo -j ACCEPT", policy="DROP"))
    found = address_classes(chains, "filter", "INPUT", dport=80)
    assert list(found.classes[0].texts()) == ["127.0.0.0/8"]
    assert found.edges == ((0, 0), (0, 1))


def test_ipv6() -> None:
    chains = Chains(
        Space(6), program("-A FORWARD -s 2001:db8::/32 -p tcp -m tcp --dport 22 -j ACCEPT", policy="DROP")
    )
    found = address_classes(chains, "filter", "FORWARD", dport=22)
    assert list(found.classes[0].texts()) == ["2001:db8::/32"]
    assert found.edges == ((0, 0), (0, 1))


def test_an_unknown_chain(space: Space) -> None:
    with pytest.raises(UsageError, match="table filter has no chain FORWARDS"):
        address_classes(Chains(space, program("-A FORWARD -j DROP")), "filter", "FORWARDS")


def test_sources_behind_an_interface_are_those_its_routes_lead_to() -> None:
    def route(destination: int, length: int, device: str) -> Route:
        return Route(family=4, destination=destination, prefix_length=length, device=device)

    namespace = Namespace(
        routes=[route(0, 0, "eth0"), route(10 << 24, 8, "eth1"), route((10 << 24) + (1 << 16), 16, "eth0")]
    )
    behind = sources_behind(namespace, 4)
    assert behind["eth1"] == AddressSet.read(4, "10.0.0.0/8") - AddressSet.read(4, "10.1.0.0/16")
    assert behind["eth0"] == ~behind["eth1"]
