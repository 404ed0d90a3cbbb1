"""Sets of IP addresses as ranges: exact, in any number, with the operations of sets."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network, summarize_address_range
from operator import itemgetter

from iptsim.addresses import BITS, Family, address_text
from iptsim.ranges import complement, united

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class AddressSet:
    """A set of addresses of one family.

    Attributes:
        family: 4 or 6.
        spans: first and last address of each range, in order; no two of them overlap or touch.
    """

    family: Family
    spans: tuple[Span, ...] = ()

    @classmethod
    def of(cls, family: Family, spans: Iterable[Span]) -> AddressSet:
        """Return the set of the addresses in any ranges; a range that ends before it begins is empty."""
        return cls(family, united(spans))

    @classmethod
    def every(cls, family: Family) -> AddressSet:
        """Return the set of all addresses of a family."""
        return cls(family, ((0, _last(family)),))

    @classmethod
    def prefix(cls, family: Family, address: int, length: int) -> AddressSet:
        """Return the addresses that share the first `length` bits with an address."""
        rest = _last(family) >> length
        return cls(family, ((address & ~rest, address | rest),))

    @classmethod
    def read(cls, family: Family, *texts: str) -> AddressSet:
        """Return the addresses of prefixes, such as "10.0.0.0/8"."""
        networks = map(ip_network, texts)
        return cls.of(family, ((int(one[0]), int(one[-1])) for one in networks))

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, int):
            return False
        place = bisect_right(self.spans, (address, _last(self.family))) - 1
        return place >= 0 and self.spans[place][0] <= address <= self.spans[place][1]

    def __bool__(self) -> bool:
        return bool(self.spans)

    def __or__(self, other: AddressSet) -> AddressSet:
        return AddressSet.of(self.family, (*self.spans, *other.spans))

    def __invert__(self) -> AddressSet:
        return AddressSet(self.family, complement(self.spans, _last(self.family)))

    def __and__(self, other: AddressSet) -> AddressSet:
        few, many = sorted((self.spans, other.spans), key=len)
        found = (
            (max(low, one), min(high, end)) for low, high in few for one, end in _within(many, low, high)
        )
        return AddressSet(self.family, tuple(found))

    def __sub__(self, other: AddressSet) -> AddressSet:
        found: list[Span] = []
        for low, high in self.spans:
            for first, last in _within(other.spans, low, high):
                if first > low:
                    found.append((low, first - 1))
                low = last + 1
            if low <= high:
                found.append((low, high))
        return AddressSet(self.family, tuple(found))

    def meets(self, other: AddressSet) -> bool:
        """Return whether two sets have an address in common; fast if one of them has few ranges."""
        few, many = sorted((self.spans, other.spans), key=len)
        for low, high in few:
            place = bisect_right(many, (high, _last(self.family))) - 1
            if place >= 0 and many[place][1] >= low:
                return True
        return False

    def __le__(self, other: AddressSet) -> bool:
        return not self - other

    @property
    def size(self) -> int:
        """How many addresses there are."""
        return sum(last - first + 1 for first, last in self.spans)

    @property
    def first(self) -> int:
        """An address of the set: the second of a range, as no machine has the first address of a network.

        The range is the first whose second address (of a single address: this one) does not end with 0.
        """
        seconds = (min(low + 1, high) for low, high in self.spans)
        return next((one for one in seconds if one & 0xFF), self.spans[0][0])

    def texts(self) -> Iterator[str]:
        """Yield the ranges in order: as an address, as a prefix, or as first and last address.

        >>> list(AddressSet.of(4, [(0x0A000000, 0x0A0000FF), (0x0A000105, 0x0A000105), (1, 3)]).texts())
        ['0.0.0.1-0.0.0.3', '10.0.0.0/24', '10.0.1.5']
        """
        for first, last in self.spans:
            low = address_text(self.family, first)
            size = last - first + 1
            if size == 1:
                yield low
            elif size & (size - 1) == 0 and first % size == 0:
                yield f"{low}/{_last(self.family).bit_length() - size.bit_length() + 1}"
            else:
                yield f"{low}-{address_text(self.family, last)}"

    def prefixes(self) -> Iterator[str]:
        """Yield the prefixes that make up the set, in order."""
        for first, last in self.spans:
            low, high = (ip_address(address_text(self.family, one)) for one in (first, last))
            yield from map(str, summarize_address_range(low, high))


def union(family: Family, sets: Iterable[AddressSet]) -> AddressSet:
    """Return the addresses that are in any of the sets."""
    return AddressSet.of(family, (span for one in sets for span in one.spans))


def _within(spans: tuple[Span, ...], low: int, high: int) -> tuple[Span, ...]:
    """Return those of some ranges, in order, that have an address from `low` to `high`."""
    begin = bisect_left(spans, low, key=itemgetter(1))
    return spans[begin : bisect_right(spans, high, lo=begin, key=itemgetter(0))]


def _last(family: Family) -> int:
    return (1 << BITS[family]) - 1
