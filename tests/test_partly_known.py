"""Numbers with unknown bits: compared with all numbers that they may be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iptsim.extensions.marks import clear_and_flip
from iptsim.languages import message
from iptsim.partly_known import (
    Bits,
    Mark,
    PartlyKnown,
    UnknownNumber,
    bits_of_range,
    known_mark,
    unknown_mark,
)

SMALL = st.integers(0, 15)


def made() -> PartlyKnown:
    mark = unknown_mark(UnknownNumber(message("a test"), "", 0, 15))
    assert isinstance(mark, PartlyKnown)
    return mark


def verdict(result: bool | Callable[[bool], None]) -> bool | None:
    return result if isinstance(result, bool) else None


@given(SMALL, SMALL, SMALL, SMALL, SMALL, SMALL, st.sampled_from([0, 1, 2]))
def test_operations_are_those_of_every_number(
    first: int, last: int, mask: int, flip: int, value: int, tested: int, shift: int
) -> None:
    first, last = min(first, last), max(first, last)
    mark = unknown_mark(UnknownNumber(message("a test"), "", first, last))
    wanted = Bits(value & tested, tested)

    def change(one: Mark) -> Mark:
        return clear_and_flip(one, mask, flip) << shift >> 1

    changed = change(mark)
    numbers = {change(one) for one in range(first, last + 1)}
    results = {isinstance(one, int) and one & wanted.mask == wanted.value for one in numbers}
    expected = results.pop() if len(results) == 1 else None
    if isinstance(changed, int):
        assert numbers == {changed}
    else:
        assert verdict(changed.test([wanted])) is expected


@given(SMALL, SMALL, SMALL, SMALL)
def test_what_was_decided_holds_for_copies(value: int, mask: int, other: int, other_mask: int) -> None:
    for decided in (True, False):
        mark = made()
        result = mark.test([Bits(value & mask, mask)])
        if isinstance(result, bool):
            continue
        result(decided)
        left = {one for one in range(16) if (one & mask == value & mask) is decided}
        copy = mark ^ 0
        assert isinstance(copy, PartlyKnown)
        later = {one & other_mask == other & other_mask for one in left}
        assert verdict(copy.test([Bits(other & other_mask, other_mask)])) is (
            later.pop() if len(later) == 1 else None
        )
        assert known_mark(mark) == (next(iter(left)) if len(left) == 1 else None)


def test_a_range_may_go_past_the_greatest_number() -> None:
    number = UnknownNumber(message("a test"), "", 0xFFFFFFFF, 0)
    mark = unknown_mark(number)
    assert isinstance(mark, PartlyKnown)
    assert [number.may_be(Bits(one, 0xFFFFFFFF)) for one in (0xFFFFFFFE, 0xFFFFFFFF, 0, 1)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert verdict(mark.test(bits_of_range(1, 0xFFFFFFFE))) is False


def test_a_mark_of_two_unknown_numbers() -> None:
    low = made()
    high = made()
    mark = low ^ (high << 4)
    assert isinstance(mark, PartlyKnown)
    assert verdict(mark.test([Bits(0x100, 0x100)])) is False
    learn = mark.test([Bits(0x51, 0xFF)])
    assert not isinstance(learn, bool)
    learn(True)
    assert known_mark(mark) == 0x51
    assert known_mark(low) == 1


def test_equal_bits_cancel_each_other() -> None:
    mark = made()
    assert mark ^ mark == 0


@pytest.mark.parametrize("shift", [0, 2])
def test_the_exclusive_or_of_unknown_bits_is_unknown(shift: int) -> None:
    one = made()
    other = made()
    mark = one ^ (other << shift)
    assert isinstance(mark, PartlyKnown)
    assert verdict(mark.test([Bits(1 << shift, 1 << shift)])) is None
    assert verdict(mark.test([Bits(1 << 10, 1 << 10)])) is False
