"""Finds which of many sets overlap another one, without trying each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from operator import or_
from typing import Any, Generic, TypeVar

_Owner = TypeVar("_Owner")


def any_of(nothing: Any, functions: Iterable[Any]) -> Any:
    """Return where one of some functions is true; joined in pairs, so that the parts stay small."""
    found = list(functions)
    while len(found) > 1:
        found = [reduce(or_, found[at : at + 2]) for at in range(0, len(found), 2)]
    return found[0] if found else nothing


#: How many sets a union joins: with fewer, the unions are many, and need more nodes than the sets themselves.
_JOINED = 8


class Overlaps(Generic[_Owner]):
    """Sets in a tree of their unions.

    Args:
        nothing: the empty set.
        sets: the sets as functions, each with its owner.
    """

    def __init__(self, nothing: Any, sets: Sequence[tuple[Any, _Owner]]) -> None:
        self._nothing = nothing
        self._owners = [owner for _, owner in sets]
        level = [function for function, _ in sets]
        #: the sets, then the unions of a few neighbours each, and so on
        self._levels = [level]
        while len(level) > _JOINED:
            level = [any_of(nothing, level[at : at + _JOINED]) for at in range(0, len(level), _JOINED)]
            self._levels.append(level)

    def of(self, packets: Any, now: Callable[[Any], Any] | None = None) -> Iterator[tuple[Any, _Owner]]:
        """Yield the intersection of some packets with each set that overlaps them, and its owner, in order.

        Args:
            packets: the packets.
            now: converts the sets, if they describe packets at another place.
        """
        top = len(self._levels) - 1
        todo = [(top, place, packets) for place in reversed(range(len(self._levels[top])))]
        while todo:
            depth, place, here = todo.pop()
            function = self._levels[depth][place]
            here &= function if now is None else now(function)
            if here == self._nothing:
                continue
            if not depth:
                yield here, self._owners[place]
                continue
            below = range(_JOINED * place, min(_JOINED * (place + 1), len(self._levels[depth - 1])))
            todo += ((depth - 1, one, here) for one in reversed(below))
