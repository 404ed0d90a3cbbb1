"""An index of a long chain: the next rule that may match, without evaluating the rules before it.

Made from the conditions as data (:mod:`iptsim.extensions.constraints`). For each field that rules of the chain test,
it stores the rules that a value allows, as the bits of an integer; the intersection over all fields gives the rules
that may match. Only the conditions of a rule before the first that is not plain data are indexed; the evaluation of the
rule checks the rest. A condition whose value is unknown excludes no rule.

A rule that reads a default (`Context.consulted`) counts as one that may match until that default has been read. An
answer therefore names the same defaults as if all rules were evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from iptsim.extensions.constraints import Constraint, Masked, Ranges, membership
from iptsim.extensions.context import Context
from iptsim.netfilter.prepared import Prepared
from iptsim.partly_known import PartlyKnown
from iptsim.ranges import complement, within
from iptsim.truth import Unknown

#: The fields that are indexed; reading one consults the default of the same name, and nothing else.
_INDEXED = frozenset({
    "src", "dst", "sport", "dport", "proto", "in_interface", "out_interface", "ct.state", "mark", "tcp_flags",
})  # fmt: skip
#: For how many values of a field the rules are cached, and how many bytes the cache may take.
_VALUES, _BYTES = 4096, 8 << 20
#: Up to this many rules of a prefix are stored as positions, more as a bit set.
_FEW = 4

#: A field, and the number of a condition among those of a rule on that field.
_Key = tuple[str, int]


class ChainIndex:
    """Which rules of a chain may match a packet.

    Args:
        rules: all rules of the chain, in order.
        family: the address family.

    Attributes:
        count: how many rules there are.
        fields: for each field, the rules that its values allow.
    """

    def __init__(self, rules: list[Prepared], family: int) -> None:
        conditions: dict[_Key, dict[tuple[Any, ...], _Condition]] = {}
        later: dict[_Key, set[_Key]] = {}
        for position, rule in enumerate(rules):
            passed: list[_Key] = []
            for constraint in indexed(rule):
                name = constraint.field.key
                key = (name, sum(1 for one in passed if one[0] == name))
                for earlier in passed:
                    later.setdefault(earlier, set()).add(key)
                passed.append(key)
                alike = conditions.setdefault(key, {})
                if constraint.meaning not in alike:
                    alike[constraint.meaning] = _Condition(constraint)
                alike[constraint.meaning].positions.append(position)
        count = len(rules)
        self.count, self._everything = count, (1 << count) - 1
        self.fields = {
            key: _field(list(alike.values()), count, WIDTHS[family].get(key[0], 0))
            for key, alike in conditions.items()
        }
        #: field -> the fields tested earlier by every rule that tests both
        self._earlier = {
            key: [other for other in self.fields if other != key and other not in later.get(key, ())]
            for key in self.fields
        }

    def following(self, context: Context, start: int, ignored: frozenset[str] = frozenset()) -> int:
        """Return the first rule from a position on that may match or read a default; the number of rules if none may.

        Args:
            context: the packet.
            start: the position, from 0.
            ignored: fields whose conditions exclude no rule.
        """
        unread = context.packet.defaults - context.consulted
        allowed = self._everything
        found: dict[_Key, int] = {}
        for key, field in self.fields.items():
            if key[0] in ignored:
                continue
            bits = found[key] = field.rules(context)
            allowed &= bits
        if unread:
            context.consulted.difference_update(unread)
            for key, field in self.fields.items():
                if key[0] in unread:
                    allowed |= self._readers(key, found) & field.tested
        allowed >>= start
        return start + (allowed & -allowed).bit_length() - 1 if allowed else self.count

    def _readers(self, key: _Key, found: dict[_Key, int]) -> int:
        """Return the rules that may evaluate a condition on a field: those that no earlier field excludes."""
        bits = self._everything
        for other in self._earlier[key]:
            bits &= found.get(other, bits)
        return bits


def indexed(rule: Prepared) -> Iterator[Constraint]:
    """Yield the conditions of a rule that are indexed: those before the first that is not plain data."""
    for condition in rule.conditions:
        predicate = condition.predicate
        constraint = predicate.constraint
        if predicate.effect is not None or not isinstance(constraint, Constraint):
            return
        if constraint.field.key not in _INDEXED or not constraint.field.steady:
            return
        yield constraint


class _Condition:
    """A condition, and the rules that have it."""

    def __init__(self, constraint: Constraint) -> None:
        self.constraint = constraint
        self.positions: list[int] = []
        self.absent = constraint.absent is not False
        inside, negated = membership(constraint.allowed), constraint.negated
        self.holds: Callable[[Any], bool] = lambda value: inside(value) is not negated


class FieldIndex:
    """Which rules of a chain the value of a field allows.

    Attributes:
        read: returns the packet's value.
        tested: the rules with a condition on the field.
    """

    def __init__(self, conditions: list[_Condition], count: int) -> None:
        self.read: Callable[[Context], Any] = conditions[0].constraint.field.read
        self.tested = _bits((position for one in conditions for position in one.positions), count)
        self._everything = (1 << count) - 1
        self._free = self._everything & ~self.tested
        self._most = min(_VALUES, max(_BYTES // (count // 8 + 1), 16))
        self._known: dict[Any, int] = {}
        self._prepare(conditions, count)

    def _prepare(self, conditions: list[_Condition], count: int) -> None:
        self._conditions = [(condition, _bits(condition.positions, count)) for condition in conditions]

    def rules(self, context: Context) -> int:
        """Return the rules that the packet's value allows, with those that have no condition on it."""
        return self.allowing(self.read(context))

    def allowing(self, value: Any) -> int:
        """Return the rules that a value allows, with those that have no condition on it."""
        found = self._known.get(value)
        if found is None:
            if isinstance(value, Unknown | PartlyKnown):
                return self._everything
            if len(self._known) >= self._most:
                self._known.clear()
            found = self._known[value] = self._free | self._allowed(value)
        return found

    def _allowed(self, value: Any) -> int:
        found = 0
        for condition, bits in self._conditions:
            if condition.absent if value is None else condition.holds(value):
                found |= bits
        return found


class _NumberIndex(FieldIndex):
    """An index of a field with many possible numbers: conditions are looked up by the prefixes of a number.

    Args:
        width: of the numbers, in bits.
    """

    def __init__(self, conditions: list[_Condition], count: int, width: int) -> None:
        self._width = width
        self._absent = _bits((place for one in conditions if one.absent for place in one.positions), count)
        super().__init__(conditions, count)

    def _prepare(self, conditions: list[_Condition], count: int) -> None:
        tables: dict[int, dict[int, list[int]]] = {}
        others = []
        for condition in conditions:
            prefixes = _prefixes(condition.constraint, self._width)
            if prefixes is None:
                others.append(condition)
                continue
            for value, free in prefixes:
                tables.setdefault(free, {}).setdefault(value, []).extend(condition.positions)
        super()._prepare(others, count)
        self._tables = [
            (free, {value: _packed(positions, count) for value, positions in table.items()})
            for free, table in tables.items()
        ]

    def _allowed(self, value: Any) -> int:
        if value is None:
            return self._absent
        found = super()._allowed(value)
        for free, table in self._tables:
            rules = table.get(value >> free)
            if isinstance(rules, int):
                found |= rules
            elif rules is not None:
                for position in rules:
                    found |= 1 << position
        return found


#: The width in bits of the fields with many possible numbers, by family.
WIDTHS: dict[int, dict[str, int]] = {
    family: {"src": bits, "dst": bits, "sport": 16, "dport": 16} for family, bits in ((4, 32), (6, 128))
}


def _field(conditions: list[_Condition], count: int, width: int) -> FieldIndex:
    return _NumberIndex(conditions, count, width) if width else FieldIndex(conditions, count)


def _bits(positions: Iterable[int], count: int) -> int:
    marks = bytearray(count // 8 + 1)
    for position in positions:
        marks[position >> 3] |= 1 << (position & 7)
    return int.from_bytes(marks, "little")


def _packed(positions: list[int], count: int) -> tuple[int, ...] | int:
    """Return a few positions as they are, many as a bit set."""
    return tuple(positions) if len(positions) <= _FEW else _bits(positions, count)


def _prefixes(constraint: Constraint, width: int) -> list[tuple[int, int]] | None:
    """Return the numbers that satisfy a condition as prefixes; None if they do not form ranges.

    Returns:
        For each prefix, its value shifted right by the number of free bits, and that number.
    """
    ranges = ranges_of(constraint, width)
    return None if ranges is None else [prefix for low, high in ranges for prefix in _of_range(low, high)]


def ranges_of(constraint: Constraint, width: int) -> Ranges | None:
    """Return the numbers that satisfy a condition, as ranges in order; None if they do not form ranges."""
    allowed, most = constraint.allowed, (1 << width) - 1
    if isinstance(allowed, Masked):
        free = most & ~allowed.mask
        if free & (free + 1) or allowed.value & ~allowed.mask:
            return None
        ranges: Ranges = ((allowed.value, allowed.value | free),)
    elif isinstance(allowed, tuple):
        ranges = within(allowed, most)
    else:
        return None
    if constraint.negated:
        ranges = complement(ranges, most)
    return ranges


def _of_range(low: int, high: int) -> Iterator[tuple[int, int]]:
    """Yield the prefixes of a range."""
    while low <= high:
        free = (high - low + 1).bit_length() - 1
        if low:
            free = min(free, (low & -low).bit_length() - 1)
        yield low >> free, free
        low += 1 << free
