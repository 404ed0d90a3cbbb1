"""Rules that are told to match none of some packets, by addresses and ports alone."""

from __future__ import annotations

from random import Random

import pytest

from iptsim.dump.chain_graph import Node
from iptsim.sets.chains import Chains
from iptsim.sets.space import Space
from iptsim.sets.unrelated_rules import UnrelatedRules
from tests.sets.test_chains import program


@pytest.mark.parametrize(
    ("rule", "aside"),
    [
        ("-s 10.0.0.0/8", False),
        ("-s 10.1.0.0/16 -d 10.0.0.2/32", True),
        ("-d 192.0.2.1/32", False),
        ("! -s 10.0.0.0/8 ! -d 10.0.0.0/8", True),
        ("-s 10.0.0.1/32 -p udp -m udp --dport 53", True),
        # the reply
        ("-d 10.0.0.1/32 -p tcp -m tcp --sport 80", False),
        ("-m limit --limit 1/second", False),
    ],
)
def test_a_rule_is_aside_if_it_is_about_neither_a_request_nor_its_reply(rule: str, aside: bool) -> None:
    space, rules = Space(4), program(f"-A FORWARD {rule} -j DROP")
    client, tcp = ((0x0A000001, 0x0A000001),), space.where("proto", ((6, 6),))
    request = tcp & space.where("src", client) & space.where("dport", ((80, 80),))
    reply = tcp & space.where("dst", client) & space.where("sport", ((80, 80),))
    (prepared,) = Chains(space, rules).prepared(Node("filter", "FORWARD"))
    assert UnrelatedRules(request | reply)(prepared, ()) is aside


def test_what_is_aside_matches_none_of_the_packets() -> None:
    chance, space = Random(1), Space(4)

    def prefix() -> str:
        length = chance.choice((1, 2, 3, 8, 32))
        return f"{chance.getrandbits(length) << 32 - length >> 24}.0.0.0/{min(length, 8)}"

    lines = [
        f"-A FORWARD {chance.choice(('-s', '! -s'))} {prefix()} {chance.choice(('-d', '! -d'))} {prefix()} -j DROP"
        for _ in range(60)
    ]
    chains = Chains(space, program(*lines))
    asked = space.where("src", ((0x40000000, 0x4FFFFFFF),)) | space.where("dst", ((0xC0000000, 0xC00000FF),))
    aside, node = UnrelatedRules(asked), Node("filter", "FORWARD")
    told = {True: 0, False: 0}
    for prepared in chains.prepared(node):
        is_aside = aside(prepared, ())
        told[is_aside] += 1
        assert not is_aside or not chains.matching(node, prepared).meets(asked)
    assert all(told.values())
