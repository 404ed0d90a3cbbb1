"""Sets of packets as lines: the lines say the same packets, and are few."""

from __future__ import annotations

from functools import reduce
from operator import or_

import pytest

from iptsim.extensions.constraints import Masked, named
from iptsim.sets.lines import FIELDS, PacketLine, packet_lines
from iptsim.sets.numbering import Words
from iptsim.sets.packets import PacketSet, TooManyRangesError
from iptsim.sets.space import Space


@pytest.fixture(params=["python", "auto"])
def space(request: pytest.FixtureRequest) -> Space:
    return Space(4, engine=request.param)


def ports(space: Space, *numbers: int) -> PacketSet:
    return space.where("proto", ((6, 6),)) & space.where("dport", tuple((one, one) for one in numbers))


def to(space: Space, *last: int) -> PacketSet:
    return space.where("dst", tuple((0x0A000000 + one, 0x0A000000 + one) for one in last))


def test_a_line_names_what_is_restricted(space: Space) -> None:
    packets = ports(space, 80, 443) & to(space, 1) & space.where("in_interface", named("eth0"))
    (line,) = packet_lines(packets, 4)
    assert str(line) == "* → 10.0.0.1 tcp 80,443 (in eth0)"
    assert line.as_json() == {"in": ["eth0"], "to": ["10.0.0.1"], "proto": ["tcp"], "dports": ["80", "443"]}
    assert [str(one) for one in packet_lines(space.everything, 4)] == ["* → *"]
    assert packet_lines(space.nothing, 4) == []


def test_what_is_excluded_is_shorter(space: Space) -> None:
    packets = space.where("proto", ((6, 6),)) - ports(space, 22, 25) - to(space, 1)
    (line,) = packet_lines(packets, 4)
    assert str(line) == "* → !10.0.0.1 tcp !22,25"
    assert line.as_json()["dports"] == ["0-21", "23-24", "26-65535"]


def test_lines_that_differ_in_one_field_are_one(space: Space) -> None:
    packets = (
        (to(space, 1) & ports(space, 80))
        | (to(space, 2) & ports(space, 80))
        | (to(space, 3) & ports(space, 81))
    )
    assert [str(line) for line in packet_lines(packets, 4)] == [
        "* → 10.0.0.1-10.0.0.2 tcp 80",
        "* → 10.0.0.3 tcp 81",
    ]


def test_names_take_the_place_of_addresses(space: Space) -> None:
    """One name is for all addresses that others can send to; an only address is shown with it."""
    names = {
        "10.0.0.1": "host",
        "10.0.0.3": "host",
        "127.0.0.1": "host",
        "10.0.0.5": "web",
        "fd00::1": "host",
    }

    def said(*last: int) -> str:
        (line,) = packet_lines(to(space, *last), 4)
        return line.text(names=names)

    assert said(1, 3, 5, 9) == "* → host,10.0.0.9,web 10.0.0.5"
    assert said(1, 5, 9) == "* → 10.0.0.9,host 10.0.0.1,web 10.0.0.5"


def as_set(space: Space, line: PacketLine) -> PacketSet:
    found = space.everything
    for name, values in line.values.items():
        assert not isinstance(values, Words)
        found &= space.where(FIELDS[name], values)
    return found


def test_the_lines_are_the_set(space: Space) -> None:
    packets = (
        (to(space, 1, 2, 9) & ports(space, 80)) ^ (to(space, 2, 4) & ports(space, 80, 81)) ^ ports(space, 82)
    )
    lines = packet_lines(packets, 4)
    sets = [as_set(space, line) for line in lines]
    assert reduce(or_, sets) == packets
    assert all(not (one & other) for one in sets for other in sets if one is not other)
    assert len(lines) <= 4


def test_decisions_are_left_open(space: Space) -> None:
    packets = to(space, 1) & space.undecided("rate", "the rate")
    assert [str(line) for line in packet_lines(packets, 4)] == ["* → 10.0.0.1"]


@pytest.mark.thorough
def test_what_would_be_millions_of_ranges_is_widened(space: Space) -> None:
    """The packets that NETMAP sends to one address, whatever network they were for: its own bits are left out."""
    host_part = space.where("dst", Masked(2, 0xFF))
    with pytest.raises(TooManyRangesError, match="more than 300,000 separate ranges of dst"):
        host_part.addresses("dst")
    assert not space.layout.widened
    half = host_part & space.where("dst", ((0, 0x7FFFFFFF),)) & space.where("proto", ((6, 6),))
    (line,) = packet_lines(half, 4)
    assert str(line) == "* → 0.0.0.0/1 tcp"
    assert space.layout.widened
    near = host_part & space.where("dst", ((0x0A000000, 0x0A0003FF),))
    (line,) = packet_lines(near, 4)
    assert str(line) == "* → 10.0.0.2,10.0.1.2,10.0.2.2,10.0.3.2"


def test_lines_of_sets_that_have_parts_in_common(space: Space) -> None:
    """What is known of the ranges of one field is not taken for another's."""
    some = space.where("proto", ((6, 6), (17, 17)))
    assert str(*packet_lines(some, 4)) == "* → * tcp,udp"
    assert str(*packet_lines(some & to(space, 1), 4)) == "* → 10.0.0.1 tcp,udp"
    assert str(*packet_lines(some, 4)) == "* → * tcp,udp"
