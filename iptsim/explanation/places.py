"""How sentences name rules and policies."""

from __future__ import annotations

from iptsim.dump.rule import Rule
from iptsim.languages import Message, message
from iptsim.netfilter.steps import Step


def place_of(rule: Rule) -> Message:
    """Return where a rule is: "filter FORWARD rule 4"; of rules that are not shown, only the chain is known."""
    if not rule.position:
        return message("{table} {chain}", table=rule.table, chain=rule.chain)
    return message("{table} {chain} rule {number}", table=rule.table, chain=rule.chain, number=rule.position)


def place_of_step(step: Step) -> Message:
    """Return where a step is, in a sentence: "filter FORWARD rule 4", "the policy of filter FORWARD"."""
    if step.rule is not None:
        return place_of(step.rule)
    return message("the policy of {table} {chain}", table=step.table or "", chain=step.chain or "")


def short_place_of(step: Step) -> Message:
    """Return where a step is, in a list: "filter FORWARD rule 4", "filter FORWARD policy"."""
    if step.rule is not None:
        return place_of(step.rule)
    return message("{table} {chain} policy", table=step.table or "", chain=step.chain or "")


def decision_of(step: Step) -> Message:
    """Return which rule or policy decided: "filter FORWARD rule 4", "filter FORWARD, policy DROP"."""
    if step.rule is not None:
        return place_of(step.rule)
    return message(
        "{table} {chain}, policy {verdict}",
        table=step.table or "",
        chain=step.chain or "",
        verdict=step.verdict,
    )
