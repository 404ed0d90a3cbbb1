"""Exactly which packets two hosts treat differently; none means that they treat all packets alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from iptsim.errors import UsageError
from iptsim.languages import message
from iptsim.sets.fates import Fate, Fates
from iptsim.sets.packets import PacketSet, union
from iptsim.sets.senders import Class


class Difference(NamedTuple):
    """Packets that two hosts treat differently.

    Attributes:
        packets: the packets.
        before / after: their fate on each host, with a witness from among them.
    """

    packets: PacketSet
    before: Fate
    after: Fate


def differences(before: Fates, after: Fates) -> list[Difference]:
    """Return the packets that two hosts treat differently, in as few sets as possible.

    They are treated differently if the verdict, the place of arrival or the translation differs for some outcome of
        what is undecided on both hosts: equal rules decide alike. Senders that only one of the hosts has are not
        compared.

    Raises:
        UsageError: the fates are of different spaces.
    """
    if before.space is not after.space:
        raise UsageError(message("the sets belong to different spaces"))
    found: list[Difference] = []
    for sender in before.ways:
        if sender not in after.ways:
            continue
        differing = _differing(before, after, sender)
        if differing:
            found += _grouped(before, after, sender, differing)
    return found


def _differing(before: Fates, after: Fates, sender: tuple[str | None, str]) -> PacketSet:
    """Return the packets of a sender that do not go the same way on both hosts."""
    nothing = before.space.nothing
    one, other = _ways(before, sender), _ways(after, sender)
    both = union([nothing, *one.values()]).may & union([nothing, *other.values()]).may
    parts = [packets - other.get(way, nothing) for way, packets in one.items()]
    return union([nothing, *(part.may for part in parts if part)]) & both


def _ways(fates: Fates, sender: tuple[str | None, str]) -> dict[Any, PacketSet]:
    """Return the ways that a sender's packets go, each with its packets."""
    found: dict[Any, list[PacketSet]] = {}
    layout = fates.space.layout
    for one in fates.ways[sender]:
        for way, packets in _ways_of(fates, one):
            found.setdefault(way, []).append(PacketSet(layout, packets))
    return {way: union(sets) for way, sets in found.items()}


def _ways_of(fates: Fates, one: Class) -> Iterator[tuple[Any, Any]]:
    trace = one.trace
    place = one.arrival
    if trace.verdict != "ACCEPT" or not one.parts:
        yield (trace.verdict, place), one.packets
        return
    for part in one.divided:
        yield (trace.verdict, place, fates.arrivals.made(part)), one.packets & part.packets


def _grouped(
    before: Fates, after: Fates, sender: tuple[str | None, str], packets: PacketSet
) -> Iterator[Difference]:
    for one in before:
        if (one.sender, one.iif) != sender or not one.packets & packets:
            continue
        for other in after:
            if (other.sender, other.iif) != sender:
                continue
            here = one.packets & other.packets & packets
            if not here:
                continue
            first, second = one.within(here), other.within(here)
            assert first is not None
            assert second is not None
            yield Difference(here, first, second)
