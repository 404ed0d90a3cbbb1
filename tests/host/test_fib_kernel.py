"""Routing decisions against `ip route get` of the kernel, in namespaces of their own."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

import pytest

from iptsim.addresses import Family, address_text, parse_address
from iptsim.host.connected_routes import connected_routes
from iptsim.host.fib import RouteResult, lookup, source_address
from iptsim.host.namespace import Namespace, Route
from tests.host.laboratory import NEEDS_KERNEL, run

pytestmark = NEEDS_KERNEL

SCENARIOS = {
    "plain": "",
    "prefixes": """
ip route add 10.1.64.0/18 via 192.0.2.1
ip route add 10.1.65.0/24 via 198.51.100.1
ip route add 10.1.65.7/32 dev lan
ip route add 203.0.113.0/24 via 198.51.100.1 metric 20
ip route add 203.0.113.0/24 via 192.0.2.1 metric 10
ip route add 198.18.0.0/15 via 198.51.100.1 src 10.1.0.1
ip -6 route add 2001:db8:9::/48 via 2001:db8:51::1 metric 20
ip -6 route add 2001:db8:9::/48 via 2001:db8:2::1 metric 10
ip -6 route add 2001:db8:9:1::/64 via 2001:db8:51::1
ip -6 route add 2001:db8:9:2::/64 via 2001:db8:51::1 src fd00:1::1
""",
    "refusals": """
ip route add unreachable 10.2.0.0/16
ip route add prohibit 10.3.0.0/16
ip route add blackhole 10.4.0.0/16
ip route add 10.4.1.0/24 via 192.0.2.1
ip route add throw 10.5.0.0/16
ip -6 route add unreachable fd00:2::/64
ip -6 route add prohibit fd00:3::/64
ip -6 route add blackhole fd00:4::/64
""",
    "local in main's way": """
ip route add local 10.5.0.0/16 dev lo
ip route add 10.5.1.0/24 via 192.0.2.1
ip -6 route add local fd00:5::/64 dev lo
ip -6 route add fd00:5::1:0/112 via 2001:db8:2::1
""",
    "local first, with rules": """
ip route add local 10.5.0.0/16 dev lo
ip route add 10.5.1.0/24 via 192.0.2.1
ip rule add pref 1000 fwmark 0x77 table 77
""",
    "marks": """
ip rule add pref 100 fwmark 0x1/0xf table 100
ip rule add pref 101 fwmark 0x20/0xf0 to 203.0.113.0/24 table 101
ip rule add pref 102 not fwmark 0x3 from 10.1.0.0/16 table 102
ip rule add pref 103 fwmark 0x40 unreachable
ip rule add pref 104 fwmark 0x50 prohibit
ip rule add pref 105 fwmark 0x60 blackhole
ip rule add pref 106 fwmark 0x80 goto 32767
ip route add default via 198.51.100.1 table 100
ip route add throw 10.6.0.0/16 table 100
ip route add 203.0.113.0/25 via 198.51.100.1 table 101
ip route add 203.0.113.128/25 via 198.51.100.2 table 102
ip route add 198.18.0.0/15 via 198.51.100.3 table 102
ip -6 rule add pref 100 fwmark 0x1/0xf table 100
ip -6 rule add pref 103 fwmark 0x40 unreachable
ip -6 rule add pref 104 fwmark 0x50 prohibit
ip -6 route add default via 2001:db8:51::1 table 100
""",
    "suppress": """
ip rule add pref 10 table main suppress_prefixlength 0
ip rule add pref 20 not fwmark 0xca6c table 51820
ip route add default via 198.51.100.1 table 51820
ip route add unreachable 10.2.0.0/16
ip -6 rule add pref 10 table main suppress_prefixlength 0
ip -6 rule add pref 20 not fwmark 0xca6c table 51820
ip -6 route add default via 2001:db8:51::1 table 51820
""",
    "interfaces and ports": """
ip rule add pref 10 iif lan table 10
ip rule add pref 11 iif lo table 11
ip rule add pref 12 oif eth1 table 12
ip rule add pref 13 ipproto tcp dport 80-90 table 12
ip rule add pref 14 ipproto udp sport 53 table 12
ip rule add pref 15 tos 0x10 table 12
ip route add default via 198.51.100.1 table 10
ip route add 203.0.113.0/24 via 198.51.100.2 table 11
ip route add default via 198.51.100.3 table 12
ip -6 rule add pref 10 iif lan table 10
ip -6 route add default via 2001:db8:51::1 table 10
""",
    "tos": """
ip route add 203.0.113.0/24 via 198.51.100.1 tos 0x10
ip route add 203.0.113.0/24 via 198.51.100.2 metric 5
ip route add 203.0.113.64/26 via 198.51.100.3 tos 0x08
""",
    "down links": """
ip link set plan down
ip link add dummy0 type veth peer name pdummy0
ip link set dummy0 up
ip addr add 10.7.0.1/24 dev dummy0
ip link add off0 type veth peer name poff0
ip addr add 10.8.0.1/24 dev off0
sysctl -qw net.ipv4.conf.dummy0.ignore_routes_with_linkdown=1
""",
    "all ignore down links": """
ip link set plan down
sysctl -qw net.ipv4.conf.all.ignore_routes_with_linkdown=1
""",
    "more sources": """
ip addr add 10.20.0.1/24 scope link dev lan
ip addr add 10.21.0.1/32 dev lo
ip addr add 10.22.0.1/24 scope host dev eth1
ip route add 10.23.0.0/16 dev eth1
ip route add 10.24.0.0/16 via 10.1.9.9
ip link add n0 type veth peer name pn0; ip link set n0 up; ip link set pn0 up
ip route add 10.25.0.0/16 dev n0
ip route add 10.26.0.0/16 via inet6 fe80::1 dev eth1
ip -6 addr add 2001:db8:2::11/64 dev eth0 preferred_lft 0
ip -6 addr add fd00:1:0:7::1/64 dev lan
ip -6 addr add 2002:a01:1::1/48 dev lan
ip -6 route add 2002::/16 via 2001:db8:51::1
ip -6 route add fc00::/7 via 2001:db8:51::1
""",
    "from": """
ip -6 route add 2001:db8:9::/48 from fd00:1::/64 via 2001:db8:51::1
ip -6 route add 2001:db8:9::/48 via 2001:db8:2::2
ip -6 route add 2001:db8:9:9::/64 from 2001:db8:51::/64 via 2001:db8:51::2
""",
}
DESTINATIONS = [
    "192.0.2.10", "192.0.2.11", "192.0.2.1", "192.0.2.255", "198.51.100.10", "198.51.100.127",
    "198.51.100.130", "10.1.0.1", "10.1.2.3", "10.1.64.1", "10.1.65.1", "10.1.65.7", "10.1.255.255",
    "10.9.0.1", "10.9.0.2", "203.0.113.9", "203.0.113.70", "203.0.113.200", "198.18.1.1", "198.19.1.1",
    "10.2.3.4", "10.3.3.4", "10.4.3.4", "10.4.1.4", "10.5.3.4", "10.5.1.4", "10.6.1.1", "10.7.0.1",
    "10.7.0.9", "10.7.0.255", "10.8.0.1", "10.8.0.9", "127.0.0.1", "127.1.2.3", "8.8.8.8", "10.20.0.9",
    "10.21.0.1", "10.22.0.9", "10.23.1.1", "10.24.1.1", "10.25.1.1", "10.26.1.1", "224.0.0.251",
    "255.255.255.255", "2001:db8:2::10", "2001:db8:2::1", "2001:db8:2::", "2001:db8:51::10",
    "2001:db8:51::7", "fd00:1::1", "fd00:1::9", "fd00:1:0:7::1", "fd00:1:0:7::2", "2001:db8:9::1",
    "2001:db8:9:1::1", "2001:db8:9:2::1", "2001:db8:9:9::1", "fd00:2::1", "fd00:3::1", "fd00:4::1",
    "fd00:5::1", "fd00:5::1:2", "2002:505::1", "fc00::9", "::1", "2001:4860:4860::8888",
]  # fmt: skip
FAMILIES: tuple[Family, Family] = (4, 6)
#: Destinations that an arriving packet may not have, or only when a socket joined the group.
OUTPUT_ONLY = {"127.0.0.1", "127.1.2.3", "224.0.0.251", "::1"}
SOURCES = {
    4: ["192.0.2.10", "10.1.0.1", "198.51.100.10"],
    6: ["2001:db8:2::10", "2001:db8:51::10", "fd00:1::1"],
}
NEIGHBOURS = {
    "eth0": {4: "192.0.2.77", 6: "2001:db8:2::77"},
    "eth1": {4: "198.51.100.77", 6: "2001:db8:51::77"},
    "lan": {4: "10.1.77.77", 6: "fd00:1::77"},
}


@dataclass(frozen=True)
class Query:
    """One question to `ip route get`."""

    family: Family
    destination: str
    source: str | None = None
    iif: str | None = None
    oif: str | None = None
    mark: int = 0
    tos: int = 0
    proto: str | None = None
    sport: int | None = None
    dport: int | None = None

    def command(self) -> str:
        words = ["ip", "-j", f"-{self.family}", "route", "get", self.destination]
        for name, value in (
            ("from", self.source),
            ("iif", self.iif),
            ("oif", self.oif),
            ("ipproto", self.proto),
        ):
            words += [name, value] if value else []
        for name, number in (("mark", self.mark), ("sport", self.sport), ("dport", self.dport)):
            words += [name, str(number)] if number else []
        words += ["tos", hex(self.tos)] if self.tos else []
        return " ".join(words)

    def ask(self, namespace: Namespace) -> RouteResult:
        family, destination = parse_address(self.destination)
        return lookup(
            namespace,
            family,
            destination,
            source=parse_address(self.source)[1] if self.source else None,
            iif=self.iif,
            oif=self.oif,
            mark=self.mark,
            tos=self.tos,
            proto={"tcp": 6, "udp": 17, None: None}[self.proto],
            sport=self.sport,
            dport=self.dport,
        )


def queries(seed: int) -> list[Query]:
    """Return every destination plainly, from each side, and in random combinations."""
    draw = random.Random(seed)
    made: list[Query] = []
    for destination in DESTINATIONS:
        family = parse_address(destination)[0]
        made.append(Query(family, destination))
        made.append(Query(family, destination, source=draw.choice(SOURCES[family])))
        if destination in OUTPUT_ONLY:
            continue
        for side, neighbours in NEIGHBOURS.items():
            made.append(Query(family, destination, source=neighbours[family], iif=side))
        for _ in range(8):
            inside = draw.random() < 0.5
            iif = draw.choice(list(NEIGHBOURS)) if inside else None
            proto = draw.choice([None, "tcp", "udp"])
            made.append(
                Query(
                    family,
                    destination,
                    source=NEIGHBOURS[iif][family] if iif else draw.choice([None, *SOURCES[family]]),
                    iif=iif,
                    oif=None if iif else draw.choice([None, None, "eth1"]),
                    mark=draw.choice([0, 0, 1, 3, 0x11, 0x21, 0x22, 0x40, 0x50, 0x60, 0x80, 0xCA6C]),
                    tos=draw.choice([0, 0, 0x10, 0x08, 0x12]) if family == 4 else 0,
                    proto=proto,
                    sport=draw.choice([None, 53]) if proto else None,
                    dport=draw.choice([None, 80, 91]) if proto else None,
                )
            )
    return made


#: What iproute2 prints when the kernel refuses, by the error of the decision.
REFUSED = {
    "ENETUNREACH": "Network is unreachable", "EHOSTUNREACH": "No route to host",
    "EACCES": "Permission denied", "EINVAL": "Invalid argument",
}  # fmt: skip


def check(query: Query, answer: str, namespace: Namespace) -> str | None:
    """Return how our decision differs from the kernel's answer, None if it does not."""
    ours = query.ask(namespace)
    if answer.startswith("[{"):
        theirs = json.loads(answer)[0]
        kind = theirs.get("type", "unicast")
        if kind != (ours.type if ours.error is None or query.family == 6 else "error"):
            return f"type {kind}"
        if ours.error:
            return None
        if theirs.get("dev") != ours.device:
            return f"device {theirs.get('dev')}"
        gateway = theirs.get("gateway") or theirs.get("via", {}).get("host")
        mine: str | None = (
            address_text(ours.gateway_family or 4, ours.gateway) if ours.gateway is not None else None
        )
        if gateway != mine:
            return f"gateway {gateway}"
        if query.source is None and "prefsrc" in theirs:
            picked = source_address(namespace, query.family, ours, parse_address(query.destination)[1])
            if picked is None or address_text(query.family, picked) != theirs["prefsrc"]:
                return f"source {theirs['prefsrc']}, not {picked and address_text(query.family, picked)}"
        return None
    if ours.error is None:
        return answer
    if query.iif is not None and query.family == 4:
        return None  # the error of an arriving packet is only sent by ICMP
    return None if REFUSED[ours.error] in answer else answer


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_lookup_agrees_with_the_kernel(scenario: str) -> None:
    asked = queries(seed=len(scenario))
    namespace, answers = run(SCENARIOS[scenario], [f"{query.command()} 2>&1" for query in asked])
    different = [
        f"{query.command()}: {problem}; we say {query.ask(namespace)[:3]}"
        for query, answer in zip(asked, answers, strict=True)
        if (problem := check(query, answer, namespace))
    ]
    assert not different, f"{len(different)} of {len(asked)}:\n" + "\n".join(different[:20])


@pytest.mark.parametrize("scenario", ["plain", "more sources"])
def test_routes_that_addresses_bring(scenario: str) -> None:
    namespace, _ = run(SCENARIOS[scenario], [])
    theirs = {place(route) for route in namespace.routes if route.protocol == "kernel"}
    ours = {place(route) for family in FAMILIES for route in connected_routes(namespace, family)}
    assert ours == theirs


def place(route: Route) -> tuple[object, ...]:
    """Return what makes a route of the kernel's own: IPv4 anycast and scopes aside."""
    return (
        route.family,
        address_text(route.family, route.destination),
        route.prefix_length,
        route.type,
        route.device,
        route.table,
        route.source and address_text(route.family, route.source),
        route.metric,
        "linkdown" in route.flags,
    )
