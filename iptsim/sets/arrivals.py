"""What nat and docker-proxy make of the packets of classes, computed only when needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from iptsim.addresses import address_text
from iptsim.sets.landscape import Landscape
from iptsim.sets.packets import PacketSet, TooManyNodesError
from iptsim.sets.parts import Part, kept_keys
from iptsim.sets.senders import Class

#: Packets, each with the fields that were changed: {"dst": "172.17.0.2", "dport": "80"}.
Translations = tuple[tuple[PacketSet, Mapping[str, str]], ...]
#: The fields that were changed, with their new values.
Made = tuple[tuple[str, str], ...]
#: Classes, each with some of its packets, without what is undecided about them.
_Group = Iterable[tuple[Class, PacketSet]]


class Arrivals:
    """Finds out with which fields packets arrive.

    All of its methods raise TooManyNodesError if the sets grow beyond what is allowed.
    """

    def __init__(self, land: Landscape) -> None:
        self._land, self._layout, self._nothing = land, land.space.layout, land.space.nothing

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        try:
            yield
        except (MemoryError, TooManyNodesError):
            raise self._land.too_many() from None

    def are_forwarded(self, group: _Group, *, proxied: bool) -> bool:
        """Return whether nat sends some packets to another address; or, if `proxied`, docker-proxy takes some."""
        with self._bounded():
            return any(
                own.meets(PacketSet(self._layout, part.packets))
                for one, own in group
                for part in one.parts
                if "dst" in part.header or (proxied and one.proxied is not None)
            )

    def translated(self, group: _Group) -> Translations:
        """Return packets by what nat makes of them; untranslated ones come last."""
        found: dict[Made, PacketSet] = {}
        with self._bounded():
            for one, own in group:
                for function, made in self._made_of(one, self._land.bits.true):
                    packets = own & PacketSet(self._layout, function).may
                    found[made] = found.get(made, self._nothing) | packets
                if not one.parts:
                    found[()] = found.get((), self._nothing) | own
        ordered = sorted(found, key=lambda made: not made)
        return tuple((found[made], dict(made)) for made in ordered if found[made])

    def names(self, group: _Group) -> tuple[Mapping[str, str], ...]:
        """Return what nat makes of packets, without the packets, which is faster."""
        found: dict[Made, bool] = {}
        with self._bounded():
            for one, own in group:
                for function, made in self._made_of(one, own.function):
                    if made and not found.get(made):
                        found[made] = function != self._nothing.function
        return tuple(dict(made) for made, occurs in found.items() if occurs)

    def are_several(self, group: _Group) -> bool:
        """Return whether nat forwards some packets to one address or port, and some to another."""
        found = set[Made]()
        with self._bounded():
            for one, own in group:
                for part in one.parts:
                    if part.packets & own.function == self._nothing.function:
                        continue
                    if part.pooled is not None:
                        return True
                    found.add(tuple(field for field in self.made(part) if field[0] in ("dst", "dport")))
        return len(found) > 1 or any("*" in field for made in found for field in made)

    def _made_of(self, one: Class, packets: Any) -> Iterator[tuple[Any, Made]]:
        """Yield what nat makes of packets of a class, each with those of which it does, as a function."""
        for part in one.parts:
            made, pooled, here = self.made(part), part.pooled, part.packets & packets
            if pooled is None:
                yield here, made
                continue
            keys = kept_keys(part)
            for inside, choice in pooled.pool.overlaps.of(here, pooled.now):
                values: dict[str, str] = {pooled.pool.side: address_text(self._land.family, choice.address)}
                if choice.port is not None:
                    values[pooled.pool.port_key] = str(choice.port)
                yield (
                    inside,
                    tuple((key, values.get(key, text) if key in keys else text) for key, text in made),
                )

    def passed_on(self, group: _Group) -> Translations:
        """Return packets by what docker-proxy connects to, if it takes them."""
        found: dict[tuple[str, int], PacketSet] = {}
        bits = self._land.bits
        with self._bounded():
            for one, own in group:
                if one.proxied is None:
                    continue
                address, further = one.proxied
                for part in one.divided:
                    packets = own & PacketSet(self._layout, part.packets).may
                    number = bits.number(part.header["dport"]) if "dport" in part.header else None
                    ranges = packets.ranges("dport") if number is None else ((number, number),)
                    for port in (port for first, last in ranges for port in range(first, last + 1)):
                        here = packets if number is not None else packets.where("dport", ((port, port),))
                        made = address, port + further
                        found[made] = found.get(made, self._nothing) | here
        return tuple(
            (packets, {"dst": address, "dport": str(port)})
            for (address, port), packets in found.items()
            if packets
        )

    def made(self, part: Part) -> Made:
        """Return the translation of some packets as fields and texts; `*` for a value that is not the same for all."""
        found = []
        for key in ("src", "sport", "dst", "dport"):
            if key in part.header:
                number = self._land.bits.number(part.header[key])
                is_address = key in ("src", "dst") and number is not None
                text = address_text(self._land.family, number) if is_address else str(number)
                found.append((key, "*" if number is None else text))
        return tuple(found)
