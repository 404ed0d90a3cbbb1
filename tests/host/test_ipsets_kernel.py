"""Membership in ipsets against `ipset test` and `-m set` of the kernel."""

from __future__ import annotations

import random
import shutil
import subprocess
from dataclasses import dataclass

import pytest

from iptsim.addresses import Family, parse_address
from iptsim.extensions.context import Context
from iptsim.host.ipsets import contains, read_ipsets
from iptsim.packet import Packet
from iptsim.protocols import ICMP, ICMPV6, TCP, UDP
from tests.host.laboratory import NEEDS_KERNEL, counters, run, send

pytestmark = [*NEEDS_KERNEL, pytest.mark.skipif(not shutil.which("ipset"), reason="needs ipset(8)")]


class _Nowhere:
    """Surroundings that no set asks."""


def context(packet: Packet, **fields: str) -> Context:
    return Context(packet, "PREROUTING", "raw", _Nowhere(), **fields)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Kind:
    """A type of set, how its elements are drawn, and which parts they have."""

    create: str
    parts: tuple[str, ...]
    family: Family = 4


KINDS = [
    Kind("bitmap:ip range 10.0.0.0/16", ("ip",)),
    Kind("bitmap:ip range 10.0.0.0/16 netmask 24", ("ip",)),
    Kind("bitmap:ip,mac range 10.0.0.0/16", ("ip", "mac")),
    Kind("bitmap:port range 0-1000", ("port",)),
    Kind("hash:ip", ("ip",)),
    Kind("hash:ip netmask 24", ("ip",)),
    Kind("hash:ip family inet6", ("ip",), 6),
    Kind("hash:ip family inet6 netmask 112", ("ip",), 6),
    Kind("hash:net", ("net",)),
    Kind("hash:net family inet6", ("net",), 6),
    Kind("hash:ip,port", ("ip", "port")),
    Kind("hash:ip,port family inet6", ("ip", "port"), 6),
    Kind("hash:net,port", ("net", "port")),
    Kind("hash:ip,port,ip", ("ip", "port", "ip")),
    Kind("hash:ip,port,net", ("ip", "port", "net")),
    Kind("hash:net,iface", ("net", "iface")),
    Kind("hash:ip timeout 600 counters comment", ("ip",)),
]
PORTS = {4: ["tcp:80", "tcp:81", "udp:80", "icmp:8/0", "icmp:3/1", "gre:0", "sctp:80"],
         6: ["tcp:80", "udp:80", "icmpv6:128/0", "icmpv6:1/4"]}  # fmt: skip
MACS = ["02:00:00:00:00:01", "02:00:00:00:00:02"]


def element(kind: Kind, draw: random.Random, *, entry: bool) -> str:
    """Draw an element to add (`entry`: with prefixes) or to test."""
    made = []
    for part in kind.parts:
        low, high = draw.choice([0, 1, 2]), draw.choice([1, 2, 129])
        address = f"10.0.{low}.{high}" if kind.family == 4 else f"2001:db8::{low}:{high}"
        if part == "net" and entry:
            address += f"/{draw.choice([8, 16, 22, 23, 24, 25, 32] if kind.family == 4 else [32, 64, 111, 112, 128])}"
        made.append(
            {
                "ip": address,
                "net": address,
                "mac": draw.choice(MACS),
                "iface": draw.choice(["eth0", "eth1"]),
                "port": str(draw.choice([80, 81, 443]))
                if kind.parts == ("port",)
                else draw.choice(PORTS[kind.family]),
            }[part]
        )
    return ",".join(made)


def packet_of(kind: Kind, text: str) -> Context:
    """Make the packet that has an element's values as its sources."""
    packet = Packet(kind.family, 0, 0, UDP, sport=1, dport=2)
    fields: dict[str, str] = {"in_interface": "eth9"}
    addresses = []
    for part, value in zip(kind.parts, text.split(","), strict=True):
        if part in ("ip", "net"):
            addresses.append(parse_address(value)[1])
        elif part == "mac":
            packet.src_mac = value
        elif part == "iface":
            fields["in_interface"] = value
        else:
            name, _, rest = value.rpartition(":")
            packet.proto = {
                "tcp": TCP,
                "": TCP,
                "udp": UDP,
                "icmp": ICMP,
                "icmpv6": ICMPV6,
                "gre": 47,
                "sctp": 132,
            }[name]
            if "/" in rest:
                packet.icmp_type, packet.icmp_code = map(int, rest.split("/"))
            else:
                packet.sport = int(rest)
    packet.src = addresses[0] if addresses else 0
    packet.dst = addresses[-1] if addresses else 0
    return context(packet, **fields)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.create)
def test_membership(kind: Kind) -> None:
    draw = random.Random(kind.create)
    script = [f"ipset create s {kind.create}"]
    for _ in range(12):
        nomatch = " nomatch" if "net" in kind.parts and draw.random() < 0.3 else ""
        script.append(f"ipset -exist add s {element(kind, draw, entry=True)}{nomatch}")
    tested = [element(kind, draw, entry=False) for _ in range(60)]
    script += ["ipset save", "echo @@"]
    script += [f"ipset -q test s {text}; echo $?" for text in tested]
    done = subprocess.run(
        ["unshare", "-n", "sh"],
        input="\n".join(script),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    saved, _, answers = done.stdout.partition("@@\n")
    sets = read_ipsets(saved)
    directions = (
        ("src",) * (len(kind.parts) - 1) + ("dst",) if len(kind.parts) == 3 else ("src",) * len(kind.parts)
    )
    assert "0\n" in answers
    for text, answer in zip(tested, answers.split(), strict=True):
        ours = contains(sets, "s", directions, packet_of(kind, text), {})
        assert ours is (answer == "0"), f"{text} in {sets['s'].entries}"


#: Sets, and the options of `-m set`, for the packets below.
SETS = """
create ip hash:ip
add ip 192.0.2.77
create six hash:ip family inet6
add six 2001:db8:2::77
create net hash:net
add net 10.0.0.0/8
add net 10.2.0.0/16 nomatch
add net 10.2.2.0/24
create ipport hash:ip,port
add ipport 192.0.2.77,udp:1
add ipport 10.2.1.1,udp:2
add ipport 10.1.1.1,2
create ports bitmap:port range 0-100
add ports 2
create iface hash:net,iface
add iface 192.0.2.0/24,eth0
add iface 10.2.0.0/16,eth1
add iface 10.1.0.0/16,eth wildcard
create mac bitmap:ip,mac range 192.0.2.0/24
add mac 192.0.2.77,02:00:00:00:00:01
add mac 192.0.2.78
add mac 192.0.2.79,02:00:00:00:00:99
create masked hash:ip netmask 16
add masked 10.2.0.0
create netport hash:net,port
add netport 10.2.0.0/16,udp:2
add netport 10.2.1.0/24,udp:2 nomatch
create listed list:set
add listed six
add listed ports
add listed net
create lists list:set
add lists six
add lists ip
"""
ASKED = [
    "ip src", "ip dst", "ip src,src", "net dst", "net src", "net dst --return-nomatch", "ipport src,src",
    "ipport dst,dst", "ipport src,dst", "ipport src", "ports src", "ports dst", "ports dst,src", "iface src,src",
    "iface dst,src", "iface src,dst", "mac src,src", "mac src,dst", "masked dst", "netport dst,dst",
    "netport dst,dst --return-nomatch", "listed dst", "listed src", "listed dst,dst", "lists src", "lists dst",
    "ip dst --return-nomatch",
]  # fmt: skip
PAIRS = [
    ("192.0.2.77", "10.2.1.1"), ("192.0.2.78", "10.1.1.1"), ("192.0.2.79", "10.2.2.2"), ("192.0.2.80", "8.8.8.8"),
]  # fmt: skip


def test_directions_and_options() -> None:
    setup = [f"ipset restore <<'EOF'{SETS}EOF", "iptables-restore <<'EOF'", "*raw", ":PREROUTING ACCEPT"]
    for number, asked in enumerate(ASKED):
        for source, destination in PAIRS:
            setup.append(
                f"-A PREROUTING -s {source} -d {destination} -i eth0 -m set --match-set {asked} "
                f"-m comment --comment {number}/{source}"
            )
    setup += ["COMMIT", "EOF"]
    _, (_, saved_rules, saved) = run(
        "\n".join(setup), [send("eth0", PAIRS), "iptables-save -c -t raw", "ipset save"]
    )
    counted, sets = counters(saved_rules), read_ipsets(saved)
    assert len(counted) == len(ASKED) * len(PAIRS)
    for number, asked in enumerate(ASKED):
        name, directions, *rest = asked.split()
        for source, destination in PAIRS:
            packet = Packet(4, parse_address(source)[1], parse_address(destination)[1], UDP, sport=1, dport=2)
            packet.src_mac, packet.dst_mac = "02:00:00:00:00:01", "02:00:00:00:00:55"
            ours = contains(
                sets,
                name,
                tuple(directions.split(",")),
                context(packet, in_interface="eth0"),
                {"return_nomatch": bool(rest)},
            )
            theirs = bool(counted[f"{number}/{source}"])
            assert ours is theirs, f"{asked}: {source} -> {destination}: {theirs}"
