"""Finds rules that match packets for which a later rule would do the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iptsim.dump.chain_graph import Node
from iptsim.dump.ruleset import Rule
from iptsim.extensions.base import Target
from iptsim.findings.finding import Finding, of_rule, tool_of
from iptsim.findings.scene import Scene
from iptsim.findings.shadow import is_chosen
from iptsim.languages import message
from iptsim.packet import Family
from iptsim.sets.packets import PacketSet, union
from iptsim.sets.summaries import RuleSets

#: Later rules that are compared with a rule, and how many of them at once.
_WINDOW, _BLOCK = 50, 8
_ENDS = frozenset({"ACCEPT", "DROP", "REJECT"})


def redundant(scene: Scene) -> Iterator[Finding]:
    """Find rules without which nothing would change, because a later rule does the same with all their packets."""
    for family in scene.families:
        for traffic in scene.traffic(family):
            for name in scene.hooks(family, traffic.table):
                rules = traffic.chains.summary(Node(traffic.table, name)).rules
                matches = list(map(_match, rules))
                blocks = [_together(matches[at : at + _BLOCK]) for at in range(0, len(matches), _BLOCK)]
                for number, sets in enumerate(rules):
                    later = _same_later(sets, rules, matches, blocks, number + 1)
                    if later is not None and is_chosen(sets.rule, scene) and traffic.taken(sets.rule):
                        yield _finding(family, sets.rule, later)


def _same_later(
    sets: RuleSets,
    rules: Sequence[RuleSets],
    matches: Sequence[PacketSet | None],
    blocks: Sequence[PacketSet | None],
    first: int,
) -> Rule | None:
    """Return the later rule that would do the same with all packets of a rule, if no rule between takes any of them.

    Args:
        sets: the rule.
        rules: of its chain.
        matches: what matches each of them.
        blocks: what matches any rule of each block of rules, so that whole blocks can be skipped.
        first: the index of the first rule after it.
    """
    target = sets.rule.target
    if not isinstance(target, Target) or target.name not in _ENDS or len(sets.takes) != 1:
        return None
    (taken,) = sets.takes.values()
    if not taken:
        return None
    place, end = first, min(first + _WINDOW, len(rules))
    while place < end:
        block = blocks[place // _BLOCK] if place % _BLOCK == 0 else None
        if block is not None and not taken.meets(block):
            place += _BLOCK
            continue
        match, other = matches[place], rules[place].rule
        if match is None:
            return None
        if taken.meets(match):
            return other if other.target == target and taken <= match else None
        place += 1
    return None


def _together(matches: Sequence[PacketSet | None]) -> PacketSet | None:
    """Return what matches any of some rules; None if that of one is not known."""
    known = [match for match in matches if match is not None]
    return union(known) if len(known) == len(matches) else None


def _match(sets: RuleSets) -> PacketSet | None:
    """Return the packets that match a rule; None if that depends on what earlier rules have rewritten."""
    return next(iter(sets.matches.values())) if len(sets.matches) == 1 else None


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
