"""The sets that overlap another are those that trying each would find, in their order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from iptsim.sets.overlaps import Overlaps

#: Sets of eight elements, one a bit.
sets = st.integers(0, 255)


@given(given_=st.lists(sets, max_size=40), asked=sets)
def test_overlaps_are_those_that_trying_each_finds(given_: list[int], asked: int) -> None:
    tree = Overlaps(0, [(one, number) for number, one in enumerate(given_)])
    expected = [(one & asked, number) for number, one in enumerate(given_) if one & asked]
    assert list(tree.of(asked)) == expected


@given(given_=st.lists(sets, max_size=40), asked=sets, turned=st.integers(0, 7))
def test_sets_are_compared_as_they_have_become(given_: list[int], asked: int, turned: int) -> None:
    def now(one: int) -> int:
        return (one << turned | one >> 8 - turned) & 255

    tree = Overlaps(0, [(one, number) for number, one in enumerate(given_)])
    expected = [(now(one) & asked, number) for number, one in enumerate(given_) if now(one) & asked]
    assert list(tree.of(asked, now)) == expected
