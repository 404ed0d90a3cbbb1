"""Chains that no rule jumps to, although one of their rules would decide otherwise."""

from __future__ import annotations

from iptsim.dump.rule import Rule
from iptsim.explanation.case import Case
from iptsim.extensions.constraints import membership
from iptsim.extensions.hidden import is_gap
from iptsim.languages import Text, message
from iptsim.owners.chain_owners import chain_owners
from iptsim.packet import Packet

#: The fields that are compared; others, such as interfaces, differ between hooks.
_COMPARED = frozenset({"src", "dst", "proto", "sport", "dport"})

#: Who writes no chains without jumps to them; other programs, such as ufw, keep some for later.
_CALLED = frozenset({"user", "docker", "fail2ban", "crowdsec"})


def uncalled_text(case: Case, verdicts: frozenset[str]) -> Text:
    """Return which chain of table filter nothing jumps to, though a rule there is for the packet; "" if none is.

    Args:
        case: whose verdict a policy decided.
        verdicts: those that would change it.
    """
    ruleset = case.host.rulesets.get(case.packet.family)
    table = ruleset.tables.get("filter") if ruleset is not None else None
    if ruleset is None or table is None or case.step is None or case.step.table != "filter":
        return ""
    rules = list(table.rules())
    if any(is_gap(rule.target) for rule in rules):
        return ""  # rules that are not shown may jump there
    called = {rule.callee for rule in rules}
    owners = chain_owners(ruleset)
    for chain in table.chains.values():
        if (
            chain.builtin
            or chain.references
            or chain.name in called
            or owners.chain(chain.name) not in _CALLED
        ):
            continue
        if any(rule.target_name in verdicts and _is_for(rule, case.seen) for rule in chain.rules):
            return message("Nothing jumps to {chain}, so its rules have no effect.", chain=chain.name)
    return ""


def _is_for(rule: Rule, packet: Packet) -> bool:
    """Return whether the addresses and ports of a packet are those of a rule, as far as it names any."""
    return all(
        (value := getattr(packet, one.field)) is not None
        and membership(one.allowed)(value) is not one.negated
        for match in (rule.parameters, *rule.matches)
        for one in match.predicates()
        if one.field in _COMPARED and one.allowed is not None
    )
