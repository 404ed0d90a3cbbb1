"""Numbers for names, so that a name takes few bits: an interface, a state, an Ethernet address."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

from iptsim.errors import UsageError
from iptsim.extensions.constraints import Ranges
from iptsim.languages import message
from iptsim.ranges import united

#: How many numbers a pattern reserves for names that become known later.
_RESERVED = 16


class Words(NamedTuple):
    """A set of names.

    Attributes:
        names: the known names.
        others: whether it also contains names that nothing mentions.
    """

    names: frozenset[Any]
    others: bool = False


class Numbering:
    """Gives each name a number when it is first mentioned.

    The remaining numbers belong to names that nothing has mentioned, separately for each pattern that they match. A
    pattern therefore keeps its meaning when another name becomes known.

    >>> interfaces = Numbering(8)
    >>> interfaces.matching("veth+"), interfaces.numbers(["eth0"]), interfaces.numbers(["veth1"])
    (((240, 255),), ((0, 0),), ((240, 240),))
    """

    def __init__(self, bits: int, known: Iterable[Hashable] = ()) -> None:
        self._numbers: dict[Hashable, int] = {}
        #: the beginning of a name -> the numbers of names that nothing mentions, and that have no longer one here
        self._free: dict[str, tuple[int, int]] = {"": (0, (1 << bits) - 1)}
        self.numbers(known)

    def numbers(self, names: Iterable[Hashable]) -> Ranges:
        """Return the numbers of some names.

        Raises:
            UsageError: there are too many names.
        """
        return united((number, number) for number in map(self._number, names))

    def matching(self, pattern: str) -> Ranges:
        """Return the numbers of the names that match an interface pattern (`veth+`).

        Raises:
            UsageError: there are too many names.
        """
        if not pattern.endswith("+"):
            return self.numbers([pattern])
        beginning = pattern[:-1]
        if beginning not in self._free:
            self._reserve(beginning)
        mentioned = (
            (number, number)
            for name, number in self._numbers.items()
            if isinstance(name, str) and name.startswith(beginning)
        )
        spans = (span for begin, span in self._free.items() if begin.startswith(beginning))
        return united([*mentioned, *spans])

    def named(self, ranges: Ranges) -> Words:
        """Return the names with some numbers."""
        names = {
            name
            for name, number in self._numbers.items()
            if any(first <= number <= last for first, last in ranges)
        }
        others = any(
            first <= high and low <= last for low, high in self._free.values() for first, last in ranges
        )
        return Words(frozenset(names), others)

    def example(self, number: int) -> Any:
        """Return a name with a number."""
        for name, known in self._numbers.items():
            if known == number:
                return name
        beginning = next(begin for begin, (first, last) in self._free.items() if first <= number <= last)
        return next(
            name
            for name in (f"{beginning}{place}" for place in range(1 << 16))
            if name not in self._numbers and self._region(name) == beginning
        )

    def _number(self, name: Hashable) -> int:
        number = self._numbers.get(name)
        if number is None:
            region = self._region(name) if isinstance(name, str) else ""
            number, last = self._free[region]
            if number == last:
                raise UsageError(message("too many different names, such as {name}", name=str(name)))
            self._numbers[name] = number
            self._free[region] = number + 1, last
        return number

    def _region(self, name: str) -> str:
        return max((begin for begin in self._free if name.startswith(begin)), key=len)

    def _reserve(self, beginning: str) -> None:
        """Set numbers apart for the names with a beginning."""
        region = self._region(beginning)
        first, last = self._free[region]
        count = min(_RESERVED, (last - first + 1) // 2)
        if not count:
            raise UsageError(message("too many different names, such as {name}", name=beginning + "+"))
        self._free[region] = first, last - count
        self._free[beginning] = last - count + 1, last
