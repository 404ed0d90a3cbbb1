"""The rules that log and TRACE lines prove to exist, for texts without rules; nothing beyond the proof is assumed."""

from __future__ import annotations

from collections.abc import Sequence

from iptsim.dump.ruleset import BUILTIN_CHAINS
from iptsim.dump.words import Word
from iptsim.extensions.base import quote
from iptsim.paste.pieces import ChainItem, GapItem, Logged, RuleItem, Rules, Visit

#: Placeholder for an unknown target of a rule.
UNKNOWN = "?"
_SHOWN = ("INPUT", "FORWARD", "OUTPUT")


def rules_of(logged: Sequence[Logged], shown: set[int]) -> list[Rules]:
    """Return the rules that logged lines prove, for each address family without rules in the text.

    Args:
        logged: the lines.
        shown: the families with rules in the text.
    """
    found: list[Rules] = []
    for family in dict.fromkeys(one.family for one in logged):
        own = [one for one in logged if one.family == family]
        if family in shown:
            continue
        traced = [one for one in own if one.visit is not None]
        found += _of_trace(traced) if traced else [_of_log(own)]
    return found


def nothing_shown(family: int = 4) -> Rules:
    """Return an empty filter table of which nothing is known."""
    rules = Rules("filter", 6 if family == 6 else 4, fragment=True)
    for chain in _SHOWN:
        rules.items.append(GapItem(chain, 0, ""))
    return rules


def _of_log(logged: Sequence[Logged]) -> Rules:
    """Return the LOG rules that wrote lines, each followed by the rule that its prefix suggests."""
    rules = nothing_shown(logged[0].family)
    for one in logged:
        prefix = ["--log-prefix", one.prefix[:29]] if one.prefix else []
        made = [_rule(one, one.hook, ("-j", "LOG", *prefix), 0)]
        if one.verdict is not None:
            made.append(_rule(one, one.hook, ("-j", one.verdict), 0))
        rules.items[0:0] = made
    return rules


def _rule(one: Logged, chain: str, target: Sequence[str], position: int) -> RuleItem:
    words = tuple(Word(quote(word), word, 0, 0) for word in (*one.conditions, *target))
    return RuleItem(chain, words, one.line, " ".join(word.raw for word in words), position=position)


def _of_trace(traced: Sequence[Logged]) -> list[Rules]:
    """Return the rules that a packet matched, with TRACE's numbers; the action of the last one is unknown."""
    tables: dict[str, Rules] = {}
    visits = [(one, one.visit) for one in traced if one.visit is not None]
    following = [*(visit for _, visit in visits[1:]), None]
    for (one, visit), later in zip(visits, following, strict=True):
        rules = tables.setdefault(visit.table, Rules(visit.table, one.family, fragment=True))
        if visit.kind == "policy":
            rules.items.append(ChainItem(visit.chain, "ACCEPT" if later else None, None, one.line))
        elif visit.kind == "rule":
            rules.items.append(_rule(one, visit.chain, _target(visit, later), visit.number))
    return list(tables.values())


def _target(visit: Visit, later: Visit | None) -> tuple[str, ...]:
    """Return the action of a rule, inferred from the next visit: the packet continued, or a chain followed."""
    if later is None:
        return ("-j", UNKNOWN)
    leads = later.table == visit.table and later.chain not in (visit.chain, *BUILTIN_CHAINS[visit.table])
    return ("-j", later.chain) if leads else ()
