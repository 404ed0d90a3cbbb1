"""Numbers of which some bits are unknown, such as the mark that HMARK makes of what a question does not state.

Such a number consists of known bits and of bits of unknown numbers. A mark that is saved in a connection and restored
later therefore stays the same mark, and what one rule finds out about it holds for all later ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from iptsim.languages import Message, Text, message

_ALL = 0xFFFFFFFF


class Bits(NamedTuple):
    """The numbers x with x & mask == value."""

    value: int
    mask: int

    def meet(self, other: Bits) -> Bits | None:
        """Return the numbers that both contain; None if there are none."""
        if (self.value ^ other.value) & self.mask & other.mask:
            return None
        return Bits(self.value | other.value, self.mask | other.mask)

    def without(self, other: Bits) -> list[Bits]:
        """Return the numbers that the other does not contain, in sets that do not overlap."""
        if self.meet(other) is None:
            return [self]
        found, rest, free = [], self, other.mask & ~self.mask
        while free:
            bit = 1 << free.bit_length() - 1
            free ^= bit
            found.append(Bits(rest.value | ~other.value & bit, rest.mask | bit))
            rest = Bits(rest.value | other.value & bit, rest.mask | bit)
        return found


def bits_of_range(low: int, high: int) -> list[Bits]:
    """Return the 32-bit numbers from a first to a last one.

    >>> bits_of_range(4, 6)
    [Bits(value=4, mask=4294967294), Bits(value=6, mask=4294967295)]
    """
    found, high = [], min(high, _ALL)
    while low <= high:
        size = 1 << (high - low + 1).bit_length() - 1
        if low:
            size = min(size, low & -low)
        found.append(Bits(low, _ALL & ~(size - 1)))
        low += size
    return found


class UnknownNumber:
    """A number of 32 bits that neither the question nor the capture states.

    Args:
        reason: why it is unknown, as a phrase that follows "depends on".
        decide: what would decide it, as a phrase that follows "ask again with".
        first: the least number that it may be.
        last: the greatest; below the first, the numbers continue with 0 after the greatest of all.

    Attributes:
        possible: the numbers that it may still be on this branch of the walk, in sets that do not overlap.
    """

    def __init__(self, reason: Message, decide: Text = "", first: int = 0, last: int = _ALL) -> None:
        self.reason, self.decide = reason, decide
        spans = [(first, last)] if first <= last else [(first, _ALL), (0, last)]
        self.possible = [bits for span in spans for bits in bits_of_range(*span)]

    def may_be(self, wanted: Bits) -> bool:
        """Return whether it may be one of some numbers."""
        return any(bits.meet(wanted) for bits in self.possible)

    def must_be(self, wanted: Iterable[Bits]) -> bool:
        """Return whether it can only be one of some numbers."""
        return not _outside(self.possible, wanted)

    def learn(self, wanted: Iterable[Bits], *, inside: bool) -> None:
        """Restrict it to some numbers, or to all others."""
        if inside:
            found = [bits.meet(other) for other in wanted for bits in self.possible]
            self.possible = [bits for bits in found if bits is not None]
        else:
            self.possible = _outside(self.possible, wanted)

    @property
    def example(self) -> int:
        """The first of the numbers that it may be."""
        return self.possible[0].value if self.possible else 0

    @property
    def known(self) -> int:
        """The bits in which all numbers that it may be are equal."""
        found = _ALL
        for bits in self.possible:
            found &= bits.mask & ~(bits.value ^ self.example)
        return found


def _outside(possible: list[Bits], wanted: Iterable[Bits]) -> list[Bits]:
    for one in wanted:
        possible = [rest for bits in possible for rest in bits.without(one)]
    return possible


class Part(NamedTuple):
    """Some bits of an unknown number, shifted to the left (to the right by a negative number)."""

    number: UnknownNumber
    mask: int
    shift: int = 0

    @property
    def covered(self) -> int:
        """The bits of the result that are its own."""
        return _shifted(self.mask, self.shift)


def _shifted(bits: int, shift: int) -> int:
    return bits << shift & _ALL if shift >= 0 else bits >> -shift


@dataclass(frozen=True, slots=True)
class PartlyKnown:
    """A number of 32 bits: the exclusive or of known bits and of parts of unknown numbers, which do not overlap."""

    bits: int
    parts: tuple[Part, ...]

    def __and__(self, kept: int) -> Mark:
        parts = (one._replace(mask=one.mask & _shifted(kept, -one.shift)) for one in self.parts)
        return _of(self.bits & kept, tuple(one for one in parts if one.covered))

    def __xor__(self, other: Mark) -> Mark:
        if isinstance(other, int):
            return replace(self, bits=self.bits ^ other)
        parts = self.parts
        for one in other.parts:
            if one in parts:
                # equal bits cancel each other
                parts = tuple(mine for mine in parts if mine != one)
                continue
            both = [mine for mine in parts if mine.covered & one.covered]
            if both:
                # the exclusive or of two unknown bits is yet another one
                covered = one.covered
                for mine in both:
                    covered |= mine.covered
                one = Part(UnknownNumber(one.number.reason, one.number.decide), covered)
            parts = (*(mine for mine in parts if mine not in both), one)
        return _of(self.bits ^ other.bits, parts)

    def __rxor__(self, other: int) -> Mark:
        return self ^ other

    def __lshift__(self, count: int) -> Mark:
        return self._moved(count)

    def __rshift__(self, count: int) -> Mark:
        return self._moved(-count)

    def _moved(self, shift: int) -> Mark:
        parts = []
        for one in self.parts:
            kept = _shifted(_shifted(one.covered, shift), -shift)
            parts.append(Part(one.number, one.mask & _shifted(kept, -one.shift), one.shift + shift))
        return _of(_shifted(self.bits, shift), tuple(one for one in parts if one.covered))

    @property
    def reason(self) -> UnknownNumber:
        """The unknown number that is named as the reason."""
        return self.parts[0].number

    @property
    def example(self) -> int:
        """A number that it may be."""
        found = self.bits
        for one in self.parts:
            found ^= _shifted(one.number.example & one.mask, one.shift)
        return found

    @property
    def known(self) -> int:
        """The bits that are known by now."""
        found = _ALL
        for one in self.parts:
            found &= ~_shifted(one.mask & ~one.number.known, one.shift)
        return found

    def test(self, wanted: Sequence[Bits]) -> bool | Callable[[bool], None]:
        """Return whether it is one of some numbers.

        Returns:
            The result if there is only one; else what to call with the result once it is decided.
        """
        cases = [case for bits in wanted if (case := self._case(bits)) is not None]
        if not cases:
            return False
        numbers = {id(number): number for case in cases for number, _ in case}
        if any(all(number.must_be([bits]) for number, bits in case) for case in cases):
            return True
        if len(numbers) == 1:
            (number,) = numbers.values()
            inside = [bits for case in cases for _, bits in case]
            if number.must_be(inside):
                return True
            return lambda result: number.learn(inside, inside=result)

        def learn(result: bool) -> None:
            if result and len(cases) == 1:
                for number, bits in cases[0]:
                    number.learn([bits], inside=True)

        return learn

    def _case(self, wanted: Bits) -> list[tuple[UnknownNumber, Bits]] | None:
        """Return what its unknown numbers are if it is one of some numbers; None if it is not."""
        covered = 0
        found: dict[UnknownNumber, Bits] = {}
        for one in self.parts:
            covered |= one.covered
            mask = one.mask & _shifted(wanted.mask, -one.shift)
            mine: Bits | None = Bits(_shifted(wanted.value ^ self.bits, -one.shift) & mask, mask)
            if one.number in found and mine is not None:
                mine = found[one.number].meet(mine)
            if mine is None or not one.number.may_be(mine):
                return None
            if mine.mask:
                found[one.number] = mine
        if (wanted.value ^ self.bits) & wanted.mask & ~covered:
            return None
        return list(found.items())


#: A mark, of which some bits may be unknown.
Mark = int | PartlyKnown


def unknown_mark(number: UnknownNumber) -> Mark:
    """Return an unknown number as a mark."""
    known = number.known
    return _of(number.example & known, (Part(number, _ALL & ~known),) if known != _ALL else ())


def some_mark(mark: Mark) -> int:
    """Return a mark, or one of those that it may be."""
    return mark if isinstance(mark, int) else mark.example


def known_mark(mark: Mark) -> int | None:
    """Return a mark; None if it is not known by now."""
    if isinstance(mark, int):
        return mark
    return mark.example if mark.known == _ALL else None


def mark_text(mark: Mark) -> Text:
    """Return a mark as rules write it, or that it is unknown."""
    known = known_mark(mark)
    return message("unknown") if known is None else hex(known)


def _of(bits: int, parts: tuple[Part, ...]) -> Mark:
    return PartlyKnown(bits, parts) if parts else bits
