"""What all callers of a chain check, which the chain's own sets then leave out."""

from __future__ import annotations

import pytest

from iptsim.dump.chain_graph import Node
from iptsim.extensions.constraints import Masked
from iptsim.netfilter.program import Program
from iptsim.sets.callers import Callers
from iptsim.sets.chains import Chains
from iptsim.sets.space import Space
from tests.sets.test_chains import program

WEB = "-d 10.0.0.1/32 -p tcp"


def keys(rules: Program, chain: str) -> list[str]:
    return sorted(one.key for one in Callers(rules).implied(Node("filter", chain)))


def test_a_chain_may_rely_on_what_all_of_its_callers_check() -> None:
    rules = program(
        f"-A FORWARD -i eth0 {WEB} -j web",
        f"-A FORWARD {WEB} -m tcp --dport 80 -j web",
        "-A web -s 10.0.0.0/8 -j lan",
        "-A lan -j ACCEPT",
    )
    assert keys(rules, "FORWARD") == []
    assert keys(rules, "web") == ["dst", "proto"]
    assert keys(rules, "lan") == ["dst", "proto", "src"]


@pytest.mark.parametrize("other", ["-A FORWARD -j web", "-A FORWARD ! -d 10.0.0.1/32 -p udp -j web"])
def test_one_caller_that_checks_nothing_of_the_kind_is_enough(other: str) -> None:
    assert keys(program(f"-A FORWARD {WEB} -j web", other, "-A web -j ACCEPT"), "web") == []


def test_a_condition_of_the_caller_is_not_checked_again() -> None:
    lines = f"-A FORWARD {WEB} -j web", f"-A web {WEB} -s 10.0.0.0/8 -j ACCEPT"
    rules, space = program(*lines, policy="DROP"), Space(4)
    lan = space.where("src", Masked(10 << 24, 0xFF << 24))
    to_web = space.where("dst", ((0x0A000001, 0x0A000001),)) & space.where("proto", ((6, 6),))
    for called, inside in ((True, lan), (False, lan & to_web)):
        chains = Chains(space, rules, called=called)
        assert chains.summary(Node("filter", "web")).packets("ACCEPT") == inside
        assert chains.base("filter", "FORWARD").packets("ACCEPT") == lan & to_web


def test_a_field_that_a_rule_has_changed_is_checked_again() -> None:
    # the mark is not among the conditions that last: a called chain may change it
    rules = program(
        "-A FORWARD -m mark --mark 1 -j marked",
        "-A marked -j MARK --set-xmark 0x2/0xffffffff",
        "-A marked -m mark --mark 1 -j DROP",
        table="mangle",
    )
    space = Space(4)
    assert not Chains(space, rules, called=True).base("mangle", "FORWARD").packets("DROP")


def test_chains_of_other_rulesets_are_the_same_only_if_their_callers_check_the_same() -> None:
    space, web = Space(4), "-A web -s 10.0.0.0/8 -p tcp -j DROP"
    first, second = program(f"-A FORWARD {WEB} -j web", web), program("-A FORWARD -j web", web)
    drops = [
        Chains(space, one, called=True).base("filter", "FORWARD").packets("DROP") for one in (first, second)
    ]
    lan = space.where("src", Masked(10 << 24, 0xFF << 24)) & space.where("proto", ((6, 6),))
    assert drops == [lan & space.where("dst", ((0x0A000001, 0x0A000001),)), lan]
