"""Parts of a class of packets: packets whose fields have been changed alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any

from iptsim.packet import Packet
from iptsim.sets.pools import Pooled
from iptsim.sets.translating import Header, Tracked


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Packets of a class whose fields have been changed alike.

    Attributes:
        packets: the packets, as a function of the packet as it arrived and of what is undecided.
        header: the fields that differ from those on arrival.
        tracked: the connections of the packets, by that of the leading packet.
        pooled: how their new addresses, which are not all the same, were chosen.
    """

    packets: Any
    header: Header
    tracked: Mapping[int, Tracked] = field(default_factory=dict)
    pooled: Pooled | None = None


def unfolded(part: Part) -> Iterator[Part]:
    """Yield the packets of a part by their new address and port."""
    if part.pooled is None:
        yield part
        return
    pool, keys = part.pooled.pool, kept_keys(part)
    for packets, choice in pool.overlaps.of(part.packets, part.pooled.now):
        values = {pool.side: choice.address, pool.port_key: choice.port}
        header = dict(part.header)
        header |= {
            key: pool.bits.constant(key, number) for key in keys if (number := values[key]) is not None
        }
        yield replace(part, packets=packets, header=header, pooled=None)


def kept_keys(part: Part) -> list[str]:
    """Return the fields of a part that still have what its pool gave them."""
    if part.pooled is None:
        return []
    pool, ends = part.pooled.pool, part.pooled.ends
    return [
        key
        for key in (pool.side, pool.port_key)
        if key in part.header and part.header[key] == getattr(ends, key)
    ]


@dataclass(slots=True)
class Leader(Packet):
    """The packet that leads a class; `parts` are the packets that accompany it."""

    parts: tuple[Part, ...] = ()

    @classmethod
    def of(cls, packet: Packet, parts: tuple[Part, ...]) -> Leader:
        """Return a packet accompanied by others."""
        return cls(*(*_OF_PACKET(packet), parts))

    def copy(self) -> Leader:
        """Return an independent copy."""
        return Leader.of(self, self.parts)

    def with_protocol(self, proto: int) -> Packet:
        """Return a copy with another protocol, without the packets that accompany this one."""
        found = Packet.copy(self)
        found.proto = proto
        return found


_OF_PACKET = attrgetter(*(entry.name for entry in fields(Packet)))
