"""Refuses targets and matches in tables or at hooks that they are not made for, as the kernel does.

See xt_check_target and xt_check_match in net/netfilter/x_tables.c.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from iptsim.dump.ruleset import Jump, Rule, Table
from iptsim.extensions.base import Match, Target
from iptsim.extensions.values import any_of

_NOWHERE: set[str] = set()
HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")


def misplaced(table: Table, rules: Iterable[Rule]) -> Iterator[tuple[Rule, str, str]]:
    """Find rules that stand in the wrong table or under the wrong hook.

    Args:
        table: the whole table.
        rules: those of its rules whose matches or target are restricted.

    Yields:
        The rule, the extension as the rule names it ("-j DNAT"), and the reason.
    """
    reached = reached_chains(table)
    for rule in rules:
        target = rule.target
        if target is not None and not isinstance(target, Jump):
            reason = _objection(target, target.allowed_tables(), rule, reached)
            if reason:
                yield rule, f"-j {target.name}", f"-j {target.name} {reason}"
        for match in rule.matches:
            reason = _objection(match, match.tables, rule, reached)
            if reason:
                yield rule, f"-m {match.name}", f"-m {match.name} {reason}"


def _objection(
    extension: Match | Target, tables: frozenset[str] | None, rule: Rule, reached: dict[str, set[str]]
) -> str:
    """Return why an extension that goes into some tables only can't stand in a rule, or nothing."""
    if tables is not None and rule.table not in tables:
        return f"works only in table {any_of(tuple(sorted(tables)))}"
    allowed = extension.allowed_hooks()
    if allowed is None:
        return ""
    for hook, chains in reached.items():
        if hook not in allowed and rule.chain in chains:
            options = "" if allowed == extension.hooks else "with these options "
            way = "" if rule.chain == hook else f"; chain {rule.chain} is reached from {hook}"
            return (
                f"{options}works only in {any_of(tuple(place for place in HOOKS if place in allowed))}{way}"
            )
    return ""


def reached_chains(table: Table) -> dict[str, set[str]]:
    """Return for each built-in chain the chains to which a packet can come from it, itself included."""
    callees: dict[str, set[str]] = {}
    for name, chain in table.chains.items():
        called = {rule.target.chain for rule in chain.rules if type(rule.target) is Jump}
        if called:
            callees[name] = called
    reached = {}
    for hook, chain in table.chains.items():
        if chain.builtin:
            todo, seen = [hook], {hook}
            while todo:
                new = callees.get(todo.pop(), _NOWHERE) - seen
                seen |= new
                todo += new
            reached[hook] = seen
    return reached
