"""Address translation for all packets of a class at once.

The fields of a packet are tuples of functions, one per bit: constants if a rule has written them, else variables of the
packet as it arrived. The inverse of a translation, and a reply, are just other tuples.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import and_
from typing import Any, NamedTuple

from iptsim.addresses import Family
from iptsim.extensions.constraints import Ranges
from iptsim.extensions.verdicts import Translation
from iptsim.languages import Text, message
from iptsim.partly_known import Mark
from iptsim.protocols import ICMP, ICMP_REPLIES, ICMPV6, PORT_PROTOCOLS
from iptsim.sets.layout import Layout

#: The bits of a field, highest first, each a function.
Bits = tuple[Any, ...]
#: The fields that differ from those on arrival.
Header = Mapping[str, Bits]

#: So many addresses or ports of a range are distinguished; of a larger one, only the first represents all.
MOST_CHOICES = 256


class Ends(NamedTuple):
    """The addresses and ports of one direction of a connection."""

    src: Bits
    sport: Bits
    dst: Bits
    dport: Bits

    def reversed(self) -> Ends:
        """Return the ends of packets in the other direction."""
        return Ends(self.dst, self.dport, self.src, self.sport)


@dataclass(frozen=True, slots=True)
class Tracked:
    """A connection of conntrack, for all packets of a part of a class.

    Attributes:
        original: the addresses and ports of the first packet, before any translation.
        reply: those of the replies on the wire.
        status: which of "SNAT" and "DNAT" apply.
        mark: the connection's mark.
    """

    original: Ends
    reply: Ends
    mark: Bits
    status: frozenset[str] = field(default=frozenset())


class Fields:
    """Reads and makes the bits of fields in one layout."""

    def __init__(self, layout: Layout, decide: Callable[[Hashable, Text], Any]) -> None:
        self.layout, self.decide = layout, decide
        self.true, self.false = layout.engine.true, layout.engine.false
        #: packets of protocols with ports
        protocols = tuple((proto, proto) for proto in sorted(PORT_PROTOCOLS))
        self.ported = layout.ranges(layout.places["proto"], protocols)
        self._own: dict[str, Bits] = {}
        self._constants: dict[tuple[str, int], Bits] = {}
        self._among: dict[tuple[str, Ranges], Any] = {}
        self._equal: dict[tuple[Bits, Bits], Any] = {}
        self._random_ports: set[Bits] = set()

    def own(self, key: str) -> Bits:
        """Return the variables of a field: its value on arrival."""
        found = self._own.get(key)
        if found is None:
            variables = self.layout.places[key].variables
            found = self._own[key] = tuple(map(self.layout.variable, variables))
        return found

    def constant(self, key: str, value: int) -> Bits:
        """Return the bits of a number."""
        found = self._constants.get((key, value))
        if found is None:
            count = self.layout.places[key].bits
            found = tuple(self.true if value >> bit & 1 else self.false for bit in reversed(range(count)))
            self._constants[key, value] = found
        return found

    def mark(self, key: str, mark: Mark) -> Bits:
        """Return the bits of a mark; new ones if it is unknown."""
        return self.constant(key, mark) if isinstance(mark, int) else self.fresh(key, key, mark.reason.reason)

    def of(self, header: Header, key: str) -> Bits:
        """Return the bits of a field."""
        return header.get(key) or self.own(key)

    def ends(self, header: Header) -> Ends:
        """Return the addresses and ports of a packet."""
        return Ends(*(self.of(header, key) for key in Ends._fields))

    def by_protocol(self, key: str, values: Mapping[int, int], other: int) -> Bits:
        """Return the bits of a value that depends on the protocol.

        Args:
            key: the field.
            values: the value by protocol.
            other: the value for all other protocols.
        """
        found = self.constant(key, other)
        for proto, value in values.items():
            here = self.within("proto", self.own("proto"), proto, proto)
            new = self.constant(key, value)
            found = tuple(
                old if old == one else (here & one) | (~here & old)
                for old, one in zip(found, new, strict=True)
            )
        return found

    def number(self, bits: Bits) -> int | None:
        """Return the number that bits represent; None if it is not the same for all packets."""
        value = 0
        for bit in bits:
            if bit == self.true:
                value = value << 1 | 1
            elif bit == self.false:
                value <<= 1
            else:
                return None
        return value

    def shifted(self, bits: Bits, number: int) -> Bits:
        """Return the bits of a number plus another one, modulo their range."""
        found, carry = [], self.false
        for place, bit in enumerate(reversed(bits)):
            if number >> place & 1:
                found.append(~(bit ^ carry))
                carry = bit | carry
            else:
                found.append(bit ^ carry)
                carry = bit & carry
        return tuple(reversed(found))

    def equal(self, one: Bits, other: Bits) -> Any:
        """Return the function that is true where two values are equal."""
        found = self._equal.get((one, other))
        if found is None:
            each = (~(a ^ b) for a, b in zip(reversed(one), reversed(other), strict=True))
            found = self._equal[one, other] = reduce(and_, each, self.true)
        return found

    def port_of_flow(self, bits: Bits) -> Bits:
        """Return the bits of a port in a flow of conntrack: 0 if the protocol has no ports."""
        return tuple(bit & self.ported for bit in bits)

    def within(self, key: str, bits: Bits, first: int, last: int) -> Any:
        """Return the function that is true where a value is in a range."""
        return self.among(key, bits, ((first, last),))

    def among(self, key: str, bits: Bits, ranges: Ranges) -> Any:
        """Return the function that is true where a value is in one of some ranges."""
        inside = self._among.get((key, ranges))
        if inside is None:
            inside = self._among[key, ranges] = self.layout.ranges(self.layout.places[key], ranges)
        return inside if bits == self.own(key) else self.replaced(inside, {key: bits})

    def replaced(self, function: Any, header: Header) -> Any:
        """Convert a function of the current packet into one of the packet as it arrived."""
        return self.replacing(header)(function)

    def replacing(self, header: Header) -> Callable[[Any], Any]:
        """Return the operation of :meth:`replaced` for one header."""
        changed = {}
        for key, bits in header.items():
            for number, bit in zip(self.layout.places[key].variables, bits, strict=True):
                changed[number] = bit
        return self.layout.engine.substitution(changed)

    def fresh(self, key: str, name: Hashable, why: Text) -> Bits:
        """Return new bits whose values are unknown."""
        return tuple(self.decide((name, bit), why) for bit in range(self.layout.places[key].bits))

    def random_port(self, key: str, choice: Hashable) -> Bits:
        """Return the bits of a port that the kernel picks at random.

        Args:
            key: the field.
            choice: identifies the kernel's choice.
        """
        found = self.fresh(key, ("port", choice), message("a port that is picked at random"))
        self._random_ports.add(found)
        return found

    def is_random_port(self, bits: Bits) -> bool:
        """Return whether these are the bits of a port that the kernel picks at random."""
        return bits in self._random_ports


class Rewritten(NamedTuple):
    """The result of a translation for some packets.

    Attributes:
        packets: the packets among them.
        ends: their new addresses and ports.
        address: the address that was picked; None if it is the host's own, or kept.
        at_random: whether the port is random.
    """

    packets: Any
    ends: Ends
    address: int | None = None
    at_random: bool = False


def translations(
    fields: Fields, wanted: Translation, packets: Any, ends: Ends, own: int | None, key: Hashable
) -> Iterator[Rewritten]:
    """Yield the results of a translation for packets (set_up in `iptsim/netfilter/nat.py`).

    Args:
        fields: the fields of the space.
        wanted: the translation.
        packets: the packets.
        ends: their current addresses and ports.
        own: the host's own address that MASQUERADE and REDIRECT use.
        key: identifies the kernel's random choice.
    """
    side = wanted.side
    address, port = (ends.dst, ends.dport) if side == "dst" else (ends.src, ends.sport)
    for chosen, new_address, picked in _addresses(fields, wanted, packets, address, port, own, key):
        for inside, new_port, at_random in _ports(fields, wanted, chosen, port, key):
            if inside == fields.false:
                continue
            if side == "dst":
                made = ends._replace(dst=new_address, dport=new_port)
            else:
                made = ends._replace(src=new_address, sport=new_port)
            yield Rewritten(inside, made, picked, at_random)


def _addresses(
    fields: Fields,
    wanted: Translation,
    packets: Any,
    address: Bits,
    port: Bits,
    own: int | None,
    key: Hashable,
) -> Iterator[tuple[Any, Bits, int | None]]:
    side = wanted.side
    addresses = wanted.addresses if own is None else (own, own)
    if addresses is None:
        yield packets, address, None
        return
    first, last = addresses
    if wanted.netmap is not None:
        made = fields.constant(side, first & wanted.netmap)
        mask = fields.constant(side, wanted.netmap)
        yield (
            packets,
            tuple(
                new if kept == fields.true else old
                for new, old, kept in zip(made, address, mask, strict=True)
            ),
            None,
        )
        return
    if first == last:
        yield packets, fields.constant(side, first), first
        return
    if side == "src" and not wanted.random:
        # a source in the range keeps itself (get_unique_tuple)
        fits = packets & fields.within("src", address, first, last)
        if wanted.ports is not None:
            fits &= fields.within("sport", port, *wanted.ports)
        if fits != fields.false:
            yield fits, address, None
            packets &= ~fits
    for number in range(first, min(last, first + MOST_CHOICES - 1) + 1):
        if number == last:
            taken = packets
        else:
            why = message("which address of the range the kernel picks by its hash")
            taken = packets & fields.decide(("address", key, number), why)
        if taken != fields.false:
            yield taken, fields.constant(side, number), number
        packets &= ~taken


def _ports(
    fields: Fields, wanted: Translation, packets: Any, port: Bits, key: Hashable
) -> Iterator[tuple[Any, Bits, bool]]:
    """Yield the ports that a translation gives packets, and whether they are any (`iptsim/netfilter/nat.py`)."""
    if wanted.ports is None and not wanted.random:
        yield packets, port, False
        return
    yield packets & ~fields.ported, port, False
    packets &= fields.ported
    name = "dport" if wanted.side == "dst" else "sport"
    if wanted.ports is None:
        yield packets, fields.random_port(name, key), True
        return
    low, high = wanted.ports
    if wanted.base_port is not None:
        yield from (
            (inside, shifted, False) for inside, shifted in _shifted(fields, wanted, packets, port, name)
        )
    elif low == high:
        yield packets, fields.constant(name, low), False
    elif wanted.random:
        yield packets, fields.random_port(name, key), True
    else:
        kept = packets & fields.within(name, port, low, high)
        yield kept, port, False
        others = packets & ~kept
        if name == "dport":
            yield others, fields.constant(name, low), False
        else:
            yield others, fields.random_port(name, key), True


def _shifted(
    fields: Fields, wanted: Translation, packets: Any, port: Bits, name: str
) -> Iterator[tuple[Any, Bits]]:
    """Yield the ports of a shifted range: as far from its first port as the packet's own is from the base."""
    assert wanted.ports is not None
    assert wanted.base_port is not None
    low, high = wanted.ports
    count = high - low + 1
    for offset in range(1 << 16):
        if packets == fields.false:
            return
        own = wanted.base_port + offset & 0xFFFF
        here = packets & fields.within(name, port, own, own)
        if here != fields.false:
            yield here, fields.constant(name, low + offset % count)
            packets &= ~here


def with_ends(fields: Fields, header: Header, ends: Ends) -> Header:
    """Return a header with other addresses and ports."""
    changed = dict(header)
    for key, bits in zip(Ends._fields, ends, strict=True):
        if bits == fields.own(key):
            changed.pop(key, None)
        else:
            changed[key] = bits
    return changed


def renewed(tracked: Tracked, side: str, ends: Ends) -> Tracked:
    """Return a connection after its first packet was translated on one side."""
    kind = "DNAT" if side == "dst" else "SNAT"
    return replace(tracked, reply=ends.reversed(), status=tracked.status | {kind})


def icmp_replies(
    bits: Fields, family: Family, packets: Any, header: Header
) -> Iterator[tuple[Any, Bits | None]]:
    """Divide packets by the type of the ICMP message that replies to them; None for other protocols."""
    proto = ICMP if family == 4 else ICMPV6
    icmp = packets & bits.within("proto", bits.of(header, "proto"), proto, proto)
    yield packets & ~icmp, None
    own = bits.of(header, "icmp_type")
    for request, answer in ICMP_REPLIES[proto].items():
        inside = icmp & bits.within("icmp_type", own, request << 8, request << 8 | 0xFF)
        if inside != bits.false:
            yield inside, (*bits.constant("icmp_type", answer << 8)[:8], *own[8:])
