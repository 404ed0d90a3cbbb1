"""What boxes prove about rules agrees with sets of packets, which decide everything."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iptsim.dump import loads
from iptsim.extensions.constraints import Names
from iptsim.findings.redundant import _repeated
from iptsim.netfilter.program import Program
from iptsim.sets import rule_boxes
from iptsim.sets.boxes import Boxes
from iptsim.sets.chains import Chains
from iptsim.sets.rule_boxes import Box
from iptsim.sets.space import Space
from iptsim.sets.traffic import Traffic
from tests.sets.test_random_rules import MATCHES, rules
from tests.thoroughness import property_tests

#: Conditions that boxes know, and some that they do not.
CONDITIONS = st.one_of(
    MATCHES,
    st.sampled_from([
        "-o eth+", "-i eth0", "! -o br+", "-p tcp -m tcp --tcp-flags SYN,ACK SYN", "-m limit --limit 1/sec",
        "-p udp -m multiport --dports 53,80:90", "-p tcp -m multiport ! --ports 80",
        "-m statistic --mode nth --every 2 --packet 0",
        "-s 10.0.0.1/255.0.255.255", "-f", "-m recent --update --name bad --rsource",
    ]),
)  # fmt: skip
TARGETS = st.sampled_from([
    "ACCEPT", "ACCEPT", "DROP", "DROP", "RETURN", "LOG", "MARK --set-xmark 0x1/0x1", "ONE", "TWO",
])  # fmt: skip


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """The rules of a few chains."""
    return [
        line
        for chain, most in (("PREROUTING", 5), ("FORWARD", 6), ("ONE", 4), ("TWO", 3))
        for line in draw(rules(chain, TARGETS, most, CONDITIONS))
        if not (chain == "PREROUTING" and " -o " in line)
        and not (chain in ("ONE", "TWO") and "-j ONE" in line)
        and not (chain == "TWO" and "-j TWO" in line)
    ]


def check(found: list[str]) -> tuple[bool, bool]:
    """Compare boxes with sets; return what boxes decided: that all rules are alive, and each chain's repeated rules."""
    chains = (":PREROUTING ACCEPT", ":FORWARD ACCEPT", ":ONE -", ":TWO -")
    made = Program(loads("\n".join(["*mangle", *chains, *found, "COMMIT", ""])))
    space = Space(4)
    traffic = Traffic(
        Chains(space, made), "mangle", ~space.where("fragment", Names(frozenset({"middle", "last"})))
    )
    boxes = Boxes(made, "mangle", ("eth0",))
    dead = [one for one in traffic.dead() if one.reason != "unreached"]
    if boxes.are_alive:
        assert dead == []
    decided = [(name, boxes.repeated(name, 50)) for name in made.ruleset.tables["mangle"].chains]
    for name, pairs in decided:
        if pairs is not None:
            assert pairs == list(_repeated(traffic, name))
    for hook, base in traffic.bases.items():
        if hook in ("PREROUTING", "FORWARD"):
            asked = space.point({"in_interface": "eth0", "proto": 6, "dport": 80}) & traffic.at_hook(hook)
            accepted = (base.packets("ACCEPT") & asked).having({"ct.state": "NEW"})
            bound = boxes.accepted_sources(hook, {
                "in_interface": boxes.fields.interface("eth0"), "proto": ((6, 6),), "dport": ((80, 80),),
                "ct.state": boxes.fields.state("NEW"),
            })  # fmt: skip
            assert bound is not None
            assert all(
                any(low <= a and b <= high for low, high in bound) for a, b in accepted.addresses("src").spans
            )
    return boxes.are_alive, all(pairs is not None for name, pairs in decided if name in boxes.bases)


def check_lines(found: list[str]) -> None:
    check(found)


test_what_boxes_prove_sets_of_packets_confirm, test_what_they_prove_about_many_rules = property_tests(
    check_lines, given(lines()), 12, 400
)


@pytest.mark.parametrize(
    "found",
    [
        ["-A FORWARD -s 10.0.0.0/8 -j ACCEPT", "-A FORWARD -p udp -j DROP", "-A FORWARD -d 10.0.0.0/8 -j ACCEPT"],
        ["-A FORWARD -j ONE", "-A FORWARD -i eth+ -j DROP", "-A ONE -i eth0 -j RETURN", "-A ONE -j DROP"],
        ["-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT", "-A FORWARD -m limit --limit 1/sec -j LOG",
         "-A FORWARD -p tcp -m tcp --dport 22 -j ACCEPT", "-A FORWARD -p tcp -j ACCEPT", "-A FORWARD -j DROP"],
    ],
)  # fmt: skip
def test_boxes_decide_simple_rules(found: list[str]) -> None:
    assert check(found)[1]


def test_a_rule_behind_a_wider_one_is_not_proved_alive() -> None:
    assert check(["-A FORWARD -s 10.0.0.0/8 -j ACCEPT", "-A FORWARD -s 10.1.0.0/16 -j DROP"])[0] is False


def test_the_index_of_a_long_chain_leaves_out_no_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = Random(1)
    lines = [
        f"-A FORWARD -s {chance.randrange(256)}.0.0.0/{chance.randrange(1, 9)} -p tcp -m tcp "
        f"--dport {chance.randrange(100)}:{chance.randrange(100, 200)} -j {chance.choice(('ACCEPT', 'DROP'))}"
        for _ in range(40)
    ]
    made = Program(loads("\n".join(["*mangle", ":FORWARD DROP [0:0]", *lines, "COMMIT", ""])))
    asked: list[Box] = [
        {"src": ((first << 24, (first << 24) + 5),), "dport": ((7 * first % 200,) * 2,)}
        for first in range(256)
    ]
    exact = [Boxes(made, "mangle").accepted_sources("FORWARD", one) for one in asked]
    monkeypatch.setattr(rule_boxes, "LONG", 1)
    monkeypatch.setattr(rule_boxes, "_MOST_RANGES", 3)
    coarse = Boxes(made, "mangle")
    assert [coarse.accepted_sources("FORWARD", one) for one in asked] == exact
    assert any(exact)
    index = coarse._chains["FORWARD"]._index
    assert index is not None
    assert all(len(rules) <= 3 for _, rules in index.values())
