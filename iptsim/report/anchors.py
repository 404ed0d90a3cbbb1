"""Addresses within the page, of the chains and rules that it lists."""

from __future__ import annotations

from collections.abc import Iterable

from iptsim.addresses import FAMILIES
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Ruleset
from iptsim.errors import printable
from iptsim.explanation import Explanation
from iptsim.host import Host
from iptsim.report.markup import link


class Anchors:
    """Where a page shows the chains and rules of a host.

    Attributes:
        host: the host.
        rulesets: its rulesets in the order of the page, with the name of each in addresses: "4", "6-legacy".
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.rulesets: dict[str, Ruleset] = {}
        for family in FAMILIES:
            for found in (host.rulesets, host.extra_rulesets):
                if family in found:
                    backend = f"-{found[family].backend}" if family in host.extra_rulesets else ""
                    self.rulesets[f"{family}{backend}"] = found[family]
        self._rules: dict[int, str] = {}
        self._chains = {
            (ruleset.family, ruleset.backend, table.name, chain): link(
                "chain", kind, table.name, printable(chain)
            )
            for kind, ruleset in self.rulesets.items()
            for table in ruleset.tables.values()
            for chain in table.chains
        }

    def list_rules(self, kind: str, rules: Iterable[Rule]) -> None:
        """Record which rules of a ruleset the page lists; rules that are not shown get the address of their chain."""
        for rule in rules:
            of_rule = ("rule", kind, rule.table, printable(rule.chain), rule.position)
            self._rules[id(rule)] = link(*of_rule) if rule.position else link("chain", *of_rule[1:4])

    def rule(self, rule: Rule | None) -> str:
        """Return the address of a rule; "" if the page does not list it."""
        return self._rules.get(id(rule), "")

    def chain(self, ruleset: Ruleset, table: str, chain: str) -> str:
        """Return the address of a chain; "" if there is no such chain."""
        return self._chains.get((ruleset.family, ruleset.backend, table, chain), "")

    def decision(self, explanation: Explanation) -> str:
        """Return the address of the rule or chain that decides about a packet; "" if none does."""
        step = explanation.reason.step
        if step is None or step.table is None:
            return ""
        if step.rule is not None:
            return self.rule(step.rule)
        family = explanation.trace.legs[0].packet.family
        found = (self.host.rulesets.get(family), self.host.extra_rulesets.get(family))
        rulesets = [one for one in found if one is not None and step.backend in ("", one.backend)]
        return self.chain(rulesets[0], step.table, step.chain or "") if rulesets else ""


def is_shown(ruleset: Ruleset, chain: Chain) -> bool:
    """Return whether the source shows a chain; a listing may leave out built-in chains, which are then assumed."""
    return not ruleset.listed or chain.declared or any(rule.position for rule in chain.rules)
