"""Saved ipsets as sets of packets: the set and the lookup of single packets say the same."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from iptsim.cli import main
from iptsim.extensions.context import Context
from iptsim.host.ipsets import contains, read_ipsets
from iptsim.packet import Packet
from iptsim.sets.chains import Chains
from iptsim.sets.ipset_contents import contents, known_ipsets
from iptsim.sets.space import Space
from tests.extensions.test_constraints import World
from tests.sets import ENGINES
from tests.sets.test_chains import program
from tests.sets.test_conditions import header

#: As `ipset save` prints sets, with overlapping prefixes, holes, masks, wildcards and lists.
SAVED = """\
create plain hash:ip family inet hashsize 1024 maxelem 65536
add plain 10.0.0.1
add plain 10.0.0.2
create nets hash:net family inet hashsize 1024 maxelem 65536
add nets 10.0.0.0/8
add nets 10.1.0.0/16 nomatch
add nets 10.1.2.0/24
create masked hash:ip family inet netmask 24
add masked 10.0.0.0
create both hash:ip,port family inet
add both 10.0.0.1,tcp:80
add both 10.0.0.2,udp:53
add both 10.0.0.1,icmp:echo-request
create ports bitmap:port range 0-1024
add ports 22
add ports 80
create faces hash:net,iface family inet
add faces 10.0.0.0/8,eth0
add faces 10.1.0.0/16,eth1
add faces 10.2.0.0/16,veth wildcard
add faces 10.3.0.0/16,physdev:eth5
create macs hash:mac
add macs 02:00:00:00:00:01
create marks hash:ip,mark family inet
add marks 10.0.0.1,0x00000005
create lists list:set size 8
add lists plain
add lists ports
create other hash:ip family inet6
add other 2001:db8::1
"""
ASKED = (
    ("plain", ("src",)), ("plain", ("dst",)), ("nets", ("src",)), ("masked", ("dst",)), ("both", ("src", "dst")),
    ("both", ("dst", "src")), ("ports", ("dst",)), ("faces", ("src", "src")), ("faces", ("dst", "dst")),
    ("macs", ("src",)), ("marks", ("src", "src")), ("lists", ("dst",)), ("other", ("src",)), ("both", ("src",)),
)  # fmt: skip


def packets(random: Random) -> Context:
    addresses = [
        0x0A000001,
        0x0A000002,
        0x0A0000FF,
        0x0A010001,
        0x0A010203,
        0x0A020001,
        0x0A030001,
        0xC0000201,
    ]
    proto = random.choice((1, 6, 17, 47))
    packet = Packet(
        4, random.choice(addresses), random.choice(addresses), proto, random.choice((80, 53, 1000)),
        random.choice((22, 80, 53)), icmp_type=8 if proto == 1 else None, icmp_code=0, mark=random.choice((0, 5)),
        src_mac=random.choice(("02:00:00:00:00:01", "02:00:00:00:00:02")), fragment=random.choice((None, None, "last")),
    )  # fmt: skip
    return Context(
        packet, "FORWARD", "filter", World(random),
        in_interface=random.choice(("eth0", "eth1", "veth7", "lo")), out_interface=random.choice(("eth0", "eth1")),
        physical_in=random.choice((None, "eth5")), state="NEW",
    )  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.thorough
def test_the_set_and_the_lookup_say_the_same(engine: Any) -> None:
    space, ipsets, random = Space(4, engine=engine), read_ipsets(SAVED), Random(1)
    for name, directions in ASKED:
        for holes in (False, True):
            found = contents(space, ipsets, name, directions, holes=holes)
            assert found is not None
            for _ in range(150):
                context = packets(random)
                wanted = contains(ipsets, name, directions, context, {"return_nomatch": holes})
                there = found.having(header(context)) == space.everything
                assert there is wanted, (name, directions, holes, context)


def test_what_no_header_shows_is_unknown() -> None:
    space, ipsets = Space(4), read_ipsets(SAVED)
    assert contents(space, ipsets, "macs", ("dst",)) is None
    assert contents(space, ipsets, "absent", ("src",)) is None


def test_a_set_that_rules_change_is_undecided() -> None:
    space, ipsets = Space(4), read_ipsets(SAVED)
    rules = program(
        "-A FORWARD -m set --match-set plain src -j DROP",
        "-A FORWARD -m set --match-set nets src -j DROP",
        "-A FORWARD -j SET --add-set nets src",
    )
    known = known_ipsets(space, rules, ipsets)
    assert list(known) == ["ipset plain src"]
    dropped = Chains(space, rules, known=known).base("filter", "FORWARD").packets("DROP")
    assert dropped.must.values("src") == ((0x0A000001, 0x0A000002),)
    assert dropped.may == space.everything


def test_a_list_of_sets_whose_member_rules_change_is_undecided() -> None:
    space, ipsets = Space(4), read_ipsets(SAVED)
    match, target = "-A FORWARD -m set --match-set lists src -j DROP", "-A FORWARD -j SET --add-set"
    for changed, expected in (("plain", []), ("nets", ["ipset lists src"])):
        assert list(known_ipsets(space, program(match, f"{target} {changed} src"), ipsets)) == expected


def test_address_classes_of_a_capture_know_its_ipsets(capsys: pytest.CaptureFixture[str]) -> None:
    """The fail2ban of the capture has banned two addresses for nginx by an ipset, and one more by rules (recidive)."""
    asked = [
        "reach",
        "fixtures/captures/hosts/fail2ban",
        "--classes",
        "--chain",
        "INPUT",
        "-p",
        "tcp",
        "--dport",
        "80",
    ]
    assert main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"][0] == ["168.95.1.1", "198.51.100.66", "203.0.113.99"]
    assert found["edges"] == [[1, 0], [1, 1]]
