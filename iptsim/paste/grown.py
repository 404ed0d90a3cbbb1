"""What changed between two listings of the same table in a pasted text: counters that grew, rules that are gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Ruleset, Table
from iptsim.extensions.hidden import is_gap
from iptsim.host.pasted import Grown, Lost


def grown_counters(
    before: Mapping[tuple[Family, str], Table], rulesets: Mapping[Family, Ruleset]
) -> Iterator[Grown]:
    """Yield the counters that grew from the first listing of a table to the last."""
    for (family, name), table in before.items():
        for chain in rulesets[family].tables[name].chains.values():
            old = table.chains.get(chain.name)
            if old is None:
                continue
            pairs = [(0, old.counters, chain.counters)]
            pairs += [
                (rule.position, known.counters, rule.counters)
                for known, rule in zip(old.rules, chain.rules, strict=False)
                if known.text == rule.text and rule.position
            ]
            for position, first, last in pairs:
                if first is not None and last is not None and last.packets > first.packets:
                    yield Grown(family, name, chain.name, position, last.packets - first.packets)


def lost_rules(
    before: Mapping[tuple[Family, str], Table], rulesets: Mapping[Family, Ruleset], *, rebooted: bool
) -> Iterator[Lost]:
    """Yield the rules of the first listing of a table that the last one lacks, if both are much alike.

    Args:
        before: the tables of the first listings.
        rulesets: those of the last ones.
        rebooted: the text is about a restart of the host, after which all may be gone.
    """
    for (family, name), table in before.items():
        old, new = _comparable(table, rulesets[family].tables[name])
        left = Counter(rule.text for rule in new)
        lost = [rule for rule in old if _is_lost(rule, left)]
        if 2 * len(lost) <= len(old) or (rebooted and not new):
            yield from (Lost(family, name, rule.text, rule.line) for rule in lost)


def _comparable(old: Table, new: Table) -> tuple[list[Rule], list[Rule]]:
    """Return the rules of two listings of a table, without those of chains that one of them shows in part."""
    partly = {rule.chain for table in (old, new) for rule in table.rules() if is_gap(rule.target)}
    names = (
        old.chains.keys() & new.chains.keys() if partly else old.chains.keys() | new.chains.keys()
    ) - partly
    before, after = ([rule for rule in table.rules() if rule.chain in names] for table in (old, new))
    return before, after


def _is_lost(rule: Rule, left: Counter[str]) -> bool:
    """Return whether a rule is not among those that are left; else it is taken from them."""
    left[rule.text] -= 1
    return left[rule.text] < 0
