"""What passes the rules of a table, dead rules and what hides them: worked out by hand."""

from __future__ import annotations

from typing import Any

from iptsim.extensions.constraints import Masked, named
from iptsim.sets.chains import Chains
from iptsim.sets.space import Space
from iptsim.sets.traffic import Traffic
from tests.sets.test_chains import program


def dead(space: Space, *lines: str, table: str = "filter", **more: Any) -> dict[str, tuple[str, list[str]]]:
    """The dead rules by place, each with the reason and the places of those that hide it."""
    traffic = Traffic(Chains(space, program(*lines, table=table)), table, **more)
    return {
        f"{one.rule.chain} {one.rule.position}": (
            one.reason,
            [f"{rule.chain} {rule.position}" for rule in one.hidden_by],
        )
        for one in traffic.dead()
    }


def test_a_rule_behind_a_wider_one_is_dead(space: Space) -> None:
    assert dead(
        space,
        "-A FORWARD -s 10.0.0.0/8 -j ACCEPT",
        "-A FORWARD -p udp -j DROP",
        "-A FORWARD -s 10.1.0.0/16 -j DROP",
    ) == {"FORWARD 3": ("hidden", ["FORWARD 1"])}


def test_several_rules_hide_one_together(space: Space) -> None:
    found = dead(
        space,
        "-A FORWARD -p udp -j DROP",
        "-A FORWARD -s 10.0.0.0/9 -j ACCEPT",
        "-A FORWARD -s 10.0.0.0/12 -p tcp -j ACCEPT",
        "-A FORWARD -s 10.128.0.0/9 -j DROP",
        "-A FORWARD -s 10.0.0.0/8 -j ACCEPT",
    )
    # rule 3 itself is hidden by rule 2, and not needed to hide rule 5
    assert found == {
        "FORWARD 3": ("hidden", ["FORWARD 2"]),
        "FORWARD 5": ("hidden", ["FORWARD 2", "FORWARD 4"]),
    }


def test_what_hides_a_rule_is_found_among_many_others(space: Space) -> None:
    single = [f"-A FORWARD -p tcp -m tcp --dport {port} -j ACCEPT" for port in range(1, 41)]
    behind = ["-A FORWARD -p tcp -m multiport --dports 3,20,33,40 -j DROP", *single[:1]]
    assert dead(space, *single, *behind, "-A FORWARD -p tcp -m multiport --dports 7,41 -j DROP") == {
        "FORWARD 41": ("hidden", ["FORWARD 3", "FORWARD 20", "FORWARD 33", "FORWARD 40"]),
        "FORWARD 42": ("hidden", ["FORWARD 1"]),
    }


def test_a_rule_that_returns_hides_nothing_of_its_caller(space: Space) -> None:
    assert (
        dead(
            space,
            "-A FORWARD -j a",
            "-A FORWARD -s 10.0.0.1/32 -j DROP",
            "-A a -s 10.0.0.0/8 -j RETURN",
            "-A a -j ACCEPT",
        )
        == {}
    )


def test_a_rule_of_the_caller_hides_one_of_the_chain(space: Space) -> None:
    found = dead(
        space,
        "-A FORWARD -s 10.1.0.0/16 -j DROP",
        "-A FORWARD -s 10.0.0.0/8 -j a",
        "-A a -s 10.1.2.0/24 -j ACCEPT",
        "-A a -s 192.168.0.0/16 -j ACCEPT",
    )
    assert found == {"a 1": ("hidden", ["FORWARD 1"]), "a 2": ("not-entered", ["FORWARD 2"])}


def test_a_chain_shared_by_two_callers_is_alive_if_one_call_reaches_it(space: Space) -> None:
    lines = [
        "-A INPUT -s 10.1.0.0/16 -j DROP", "-A INPUT -j a", "-A FORWARD -j a", "-A a -s 10.1.2.0/24 -j ACCEPT",
    ]  # fmt: skip
    assert dead(space, *lines) == {}
    assert dead(space, *lines[:2], lines[3]) == {"a 1": ("hidden", ["INPUT 1"])}


def test_hooks_have_the_interfaces_that_they_have(space: Space) -> None:
    """At INPUT no packet has an output interface: `-o` can't match (iptables refuses it there, but not in a chain)."""
    assert dead(space, "-A INPUT -j a", "-A a -o eth0 -j DROP") == {"a 1": ("not-entered", ["INPUT 1"])}


def test_conditions_that_exclude_each_other(space: Space) -> None:
    assert dead(space, "-A FORWARD -m state --state NEW -m conntrack --ctstate ESTABLISHED -j DROP") == {
        "FORWARD 1": ("contradiction", [])
    }


def test_unreferenced_chains_are_not_reached(space: Space) -> None:
    assert dead(space, "-A a -j DROP") == {"a 1": ("unreached", [])}


def test_only_new_connections(space: Space) -> None:
    lines = ("-A FORWARD -m state --state ESTABLISHED -j ACCEPT", "-A FORWARD -j DROP")
    assert dead(space, *lines) == {}
    new = space.where("ct.state", named("NEW"))
    assert list(dead(space, *lines, within=new)) == ["FORWARD 1"]


def test_a_limit_hides_nothing(space: Space) -> None:
    assert dead(space, "-A FORWARD -m limit --limit 1/sec -j ACCEPT", "-A FORWARD -j DROP") == {}


def test_a_limit_of_a_chain_called_twice_hides_nothing(space: Space) -> None:
    assert dead(space, "-A FORWARD -j a", "-A FORWARD -j a", "-A a -m limit --limit 1/sec -j ACCEPT") == {}


def test_the_mark_that_a_rule_sets_decides_what_a_later_one_takes(space: Space) -> None:
    found = dead(
        space,
        "-A PREROUTING -j MARK --set-xmark 0x1/0xffffffff",
        "-A PREROUTING -m mark --mark 0x2 -j ACCEPT",
        "-A PREROUTING -m mark --mark 0x1 -j ACCEPT",
        table="mangle",
    )
    assert found == {"PREROUTING 2": ("contradiction", [])}


def test_what_a_rule_takes_from_all_callers(space: Space) -> None:
    rules = program("-A INPUT -i eth0 -j a", "-A FORWARD -i eth1 -j a", "-A a -p udp -j DROP")
    traffic = Traffic(Chains(space, rules), "filter")
    rule = rules.ruleset.tables["filter"].chains["a"].rules[0]
    taken = traffic.taken(rule)
    assert taken.without("out_interface", "in_interface", "local_socket") == space.where("proto", ((17, 17),))
    assert taken.values("in_interface").names == {"eth0", "eth1"}  # type: ignore[union-attr]
    assert not taken & space.where("src", Masked(0, 0)) & space.where("in_interface", named("eth2"))
