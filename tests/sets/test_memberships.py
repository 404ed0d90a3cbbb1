"""Packets are divided by exactly the sets that they are in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from iptsim.sets.memberships import crossed
from iptsim.sets.space import Space
from tests.thoroughness import property_tests

#: Ranges of destination ports, and of source ports, by way.
spans = st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda one: (one[0], one[0] + one[1]))
areas = st.lists(st.tuples(spans, spans), min_size=1, max_size=3)


Areas = list[list[tuple[tuple[int, int], tuple[int, int]]]]


def check_division(areas_: Areas) -> None:
    space = Space(4, "python")
    ways = {
        number: [(None, space.where("dport", (one,)) & space.where("sport", (other,))) for one, other in area]
        for number, area in enumerate(areas_)
    }
    found = list(crossed(space, ways))
    assert len({keys for keys, _ in found}) == len(found)
    for dport in range(0, 54, 5):
        for sport in range(0, 54, 5):
            packet = space.point({"dport": dport, "sport": sport})
            inside = tuple(key for key, own in ways.items() if any(packet <= one for _, one in own))
            assert [keys for keys, own in found if packet <= own] == ([inside] if inside else [])


test_each_packet_is_where_exactly_the_sets_are_that_hold_it, test_each_packet_of_many_sets_is = (
    property_tests(check_division, given(areas_=st.lists(areas, max_size=6)), 10, 80)
)
