"""The fields of a packet that rules have changed so far, bit by bit, in terms of the header at the base chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import NamedTuple

from iptsim.sets.layout import Layout
from iptsim.sets.packets import PacketSet

#: A bit of a rewritten field: 0, 1, or twice a variable and 2 more; one more than that where it is flipped.
Bit = int
_ZERO, _ONE, _FIRST = 0, 1, 2


def variable_bit(variable: int, *, flipped: bool = False) -> Bit:
    """Return a bit that equals a variable."""
    return 2 * variable + _FIRST + flipped


def constant_bits(number: int, count: int) -> tuple[Bit, ...]:
    """Return the bits of a number, the highest first."""
    return tuple(number >> place & 1 for place in reversed(range(count)))


class Rewriting(NamedTuple):
    """The fields that differ from those at the base chain, each with its bits, the highest first.

    Fields are in the order of their keys, and unchanged ones are left out, so that equal rewritings are identical.
    """

    fields: tuple[tuple[str, tuple[Bit, ...]], ...] = ()

    @classmethod
    def of(cls, layout: Layout, bits: Mapping[str, tuple[Bit, ...]]) -> Rewriting:
        """Make a rewriting from the bits of some fields."""
        changed = {key: value for key, value in bits.items() if value != own_bits(layout, key)}
        return cls(tuple(sorted(changed.items())))

    @property
    def changed(self) -> frozenset[str]:
        """The fields that differ."""
        return frozenset(key for key, _ in self.fields)

    def bits(self, layout: Layout, field: str) -> tuple[Bit, ...]:
        """Return the current bits of a field."""
        return dict(self.fields).get(field) or own_bits(layout, field)

    def only(self, fields: Iterable[str]) -> Rewriting:
        """Return the rewriting reduced to some fields."""
        chosen = frozenset(fields)
        return Rewriting(tuple(one for one in self.fields if one[0] in chosen))

    def then(self, layout: Layout, bits: Mapping[str, tuple[Bit, ...]]) -> Rewriting:
        """Return the rewriting with some fields changed again."""
        return Rewriting.of(layout, {**dict(self.fields), **bits})

    def number(self, field: str) -> tuple[int, int]:
        """Return the number to which a field is set, and the mask of the bits that are set; other bits are copied."""
        bits = dict(self.fields).get(field, ())
        number = mask = 0
        for bit in bits:
            number, mask = number << 1 | (bit == _ONE), mask << 1 | (bit < _FIRST)
        return number, mask

    def replacements(self, layout: Layout) -> dict[int, PacketSet]:
        """Return the replacement of each variable of the rewritten fields."""
        engine, found = layout.engine, {}
        for key, bits in self.fields:
            for variable, bit in zip(layout.places[key].variables, bits, strict=True):
                if bit < _FIRST:
                    function = engine.true if bit else engine.false
                else:
                    function = layout.variable((bit - _FIRST) // 2)
                    function = ~function if bit & 1 else function
                found[variable] = PacketSet(layout, function)
        return found


class Following:
    """Puts two rewritings together, each pair once."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._known: dict[tuple[Rewriting, Rewriting, frozenset[str]], Rewriting] = {}

    def __call__(self, first: Rewriting, later: Rewriting, seen: Callable[[], frozenset[str]]) -> Rewriting:
        """Return a rewriting and a later one together.

        Args:
            first: the first one.
            later: a rewriting whose bits are in terms of the header before the first one for the fields in `seen`;
                those of any other field are copied from it as it is after the first one.
            seen: returns some fields.
        """
        if not (first.fields and later.fields):
            return later if later.fields else first
        known = seen()
        found = self._known.get((first, later, known))
        if found is None:
            own = dict(first.fields)
            bits = {
                key: value if key in known or key not in own else _copied(self._layout, key, own[key], value)
                for key, value in later.fields
            }
            found = self._known[first, later, known] = first.then(self._layout, bits)
        return found


def _copied(layout: Layout, field: str, before: tuple[Bit, ...], bits: tuple[Bit, ...]) -> tuple[Bit, ...]:
    """Return bits of a field with its own variables replaced by the bits that it had before."""
    variables = layout.places[field].variables
    return tuple(
        before[variable - variables.start] ^ (bit & 1)
        if bit >= _FIRST and (variable := (bit - _FIRST) // 2) in variables
        else bit
        for bit in bits
    )


def own_bits(layout: Layout, field: str) -> tuple[Bit, ...]:
    """Return the bits of an unchanged field."""
    place = layout.places[field]
    return _variable_bits(place.first, place.bits)


@cache
def _variable_bits(first: int, count: int) -> tuple[Bit, ...]:
    return tuple(map(variable_bit, range(first, first + count)))


#: Nothing is rewritten.
AS_IT_CAME = Rewriting()
