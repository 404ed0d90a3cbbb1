"""Parts of a class of packets: packets whose fields have been changed alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

from iptsim.packet import Packet
from iptsim.sets.translating import Header, Tracked


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Packets of a class whose fields have been changed alike.

    Attributes:
        packets: the packets, as a function of the packet as it arrived and of what is undecided.
        header: the fields that differ from those on arrival.
        tracked: the connections of the packets, by that of the leading packet.
    """

    packets: Any
    header: Header
    tracked: Mapping[int, Tracked] = field(default_factory=dict)


@dataclass(slots=True)
class Leader(Packet):
    """The packet that leads a class; `parts` are the packets that accompany it."""

    parts: tuple[Part, ...] = ()

    def copy(self) -> Leader:
        """Return an independent copy."""
        return Leader(*_VALUES(self))


_VALUES = attrgetter(*(entry.name for entry in fields(Leader)))
