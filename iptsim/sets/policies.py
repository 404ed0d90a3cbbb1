"""Policy rules (`ip rule`) for all packets of a class: which packets they treat alike.

What they compare besides addresses: the mark, the protocol and the ports (`iptsim/host/routing_policy.py`). The TOS and
the owner are the same for all packets of a class, and prefixes of addresses are regions of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import and_
from typing import Any

from iptsim.host.namespace import RoutingRule
from iptsim.packet import Packet
from iptsim.sets.parts import Leader
from iptsim.sets.translating import Bits, Fields, Header


def treated_alike(bits: Fields, packet: Leader, rules: Sequence[RoutingRule]) -> Any:
    """Return the packets to which each condition of policy rules applies as to the leading packet."""
    same = bits.false
    for part in packet.parts:
        inside = part.packets
        mark = part.header.get("mark") or bits.mark("mark", packet.mark)
        for fits, holds in _conditions(bits, part.header, mark, packet, rules):
            inside &= fits if holds else ~fits
        same |= inside
    return same


def divided(bits: Fields, packets: Any, rules: Iterable[RoutingRule]) -> Iterator[Any]:
    """Divide the packets that a program sends, without a mark, by what policy rules compare."""
    parts = [packets]
    for key, first, last in _numbers(rules):
        fits = _within(bits, {}, key, first, last)
        halves = (half for part in parts for half in (part & fits, part & ~fits))
        parts = [half for half in halves if half != bits.false]
    yield from parts


def picked_bits(bits: Fields, packets: Any, value: Bits) -> tuple[int, Any]:
    """Return one of the values that some packets have in a field, and the packets that have it."""
    number = 0
    for bit in value:
        there = packets & bit
        is_set = there != bits.false
        number = number << 1 | is_set
        packets = there if is_set else packets
    return number, packets


def _conditions(
    bits: Fields, header: Header, mark: Bits, packet: Packet, rules: Sequence[RoutingRule]
) -> Iterator[tuple[Any, bool]]:
    """Yield the conditions of policy rules on packets, each with whether it holds for the leading packet."""
    for value, mask in {(rule.fwmark, rule.fwmask) for rule in rules if rule.fwmark is not None}:
        wanted = (
            bit if value >> place & 1 else ~bit
            for place, bit in enumerate(reversed(mark))
            if mask >> place & 1
        )
        yield reduce(and_, wanted, bits.true), not (value ^ packet.mark) & mask
    numbers = _numbers(rules)
    for key, first, last in numbers:
        number = getattr(packet, key)
        yield _within(bits, header, key, first, last), number is not None and first <= number <= last
    # which conditions hold for a random port is decided by the walk of the leading packet
    for key in {key for key, *_ in numbers if key != "proto"}:
        at_random = bits.ported if bits.is_random_port(bits.of(header, key)) else bits.false
        yield at_random, packet.has_random(key)


def _numbers(rules: Iterable[RoutingRule]) -> list[tuple[str, int, int]]:
    """Return the ranges of protocols and ports that policy rules compare."""
    found: dict[tuple[str, int, int], None] = {}
    for rule in rules:
        if rule.ipproto is not None:
            found["proto", rule.ipproto, rule.ipproto] = None
        # rp_filter looks up the reply, whose ports are exchanged
        for span in (rule.sport, rule.dport):
            if span is not None:
                found |= dict.fromkeys((key, *span) for key in ("sport", "dport"))
    return list(found)


def _within(bits: Fields, header: Header, key: str, first: int, last: int) -> Any:
    """Return the packets whose protocol or port is in a range; neither no port nor a random one is."""
    value = bits.of(header, key)
    if bits.is_random_port(value):
        return bits.false
    inside = bits.within(key, value, first, last)
    return inside if key == "proto" else inside & bits.ported
