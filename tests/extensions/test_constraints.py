"""Conditions as data and as tests: both say the same of every packet."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any

import pytest

from iptsim.addresses import Family
from iptsim.connection import Connection, Flow
from iptsim.dump.reader import loads
from iptsim.extensions.base import Match
from iptsim.extensions.constraints import (
    Allowed,
    Constraint,
    Masked,
    Names,
    Pattern,
    Several,
    Some,
    packet_field,
)
from iptsim.extensions.context import Context
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.registry import all_extensions
from iptsim.packet import Packet
from iptsim.truth import Truth, Unknown
from tests.extensions import worlds
from tests.extensions.test_matches_a_l import TAKEN
from tests.extensions.test_matches_l_z import ALL_CANONICAL, PLACES

PACKETS = 20
#: In the thorough tests, there are more.
MANY = pytest.mark.parametrize("packets", [PACKETS, pytest.param(100, marks=pytest.mark.thorough)])
#: Matches that compute: they run a program, search the data, or remember.
CLOSURES = {"bpf", "recent", "string", "u32"}
MORE = (
    "-p tcp -m tcp --sport 5 ! --dport 80", "-p udp -m udp --dport 9:5",
    "-s 10.0.0.0/8 ! -d 10.0.0.2 -i eth+ ! -o eth1",
    "-p tcp -m tcp ! --sport 5 ! --dport 80", "-p udp -m udp ! --dport 0:65535", "-p icmp -m icmp --icmp-type 8/0",
    "-p tcp -m multiport --ports 5,80", "-p tcp -m multiport ! --ports 5,80", "-p sctp -m sctp --chunk-types any INIT",
    "-m ttl --ttl-gt 64", "-m conntrack --ctstate NEW,DNAT --ctproto 6", "-f -p icmp",
)  # fmt: skip


class World(worlds.World):
    """Surroundings of which much is stated, or little."""

    def __init__(self, random: Random) -> None:
        stated = {
            "cpu": 2, "realm": 5, "cgroup": "/a/b/c", "classid": 5, "connlabels": {"web": 3},
            "interface_groups": {"eth0": "default", "eth1": 5, "veth1": "lan"}, "ipvs": "no", "nth": 4,
            "time": "2024-12-22T03:10:00", "kernel_timezone": 60, "socket": "any", "socket_mark": 7,
        }  # fmt: skip
        super().__init__({name: value for name, value in stated.items() if random.random() < 0.5})
        self.type = random.choice(("LOCAL", "UNICAST", "BROADCAST", "MULTICAST", Unknown("the routes")))
        self.truth = random.choice((True, False, Unknown("the capture")))

    def recent(self, name: str) -> dict[int, list[float]] | None:
        return {} if self.truth is True else None

    def set_contains(self, name: str, directions: tuple[str, ...], context: Context, options: Any) -> Truth:
        return self.truth

    def reverse_path(self, context: Context, **options: bool) -> Truth:
        return self.truth

    def address_type(self, family: Family, address: int, interface: str | None) -> str | Unknown:
        return self.type if interface is None else "LOCAL"


#: Contents of the extension headers that conditions test.
HEADERS = (
    (0, b"\x01\x04abcd"), (60, b"\x05\x02ab\x01\x00"), (60, b"\x00\x01\x04ab"), (51, b"\x00\x00\x00\x00\x00\x05"),
    (43, bytes((0, 1, 0, 0, 0, 0)) + (1).to_bytes(16, "big")), (43, bytes((4, 1, 1, 0, 0, 5)) + bytes(32)),
    (44, b"\x00\x10\x00\x00\x00\x05"),
)  # fmt: skip


def contexts(
    random: Random, family: Family, protocol: int | None, packets: int = PACKETS
) -> Iterator[Context]:
    """Yield packets that are near to what conditions test."""
    addresses = (0x0A000001, 0x0A000002, 0xC0000205) if family == 4 else (1, 0x20010DB8 << 96 | 1, 5)
    for _ in range(packets):
        proto = protocol or random.choice((6, 17, 1))
        sport, dport = (random.choice((None, 5, 80, 53, 1000)) for _ in range(2))
        packet = Packet(
            family,
            random.choice(addresses),
            random.choice(addresses),
            proto,
            sport,
            dport,
            tcp_flags=random.choice((2, 16, 0x3F, 0)),
            tcp_options=random.choice(({}, {2: b"\x05\xb4"})),
            icmp_type=random.choice((None, 8, 3, 128)),
            icmp_code=random.choice((None, 0)),
            ttl=random.choice((1, 63, 64, 65, 255)),
            tos=random.choice((0, 0x10, 0x28, 3)),
            length=random.choice((60, 100, 1500)),
            mark=random.choice((0, 1, 5, 0xFF)),
            fragment=random.choice((None, None, None, "first", "last")),
            extension_headers=tuple(one for one in HEADERS if family == 6 and random.random() < 0.2),
            src_mac=random.choice((None, "00:aa:bb:01:02:03")),
            pkttype=random.choice(("unicast", "multicast")),
            uid=random.choice((None, 0, 7)),
            gid=random.choice((None, 5, 7)),
            local_socket=random.random() < 0.5,
            extra=random.choice(
                ({}, {"esp_spi": 5, "ah_spi": 1, "ipcomp_cpi": 18, "ipsec": "in", "mh_type": 5})
            ),
        )
        flow = Flow(packet.src, sport, packet.dst, dport, proto)
        status = frozenset(random.sample(("SNAT", "DNAT", "ASSURED", "CONFIRMED", "EXPECTED"), 2))
        connection = Connection(
            family,
            flow,
            flow.reversed(),
            mark=random.choice((0, 5)),
            status=status,
            expires=5,
            labels=frozenset(random.choice(((), (3, 5)))),
            related=random.random() < 0.3,
            master_helper=random.choice((None, "ftp")),
            packets={"original": 3, "reply": 2},
            bytes={"original": 300, "reply": 2},
        )
        yield Context(
            packet,
            "FORWARD",
            "filter",
            World(random),
            in_interface="eth0",
            out_interface=random.choice(("eth1", "veth1")),
            physical_in=random.choice((None, "veth1", "eth5")),
            physical_out=random.choice((None, "veth2", "eth5")),
            state=random.choice(("NEW", "ESTABLISHED", "UNTRACKED", None)),
            connection=random.choice((None, connection)),
            backend=random.choice(("nf_tables", "legacy")),
            version=random.choice((None, "1.8.9")),
        )


def allows(allowed: Allowed, value: Any) -> bool:
    """Return whether a value is allowed, from the meaning of the data alone."""
    if isinstance(allowed, Masked):
        return all(
            (value ^ allowed.value) >> bit & 1 == 0 for bit in range(128) if allowed.mask >> bit & 1
        ) and (allowed.value & ~allowed.mask == 0)
    if isinstance(allowed, Names):
        return any(value == name for name in allowed.names)
    if isinstance(allowed, Some):
        return bool(set(value) & set(allowed.members))
    if isinstance(allowed, Pattern):
        start, plus, _ = allowed.text.partition("+")
        return value[: len(start)] == start and (bool(plus) or value == start)
    if isinstance(allowed, tuple):
        return any(value in range(first, last + 1) for first, last in allowed)
    return allowed.allows(value)


def expected(constraint: Constraint | Several, context: Context) -> Truth:
    if isinstance(constraint, Several):
        truths = [expected(part, context) for part in constraint.parts]
        if (not constraint.every) in truths:
            return not constraint.every
        return next((truth for truth in reversed(truths) if isinstance(truth, Unknown)), constraint.every)
    value = constraint.field.read(context)
    if value is None:
        return constraint.absent
    return value if isinstance(value, Unknown) else allows(constraint.allowed, value) != constraint.negated


@cache
def conditions() -> tuple[tuple[Family, int | None, str, Predicate], ...]:
    """Return the conditions of all rules of the tables: family, protocol, name of the match, condition."""
    found = []
    rules = [(line.family, "mangle", line.chain, line.clause) for line in TAKEN]
    rules += [(4, "filter", "FORWARD", rule) for rule in MORE]
    for number, clause, _ in ALL_CANONICAL:
        before, table, chain = PLACES.get(clause.split()[0], ("", "filter", "INPUT"))
        rules.append((4 if number == 4 else 6, table, chain, f"{before} -m {clause}"))
    for family, table, chain, text in rules:
        dump = f"*{table}\n:{chain} ACCEPT [0:0]\n-A {chain} {text}\nCOMMIT\n"
        rule = next(loads(dump, family=family).rules())
        protocol = rule.parameters.protocol
        for match in (rule.parameters, *rule.matches):
            found += [(family, protocol, match.name, predicate) for predicate in match.predicates()]
    return tuple(found)


@MANY
def test_the_data_and_the_test_say_the_same(packets: int) -> None:
    constrained = [one for one in conditions() if one[3].constraint is not None]
    assert len(constrained) > 100
    seen: set[Any] = set()
    for family, protocol, _, predicate in constrained:
        for context in contexts(Random(predicate.text), family, protocol, packets):
            truth = predicate.test(context)
            wanted = expected(predicate.constraint, context)  # type: ignore[arg-type]
            if isinstance(wanted, Unknown):
                assert isinstance(truth, Unknown), predicate.text
                assert truth[:2] == wanted[:2]
            else:
                assert truth is wanted, (predicate.text, context)
            seen.add(wanted if isinstance(wanted, bool) else None)
    assert seen == {True, False, None}


@MANY
def test_what_is_implied_holds(packets: int) -> None:
    """Where one condition implies another, each packet that meets the first meets the second."""
    constraints = {
        one[3].text: one[3] for one in conditions() if one[3].constraint is not None and one[0] == 4
    }
    implied = 0
    for mine in constraints.values():
        for theirs in constraints.values():
            if mine is theirs or not mine.constraint.implies(theirs.constraint):  # type: ignore[union-attr, arg-type]
                continue
            implied += 1
            for context in contexts(Random(f"{mine.text} {theirs.text}"), 4, None, packets):
                if mine.test(context) is True:
                    assert theirs.test(context) is True, (mine.text, theirs.text, context)
    assert implied > 20


@pytest.mark.parametrize(
    ("narrow", "wide", "implied"),
    [
        (((5, 9),), ((0, 9),), True), (((5, 9),), ((6, 20),), False), (((5, 9),), ((0, 3), (4, 9)), True),
        (Masked(0x12, 0xFF), Masked(0x10, 0xF0), True), (Masked(0x10, 0xF0), Masked(0x12, 0xFF), False),
        (Names(frozenset("a")), Names(frozenset("ab")), True), (Some(frozenset("ab")), Some(frozenset("a")), False),
        (Pattern("eth0"), Pattern("eth+"), True), (Pattern("eth+"), Pattern("eth0"), False),
        (Pattern("eth0"), Names(frozenset(("eth0",))), False),
    ],
)  # fmt: skip
def test_a_set_within_another(narrow: Any, wide: Any, implied: bool) -> None:
    field = packet_field("ttl")
    assert Constraint(field, narrow).implies(Constraint(field, wide)) is implied
    assert not Constraint(field, narrow, negated=True).implies(Constraint(field, wide))
    negated = Constraint(field, wide, negated=True).implies(Constraint(field, narrow, negated=True))
    assert negated is implied
    assert not Constraint(field, narrow).implies(Constraint(packet_field("tos"), wide))


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("-p icmp -m icmp --icmp-type 8/0", "-p icmp -m icmp --icmp-type 8"),
        ("-p icmp -m icmp --icmp-type 8", "-p icmp -m icmp --icmp-type any"),
        ("-m addrtype --dst-type LOCAL", "-m addrtype --dst-type LOCAL,BROADCAST"),
        ("-m physdev --physdev-in veth1", "-m physdev --physdev-in veth+"),
        ("-m physdev ! --physdev-out veth+", "-m physdev ! --physdev-out veth1"),
        ("-p tcp -m multiport --dports 443", "-p tcp -m multiport --ports 80,443"),
        ("-p tcp -m tcp --dport 443", "-p tcp -m multiport --dports 80,443"),
        ("-p udp -m udp ! --dport 1:9", "-p udp -m udp ! --dport 5"),
        ("! -s 10.0.0.0/8", "! -s 10.1.0.0/16"),
    ],
)  # fmt: skip
def test_a_rule_within_another(narrow: str, wide: str) -> None:
    mine, theirs = (
        [one.constraint for match in (rule.parameters, *rule.matches) for one in match.predicates()]
        for rule in loads(
            f"*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD {narrow}\n-A FORWARD {wide}\nCOMMIT\n"
        ).rules()
    )
    assert all(any(one.implies(other) for one in mine if one) for other in theirs if other)
    assert not all(any(other.implies(one) for other in theirs if other) for one in mine if one)


def parts(constraint: Constraint | Several | None) -> Iterator[Constraint]:
    if isinstance(constraint, Constraint):
        yield constraint
    elif constraint is not None:
        for part in constraint.parts:
            yield from parts(part)


@pytest.mark.parametrize("family", [4, 6])
def test_fields_of_one_name_have_one_value(family: Family) -> None:
    """Whatever reads sets of packets from the constraints relies on it; later fragments may differ."""
    fields = [
        part.field
        for number, _, _, predicate in conditions()
        for part in parts(predicate.constraint)
        if number == family
    ]
    for context in contexts(Random("fields"), family, None):
        if context.packet.is_later_fragment:
            continue
        values: dict[str, Any] = {}
        for field in fields:
            value = field.read(context)
            if value is not None and not isinstance(value, Unknown):
                assert values.setdefault(field.key, value) == value, field.key
    assert len({field.key for field in fields}) > 40


def test_which_matches_are_constraints_alone() -> None:
    """The others compute: they run a program, search the data, or remember."""
    others = {name for _, _, name, predicate in conditions() if predicate.constraint is None}
    names = {one.name for one in all_extensions() if issubclass(one, Match)}
    assert others == CLOSURES <= names
