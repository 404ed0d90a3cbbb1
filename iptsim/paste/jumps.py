"""Jumps of the rules of a table, and those whose name is that of a target of the other address family."""

from __future__ import annotations

import dataclasses

from iptsim.dump.ruleset import BUILTIN_CHAINS, Jump, Table
from iptsim.extensions.hidden import SHOW, HiddenTarget
from iptsim.extensions.unknown import unknown_target
from iptsim.languages import message


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


def unknown_chains(table: Table) -> list[str]:
    """Return the built-in chains that a listing of a table leaves out, if they may not be assumed to be empty.

    Those of tables other than filter are, like tables that are not shown at all, unless one of them must lead to a
    chain that is shown and blocks.
    """
    if table.name != "filter" and not (table.name in ("raw", "mangle") and _blocks_uncalled(table)):
        return []
    return [name for name in BUILTIN_CHAINS[table.name] if name not in table.chains]


def _blocks_uncalled(table: Table) -> bool:
    """Return whether a chain that no shown rule calls, though something may call it, blocks packets."""
    called = jumps(table)
    return any(
        not chain.builtin
        and name not in called
        and chain.references != 0
        and any(rule.target_name in ("DROP", "REJECT") for rule in chain.rules)
        for name, chain in table.chains.items()
    )
