"""Translations that differ only in the new address and port, done at once, such as those to the pods of a cluster.

Each bit of the new address is a function of the packet. Only who reads the new address divides the packets by it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import or_
from typing import Any, Literal, NamedTuple

from iptsim.sets.overlaps import Overlaps, any_of
from iptsim.sets.translating import Bits, Ends, Fields, Rewritten

#: The fields of a service.
_TELLING = frozenset({"dst", "proto", "dport"})
#: A function of the packets as they enter the chain, converted into one of the packets as they arrived.
Now = Callable[[Any], Any]


class Choice(NamedTuple):
    """One of the translations.

    Attributes:
        packets: the packets to which it happens, as they enter the chain: a function.
        address / port: the new ones; no port if it is kept.
    """

    packets: Any
    address: int
    port: int | None


class Pool:
    """Translations of one side that differ only in the new address and port, each for other packets.

    Args:
        bits: the fields of the space.
        side: the side that they change.
        choices: the translations.
    """

    def __init__(self, bits: Fields, side: Literal["src", "dst"], choices: Sequence[Choice]) -> None:
        self.bits, self.side, self.choices = bits, side, tuple(choices)
        self.port_key = "dport" if side == "dst" else "sport"

    @cached_property
    def overlaps(self) -> Overlaps[Choice]:
        """Finds the translations of some packets."""
        return Overlaps(self.bits.false, [(one.packets, one) for one in self.choices])

    @cached_property
    def packets(self) -> Any:
        """All packets that are translated."""
        return any_of(self.bits.false, (one.packets for one in self.choices))

    @cached_property
    def _made(self) -> Bits:
        """The bits of the new address and port, as functions of the packets that are translated.

        For other packets they do not matter. So they depend only on what tells the translations apart, which makes them
        much smaller: in a cluster, on the address of the service and on what chooses the endpoint.
        """
        layout, level = self.bits.layout, list[_Made]()
        for telling in ({self.side}, _TELLING, layout.header):
            level = list(self._by(telling))
            if self._are_apart([one.packets for one in level]):
                break
        while len(level) > 1:
            level = [
                level[at].joined(level[at + 1]) if at + 1 < len(level) else level[at]
                for at in range(0, len(level), 2)
            ]
        return level[0].bits(self.bits, sum(layout.places[key].bits for key in (self.side, self.port_key)))

    def _by(self, telling: Collection[str]) -> Iterator[_Made]:
        """Yield what each translation makes of all packets that agree with its own in some fields and in decisions."""
        layout = self.bits.layout
        width, exists = layout.places[self.port_key].bits, layout.engine.exists
        others = layout.cube(
            key for key, place in layout.places.items() if place.why is None and key not in telling
        )
        for one in self.choices:
            yield _Made(exists(one.packets, others), one.address << width | (one.port or 0), {})

    def _are_apart(self, functions: list[Any]) -> bool:
        """Return whether no packet is in two of some sets."""
        meets = self.bits.layout.engine.meets
        while len(functions) > 1:
            pairs = [functions[at : at + 2] for at in range(0, len(functions), 2)]
            if any(len(pair) > 1 and meets(*pair) for pair in pairs):
                return False
            functions = [reduce(or_, pair) for pair in pairs]
        return True

    def ends(self, before: Ends, now: Now) -> Ends:
        """Return the new addresses and ports of packets."""
        made = tuple(bit if bit in (self.bits.true, self.bits.false) else now(bit) for bit in self._made)
        width = self.bits.layout.places[self.side].bits
        found = before._replace(**{self.side: made[:width]})
        if self.choices[0].port is not None:
            found = found._replace(**{self.port_key: made[width:]})
        return found

    @cached_property
    def kept_address(self) -> Any:
        """The packets that have the new address already."""
        return self._having(self.side)

    @cached_property
    def kept_port(self) -> Any:
        """The packets that have the new port already."""
        return self._having(self.port_key)

    @cached_property
    def to_itself(self) -> Any:
        """The packets whose new address is that of their other end."""
        return self._having("src" if self.side == "dst" else "dst")

    def _having(self, key: str) -> Any:
        """Return the packets whose field has the new value."""
        bits, found = self.bits, []
        numbers = [one.port if key == self.port_key else one.address for one in self.choices]
        place, spans = bits.layout.places[key], {(one, one) for one in numbers if one is not None}
        if self.packets & bits.layout.ranges(place, tuple(spans)) == bits.false:
            # as in a cluster, whose services have other addresses than its pods
            return bits.false
        for one, number in zip(self.choices, numbers, strict=True):
            if number is not None:
                found.append(one.packets & bits.within(key, bits.own(key), number, number))
        return any_of(bits.false, (inside for inside in found if inside != bits.false))


def pooled(pool: Pool, packets: Any, before: Ends, now: Now) -> Iterator[tuple[Rewritten, bool]]:
    """Yield what a pool makes of packets, by what it changes of them, and whether they go to their own source."""
    bits = pool.bits
    made = pool.ends(before, now)
    ported = [packets]
    if pool.choices[0].port is not None:
        ported = [packets & bits.ported]
        others = packets & ~bits.ported
        if others != bits.false:
            yield from _by_change(
                pool, others, before, made._replace(**{pool.port_key: getattr(before, pool.port_key)}), now
            )
    for inside in ported:
        yield from _by_change(pool, inside, before, made, now)


def _by_change(
    pool: Pool, packets: Any, before: Ends, made: Ends, now: Now
) -> Iterator[tuple[Rewritten, bool]]:
    """Divide packets by what changes of them: what fits already stays (nf_nat_setup_info)."""
    nothing = pool.bits.false
    kept = now(pool.kept_address) & packets
    for here, has_address in ((packets & ~kept, False), (kept, True)):
        if here == nothing:
            continue
        ends = made._replace(**{pool.side: getattr(before, pool.side)}) if has_address else made
        fits = nothing
        if getattr(ends, pool.port_key) != getattr(before, pool.port_key):
            fits = now(pool.kept_port) & here
        for inside, has_port in ((here & ~fits, False), (fits, True)):
            if has_port:
                ends = ends._replace(**{pool.port_key: getattr(before, pool.port_key)})
            itself = nothing if has_address else now(pool.to_itself) & inside
            for part, to_itself in ((inside & ~itself, False), (itself, True)):
                if part != nothing:
                    yield Rewritten(part, ends), to_itself


@dataclass(frozen=True, slots=True)
class Pooled:
    """How a part of a class was translated by a pool.

    Attributes:
        pool: the pool.
        now: converts its functions into those of the packets as they arrived.
        ends: the addresses and ports that it made.
    """

    pool: Pool
    now: Now
    ends: Ends


class _Made(NamedTuple):
    """What some translations make.

    Attributes:
        packets: the packets to which they happen.
        number: the new address and port as one number, the same for all packets but for the bits in `other`.
        other: the bits that are not the same for all, by their weight: where each is set.
    """

    packets: Any
    number: int
    other: dict[int, Any]

    def joined(self, more: _Made) -> _Made:
        """Return what these translations and others make; they happen to other packets."""
        differ = self.number ^ more.number
        weights = {*self.other, *more.other}
        while differ:
            weights.add(differ & -differ)
            differ &= differ - 1
        bits = {weight: self._set(weight, more) for weight in weights}
        return _Made(self.packets | more.packets, self.number, bits)

    def _set(self, weight: int, more: _Made) -> Any:
        """Return the packets for which a bit is set, after these translations or others."""
        own, others = self._where(weight), more._where(weight)
        if own is None or others is None:
            return others if own is None else own
        return own | others

    def _where(self, weight: int) -> Any | None:
        """Return the packets for which a bit is set; None for no packets."""
        return self.other.get(weight, self.packets if self.number & weight else None)

    def bits(self, fields: Fields, count: int) -> Bits:
        """Return the bits, the highest first."""
        weights = (1 << place for place in reversed(range(count)))
        constants = fields.false, fields.true
        return tuple(self.other.get(weight, constants[self.number & weight != 0]) for weight in weights)
