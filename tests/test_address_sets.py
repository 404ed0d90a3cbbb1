"""Sets of addresses, compared with sets of numbers."""

from __future__ import annotations

from itertools import product

from iptsim.address_sets import AddressSet

#: Every set of the addresses 0 to 4.
SETS = [
    frozenset(number for number, chosen in enumerate(flags) if chosen)
    for flags in product((False, True), repeat=5)
]


def ranges(numbers: frozenset[int]) -> AddressSet:
    return AddressSet.of(4, ((one, one) for one in numbers))


def test_sets_meet_if_they_have_an_address_in_common() -> None:
    for one, other in product(SETS, SETS):
        assert ranges(one).meets(ranges(other)) is bool(one & other)


def test_differences_and_intersections_are_those_of_sets() -> None:
    for one, other in product(SETS, SETS):
        assert ranges(one) - ranges(other) == ranges(one - other)
        assert ranges(one) & ranges(other) == ranges(one & other)


def test_an_example_is_not_the_address_of_a_network() -> None:
    assert AddressSet.read(4, "10.0.0.0/24").first == 0x0A000001
    assert AddressSet.read(4, "10.0.0.0/32", "10.0.0.4/30").first == 0x0A000005
    assert AddressSet.read(4, "10.0.0.7/32", "10.0.1.0/24").first == 0x0A000007
    assert AddressSet.read(4, "10.0.0.0/32").first == 0x0A000000
