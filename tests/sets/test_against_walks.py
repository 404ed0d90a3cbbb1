"""What `diff` and `check` say about sets of packets, against the walks of single ones on many hosts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import pytest

from iptsim.addresses import Family, address_text
from iptsim.alternatives import change_host
from iptsim.asking import ask
from iptsim.diff.comparing import Comparison, compare
from iptsim.errors import UsageError
from iptsim.host import load_host
from iptsim.host.model import Host
from iptsim.netfilter.trace import Trace
from iptsim.policy.checking import check
from iptsim.policy.reader import parse_policy
from iptsim.protocols import ICMP, ICMPV6, PORT_PROTOCOLS, SYN, TCP, UDP
from iptsim.question.endpoints import KEYWORDS
from iptsim.question.header import DEFAULT_SPORT
from iptsim.question.model import Question
from tests.test_captures import FIXTURES
from tests.thoroughness import every_nth

#: Changes, as for `--whatif`.
CHANGES = [
    ("icc", "false"), ("engine", "20.10"), ("engine", "26"), ("engine", "28"), ("userland-proxy", "false"),
    ("iptables", "false"), ("ip-masq", "false"), ("bridge-nf", "0"), ("sysctl", "net.ipv4.ip_forward=0"),
    ("policy", "INPUT=DROP"), ("insert", "FORWARD -i eth0 -p tcp -m multiport --dports 80,443 -j DROP"),
    ("insert", "-t nat PREROUTING -p tcp -m tcp --dport 9000 -j DNAT --to-destination 172.17.0.2:80"),
    ("insert", "-t mangle PREROUTING -s 172.17.0.2/32 -p udp -j DROP"),
]  # fmt: skip
CHANGED = [
    "docker-20.10/published", "docker-26.1/published", "docker-28.5/icc-on", "docker-28.5/published",
    "docker-28.5/two-networks", "docker-28.5/host-firewall", "docker-28.5/nft-drops-forward",
]  # fmt: skip
#: A capture, and what it is compared with: a change, or another capture, such as that of another Docker generation.
PAIRS: list[tuple[str, str | tuple[str, str]]] = [
    *((capture, change) for capture in CHANGED for change in CHANGES),
    *(
        (f"{old}/{name}", f"{new}/{name}")
        for old, new, name in (
            ("docker-20.10", "docker-28.5", "published"), ("docker-20.10", "docker-28.5", "two-networks"),
            ("docker-20.10", "docker-28.5", "icc-off-link"), ("docker-28.5", "docker-20.10", "host-firewall"),
            ("docker-26.1", "docker-28.5", "published"), ("docker-28.5", "docker-26.1", "icc-off"),
        )
    ),
    ("docker-28.5/icc-on", "docker-28.5/icc-off"), ("docker-28.5/published", "docker-28.5/published-no-proxy"),
    ("docker-28.5/published", "docker-28.5/no-masquerade"), ("docker-28.5/icc-on", "docker-28.5/bridge-nf-off"),
    ("docker-28.5/ipv6", "docker-26.1/ipv6"), ("docker-28.5/ipv6", ("icc", "false")),
    ("docker-28.5/ipv6", ("engine", "20.10")), ("docker-28.5/ipv6", ("policy", "INPUT=DROP")),
    ("hosts/ufw", "hosts/fail2ban"), ("docker-29.7/nftables", "docker-29.7/nftables-icc-off"),
]  # fmt: skip
CHECKED = [
    "docker-28.5/host-firewall", "docker-20.10/published", "docker-28.5/listening", "docker-28.5/two-networks",
    "docker-28.5/icc-off", "docker-28.5/published-no-proxy", "docker-29.7/ports", "hosts/ufw-docker-28.5",
    "docker-26.1/ipv6", "docker-28.5/ipv6", "hosts/fail2ban", "hosts/libvirt", "hosts/firewalld",
    "hosts/podman-netavark", "hosts/kube",
]  # fmt: skip
#: Packets that are sent on each host.
PACKETS = 100
#: Ports that hosts of the captures publish, that their rules name, or where their programs listen.
PORTS = [22, 53, 80, 81, 443, 2222, 5353, 8080, 8443, 9000, 9090, 30080]
#: Addresses outside the hosts, for either end.
OUTSIDE: dict[Family, list[str]] = {
    4: ["198.51.100.7", "203.0.113.99", "192.0.2.1", "168.95.1.1", "10.9.8.7"],
    6: ["2001:db8:ffff::7", "2001:db8:2::1", "2a00:1450::1"],
}
#: Protocol and type.
PINGS = {4: (ICMP, 8), 6: (ICMPV6, 128)}
MULTICAST = {4: "224.0.0.5", 6: "ff0e::5"}


def family_of(capture: str) -> Family:
    return 6 if capture.endswith("/ipv6") else 4


@cache
def host_of(capture: str) -> Host:
    return load_host(FIXTURES / capture)


def packets(family: Family, *hosts: Host) -> Iterator[dict[str, Any]]:
    """Yield lines of packets, mostly between addresses and ports that the hosts know."""
    chance = random.Random(20261201)
    containers = [one for one in hosts[0].containers.values() if one.address(family) is not None]
    names = [one.name for one in containers if one.running]
    known = [one.address for host in hosts for _, one in host.namespace.addresses(family)]
    known += [number for host in hosts for one in host.containers.values() for number in one.own_addresses(4)]
    addresses = [*OUTSIDE[family], MULTICAST[family], *(address_text(family, one) for one in known)]
    for _ in range(PACKETS):
        line: dict[str, Any] = {"dst": chance.choice(addresses)}
        sender = chance.choice(["host", "", "", *names])
        line |= {"from": sender} if sender else {"src": chance.choice(OUTSIDE[family])}
        line["proto"] = chance.choice([TCP, TCP, UDP, PINGS[family][0], 47])
        if line["proto"] in PORT_PROTOCOLS:
            line["dport"] = chance.choice([*PORTS, chance.randrange(1, 1 << 16)])
            line["sport"] = chance.choice([DEFAULT_SPORT, chance.randrange(1, 1 << 16)])
        yield line


class Sent:
    """A packet that was sent on a host.

    Attributes:
        trace: what happened to it.
        header: it, as sets know it.
    """

    def __init__(self, host: Host, line: dict[str, Any]) -> None:
        self.trace: Trace = ask(host, Question(**line)).trace
        packet = self.trace.legs[0].packet
        self.sender = line.get("from", "")
        self.header: dict[str, Any] = {"src": packet.src, "dst": packet.dst, "proto": packet.proto}
        if packet.proto in PORT_PROTOCOLS:
            self.header |= {"sport": packet.sport, "dport": packet.dport}
        if packet.proto == TCP:
            self.header["tcp_flags"] = SYN
        if (packet.proto, packet.icmp_type) in PINGS.values():
            self.header["icmp_type"] = (packet.icmp_type or 0) << 8

    @property
    def way(self) -> tuple[Any, ...]:
        """What is the same where two hosts treat a packet alike: verdict, place of arrival, translation."""
        delivered = self.trace.legs[0].delivered
        if delivered is None:
            return (self.trace.verdict,)
        name = "" if delivered.kind == "outside" else delivered.name
        place = self.trace.verdict, delivered.kind, name, delivered.interface
        packet = delivered.packet
        ends = packet.src, packet.dst, packet.sport, packet.dport
        return (*place, *ends) if self.trace.verdict == "ACCEPT" else place


def differs(comparison: Comparison, family: Family, sent: Sent) -> bool:
    """Return whether the comparison says that a packet is treated differently."""
    return any(
        one.packets.having(sent.header)
        for one in comparison.differences
        if one.family == family and one.state == "new" and of_sender(one.before.sender, sent)
    )


def of_sender(name: str | None, sent: Sent) -> bool:
    return name == sent.sender if sent.sender else name in (None, "internet")


@pytest.mark.parametrize("pair", every_nth(PAIRS, 45), ids=str)
def test_packets_that_differ_are_those_that_walk_differently(
    pair: tuple[str, str | tuple[str, str]],
) -> None:
    before, family = host_of(pair[0]), family_of(pair[0])
    after = host_of(pair[1]) if isinstance(pair[1], str) else change_host(before, [pair[1]], family)
    comparison = compare(before, after)
    assert not comparison.left_out
    wrong, compared = [], 0
    for line in packets(family, before, after):
        try:
            first, second = Sent(before, line), Sent(after, line)
        except UsageError:
            continue
        ways = first.way, second.way
        if "DEPENDS" in (ways[0][0], ways[1][0]) or first.header != second.header:
            continue
        compared += 1
        if differs(comparison, family, first) != (ways[0] != ways[1]):
            wrong.append((line, *ways))
    assert wrong == []
    assert compared > PACKETS // 10


#: Expectations that are checked on each host.
EXPECTATIONS = 60


def holds(trace: Trace, expect: str) -> bool:
    """Return whether a packet is treated as expected (docs/howto/audit.md)."""
    refused = trace.verdict == "ACCEPT" and trace.listening is False
    if expect == "open":
        return trace.verdict == "ACCEPT" and not refused
    if expect == "closed":
        return refused or trace.verdict in ("DROP", "REJECT")
    return trace.verdict == expect.upper()


@pytest.mark.parametrize("capture", every_nth(CHECKED, 8))
def test_packets_that_violate_a_policy_are_those_that_walk_otherwise(capture: str) -> None:
    host, family, chance = host_of(capture), family_of(capture), random.Random(20261201)
    sent = []
    for line in packets(family, host):
        with suppress(UsageError):
            sent.append((line, Sent(host, line)))
    about = chance.sample(sent, min(EXPECTATIONS, len(sent)))
    entries = [expectation(line, one, chance) for line, one in about]
    results = check(parse_policy(json.dumps({"expectations": entries})), host)
    wrong = []
    for (line, one), entry, result in zip(about, entries, results, strict=True):
        if one.trace.verdict == "DEPENDS":
            continue
        violates = any(
            offence.packets.having(one.header) for offence in result.offences if offence.family == family
        )
        if violates == holds(one.trace, entry["expect"]):
            wrong.append((line, entry, one.trace.verdict, one.trace.listening, violates))
    assert wrong == []


def expectation(line: dict[str, Any], sent: Sent, chance: random.Random) -> dict[str, Any]:
    """Return an expectation about a packet, as a policy writes it: by where it is sent, or where it is delivered."""
    expect = chance.choice(["open", "closed", "accept", "drop", "reject"])
    to, port, delivered = line["dst"], line.get("dport"), sent.trace.legs[0].delivered
    # one address of several suffices for what must be open; a container may be called like a word of policies
    if delivered is not None and delivered.kind == "container" and expect in ("closed", "drop", "reject"):
        to = (
            delivered.name
            if delivered.name not in KEYWORDS
            else address_text(delivered.packet.family, delivered.packet.dst)
        )
        port = delivered.packet.dport
    service = {TCP: f"{port}/tcp", UDP: f"{port}/udp", ICMP: "8/icmp", ICMPV6: "128/icmpv6"}
    ports = service.get(line["proto"], f"{line['proto']}/ip")
    return {"from": sent.sender or line["src"], "to": to, "ports": ports, "expect": expect}
