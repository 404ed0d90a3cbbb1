"""Divides packets by which of many overlapping sets they are in."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import reduce
from operator import and_
from typing import Any, TypeVar

from iptsim.sets.overlaps import Overlaps
from iptsim.sets.packets import PacketSet, union
from iptsim.sets.space import Space

_Key = TypeVar("_Key", bound=Hashable)


def crossed(
    space: Space, ways: Mapping[_Key, Sequence[tuple[Any, PacketSet]]]
) -> Iterator[tuple[tuple[_Key, ...], PacketSet]]:
    """Divide packets by the ways that they may go.

    Args:
        space: the space of the sets.
        ways: by key: some things, each with its packets; none of these depends on anything undecided.

    Yields:
        The keys of the ways, and the packets that may go all of these and no other.
    """
    sets = {key: union([own for _, own in things]) for key, things in ways.items()}
    tree = Overlaps(space.nothing.function, [(own.function, key) for key, own in sets.items()])
    left = union([space.nothing, *sets.values()])
    found: dict[tuple[_Key, ...], PacketSet] = {}
    while left:
        here = tuple(key for _, key in tree.of(left.sample().function))
        inside = reduce(and_, map(sets.__getitem__, here), left)
        others = [sets[key] for _, key in tree.of(inside.function) if key not in here]
        inside -= union([space.nothing, *others])
        left -= inside
        found[here] = found.get(here, space.nothing) | inside
    yield from found.items()
