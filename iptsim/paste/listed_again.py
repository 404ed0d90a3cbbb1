"""Tables that a text shows more than once: by both variants of iptables, or later again, and what changed then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS, usual_chains
from iptsim.dump.header import has_variants
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.extensions.hidden import is_gap
from iptsim.host.pasted import Grown, Lost
from iptsim.paste.gap_rules import gap
from iptsim.paste.pieces import ChainItem, CommandItem, GapItem, Item, RuleItem, Rules
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
    iptables-legacy, as the programs have different names only where nf_tables is the default. Before iptables 1.8,
    there was one variant.
    """
    legacy = [piece for piece in pieces if piece.backend == "legacy" and has_variants(piece.version)]
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
    # commands before it, which declare no chain, have run or not: it shows what they made
    return (
        policies == set(BUILTIN_CHAINS[table.name])
        and (not known or policies <= known)
        and (piece.printed or _rules_of(piece) > 0)
    )


def counts_again(piece: Rules, table: Table) -> bool:
    """Return whether a piece has all chains of a table that showed counters, so that both may be compared."""
    return piece.shown_chains >= {name for name, one in table.chains.items() if one.counters is not None}


def breaks_off(piece: Rules, again: Table, table: Table) -> bool:
    """Return whether a list breaks off, and agrees with an earlier one as far as it goes.

    Args:
        piece: the list.
        again: its rules.
        table: those of the earlier list, which is whole, or has more chains.
    """
    cut = any(isinstance(item, GapItem) for item in piece.items)
    is_whole = not any(is_gap(rule.target) for rule in table.rules())
    return (
        cut
        and (is_whole or len(again.chains) < len(table.chains))
        and all(
            name in table.chains and _agrees(chain, table.chains[name])
            for name, chain in again.chains.items()
        )
    )


def _agrees(chain: Chain, known: Chain) -> bool:
    """Return whether the rules of a chain, as far as they are shown, have the targets of those of a known one."""
    shown = [rule.target_name for rule in takewhile(lambda rule: not is_gap(rule.target), chain.rules)]
    targets = [rule.target_name for rule in known.rules]
    if len(shown) < len(chain.rules):
        targets = targets[: len(shown)]
    return chain.policy == known.policy and shown == targets


def without_repeated(piece: Rules, again: Table, table: Table) -> list[Item]:
    """Return the items of a piece without the rules of chains that a text has shown before.

    Output of `iptables -S CHAIN`, or through grep, may show a chain in part: if one of two such lists of a chain has
    all rules of the other one, in their order, they are the same rules. The longer list counts.

    Args:
        piece: the piece.
        again: its rules.
        table: what the text has shown of the table before; it loses the chains of which the piece shows more.
    """
    shown = dict[str, bool]()
    for name, chain in again.chains.items():
        known = table.chains.get(name)
        new = [rule.text for rule in chain.rules]
        old = [rule.text for rule in known.rules if not is_gap(rule.target)] if known is not None else []
        if known is not None and new and old and _has_all(old, new):
            shown[name] = True
        elif known is not None and old and _has_all(new, old):
            known.rules.clear()
    return [item for item in piece.items if _chain_of(item) not in shown]


def _has_all(more: Sequence[str], some: Sequence[str]) -> bool:
    """Return whether a list has all elements of another one, in their order."""
    left = iter(more)
    return all(one in left for one in some)


def _chain_of(item: Item) -> str | None:
    """Return the chain of a rule; None for what is no rule."""
    if isinstance(item, CommandItem):
        return item.chain if item.texts[:1] == ["-A"] else None
    return item.chain if isinstance(item, RuleItem) else None


def shows_policies_only(piece: Rules) -> bool:
    """Return whether a piece is the output of `iptables -S` that has no line behind the policies."""
    policies = [item.name for item in piece.items if isinstance(item, ChainItem) and item.policy]
    is_listing = piece.whole and piece.fragment and piece.printed and not (piece.named or piece.filtered)
    has_all = {*usual_chains(piece.table)} <= {*policies}
    return is_listing and has_all and len(policies) == len(piece.items)


def shows_chains(piece: Rules) -> bool:
    """Return whether a piece shows chains with all their rules, so that commands after it change these."""
    shown = not piece.fragment or any(isinstance(item, ChainItem) for item in piece.items)
    return piece.whole and shown and not shows_policies_only(piece)


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
