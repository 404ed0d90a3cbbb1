"""Sets of conditions: expected values are worked out by hand."""

from __future__ import annotations

import re

import pytest

from iptsim.errors import UsageError
from iptsim.extensions.constraints import Constraint, Masked, Names, Pattern, all_of, named, one_of, undecided
from iptsim.extensions.matches.conntrack import STATE
from iptsim.extensions.ports import PORTS
from iptsim.sets.numbering import Words
from iptsim.sets.space import Space
from iptsim.truth import Unknown


def test_numbers_are_ranges(space: Space) -> None:
    web = space.where("dport", ((80, 80), (8000, 8003)))
    assert web.values("dport") == ((80, 80), (8000, 8003))
    assert (~web).values("dport") == ((0, 79), (81, 7999), (8004, 65535))
    assert {"dport": 8002} in web
    assert {"dport": 8004} not in web


def test_many_numbers_beside_ranges(space: Space) -> None:
    spans = (
        (0, 0),
        (2, 2),
        *((number, number) for number in range(101, 200, 2)),
        (1000, 1023),
        (65535, 65535),
    )
    many = space.where("dport", spans)
    assert many.values("dport") == spans
    assert (~many).values("dport")[:3] == ((1, 1), (3, 100), (102, 102))


def test_a_range_that_ends_before_it_starts_is_empty(space: Space) -> None:
    assert space.where("dport", ((9, 5),)) == space.nothing
    assert space.where("dport", ((0, (1 << 128) - 1),)) == space.everything


@pytest.mark.parametrize("field", ["in_interface", "src_mac"])
def test_thousands_of_names(space: Space, field: str) -> None:
    """A host may have a VLAN for each of 10,000 customers, and a rule for each of their Ethernet addresses."""
    names = [f"02:00:00:00:{number >> 8:02x}:{number & 0xFF:02x}" for number in range(10_000)]
    known = space.where(field, Names(frozenset(names)))
    assert {field: names[-1]} in known
    assert {field: "02:00:00:00:ff:ff"} not in known


def test_a_network_is_a_masked_number(space: Space) -> None:
    lan = space.where("src", Masked(0xC0A80000, 0xFFFF0000))
    assert lan.values("src") == ((0xC0A80000, 0xC0A8FFFF),)
    assert space.where("src", Masked(1, 0)) == space.nothing
    assert lan <= space.where("src", Masked(0xC0000000, 0xFF000000))


def test_a_pattern_holds_for_names_that_become_known_later(space: Space) -> None:
    bridges = space.where("in_interface", Pattern("br-+"))
    one = space.where("in_interface", named("br-1"))
    other = space.where("in_interface", named("eth0"))
    assert one <= bridges
    assert not other & bridges
    assert space.where("in_interface", Pattern("+")) == space.everything
    assert not space.where("in_interface", Pattern("")) & bridges
    assert (bridges - one).values("in_interface") == Words(frozenset(), others=True)
    assert one.values("in_interface") == Words(frozenset({"br-1"}))
    # a longer pattern inside, known last
    assert space.where("in_interface", Pattern("br-12+")) <= bridges - one


def test_states_exclude_each_other_and_are_all_there_are(space: Space) -> None:
    new = space.where("ct.state", named("NEW"))
    others = ("ESTABLISHED", "RELATED", "INVALID", "UNTRACKED")
    rest = space.where("ct.state", Names(frozenset(others)))
    assert new | rest == space.everything
    assert not new & rest
    assert rest.values("ct.state") == Words(frozenset(others))


def test_values_of_another_kind_are_a_decision(space: Space) -> None:
    """A field that one rule compares with names and another with numbers has no numbers for these names."""
    names, numbers = space.where("fact.x", named("ftp")), space.where("fact.x", ((1, 5),))
    assert names <= space.where("fact.x", Names(frozenset(("ftp", "irc"))))
    assert (numbers.must, numbers.may) == (space.nothing, space.everything)
    assert numbers & names
    assert numbers - names
    first, then = space.where("fact.y", ((1, 5),)), space.where("fact.y", named("ftp"))
    assert then.may == space.everything
    assert then & first
    assert space.where("fact.y", Pattern("f+")).may == space.everything


def test_equal_limits_are_two_decisions_and_equal_keys_one(space: Space) -> None:
    limit = undecided("limit", Unknown("whether tokens are left"), "")
    first, second = space.condition(limit, place=1), space.condition(limit, place=2)
    assert first != second
    assert first == space.condition(limit, place=1)
    quota = undecided("nfacct.x", Unknown("whether the quota is used up", "", ("nfacct", "x")), "")
    assert space.condition(quota, place=1) == space.condition(quota, place=2)
    assert (first | second).hinges == ("whether tokens are left", "whether tokens are left")


def test_must_and_may(space: Space) -> None:
    ssh, lucky = space.where("dport", ((22, 22),)), space.undecided("limit", "whether tokens are left")
    accepted = ssh & lucky
    assert accepted.may == ssh
    assert accepted.must == space.nothing
    assert (ssh | lucky).must == ssh


def test_without_a_field_and_at_a_value(space: Space) -> None:
    web, lan = space.where("dport", ((80, 80),)), space.where("src", Masked(0x0A000000, 0xFF000000))
    assert (web & lan).without("dport") == lan
    assert (web & lan).at("dport", 80) == lan
    assert (web & lan).at("dport", 81) == space.nothing
    assert (web & lan).only("dport") == web
    # 10.0.0.0/8 whatever the last byte: NETMAP keeps it
    assert lan.at("src", 0x0A000000, 0xFF000000) == space.everything


def test_later_fragments_have_no_ports(space: Space) -> None:
    """Multiport's port is absent there, so that neither the condition nor its negation holds (xt_multiport.c)."""
    later = space.where("fragment", Names(frozenset({"middle", "last"})))
    plain = space.condition(Constraint(PORTS["dport"], ((80, 80),)))
    negated = space.condition(Constraint(PORTS["dport"], ((80, 80),), negated=True))
    assert not (plain | negated) & later
    assert plain | negated | later == space.everything


def test_several_conditions(space: Space) -> None:
    new = Constraint(STATE, named("NEW"))
    web = Constraint(PORTS["dport"], ((80, 80),))
    assert space.condition(all_of(new, web)) == space.condition(new) & space.condition(web)
    assert space.condition(one_of(new, web)) == space.condition(new) | space.condition(web)


def test_lines_are_combinations_of_values(space: Space) -> None:
    web = space.where("dport", ((80, 80),)) & space.where("proto", ((6, 6),))
    dns = space.where("dport", ((53, 53),)) & space.where("proto", ((6, 6), (17, 17)))
    assert (web | dns).lines() == [
        {"proto": ((6, 6),), "dport": ((53, 53), (80, 80))},
        {"proto": ((17, 17),), "dport": ((53, 53),)},
    ]
    assert space.nothing.lines() == []
    assert space.everything.lines() == [{}]


def test_one_packet_of_a_set(space: Space) -> None:
    packets = space.where("in_interface", named("eth0")) & space.where("dport", ((443, 443),))
    one = packets.one()
    assert (one["in_interface"], one["dport"]) == ("eth0", 443)
    assert space.point({"dport": 443, "in_interface": "eth0"}) == packets
    with pytest.raises(ValueError, match="empty"):
        space.nothing.one()


def test_ipv6_addresses_have_128_bits() -> None:
    space = Space(6)
    net = space.where("dst", Masked(0x20010DB8 << 96, 0xFFFFFFFF << 96))
    assert net.values("dst") == ((0x20010DB8 << 96, (0x20010DB9 << 96) - 1),)


def test_sets_of_two_spaces_do_not_mix() -> None:
    with pytest.raises(UsageError, match="different spaces"):
        Space(4).everything & Space(4).everything


def test_a_packet_may_be_a_batch_line(space: Space) -> None:
    ports = space.where("proto", ((6, 6),)) & space.where("dport", ((80, 81),))
    from_one = space.where("src", ((0xC6336407, 0xC6336407),))
    pings = space.where("proto", ((1, 1),)) & space.where("icmp_type", ((0x800, 0x800),))
    line = {"src": "198.51.100.7", "dst": "192.0.2.10", "proto": "tcp", "sport": 40000, "dport": 80}
    assert line in ports & from_one
    assert {**line, "src": "198.51.100.8"} not in ports & from_one
    assert {"proto": "icmp", "icmp_type": 8, "icmp_code": 0} in pings
    assert {"icmp_type": 8} in pings
    assert {"icmp_type": "echo-request", "icmp_code": None} in pings
    assert {"icmp_type": 0, "icmp_code": 8} not in pings
    assert {"icmp_type": "ping"} in Space(6).where("icmp_type", ((0x8000, 0x8000),))
    assert {"proto": "tcp", "tcp_flags": "ACK,PSH"} in space.where("tcp_flags", ((0x18, 0x18),))
    assert {"state": "established"} in space.where("ct.state", named("ESTABLISHED"))
    assert {"proto": "tcp", "dport": "http"} in ports
    assert all(one.witness() in one for one in (ports, from_one, pings))
    # a SYN, like a packet of a question
    assert line in ports & space.where("tcp_flags", ((2, 2),))


@pytest.mark.parametrize(
    ("packet", "said"),
    [
        ({"dprt": 80}, "unknown field 'dprt'; did you mean dport?"),
        ({"from": "web"}, "unknown field 'from'; choose from: out_interface, dst, proto"),
        ({"src": "192.0.2.1000"}, "'192.0.2.1000' is not an IP address"),
        ({"src": "2001:db8::1"}, "2001:db8::1 is not an IPv4 address"),
        ({"proto": "tcpp"}, "unknown protocol 'tcpp'"),
        ({"dport": "htp"}, "dport: 'htp' is not a port"),
        ({"dport": 80.5}, "dport: 80.5 is not a port"),
        ({"proto": "icmp", "icmp_type": [8]}, "icmp_type: [8] is not a number from 0 to 255"),
        ({"proto": "icmp", "icmp_type": 8, "icmp_code": "x"}, "icmp_code: 'x' is not a number from 0 to 255"),
        ({"proto": "tcp", "icmp_type": 8}, "icmp_type: a packet of protocol tcp has none"),
        ({"fragment": "second"}, "fragment: unknown value 'second'; choose from: whole, first, middle, last"),
        ({"ttl": 300}, "ttl: 300 is not a number from 0 to 255"),
        ({"src": -1}, "src: -1 is not a number from 0 to"),
    ],
)
def test_no_packet_has_such_a_value(packet: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        assert packet in Space(4).everything


def test_unknown_fields_and_values_of_another_kind_are_errors(space: Space) -> None:
    ports = space.where("dport", ((80, 80),))
    for wrong in (
        lambda: ports.where("dprt", ((80, 80),)),
        lambda: ports.only("dprt"),
        lambda: ports.without("dprt"),
        lambda: ports.ranges("dprt"),
        lambda: ports.at("dprt", 80),
    ):
        with pytest.raises(UsageError, match="unknown field 'dprt'; did you mean dport"):
            wrong()
    with pytest.raises(UsageError, match="80 is no tuple of ranges, such as"):
        ports.where("dport", 80)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unsupported operand"):
        assert ports & 80  # type: ignore[arg-type]
