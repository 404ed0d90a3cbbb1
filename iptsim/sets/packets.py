"""A set of packets: an immutable value with set operations and queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import reduce, wraps
from operator import and_, or_, xor
from random import Random
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from iptsim.address_sets import AddressSet
from iptsim.addresses import address_text
from iptsim.errors import IptsimError, UsageError
from iptsim.extensions.constraints import Allowed, Ranges
from iptsim.languages import Text, message
from iptsim.protocols import ICMP, ICMPV6, PORT_PROTOCOLS, TCP, protocol_name
from iptsim.question.header import DEFAULT_SPORT
from iptsim.ranges import united
from iptsim.sets.layout import Layout, Place
from iptsim.sets.numbering import Words
from iptsim.sets.packet_fields import read_packet
from iptsim.shown import made

if TYPE_CHECKING:
    import pandas

_Rest = ParamSpec("_Rest")
_Found = TypeVar("_Found")
#: A function with more nodes for each field, and each decision, is not read node by node: to try each takes less time.
_MANY_NODES = 100
#: At most this many ways through it are followed to find the fields that it depends on.
_WAYS, _STRAIGHT = 64, 0.98
#: Ranges of a field's numbers that are listed: NETMAP may leave a range of its own for every value of other bits.
_MOST_RANGES = 300_000
#: Lists of at most so many ranges, or combinations, are kept for other sets that have them in common.
_FEW_RANGES = 32
#: A range of a field's numbers, and what the other fields must be there.
_Span = tuple[int, int, Any]
#: The values of a field: numbers as ranges, or names.
FieldValues = Ranges | Words


class TooManyNodesError(IptsimError):
    """The sets of packets need more nodes than allowed."""


def _bounded(
    method: Callable[Concatenate[PacketSet, _Rest], _Found],
) -> Callable[Concatenate[PacketSet, _Rest], _Found]:
    """Make a method raise :class:`TooManyNodesError` when the engine runs out of nodes."""

    @wraps(method)
    def run(self: PacketSet, /, *rest: _Rest.args, **more: _Rest.kwargs) -> _Found:
        try:
            return method(self, *rest, **more)
        except MemoryError:
            raise too_many_nodes(self.layout.most_nodes) from None

    return run


def _combining(operation: Callable[[Any, Any], Any]) -> Callable[[PacketSet, PacketSet], PacketSet]:
    """Return the operation on sets that corresponds to an operation on their functions."""

    def combined(self: PacketSet, other: PacketSet) -> PacketSet:
        layout = self.layout
        if not isinstance(other, PacketSet):
            return NotImplemented
        if other.layout is not layout:
            raise _other_space()
        try:
            return PacketSet(layout, operation(self.function, other.function))
        except MemoryError:
            raise too_many_nodes(layout.most_nodes) from None

    return combined


def _other_space() -> UsageError:
    return UsageError(message("the sets belong to different spaces"))


def too_many_nodes(most: int) -> TooManyNodesError:
    """Return the error that sets need more than a number of nodes."""
    return TooManyNodesError(message("the sets of packets need more than {most} nodes", most=f"{most:,}"))


class OutsideError(IptsimError):
    """A packet comes to rules that are evaluated for others alone."""


class TooManyRangesError(IptsimError):
    """A set of packets has more ranges of a field than can be listed."""


class PacketSet:
    """A set of packets, with what is undecided about them; fields that it does not depend on may have any value.

    `& | - ~ ^` combine sets of one space, `<=` compares them, and a set is true unless it is empty.
    """

    __slots__ = ("function", "layout")

    def __init__(self, layout: Layout, function: Any) -> None:
        self.layout, self.function = layout, function

    __and__ = _combining(and_)
    __or__ = _combining(or_)
    __sub__ = _combining(lambda one, other: one & ~other)
    __xor__ = _combining(xor)

    def __invert__(self) -> PacketSet:
        return PacketSet(self.layout, ~self.function)

    def __le__(self, other: object) -> bool:
        return not self - other if isinstance(other, PacketSet) else NotImplemented

    def __bool__(self) -> bool:
        return bool(self.function != self.layout.engine.false)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, PacketSet)
            and self.layout is other.layout
            and bool(self.function == other.function)
        )

    def __hash__(self) -> int:
        return hash(self.function)

    def __contains__(self, packet: Mapping[str, Any]) -> bool:
        """Return whether all packets with these values of fields are in the set.

        Values are as in a batch line, such as :meth:`witness` returns; addresses may also be numbers. A TCP packet
        without `tcp_flags` has only SYN set, and an ICMP type without a code has code 0.

        Raises:
            UsageError: there is no such field, or it cannot have the value.
        """
        return bool(self.having(read_packet(self.layout, packet)).function == self.layout.engine.true)

    def __repr__(self) -> str:
        engine = self.layout.engine
        if self.function in (engine.true, engine.false):
            return f"<PacketSet: {'everything' if self else 'nothing'}>"
        return f"<PacketSet on {', '.join(self.fields)}: {engine.size(self.function)} nodes>"

    def _same(self, other: PacketSet) -> Any:
        if other.layout is not self.layout:
            raise _other_space()
        return other.function

    @_bounded
    def meets(self, other: PacketSet) -> bool:
        """Return whether some packet is in both sets."""
        return self.layout.engine.meets(self.function, self._same(other))

    # -- other sets ------------------------------------------------------------------------------------

    def without(self, *fields: str) -> PacketSet:
        """Return the packets that are in the set for some value of the fields."""
        return self.without_bits(self.layout.cube(fields))

    @_bounded
    def without_bits(self, cube: Any) -> PacketSet:
        """Return the packets that are in the set for some value of the bits of a cube."""
        return PacketSet(self.layout, self.layout.engine.exists(self.function, cube))

    def only(self, *fields: str) -> PacketSet:
        """Return the packets that agree in the fields with some packet of the set."""
        return self.without_bits(self.layout.cube_without(fields))

    @property
    def may(self) -> PacketSet:
        """The packets that are in the set for some outcome of what is undecided."""
        return self.without_bits(self.layout.undecided())

    @property
    def must(self) -> PacketSet:
        """The packets that are in the set for every outcome of what is undecided."""
        return ~(~self).may

    @_bounded
    def substituted(self, replacements: Mapping[int, PacketSet]) -> PacketSet:
        """Return the packets that would be in the set if some bits were replaced, all at once.

        Args:
            replacements: the number of a variable -> the packets for which it becomes 1.
        """
        if not replacements:
            return self
        functions = {number: packets.function for number, packets in replacements.items()}
        return PacketSet(self.layout, self.layout.engine.substitution(functions)(self.function))

    @_bounded
    def at(self, field: str, value: int, mask: int | None = None) -> PacketSet:
        """Return the packets that would be in the set with these bits of a field, which then no longer matter.

        Args:
            field: the field.
            value: the new number.
            mask: the bits that are replaced; None for all.
        """
        engine, place = self.layout.engine, self.layout.place(field)
        bits = {
            number: engine.true if value >> bit & 1 else engine.false
            for bit, number in enumerate(reversed(place.variables))
            if mask is None or mask >> bit & 1
        }
        return PacketSet(self.layout, engine.substitution(bits)(self.function))

    def having(self, values: Mapping[str, Any]) -> PacketSet:
        """Return the packets that would be in the set with these values of fields."""
        found = self
        for key, value in values.items():
            place = self.layout.place(key)
            named = place.numbering is not None or place.values
            found = found.at(key, place.codes([value])[0][0] if named else int(value))
        return found

    # -- what it says ----------------------------------------------------------------------------------

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields and decisions that it depends on, in the order of the variables."""
        if self.layout.engine.size(self.function) > _MANY_NODES * len(self.layout.places):
            passed = self._passed()
            tested = passed.union(self._tested([key for key in self.layout.places if key not in passed]))
            return tuple(key for key in self.layout.places if key in tested)
        variables = self.layout.engine.variables(self.function)
        return tuple(dict.fromkeys(self.layout.place_of(variable).key for variable in sorted(variables)))

    def _passed(self) -> set[str]:
        """Return some of the fields that it depends on: those that random paths through it test."""
        engine, layout, found = self.layout.engine, self.layout, set[str]()
        turns = Random(0)  # noqa: S311
        for _ in range(_WAYS):
            split = engine.split(self.function)
            while split is not None:
                variable, high, low = split
                found.add(layout.place_of(variable).key)
                ways = [way for half in (low, high) if (way := engine.split(half)) is not None]
                # nearly always one that leaves out the fewest fields
                if ways and turns.random() < _STRAIGHT:
                    next_ = min(way[0] for way in ways)
                    ways = [way for way in ways if way[0] == next_]
                split = turns.choice(ways) if ways else None
        return found

    def _tested(self, fields: list[str]) -> Iterator[str]:
        """Yield those of some fields that it depends on: it is another set without them."""
        if not fields or self.without(*fields) == self:
            return
        if len(fields) == 1:
            yield fields[0]
            return
        half = len(fields) // 2
        yield from self._tested(fields[:half])
        yield from self._tested(fields[half:])

    def depends_on(self, field: str) -> bool:
        """Return whether it depends on a field."""
        return self.without(field) != self

    @property
    def hinges(self) -> tuple[Text, ...]:
        """What is undecided about its packets, as phrases."""
        places = (self.layout.places[key] for key in self.fields)
        return tuple(place.why for place in places if place.why is not None)

    @_bounded
    def where(self, field: str, allowed: Allowed) -> PacketSet:
        """Return the packets of the set whose field has an allowed value, such as ((80, 80), (8000, 8080)).

        Raises:
            UsageError: there is no such field, or this is not what it can have.
        """
        found = self.layout.allowing(self.layout.place(field).key, allowed)
        if found is None:
            raise UsageError(
                message(
                    "{value} is no tuple of ranges, such as ((80, 80), (8000, 8080))", value=repr(allowed)
                )
            )
        return self & PacketSet(self.layout, found)

    def values(self, field: str) -> FieldValues:
        """Return the values that a field has in the set: ranges of numbers, or names."""
        place, key = self.layout.place(field), (field, self.function)
        ranges = self.layout.ranges_in.get(key)
        if ranges is None:
            spans = _spans(self.layout, self.only(field).function, place)
            ranges = united((first, last) for first, last, _ in spans)
            self.layout.ranges_in[key] = ranges
        return self._values(place, ranges)

    def ranges(self, field: str) -> Ranges:
        """Return the values that a field of numbers has in the set."""
        found = self.values(field)
        assert not isinstance(found, Words)
        return found

    def addresses(self, field: str) -> AddressSet:
        """Return the addresses that a field, "src" or "dst", has in the set."""
        return AddressSet(self.layout.family, self.ranges(field))

    def lines(self, *fields: str) -> list[dict[str, FieldValues]]:
        """Return the set as a list of disjoint combinations: the values of each field that matters.

        Args:
            fields: those of interest; all others may have any value that occurs. None for all.
        """
        chosen = self.only(*fields) if fields else self
        return [
            {key: self._values(self.layout.places[key], ranges) for key, ranges in line.items()}
            for line in _combinations(self.layout, chosen.function)
        ]

    def one(self) -> dict[str, Any]:
        """Return the values of all fields of one packet of the set, and of what is undecided about it.

        Raises:
            UsageError: the set is empty.
        """
        if not self:
            raise UsageError(message("the set of packets is empty"))
        bits = self.layout.engine.pick(self.function)
        return {key: _value(place, bits) for key, place in self.layout.places.items()}

    def sample(self) -> PacketSet:
        """Return one packet of the set, with every outcome of what is undecided about it.

        Raises:
            UsageError: the set is empty.
        """
        if not self:
            raise UsageError(message("the set of packets is empty"))
        return PacketSet(self.layout, self.layout.point(self.layout.engine.pick(self.function)))

    def witness(self) -> dict[str, Any]:
        """Return one packet of the set as a batch line, preferably a TCP packet.

        Raises:
            UsageError: the set is empty.
        """
        layout = self.layout
        usual = self
        for name, number in (("proto", TCP), ("sport", DEFAULT_SPORT)):
            likely = layout.ranges(layout.places[name], ((number, number),))
            usual = PacketSet(layout, usual.function & likely) or usual
        values = usual.one()
        line: dict[str, Any] = {name: address_text(layout.family, values[name]) for name in ("src", "dst")}
        if self.depends_on("in_interface") and values["in_interface"]:
            line["in"] = values["in_interface"]
        line["proto"] = protocol_name(values["proto"])
        if values["proto"] in PORT_PROTOCOLS:
            line |= {name: values[name] for name in ("sport", "dport")}
        elif values["proto"] in (ICMP, ICMPV6):
            line |= {"icmp_type": values["icmp_type"] >> 8, "icmp_code": values["icmp_type"] & 0xFF}
        return line

    def frame(self) -> pandas.DataFrame:
        """Return a table with a row for each line that describes the set.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        frame: pandas.DataFrame = made("frame", self)
        return frame

    def _values(self, place: Place, ranges: Ranges) -> FieldValues:
        if place.values:
            last = len(place.values) - 1
            return Words(
                frozenset(
                    place.values[min(number, last)]
                    for first, end in ranges
                    for number in range(first, end + 1)
                )
            )
        return ranges if place.numbering is None else place.numbering.named(ranges)


def union(sets: Sequence[PacketSet]) -> PacketSet:
    """Return the union of one or more sets. They are united pairwise, which keeps intermediate results small."""
    left = [one for one in sets if one] if len(sets) > 1 else list(sets)
    if not left:
        return sets[0]
    while len(left) > 1:
        left = [left[at] | left[at + 1] if at + 1 < len(left) else left[at] for at in range(0, len(left), 2)]
    return left[0]


def _value(place: Place, bits: Set[int]) -> Any:
    number = reduce(lambda sum_, variable: sum_ << 1 | (variable in bits), place.variables, 0)
    if place.values:
        return place.values[min(number, len(place.values) - 1)]
    return number if place.numbering is None else place.numbering.example(number)


def _spans(layout: Layout, function: Any, place: Place) -> list[_Span]:
    """Return the ranges of a field's numbers that a function which starts with the field allows, each with its rest."""
    split, known, small = layout.engine.split, dict[tuple[Any, int], list[_Span]](), layout.small_spans
    end, false = place.first + place.bits, layout.engine.false

    def spans(rest: Any, variable: int) -> list[_Span]:
        """Return the ranges of the bits from a variable on, from 0."""
        start = 0
        while variable < end:
            step = split(rest)
            if step is None or step[0] >= end:
                return [(start, start + (1 << end - variable) - 1, rest)]
            tested, high, low = step
            if tested > variable:
                high = low = rest
                break
            # where all numbers have the same bit
            if low == false:
                start += 1 << end - variable - 1
                rest = high
            elif high == false:
                rest = low
            else:
                break
            variable += 1
        else:
            return [(start, start, rest)]
        key = rest, variable
        found = small.get(key) or known.get(key)
        if found is None:
            found = _merged(
                spans(low, variable + 1), _from(1 << end - variable - 1, spans(high, variable + 1))
            )
            (small if len(found) <= _FEW_RANGES else known)[key] = found
            if len(found) > _MOST_RANGES:
                raise TooManyRangesError(
                    message(
                        "the packets have more than {most} separate ranges of {field}; narrow the question to one "
                        "network",
                        most=f"{_MOST_RANGES:,}",
                        field=place.key,
                    )
                )
        return _from(start, found) if start else found

    return [] if function == false else spans(function, place.first)


def spans_of(packets: PacketSet, field: str) -> list[tuple[int, int, Any]]:
    """Return the ranges of the numbers of a field whose variables come first in a set.

    Each has the function of the other variables; None if the set has no such packets.
    """
    place, found, after = packets.layout.places[field], list[tuple[int, int, Any]](), 0
    for first, last, rest in _spans(packets.layout, packets.function, place):
        if after < first:
            found.append((after, first - 1, None))
        found.append((first, last, rest))
        after = last + 1
    if after < 1 << place.bits:
        found.append((after, (1 << place.bits) - 1, None))
    return found


def _from(start: int, spans: list[_Span]) -> list[_Span]:
    """Return ranges moved up by a number."""
    return [(first + start, last + start, rest) for first, last, rest in spans]


def _merged(lower: list[_Span], upper: list[_Span]) -> list[_Span]:
    """Return ranges and those that follow them, where two that touch may be one."""
    (first, before, rest), (after, last, other) = lower[-1], upper[0]
    touch = before + 1 == after and rest == other
    return [*lower[:-1], (first, last, rest), *upper[1:]] if touch else lower + upper


def _combinations(layout: Layout, function: Any) -> list[dict[str, Ranges]]:
    """Return a function as disjoint combinations of the values of the fields that it depends on."""
    found = layout.combinations.get(function)
    if found is not None:
        return found
    step = layout.engine.split(function)
    if step is None:
        return [] if function == layout.engine.false else [{}]
    place = layout.place_of(step[0])
    groups: dict[Any, list[tuple[int, int]]] = {}
    for first, last, rest in _spans(layout, function, place):
        groups.setdefault(rest, []).append((first, last))
    found = [
        {place.key: ranges, **below}
        for rest, spans in groups.items()
        for ranges in [united(spans)]
        for below in _combinations(layout, rest)
    ]
    if len(found) <= _FEW_RANGES:
        layout.combinations[function] = found
    return found
