"""How sentences name a place in the rules."""

from __future__ import annotations

from iptsim.dump.ruleset import Rule
from iptsim.languages import say


def place_of(rule: Rule) -> str:
    """Return where a rule stands: "filter FORWARD rule 4"."""
    return say("{table} {chain} rule {number}", table=rule.table, chain=rule.chain, number=rule.position)
