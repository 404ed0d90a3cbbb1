"""Finds jumps that go round in a loop, as the kernel does when a table is loaded.

Both backends refuse a loop of jumps and gotos, if a packet can come to it from a built-in chain
(mark_source_chains in net/ipv4/netfilter/ip_tables.c, nft_chain_validate in nf_tables_api.c).
"""

from __future__ import annotations

from iptsim.dump.ruleset import Chain, Jump, Rule, Ruleset, Table
from iptsim.errors import RulesetError, printable


def refuse_loops(ruleset: Ruleset) -> None:
    """Do nothing, unless the rules go round in a loop.

    Raises:
        RulesetError: they do; the text has the loop's rules with their lines.
    """
    for table in ruleset.tables.values():
        loop = find_loop(table)
        if loop:
            way = printable(" → ".join([rule.chain for rule in loop] + [loop[0].chain]))
            rules = "".join(f"\n    {rule.source}:{rule.line}: {printable(rule.text)}" for rule in loop)
            raise RulesetError(
                f"table {table.name} goes round in a loop, and no kernel loads it: {way}{rules}"
            )


def find_loop(table: Table) -> list[Rule]:
    """Return the rules of one loop that a built-in chain leads to, in order; empty without one."""
    done: set[str] = set()
    for chain in table.chains.values():
        if chain.builtin and (loop := _loop_from(table, chain, done)):
            return loop
    return []


def _loop_from(table: Table, start: Chain, done: set[str]) -> list[Rule]:
    """Look for a loop depth first, without recursion: dumps may nest as deep as they like."""
    if start.name in done:
        return []
    places = {start.name: 0}
    path: list[Rule] = []
    todo = [iter(start.rules)]
    while todo:
        for rule in todo[-1]:
            if not isinstance(rule.target, Jump):
                continue
            name = rule.target.chain
            if name in places:
                return [*path[places[name] :], rule]
            chain = table.chains.get(name)
            if chain is None or name in done:
                continue
            path.append(rule)
            places[name] = len(path)
            todo.append(iter(chain.rules))
            break
        else:
            todo.pop()
            done.add(places.popitem()[0])
            if path:
                path.pop()
    return []
