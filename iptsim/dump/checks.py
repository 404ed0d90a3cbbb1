"""Finds targets and matches where they can't be: in a table, at a hook or beside a protocol that is not theirs.

Most of it only the kernel objects to, when the rules are really loaded: xt_check_target and
xt_check_match in net/netfilter/x_tables.c. `iptables-restore --test` takes such rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from iptsim.dump.ruleset import Jump, Rule, Table
from iptsim.extensions.base import Match, Target
from iptsim.extensions.parameters import format_protocol
from iptsim.extensions.values import any_of

_NOWHERE: set[str] = set()
HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
#: The protocols that a rule can name are listed up to this many; more are nearly all.
_LISTED = 10


class Objection(NamedTuple):
    """Why a rule can't be loaded.

    Attributes:
        rule: the rule.
        name: its extension that is out of place, as the rule names it: "-j DNAT".
        reason: a sentence that begins with the name.
        early: iptables itself refuses it, not only the kernel.
    """

    rule: Rule
    name: str
    reason: str
    early: bool


def objections(table: Table, rules: Iterable[Rule]) -> Iterator[Objection]:
    """Find rules of a table that can't be loaded.

    Args:
        table: the whole table.
        rules: those of its rules whose matches or target are restricted.
    """
    reached = reached_chains(table)
    for rule in rules:
        for match in rule.matches:
            found = _objection(match, match.tables, rule, reached)
            if found:
                yield found
        target = rule.target
        if target is not None and not isinstance(target, Jump):
            found = _objection(target, target.allowed_tables(), rule, reached)
            if found:
                yield found


def _objection(
    extension: Match | Target, tables: frozenset[str] | None, rule: Rule, reached: dict[str, set[str]]
) -> Objection | None:
    if tables is not None and rule.table not in tables:
        words = f" works only in table {any_of(tuple(sorted(tables)))}"
        return _refusal(extension, rule, words, "tables")
    protocols = extension.allowed_protocols()
    if protocols is not None:
        parameters = rule.parameters
        named = "protocol" not in parameters.negated or "negated too" in (extension.insists or "")
        if parameters.protocol not in protocols or not named:
            options = "" if extension.protocols == protocols else " with these options"
            words = f"{options} works only in a rule with -p {_any_protocol(protocols)}"
            return _refusal(extension, rule, words, "protocols")
    words = _wrong_hook(extension, rule, reached)
    return _refusal(extension, rule, f" {words}", "hooks") if words else None


def _refusal(extension: Match | Target, rule: Rule, words: str, limit: str) -> Objection:
    name = f"-{'m' if isinstance(extension, Match) else 'j'} {extension.name}"
    return Objection(rule, name, name + words, limit in (extension.insists or ""))


def _any_protocol(protocols: frozenset[int]) -> str:
    if len(protocols) > _LISTED:
        return "PROTOCOL"
    return any_of(tuple(format_protocol(number) for number in sorted(protocols)))


def _wrong_hook(extension: Match | Target, rule: Rule, reached: dict[str, set[str]]) -> str:
    """Return why an extension can't stand in the chain of a rule, or nothing."""
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
