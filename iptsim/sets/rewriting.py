"""What rules have changed of a packet so far, bit by bit, in terms of the header as it came to the base chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple

from iptsim.sets.layout import Layout
from iptsim.sets.packets import PacketSet

#: A bit of a rewritten field: 0, 1, or twice a variable and 2 more; one more than that where it is flipped.
Bit = int
_ZERO, _ONE, _FIRST = 0, 1, 2


def variable_bit(variable: int, *, flipped: bool = False) -> Bit:
    """Return the bit that a variable is."""
    return 2 * variable + _FIRST + flipped


def constant_bits(number: int, count: int) -> tuple[Bit, ...]:
    """Return the bits of a number, the highest first."""
    return tuple(number >> place & 1 for place in reversed(range(count)))


class Rewriting(NamedTuple):
    """The fields that differ from those with which the packet came, each with its bits, the highest first.

    It holds fields in the order of their keys, and none that is unchanged, so that equal ones are the same.
    """

    fields: tuple[tuple[str, tuple[Bit, ...]], ...] = ()

    @classmethod
    def of(cls, layout: Layout, bits: Mapping[str, tuple[Bit, ...]]) -> Rewriting:
        """Make a rewriting of the bits of some fields."""
        changed = {key: value for key, value in bits.items() if value != own_bits(layout, key)}
        return cls(tuple(sorted(changed.items())))

    def bits(self, layout: Layout, field: str) -> tuple[Bit, ...]:
        """Return the bits that a field has now."""
        return dict(self.fields).get(field) or own_bits(layout, field)

    def only(self, fields: Iterable[str]) -> Rewriting:
        """Return it for some of the fields."""
        chosen = frozenset(fields)
        return Rewriting(tuple(one for one in self.fields if one[0] in chosen))

    def then(self, layout: Layout, bits: Mapping[str, tuple[Bit, ...]]) -> Rewriting:
        """Return it with some fields changed again."""
        return Rewriting.of(layout, {**dict(self.fields), **bits})

    def number(self, field: str) -> tuple[int, int]:
        """Return the number that a field is set to and the mask of the bits that are set; other bits are copied."""
        bits = dict(self.fields).get(field, ())
        number = mask = 0
        for bit in bits:
            number, mask = number << 1 | (bit == _ONE), mask << 1 | (bit < _FIRST)
        return number, mask

    def replacements(self, layout: Layout) -> dict[int, PacketSet]:
        """Return what each variable of a rewritten field means."""
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


def own_bits(layout: Layout, field: str) -> tuple[Bit, ...]:
    """Return the bits of a field that nothing has changed."""
    place = layout.places[field]
    return _variable_bits(place.first, place.bits)


@cache
def _variable_bits(first: int, count: int) -> tuple[Bit, ...]:
    return tuple(map(variable_bit, range(first, first + count)))


#: Nothing is rewritten.
AS_IT_CAME = Rewriting()
