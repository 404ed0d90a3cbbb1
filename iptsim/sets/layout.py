"""Which bits of a packet are which variables, and the functions of these bits that conditions allow.

The order matters: sets of packets stay small if the addresses that rules compare most are at its two ends. Fields that
    are not in the header are added at the end when a rule first mentions them: they, and decisions, are *undecided*.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Set
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

from iptsim.addresses import Family
from iptsim.errors import UsageError
from iptsim.extensions.constraints import Allowed, Masked, Names, Pattern, Ranges, Some
from iptsim.extensions.context import Context
from iptsim.languages import Text, message
from iptsim.ranges import united
from iptsim.sets.bdd import Engine
from iptsim.sets.numbering import Numbering
from iptsim.suggestions import suggest_or_list

_ADDRESS_BITS = {4: 32, 6: 128}
#: Bits of the number of a name, such as an interface's, and of a number that is no field of the header.
_NAME_BITS, _WIDE = 16, 128
#: Bits of a zone of conntrack, with one for that which the mark names.
ZONE_BITS = 17
#: The single numbers of so many ranges are joined one by one.
_FEW_SPANS = 16
#: The header in the order of its variables; None: the bits of an address.
_HEADER: tuple[tuple[str, int | None], ...] = (
    ("out_interface", _NAME_BITS), ("dst", None), ("proto", 8), ("dport", 16), ("sport", 16),
    ("in_interface", _NAME_BITS), ("src", None), ("ct.state", 3), ("mark", 32), ("ct.mark", 32),
    ("tcp_flags", 8), ("fragment", 2), ("icmp_type", 16), ("src_mac", _NAME_BITS), ("pkttype", 2), ("tos", 8),
    ("ttl", 8), ("length", 32), ("ct.direction", 1), ("physical_in", _NAME_BITS), ("physical_out", _NAME_BITS),
    ("local_socket", 1), ("proxied", 1), ("ct.zone", 2 * ZONE_BITS),
)  # fmt: skip
#: The fields whose values are names, and all values where no others exist.
_NAMES: dict[str, tuple[str, ...]] = {
    "out_interface": (),
    "in_interface": (),
    "src_mac": (),
    "physical_in": (),
    "physical_out": (),
    "ct.state": ("NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"),
    "fragment": ("whole", "first", "middle", "last"),
    "pkttype": ("unicast", "broadcast", "multicast"),
    "ct.direction": ("ORIGINAL", "REPLY"),
}


@dataclass(slots=True)
class Place:
    """The variables of a field.

    Attributes:
        key: the key of the field.
        first: its first variable, for its highest bit.
        bits: how many variables it has.
        numbering: for names, their numbers.
        values: all names, if no others exist; unused numbers mean the last one.
        why: the reason why it is undecided; None for a field of the header.
        read: returns the value for a packet, if its context determines one.
    """

    key: str
    first: int
    bits: int
    numbering: Numbering | None = None
    values: tuple[str, ...] = ()
    why: Text | None = None
    read: Callable[[Context], Any] | None = None

    @property
    def variables(self) -> range:
        """The numbers of its variables."""
        return range(self.first, self.first + self.bits)

    def codes(self, names: Iterable[Hashable]) -> Ranges:
        """Return the numbers of some names."""
        if not self.values:
            assert self.numbering is not None
            return self.numbering.numbers(names)
        places = sorted(self.values.index(str(name)) for name in names if name in self.values)
        last = len(self.values) - 1
        return tuple((place, (1 << self.bits) - 1 if place == last else place) for place in places)


@dataclass
class Layout:
    """The variables of all fields in one engine.

    Attributes:
        family: 4 or 6.
        engine: holds the functions.
        most_nodes: the maximum number of nodes.
        places: the fields with variables by key, in the order of the variables.
        widened: whether more addresses were listed than a set has, see :func:`iptsim.sets.lines.widened`.
    """

    family: Family
    engine: Engine
    most_nodes: int
    places: dict[str, Place] = field(default_factory=dict)
    widened: bool = False
    #: the ranges of the numbers that fields have in functions, once asked for
    ranges_in: dict[tuple[str, Any], Ranges] = field(default_factory=dict)
    #: the same, if they are few, for the bits from a variable on, each with the rest of the function
    small_spans: dict[tuple[Any, int], list[tuple[int, int, Any]]] = field(default_factory=dict)
    #: functions as combinations of values, where there are few
    combinations: dict[Any, list[dict[str, Ranges]]] = field(default_factory=dict)
    _owners: list[Place] = field(default_factory=list)
    #: each variable, and where it is false
    _literals: list[tuple[Any, Any]] = field(default_factory=list)
    _bytes: dict[tuple[int, int, int], Any] = field(default_factory=dict)
    _cubes: dict[tuple[str, ...], Any] = field(default_factory=dict)
    _others: dict[tuple[str, ...], tuple[int, Any]] = field(default_factory=dict)
    _undecided: dict[frozenset[str], tuple[int, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, bits in _HEADER:
            width = bits or _ADDRESS_BITS[self.family]
            values = _NAMES.get(key, ())
            numbering = Numbering(width) if key in _NAMES and not values else None
            self._place(Place(key, self.engine.add(width), width, numbering, values))
        self.header = frozenset(self.places)

    def add(self, key: str, bits: int, why: Text, numbering: Numbering | None = None) -> Place:
        """Add variables for a field or a decision after all others."""
        return self._place(Place(key, self.engine.add(bits), bits, numbering, why=why))

    def _place(self, place: Place) -> Place:
        self.places[place.key] = place
        self._owners += [place] * place.bits
        variables = map(self.engine.variable, place.variables)
        self._literals += [(variable, ~variable) for variable in variables]
        return place

    def place(self, field: str) -> Place:
        """Return the variables of a field.

        Raises:
            UsageError: there is no such field.
        """
        found = self.places.get(field)
        if found is None:
            choices = [key for key, place in self.places.items() if place.why is None]
            raise UsageError(
                suggest_or_list(message("unknown field {name}", name=repr(field)), field, choices)
            )
        return found

    def cube(self, fields: Iterable[str]) -> Any:
        """Return the variables of some fields in the form that the engine takes."""
        key = tuple(fields)
        found = self._cubes.get(key)
        if found is None:
            numbers = (number for one in key for number in self.place(one).variables)
            found = self._cubes[key] = self.engine.cube(numbers)
        return found

    def cube_without(self, fields: Iterable[str]) -> Any:
        """Return the variables of all other fields in the form that the engine takes."""
        key, count = tuple(fields), len(self._owners)
        known, found = self._others.get(key, (-1, None))
        if known != count:
            for one in key:
                self.place(one)
            numbers = (number for number, place in enumerate(self._owners) if place.key not in key)
            found = self.engine.cube(numbers)
            self._others[key] = count, found
        return found

    def undecided(self, kept: frozenset[str] = frozenset()) -> Any:
        """Return the variables of everything that is not a header field, in the form that the engine takes.

        Args:
            kept: what is left out.
        """
        count = len(self._owners)
        known, found = self._undecided.get(kept, (-1, None))
        if known != count:
            numbers = (
                number
                for number, place in enumerate(self._owners)
                if place.why is not None and place.key not in kept
            )
            found = self.engine.cube(numbers)
            self._undecided[kept] = count, found
        return found

    def place_of(self, variable: int) -> Place:
        """Return the field that a variable belongs to."""
        return self._owners[variable]

    # -- functions ------------------------------------------------------------------------------------

    def allowing(self, key: str, allowed: Allowed) -> Any:
        """Return the function that is true where a field that a packet has is one of the allowed values.

        None for values of a kind that only an extension understands, or of another kind than before in this field.
        """
        if isinstance(allowed, Some):
            return self._some(key, allowed)
        place = self.places.get(key) or self._new(key, allowed)
        if place is None:
            return None
        named = place.numbering is not None or bool(place.values)
        if isinstance(allowed, Names):
            if named:
                return self.ranges(place, place.codes(allowed.names))
            # numbers that are listed one by one; `True` is the number 1
            numbers = [name for name in allowed.names if isinstance(name, int)]
            alike = len(numbers) == len(allowed.names)
            return self.ranges(place, tuple((int(one), int(one)) for one in numbers)) if alike else None
        if isinstance(allowed, Pattern):
            numbering = place.numbering
            return None if numbering is None else self.ranges(place, numbering.matching(allowed.text))
        # of a field whose values are names in one rule, numbers in another say nothing
        if named:
            return None
        if isinstance(allowed, Masked):
            return self.masked(place, allowed)
        return self.ranges(place, allowed) if isinstance(allowed, tuple) else None

    def _new(self, key: str, allowed: Allowed) -> Place | None:
        """Return the place of a field that is mentioned for the first time; its width follows from the values."""
        why = decision(key)
        if isinstance(allowed, Names):
            if allowed.names and all(isinstance(name, bool) for name in allowed.names):
                return self.add(key, 1, why)
            return self.add(key, _NAME_BITS, why, Numbering(_NAME_BITS))
        if isinstance(allowed, Pattern):
            return self.add(key, _NAME_BITS, why, Numbering(_NAME_BITS))
        return self.add(key, _WIDE, why) if isinstance(allowed, tuple | Masked) else None

    def _some(self, key: str, allowed: Some) -> Any:
        """Return the packets with at least one of some values; values that are not mutually exclusive are variables."""
        place = self.places.get(key)
        alone = allowed.members & frozenset(place.values) if place else frozenset[Any]()
        found = self.ranges(place, place.codes(alone)) if place and alone else self.engine.false
        for member in sorted(allowed.members - alone, key=str):
            flag = f"{key}={member}"
            found |= self.variable((self.places.get(flag) or self.add(flag, 1, decision(key))).first)
        return found

    def variable(self, number: int) -> Any:
        """Return the function of one variable."""
        return self._literals[number][0]

    def point(self, bits: Set[int]) -> Any:
        """Return the function that is true for one header, given by its variables that are true."""
        found = self.engine.true
        for key in reversed(self.places):
            if key in self.header:
                for number in reversed(self.places[key].variables):
                    found = self._literals[number][number not in bits] & found
        return found

    def masked(self, place: Place, allowed: Masked) -> Any:
        """Return the function that is true where the number of a field has certain bits."""
        if allowed.value & ~allowed.mask or allowed.value >> place.bits:
            return self.engine.false
        found = self.engine.true
        for start in range(0, place.bits, 8):
            mask = allowed.mask >> start & 0xFF
            if mask:
                found = (
                    self._byte(place.first + place.bits - 1 - start, allowed.value >> start & 0xFF, mask)
                    & found
                )
        return found

    def _byte(self, last: int, value: int, mask: int) -> Any:
        """Return where up to eight variables, of which the last is given, have the bits of a value."""
        found = self._bytes.get((last, value, mask))
        if found is None:
            if mask > 0xF:
                # the halves are few, so most are known
                found = self._byte(last - 4, value >> 4, mask >> 4) & self._byte(
                    last, value & 0xF, mask & 0xF
                )
            else:
                found = self.engine.true
                for bit in range(mask.bit_length()):
                    if mask >> bit & 1:
                        found = self._literals[last - bit][not value >> bit & 1] & found
            self._bytes[last, value, mask] = found
        return found

    def ranges(self, place: Place, ranges: Ranges) -> Any:
        """Return the function that is true where the number of a field is in one of the ranges."""
        spans = united(ranges)
        if len(spans) <= _FEW_SPANS and any(first == last for first, last in spans):
            # single numbers are mostly made of bytes that are known
            every = (1 << place.bits) - 1
            single = (self.masked(place, Masked(first, every)) for first, last in spans if first == last)
            longer = tuple((first, last) for first, last in spans if first < last)
            return reduce(or_, single, self.ranges(place, longer) if longer else self.engine.false)
        firsts = [first for first, _ in spans]
        true, false = self.engine.true, self.engine.false

        def within(low: int, depth: int) -> Any:
            """Return the function of the bits from a depth on, for the numbers from `low` on."""
            high = low + (1 << place.bits - depth) - 1
            at = bisect_right(firsts, high) - 1
            if at < 0 or spans[at][1] < low:
                return false
            first, last = spans[at]
            if first <= low and high <= last:
                return true
            if first == last and (at == 0 or spans[at - 1][1] < low):
                return self.masked(place, Masked(first & high - low, high - low))
            variable, otherwise = self._literals[place.first + depth]
            lower = within(low, depth + 1)
            upper = within(low + (1 << place.bits - depth - 1), depth + 1)
            return (variable & upper) | (otherwise & lower)

        return within(0, 0)


def decision(what: Text) -> Text:
    """Return the name of a condition that cannot be decided."""
    return message("whether {condition} matches", condition=what)
