"""Checks the assumptions of a question against the rules: an assumption that can never have an effect is an error."""

from __future__ import annotations

from collections.abc import Iterable

from iptsim.dump.rule import Jump, Rule
from iptsim.dump.ruleset import Ruleset
from iptsim.errors import UsageError
from iptsim.extensions.base import Match, Target
from iptsim.extensions.registry import extension_names, find_match, find_target
from iptsim.host.nft_chains import NftChain
from iptsim.languages import Text, message
from iptsim.netfilter.nftables import MODULE, assumable
from iptsim.suggestions import with_suggestion

#: Longest name that an error repeats.
_SHOWN = 80


def check_assumption(what: str, rulesets: list[Ruleset], chains: Iterable[NftChain]) -> Text:
    """Check an assumption that had no effect on a packet's path.

    Args:
        what: the name of a match or target, TABLE:CHAIN:N, or FAMILY:TABLE:CHAIN or FAMILY:TABLE:CHAIN:N of nftables.
        rulesets: all rules that the packet might have met.
        chains: all base chains of nftables that it might have met.

    Returns:
        A sentence on why it has no effect; "" if the packet merely did not reach such a rule.

    Raises:
        UsageError: there is no such rule, match or target, or it is never undecided.
    """
    chains = list(chains)
    if what == MODULE or what in map(assumable, chains) or any(_has_rule(chain, what) for chain in chains):
        return ""
    if ":" in what:
        _check_place(what, rulesets)
        return ""
    kinds = _kinds(what)
    used = {name for found in rulesets for rule in found.rules() for name in rule.extension_names}
    if not kinds and what not in used:
        known = {*extension_names("matches"), *(name.upper() for name in extension_names("targets")), *used}
        fault = message("assume: unknown match or target {what!r}", what=what[:_SHOWN])
        raise UsageError(with_suggestion(fault, what, known, likeness=0.75))
    if kinds and all(kind.status == "exact" for kind in kinds):
        raise UsageError(
            message(
                "assume: the result of {what} cannot be assumed: it follows from the packet and the host; "
                "describe those with --set",
                what=what,
            )
        )
    return "" if what in used else message("No rule uses {name}, so assuming it has no effect.", name=what)


def _has_rule(base: NftChain, what: str) -> bool:
    """Return whether a base chain, or a chain that it calls, has a rule at FAMILY:TABLE:CHAIN:N."""
    return any(
        what == f"{base.family}:{base.table}:{rule.chain}:{rule.position}"
        for _, rules in base.rules
        for rule in rules
    )


def _check_place(what: str, rulesets: list[Ruleset]) -> None:
    table, _, rest = what.partition(":")
    chain, _, number = rest.rpartition(":")
    rules = []
    for ruleset in rulesets:
        found = ruleset.chain(table, chain)
        short = number.isascii() and number.isdecimal() and len(number) < 10
        rule = found.at(int(number)) if found is not None and short else None
        if rule is not None:
            rules.append(rule)
    if not rules:
        raise UsageError(
            message(
                "assume: unknown rule {what}; write a rule as TABLE:CHAIN:N, or an nftables chain as "
                "FAMILY:TABLE:CHAIN",
                what=what[:_SHOWN],
            )
        )
    if all(part.status == "exact" for rule in rules for part in _parts(rule)):
        raise UsageError(
            message(
                "assume: the result of rule {what} cannot be assumed: it follows from the packet and the host "
                "({text})",
                what=what[:_SHOWN],
                text=rules[0].shown[:_SHOWN],
            )
        )


def _kinds(name: str) -> list[type[Match] | type[Target]]:
    """Return the extensions with a name, for both address families."""
    kinds = [find(name, family) for find in (find_match, find_target) for family in (4, 6)]
    return [kind for kind in kinds if kind is not None]


def _parts(rule: Rule) -> Iterable[Match | Target]:
    """Return a rule's matches, and its target unless that is a chain."""
    return (
        rule.matches if rule.target is None or isinstance(rule.target, Jump) else (*rule.matches, rule.target)
    )
