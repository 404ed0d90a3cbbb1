"""Jumps of the rules of a table, and those whose name is that of a target of the other address family."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from iptsim.dump.ruleset import BUILTIN_CHAINS, Jump, Table
from iptsim.extensions.hidden import SHOW, HiddenTarget
from iptsim.extensions.unknown import unknown_target
from iptsim.languages import message
from iptsim.paste.gap_rules import gap


def make_unknown(table: Table, name: str) -> None:
    """Turn jumps to a name into a target of that name, which only the other address family has."""
    for chain in table.chains.values():
        for place, rule in enumerate(chain.rules):
            if rule.jump is not None and rule.jump.chain == name:
                target = HiddenTarget(
                    name=name, reason=message("what -j {name} does", name=name), settle=SHOW
                )
                chain.rules[place] = dataclasses.replace(rule, target=target)


#: OpenWrt's target that lets later packets of a connection bypass the rules, and no more (xt_FLOWOFFLOAD.c).
OFFLOADING = "FLOWOFFLOAD"


def without_offloading(table: Table) -> None:
    """Give rules that offload connections the target instead of a jump to a chain of its name."""
    for chain in table.chains.values() if OFFLOADING not in table.chains else ():
        for place, rule in enumerate(chain.rules):
            if rule.jump is not None and rule.jump.chain == OFFLOADING:
                target = unknown_target(OFFLOADING)(name=OFFLOADING)
                chain.rules[place] = dataclasses.replace(rule, target=target)


def jumps(table: Table) -> list[str]:
    """Return the chains to which the rules of a table jump."""
    return list(dict.fromkeys(rule.target.chain for rule in table.rules() if isinstance(rule.target, Jump)))


def unknown_chains(table: Table, *, dumped: bool) -> list[str]:
    """Return the built-in chains that a listing of a table leaves out, if they may not be assumed to be empty.

    Args:
        table: the table.
        dumped: it is from a dump, whose tables other than filter do not lack chains.

    """
    missing = [name for name in BUILTIN_CHAINS[table.name] if name not in table.chains]
    # those of other tables are empty, like tables that are not shown, if no rule is shown, or no more than one chain;
    # but one must lead to a chain that is shown and decides packets, and POSTROUTING may be what brings replies back
    if table.name == "filter" or _decides_uncalled(table):
        return missing
    if dumped or not any(chain.rules for chain in table.chains.values()):
        return []
    several = len(BUILTIN_CHAINS[table.name]) - len(missing) > 1
    return [name for name in missing if several or name == "POSTROUTING"]


def _decides_uncalled(table: Table) -> bool:
    """Return whether a chain that no shown rule calls, though something may call it, blocks or translates packets."""
    called = jumps(table)
    return any(
        not chain.builtin
        and name not in called
        and chain.references != 0
        and any(table.name == "nat" or rule.target_name in ("DROP", "REJECT") for rule in chain.rules)
        for name, chain in table.chains.items()
    )


def open_beginnings(table: Table, places: Iterable[str]) -> None:
    """Mark that rules may precede those that a text does not show, if further chains are called from somewhere.

    Args:
        table: the table.
        places: the built-in chains in which the rules are.
    """
    called = set(jumps(table))
    if any(
        chain.rules and not chain.builtin and chain.references and chain.name not in called
        for chain in table.chains.values()
    ):
        for chain in map(table.chains.__getitem__, places):
            chain.rules.insert(0, gap(table.name, chain.name, chain.rules[0].line))
