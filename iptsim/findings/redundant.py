"""Finds rules that match packets for which a later rule would do the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iptsim.dump.calls import Node
from iptsim.dump.ruleset import Rule
from iptsim.extensions.base import Target
from iptsim.findings.finding import Finding, of_rule, tool_of
from iptsim.findings.scene import Scene
from iptsim.findings.shadow import is_chosen
from iptsim.languages import message
from iptsim.packet import Family
from iptsim.sets.packets import PacketSet, union
from iptsim.sets.summaries import RuleSets

#: Later rules that are compared with a rule.
_WINDOW = 50
_ENDS = frozenset({"ACCEPT", "DROP", "REJECT"})


def redundant(scene: Scene) -> Iterator[Finding]:
    """Find rules without which nothing would change, because a later rule does the same with all their packets."""
    for family in scene.families:
        for traffic in scene.traffic(family):
            for name in scene.hooks(family, traffic.table):
                summary = traffic.chains.summary(Node(traffic.table, name))
                for number, sets in enumerate(summary.rules):
                    later = _same_later(sets, summary.rules[number + 1 : number + 1 + _WINDOW])
                    if later is not None and is_chosen(sets.rule, scene) and traffic.taken(sets.rule):
                        yield _finding(family, sets.rule, later)


def _same_later(sets: RuleSets, later: Sequence[RuleSets]) -> Rule | None:
    """Return the rule that would do the same with all packets of a rule, if no other one gets any of them before."""
    target = sets.rule.target
    if not isinstance(target, Target) or target.name not in _ENDS or len(sets.takes) != 1:
        return None
    (taken,) = sets.takes.values()
    if not taken:
        return None
    for other in later:
        match = _match(other, taken)
        if match is None:
            return None
        if not taken & match:
            continue
        return other.rule if other.rule.target == target and taken <= match else None
    return None


def _match(sets: RuleSets, taken: PacketSet) -> PacketSet | None:
    """Return the packets that match a rule; None if that depends on what earlier rules have rewritten."""
    found = list(sets.matches.values())
    if len(found) > 1:
        return None
    return union([taken - taken, *found])


def _finding(family: Family, rule: Rule, later: Rule) -> Finding:
    table = f"-t {rule.table} " if rule.table != "filter" else ""
    return Finding(
        "redundant-rule",
        message(
            "{table} {chain} rule {number} changes nothing: rule {later} does the same with all its packets.",
            table=rule.table, chain=rule.chain, number=rule.position, later=later.position,
        ),
        (of_rule(rule), of_rule(later)),
        message("No rule between the two matches any of these packets, so they all meet the same verdict there."),
        f"{tool_of(family)} {table}-D {rule.chain} {rule.position}",
        None,
        family,
    )  # fmt: skip
