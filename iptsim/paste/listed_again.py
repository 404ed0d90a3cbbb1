"""Tables that a text shows more than once: printed again later, or by both variants of iptables."""

from __future__ import annotations

from collections.abc import Sequence

from iptsim.dump.ruleset import BUILTIN_CHAINS, Chain, Rule, Table
from iptsim.extensions.hidden import is_gap
from iptsim.packet import Family
from iptsim.paste.gap_rules import gap
from iptsim.paste.pieces import ChainItem, CommandItem, RuleItem, Rules
from iptsim.paste.prompts import Command


def backend_of(command: Command | None) -> str | None:
    """Return the variant of iptables that a command names, also within a container: "legacy" or "nf_tables"."""
    words = (command.program, *command.words) if command is not None else ()
    named = [word.rpartition("/")[2] for word in words if "tables-" in word]
    if any("tables-legacy" in word for word in named):
        return "legacy"
    return "nf_tables" if any("tables-nft" in word for word in named) else None


def by_backend(pieces: Sequence[Rules]) -> tuple[list[Rules], list[Rules]]:
    """Return the rules of the variant of iptables that has the most, and those that the other one printed besides.

    The kernel evaluates the rules of both. Rules whose variant is unknown belong to nf_tables if others were printed by
    iptables-legacy, as the programs have different names only where nf_tables is the default.
    """
    legacy = [piece for piece in pieces if piece.backend == "legacy"]
    others = [piece for piece in pieces if piece.backend != "legacy" and (piece.backend or piece.printed)]
    families: set[Family] = {piece.family or 4 for piece in legacy} & {piece.family or 4 for piece in others}
    if not families:
        return list(pieces), []
    less = min(others, legacy, key=lambda some: sum(map(_rules_of, some)))
    besides = [piece for piece in less if (piece.family or 4) in families]
    return [piece for piece in pieces if not any(piece is one for one in besides)], besides


def _rules_of(piece: Rules) -> int:
    return sum(isinstance(item, CommandItem | RuleItem) for item in piece.items)


def lists_again(piece: Rules, table: Table) -> bool:
    """Return whether a piece shows a table again, of which chains are known: as a whole, or all built-in chains."""
    if not piece.whole:
        return False
    if not piece.fragment:
        return any(name in table.chains for name in piece.shown_chains)
    # what iptables -S prints: all policies, then the rules
    policies = {item.name for item in piece.items if isinstance(item, ChainItem) and item.policy}
    known = {name for name, chain in table.chains.items() if chain.declared}
    return policies == set(BUILTIN_CHAINS[table.name]) <= known and _rules_of(piece) > 0


def shows_chains(piece: Rules) -> bool:
    """Return whether a piece shows chains with all their rules, so that commands after it change these."""
    return piece.whole and (not piece.fragment or any(isinstance(item, ChainItem) for item in piece.items))


def place_beyond(chain: Chain, rules: Sequence[Rule], line: int, *, policy: bool) -> None:
    """Put rules at a place behind rules that are not shown; others may follow them.

    Args:
        chain: their chain.
        rules: the rules.
        line: the line of the command.
        policy: the policy of the chain is not known.
    """
    if not (chain.rules and is_gap(chain.rules[-1].target)):
        chain.rules.append(gap(chain.table, chain.name, line))
    chain.rules += rules
    chain.rules.append(gap(chain.table, chain.name, line, policy=policy))
