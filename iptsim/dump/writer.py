"""Writes a ruleset in the format of iptables-save."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.dump.rule import Counters, Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table

_ZERO = Counters(0, 0)


def dumps(ruleset: Ruleset, *, counters: bool | None = None) -> str:
    """Return a ruleset as text that iptables-restore reads.

    Args:
        ruleset: the ruleset.
        counters: whether to print counters before each rule, as `iptables-save -c` does; None: only before
            rules that have counters.
    """
    return "".join(f"{line}\n" for line in _lines(ruleset, counters))


def rule_text(rule: Rule) -> str:
    """Return a rule as iptables-save prints it, without counters: `-A FORWARD -j DOCKER-USER`."""
    return rule.text


def _lines(ruleset: Ruleset, counters: bool | None) -> Iterator[str]:
    for table in ruleset.tables.values():
        yield from _table_lines(table, counters)
    yield from ruleset.trailer


def _table_lines(table: Table, counters: bool | None) -> Iterator[str]:
    yield from table.comments
    yield f"*{table.name}"
    for chain in table.chains.values():
        yield _chain_line(chain)
    for rule in table.rules():
        shown = rule.counters if counters is None else (rule.counters or _ZERO) if counters else None
        yield f"{shown} {rule.text}" if shown is not None else rule.text
    yield "COMMIT"


def _chain_line(chain: Chain) -> str:
    return f":{chain.name} {chain.policy or '-'} {chain.counters or _ZERO}"
