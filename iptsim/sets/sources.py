"""The source address that a kernel picks for its own packets, for all destinations of a region at once.

The choice follows `iptsim/host/source.py`. Within a region, where the routes are the same, it compares the destination
with the kernel's own addresses (IPv6) or with nothing (IPv4); a packet to an IPv4 address of the machine itself has
that address as its source, too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from iptsim.addresses import BITS, Family, is_multicast
from iptsim.extensions.constraints import Allowed, Constraint, Masked, Ranges, Several
from iptsim.host import fib
from iptsim.host.namespace import Namespace, prefix_mask
from iptsim.netfilter.program import Program
from iptsim.packet import Packet
from iptsim.ranges import complement, united
from iptsim.sets.space import Space

#: The routes of these types have packets sent.
_SENT = ("unicast", "local", "broadcast", "multicast", "anycast")
#: The bits of an IPv6 group that tell its scope.
_SCOPE = 0xF << 112


def picked(
    namespace: Namespace, family: Family, destination: int, packet: Packet | None = None
) -> int | None:
    """Return the source address of a packet to a destination; None if there is none, or no route.

    Args:
        packet: the packet whose protocol and ports policy rules compare; None if there are none.
    """
    if packet is None:
        found = fib.lookup(namespace, family, destination)
    else:
        found = fib.lookup(
            namespace, family, destination, proto=packet.proto, sport=packet.sport, dport=packet.dport,
            tos=packet.tos, uid=packet.uid,
        )  # fmt: skip
    if found.type not in _SENT:
        return None
    return fib.source_address(namespace, family, found, destination)


def by_source(
    space: Space,
    namespace: Namespace,
    ranges: Ranges,
    compared: Callable[[], Sequence[int]],
    packet: Packet | None = None,
) -> Iterator[tuple[Any, int | None]]:
    """Divide the destinations of a region by the source address that the kernel picks for them.

    Args:
        space: the space of the sets.
        namespace: the namespace of the kernel.
        ranges: the destinations; no route distinguishes them.
        compared: returns the first addresses of the ranges that rules distinguish, in order.
        packet: one of the packets, see :func:`picked`.

    Yields:
        Packets to some of the destinations, as a function, and their source. If that is the destination itself, one
        source represents all that the rules treat like it.
    """
    family, found = space.family, dict[int | None, Any]()
    for packets, destination in _parts(space, namespace, ranges, compared):
        source = picked(namespace, family, destination, packet)
        found[source] = found[source] | packets if source in found else packets
    for source, packets in found.items():
        yield packets, source


def _parts(
    space: Space, namespace: Namespace, ranges: Ranges, compared: Callable[[], Sequence[int]]
) -> Iterator[tuple[Any, int]]:
    """Yield parts of some destinations for each of which one source is picked, with one destination of each."""
    family, first = space.family, ranges[0][0]
    if family == 6 and is_multicast(6, first) and ranges != ((first, first),):
        whole = space.where("dst", ranges).function
        for scope in range(16):
            group = first & ~_SCOPE | scope << 112
            there = (
                whole & space.where("dst", Masked(0xFF << 120 | scope << 112, 0xFF << 120 | _SCOPE)).function
            )
            if there != space.nothing.function:
                yield there, group
        return
    ordered: Sequence[int] = ()
    if family == 6:
        ordered = sorted(set(_starts_of_prefixes(namespace)))
    elif any(low < high for low, high in ranges) and fib.lookup(namespace, family, first).type == "local":
        ordered = compared()
    for low, high in ranges:
        inside = [low, *ordered[bisect_right(ordered, low) : bisect_right(ordered, high)]]
        for start, after in zip(inside, [*inside[1:], high + 1], strict=True):
            yield space.where("dst", ((start, after - 1),)).function, start


def _starts_of_prefixes(namespace: Namespace) -> Iterator[int]:
    """Yield where ranges begin that have equally many first bits in common with the IPv6 addresses of a kernel."""
    for _, own in namespace.addresses(6):
        for length in range(1, own.prefix_length + 1):
            start = own.address & prefix_mask(6, length)
            yield start
            yield start + (1 << BITS[6] - length)


def compared_addresses(programs: Iterable[Program]) -> list[int]:
    """Return the first addresses of the ranges that conditions of rules distinguish."""
    found: set[int] = set()
    for program in programs:
        family, rules = program.ruleset.family, [one for one in program.ruleset.rules() if not one.refused]
        for network in {end for rule in rules for end in rule.networks}:
            found.update(_starts(Masked(network.address, network.mask), family))
        # the reader makes equal matches one object
        for match in {id(match): match for rule in rules for match in rule.matches}.values():
            for predicate in match.predicates():
                for constraint in _constraints(predicate.constraint):
                    if constraint.field.key.endswith(("src", "dst")):
                        found.update(_starts(constraint.allowed, family))
    return sorted(found)


def _constraints(constraint: Constraint | Several | None) -> Iterator[Constraint]:
    if isinstance(constraint, Several):
        for part in constraint.parts:
            yield from _constraints(part)
    elif constraint is not None:
        yield constraint


def _starts(allowed: Allowed, family: Family) -> Iterator[int]:
    greatest = (1 << BITS[family]) - 1
    if isinstance(allowed, Masked):
        low = allowed.mask & -allowed.mask
        allowed = ((allowed.value, allowed.value + max(low, 1) - 1),) if allowed.mask else ()
    if isinstance(allowed, tuple):
        for first, _ in (*united(allowed), *complement(united(allowed), greatest)):
            yield first
