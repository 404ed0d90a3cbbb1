"""Jumps of the rules of a table, and those whose name is that of a target of the other address family."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from iptsim.dump.builtin_chains import BUILTIN_CHAINS, usual_chains
from iptsim.dump.rule import Jump
from iptsim.dump.ruleset import Table
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


#: OpenWrt's target that lets later packets of a connection bypass the rules, and nothing else (xt_FLOWOFFLOAD.c).
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
    """Return the built-in chains that a source leaves out of a table that it shows.

    A table other than filter without any rule counts as not shown.

    Args:
        table: the table.
        dumped: it is from a dump, whose tables other than filter do not lack chains.
    """
    missing = [name for name in BUILTIN_CHAINS[table.name] if name not in table.chains]
    if table.name == "filter":
        return missing
    lacks_none = dumped or table.chains.keys() >= {*usual_chains(table.name)}
    return [] if lacks_none or not any(chain.rules for chain in table.chains.values()) else missing


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
            line = chain.rules[0].line if chain.rules else chain.line
            chain.rules.insert(0, gap(table.name, chain.name, line))
