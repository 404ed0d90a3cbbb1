"""Counters that grew between two listings of the same table in a pasted text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from iptsim.dump.ruleset import Ruleset, Table
from iptsim.host.pasted import Grown
from iptsim.packet import Family


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
