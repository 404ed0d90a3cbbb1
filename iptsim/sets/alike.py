"""Which packets of a class the kernel treats like the leading one, where it checks more than their addresses."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from iptsim.netfilter import conntrack
from iptsim.packet import ICMP, ICMP_REPLIES, ICMPV6, NO_ZONE, SYN, TCP, Packet
from iptsim.sets.parts import Leader, Part
from iptsim.sets.reception import OTHER
from iptsim.sets.translating import Fields


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


def of_protocol(bits: Fields, packet: Leader, number: int) -> Any:
    """Return the packets of a protocol if the leading packet has it; otherwise those of all others."""
    found = bits.false
    for part in packet.parts:
        own = bits.within("proto", bits.of(part.header, "proto"), number, number)
        found |= part.packets & (own if packet.proto == number else ~own)
    return found


def of_same_first_state(bits: Fields, packet: Leader, *, tcp_loose: bool) -> Any:
    """Return the packets without a known connection to which conntrack gives the same state as to the leading one."""

    def state(judged: Packet) -> str:
        return conntrack.first_state(judged, zone=NO_ZONE, tcp_loose=tcp_loose).state

    icmp, same, leading = ICMP if packet.family == 4 else ICMPV6, bits.false, state(packet)
    for part in packet.parts:
        left = part.packets
        for proto in (TCP, icmp, OTHER):
            here = left
            if proto != OTHER:
                here = left & bits.within("proto", bits.of(part.header, "proto"), proto, proto)
            left &= ~here
            if state(_judged(bits, packet, part, proto)) == leading:
                same |= here
    return same


def _judged(bits: Fields, packet: Leader, part: Part, proto: int) -> Packet:
    """Return a packet like those of a part, with a protocol: one that opens a connection, if it is not a reply."""
    header = part.header
    flags = bits.number(header["tcp_flags"]) if "tcp_flags" in header else SYN
    kind = min(ICMP_REPLIES[proto]) if proto in ICMP_REPLIES else packet.icmp_type
    if proto in ICMP_REPLIES and "icmp_type" in header:
        kind = bits.number(header["icmp_type"][:8])
    return replace(packet, proto=proto, tcp_flags=flags or 0, icmp_type=kind)


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
