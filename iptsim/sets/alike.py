"""Which packets of a class the kernel treats like the leading one, where it checks more than their addresses."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache, reduce
from operator import or_
from typing import Any

from iptsim.addresses import Family
from iptsim.connection import NO_ZONE
from iptsim.extensions.constraints import Ranges
from iptsim.netfilter import conntrack
from iptsim.packet import Packet
from iptsim.protocols import ICMP, ICMPV6, SYN, TCP
from iptsim.ranges import united
from iptsim.sets.parts import Leader, Part
from iptsim.sets.reception import OTHER
from iptsim.sets.translating import Fields

#: The bits of a mark that name a zone.
_ZONE_BITS = 16


def of_same_service(bits: Fields, packet: Leader, services: Collection[tuple[int, int]]) -> Any:
    """Return the packets that go to the same one of the services as the leading packet, or also to none of them."""
    same = bits.false
    for part in packet.parts:
        proto, port = bits.of(part.header, "proto"), bits.of(part.header, "dport")
        left = part.packets
        for number, one in sorted(services):
            here = left & bits.within("proto", proto, number, number) & bits.within("dport", port, one, one)
            left &= ~here
            if (number, one) == (packet.proto, packet.dport):
                same |= here
        if (packet.proto, packet.dport) not in services:
            for number in {number for number, _ in services}:
                own = bits.within("proto", proto, number, number)
                left &= own if number == packet.proto else ~own
            same |= left
    return same


def of_same_destination(bits: Fields, packet: Leader, there: Any) -> Any:
    """Return the packets that now go to some destinations, given as a set of packets."""
    same = bits.false
    for part in packet.parts:
        new = part.header.get("dst")
        same |= part.packets & (there if new is None else bits.replaced(there, {"dst": new}))
    return same


def of_protocol(bits: Fields, packet: Leader, number: int) -> Any:
    """Return the packets of a protocol if the leading packet has it; otherwise those of all others."""
    found = bits.false
    for part in packet.parts:
        own = bits.within("proto", bits.of(part.header, "proto"), number, number)
        found |= part.packets & (own if packet.proto == number else ~own)
    return found


def of_same_zone(bits: Fields, packet: Leader) -> Any:
    """Return the packets whose mark names the same zone of conntrack as that of the leading packet."""
    same, unknown = bits.false, bits.mark("mark", packet.mark)
    for part in packet.parts:
        mark = part.header.get("mark") or unknown
        wanted = bits.constant("mark", packet.mark) if isinstance(packet.mark, int) else unknown
        same |= part.packets & bits.equal(mark[-_ZONE_BITS:], wanted[-_ZONE_BITS:])
    return same


def of_same_first_state(bits: Fields, packet: Leader, *, tcp_loose: bool) -> Any:
    """Return the packets without a known connection to which conntrack gives the same state as to the leading one."""
    leading = conntrack.first_state(packet, zone=NO_ZONE, tcp_loose=tcp_loose).state
    icmp, same = ICMP if packet.family == 4 else ICMPV6, bits.false
    alike = _icmp_by_state(packet.family).get(leading, ())
    for part in packet.parts:
        header, left = part.header, part.packets
        for proto in (TCP, icmp, OTHER):
            here = left
            if proto != OTHER:
                here = left & bits.within("proto", bits.of(header, "proto"), proto, proto)
            left &= ~here
            if proto == icmp:
                own = bits.of(header, "icmp_type")
                same |= here & bits.among("icmp_type", own, alike)
                continue
            flags = bits.number(header["tcp_flags"]) if "tcp_flags" in header else SYN
            if _first_state(packet.family, proto, flags or 0, packet.fragment, tcp_loose) == leading:
                same |= here
    return same


@cache
def _first_state(family: Family, proto: int, tcp_flags: int, fragment: str | None, tcp_loose: bool) -> str:
    """Return the state of a packet of TCP, or of a protocol that conntrack does not know, without a connection."""
    packet = Packet(family, 0, 0, proto, tcp_flags=tcp_flags, fragment=fragment)
    return conntrack.first_state(packet, zone=NO_ZONE, tcp_loose=tcp_loose).state


@cache
def _icmp_by_state(family: Family) -> dict[str, Ranges]:
    """Return the types of ICMP, with all codes, by the state of a first packet."""
    icmp = ICMP if family == 4 else ICMPV6
    found: dict[str, list[tuple[int, int]]] = {}
    for kind in range(256):
        packet = Packet(family, 0, 0, icmp, icmp_type=kind)
        state = conntrack.first_state(packet, zone=NO_ZONE, tcp_loose=False).state
        found.setdefault(state, []).append((kind << 8, kind << 8 | 0xFF))
    return {state: united(kinds) for state, kinds in found.items()}


def of_receptions(bits: Fields, part: Part, receptions: Iterable[tuple[int, Ranges]]) -> Any:
    """Return the packets of a part with one of some protocols and ports; those of :data:`OTHER` come last."""
    proto_bits, port_bits = bits.of(part.header, "proto"), bits.of(part.header, "dport")
    found, left = bits.false, part.packets
    for proto, spans in receptions:
        inside = left
        if proto != OTHER:
            inside = left & bits.within("proto", proto_bits, proto, proto)
            left &= ~inside
        found |= inside & bits.among("dport", port_bits, spans)
    return found


def of_port(bits: Fields, packet: Leader, proto: int, port: int) -> Any:
    """Return the packets of a protocol that now go to a port."""
    there = [(proto, ((port, port),))]
    return reduce(or_, (of_receptions(bits, part, there) for part in packet.parts), bits.false)


def recognised(bits: Fields, request: Leader, reply: Leader) -> Any:
    """Return the packets whose sender recognises the reply to them."""
    same = bits.false
    for sent in request.parts:
        asked = bits.ends(sent.header)
        for part in reply.parts:
            got = bits.ends(part.header)
            fits = bits.equal(got.src, asked.dst) & bits.equal(got.dst, asked.src)
            fits &= bits.equal(got.sport, asked.dport) | ~bits.ported
            same |= sent.packets & part.packets & fits
    return same
