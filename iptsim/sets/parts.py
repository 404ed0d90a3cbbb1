"""Parts of a class of packets: packets whose fields have been changed alike, and what a base chain may do to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, NamedTuple

from iptsim.packet import Packet
from iptsim.sets.regions import Prefix
from iptsim.sets.results import Result
from iptsim.sets.translating import Header, Rewritten, Tracked


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some packets of a class, whose fields have been changed alike.

    Attributes:
        packets: which, as a function of the packet as it arrived and of what is undecided.
        header: the fields that differ from those on arrival.
        tracked: the connections that the packets belong to, by that of the leading packet.
    """

    packets: Any
    header: Header
    tracked: Mapping[int, Tracked] = field(default_factory=dict)


@dataclass(slots=True)
class Leader(Packet):
    """The packet that leads a class; `parts` are the packets that go with it."""

    parts: tuple[Part, ...] = ()

    def copy(self) -> Leader:
        """Return an independent copy."""
        return Leader(*_VALUES(self))


_VALUES = attrgetter(*(entry.name for entry in fields(Leader)))


class Option(NamedTuple):
    """What a base chain may do to some packets of a class.

    Attributes:
        part: the packets before, those among them to which it applies, and what applies.
        ends: the addresses and ports that a translation gives them.
        region: that of the new address.
        same: whether the new destination is the source itself.
        changed: which of the addresses and ports a translation changes: to conntrack, only then is it one.
    """

    part: Part
    packets: Any
    result: Result
    rewritten: Rewritten | None = None
    region: Prefix | None = None
    same: bool = False
    changed: tuple[bool, ...] = ()

    @property
    def effect(self) -> tuple[Any, ...]:
        """What packets must have in common to go on together."""
        result = self.result
        side = result.translation.side if result.translation is not None else ""
        written = tuple(one for one in result.rewriting.fields if one[0] not in ("mark", "ct.mark"))
        return (
            result.kind,
            side,
            self.region,
            self.same,
            self.changed,
            written,
            result.rule if result.kind != "ACCEPT" else None,
        )


def may_join(result: Result, leading: Option) -> bool:
    """Return whether packets to which a result applies may go on with those that lead."""
    other = leading.result
    if (result.kind, result.rule) != (other.kind, other.rule) and result.translation is None:
        return result.kind == other.kind == "ACCEPT"
    return result.region is None or leading.region is None or result.region == leading.region
