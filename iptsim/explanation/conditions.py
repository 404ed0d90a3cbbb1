"""What was undecided, and how a branch of an answer decided it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Jump, Rule
from iptsim.explanation.places import place_of
from iptsim.extensions.base import Target
from iptsim.extensions.hidden import HiddenTarget, is_gap
from iptsim.languages import Text, message, message_if
from iptsim.netfilter.trace import ACCEPTS, CONTINUES, KEEPS, Decision, Sent

#: What the subject of a condition does: "stops" is for packets that it accepts or blocks, which makes no difference.
Does = Literal[
    "matches",
    "passes over",
    "continues",
    "stops",
    "accepts",
    "blocks",
    "keeps",
    "translates",
    "holds",
    "fails",
]


@dataclass(frozen=True, slots=True)
class Condition:
    """What one thing that was undecided does on a branch.

    Attributes:
        subject: equal for the same thing and the same packet.
        does: what it does.
        name: of a rule or of rules that are not shown, the subject of the sentence; else the whole clause.
        sent: the packet; None for all of them.
        rule: the rule, if it is one.
        is_rest: the name is a chain, of which some rules are not shown.
        leads: where the rule leads packets that match; "" if that is not said.
    """

    subject: Hashable
    does: Does
    name: Text
    sent: Sent | None = None
    rule: Rule | None = field(default=None, compare=False)
    is_rest: bool = False
    leads: str = ""


def conditions_of(decisions: Sequence[Decision]) -> list[Condition]:
    """Return how a branch decided what was undecided, in the order of the walk."""
    # the last decision about a chain of nftables says what it does
    last = {one.nftables: one for one in decisions if one.nftables is not None}
    made = dict[Hashable, Condition]()
    for one in decisions:
        if one.nftables is None or last[one.nftables] is one:
            condition = _condition(one)
            made[condition.subject] = condition
    return list(made.values())


def _condition(decision: Decision) -> Condition:
    rule, value = decision.rule, decision.value
    if rule is None:
        subject: Hashable = decision.nftables or (*decision.place, str(decision.words))
        if decision.otherwise and not value:
            return Condition(subject, "holds", decision.otherwise)
        return Condition(subject, "holds" if value else "fails", decision.words)
    subject = (*decision.step, rule.line, decision.match, decision.sent)
    if isinstance(rule.target, HiddenTarget) and rule.target.scope:
        whole = message_if(
            value,
            "no rule of {scope} blocks it",
            "a rule of {scope} blocks it",
            scope=rule.target.scope,
        )
        return Condition(subject, "holds", whole)
    does: Does
    if decision.words == CONTINUES:
        # of a target with unknown effect, a further decision says whether it accepts
        settled = isinstance(rule.target, Target) and rule.target.status != "unknown"
        does = "continues" if value else "blocks" if settled else "stops"
    elif decision.words == KEEPS:
        does = "keeps" if value else "translates"
    elif decision.words == ACCEPTS:
        does = "accepts" if value else "blocks"
    else:
        does = "matches" if value else "passes over"
    name, is_rest, leads = place_of(rule), is_gap(rule.target), ""
    if decision.match and not is_rest and not isinstance(rule.target, HiddenTarget):
        name = message("{place} ({match})", place=name, match=decision.match)
        if isinstance(rule.target, Jump) and rule.table not in BUILTIN_CHAINS:
            leads = rule.target.chain  # alternatives of one rule of nftables differ in the chain
    elif not rule.position and not is_rest:
        name = message("a rule of {place} that is not shown", place=name)
    return Condition(subject, does, name, decision.sent, rule, is_rest, leads)
