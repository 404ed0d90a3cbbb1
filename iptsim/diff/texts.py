"""Differences in the text of the rules of two hosts: counters, comments, order, or more."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any, Literal, get_args

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.dump.words import IN_QUOTES
from iptsim.host.model import Host

#: What may differ, the least first.
Kind = Literal["counters", "comments", "order", "rules", "policies", "chains", "host"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: Differences of only these kinds affect no packet.
_HARMLESS = frozenset({"counters", "comments"})
_COMMENT = re.compile(rf' -m comment --comment (?:"{IN_QUOTES}"|\S+)')
#: Rules between the first and the last difference of a chain that are aligned; of more, only their number is compared.
_MOST_ALIGNED = 2000


@dataclass(frozen=True, slots=True)
class ChainChange:
    """The differences in a chain.

    Attributes:
        family, table, chain: the place of the chain.
        removed: rules of the first host that the second lacks.
        added: rules of the second host that the first lacks.
        moved: rules of the second host that are in another place among the others.
        policies: the policies on both hosts, if they differ.
        only_in: "before" or "after", if only one of the hosts has the chain.
    """

    family: Family
    table: str
    chain: str
    removed: tuple[Rule, ...] = ()
    added: tuple[Rule, ...] = ()
    moved: tuple[Rule, ...] = ()
    policies: tuple[str, str] | None = None
    only_in: Literal["before", "after", ""] = ""


@dataclass(frozen=True, slots=True)
class TextDifference:
    """The differences in the text of two hosts.

    Attributes:
        kinds: the kinds of differences, in the order of :data:`KINDS`.
        chains: the chains with other rules, another order or another policy.
    """

    kinds: tuple[Kind, ...]
    chains: tuple[ChainChange, ...]

    @property
    def is_harmless(self) -> bool:
        """Whether the differences cannot affect any packet, which proves equality without following packets."""
        return _HARMLESS.issuperset(self.kinds)


def text_difference(before: Host, after: Host) -> TextDifference:
    """Compare the rules of two hosts as texts, and what else is known of the hosts as data."""
    kinds: set[Kind] = set()
    changes: list[ChainChange] = []
    if _facts(before) != _facts(after):
        kinds.add("host")
    families = sorted({*before.rulesets, *after.rulesets})
    for family in families:
        for one, other in (
            (before.rulesets.get(family), after.rulesets.get(family)),
            (before.extra_rulesets.get(family), after.extra_rulesets.get(family)),
        ):
            if one is None and other is None:
                continue
            for change, found in _compared(one or Ruleset(family), other or Ruleset(family)):
                kinds.update(found)
                if change is not None:
                    changes.append(change)
    return TextDifference(tuple(kind for kind in KINDS if kind in kinds), tuple(changes))


#: Attributes that are not compared: names, caches, and data derived from the others.
_OWN = frozenset({"rulesets", "extra_rulesets", "source", "pasted", "assumptions", "cache", "prepared"})


def _facts(value: Any) -> Any:
    """Return all that is known of something as values that can be compared, without its rules."""
    if isinstance(value, dict):
        return {key: _facts(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_facts(one) for one in value]
    if is_dataclass(value) and type(value).__eq__ is object.__eq__:
        return {
            field.name: _facts(getattr(value, field.name))
            for field in fields(value)
            if field.name not in _OWN
        }
    return value


def _compared(before: Ruleset, after: Ruleset) -> Iterator[tuple[ChainChange | None, set[Kind]]]:
    """Yield what differs in each chain of two rulesets, and kinds of other differences."""
    if before.backend != after.backend:
        yield None, {"host"}
    if before.trailer != after.trailer:
        yield None, {"comments"}
    for name in dict.fromkeys((*before.tables, *after.tables)):
        old, new = before.tables.get(name), after.tables.get(name)
        one, other = old or Table(name), new or Table(name)
        if old is None or new is None:
            # an empty table is equivalent to a missing one
            yield None, {"chains"} if any((old or new or one).rules()) else set()
        elif one.comments != other.comments:
            yield None, {"comments"}
        for chain in dict.fromkeys((*one.chains, *other.chains)):
            pair = one.chains.get(chain), other.chains.get(chain)
            yield _chain(after.family, name, chain, *pair, as_written=before.version == after.version)


def _chain(
    family: Family, table: str, name: str, old: Chain | None, new: Chain | None, *, as_written: bool
) -> tuple[ChainChange | None, set[Kind]]:
    kinds: set[Kind] = set()
    one, other = (found or Chain(table, name) for found in (old, new))
    if one.rules and other.rules and _counters(one) != _counters(other):
        kinds.add("counters")
    policies = one.policy or "ACCEPT", other.policy or "ACCEPT"
    change = ChainChange(
        family,
        table,
        name,
        policies=policies if policies[0] != policies[1] else None,
        only_in="" if old is not None and new is not None else "before" if new is None else "after",
    )
    if change.policies is not None:
        kinds.add("policies")
    if change.only_in and not (one.builtin and not one.rules and not other.rules):
        kinds.add("chains")
    rules = _differing(one.rules, other.rules) if as_written else (one.rules, other.rules)
    texts = [[rule.text for rule in found] for found in rules]
    if texts[0] != texts[1]:
        plain = [[_COMMENT.sub("", text) for text in found] for found in texts]
        if plain[0] == plain[1]:
            kinds.add("comments")
        else:
            change = _aligned(change, *rules, plain)
            kinds |= {"order"} if change.moved else set()
            kinds |= {"rules"} if change.removed or change.added else set()
    says = change.removed or change.added or change.moved or change.policies or "chains" in kinds
    return (change if says else None), kinds


def _differing(before: Sequence[Rule], after: Sequence[Rule]) -> tuple[Sequence[Rule], Sequence[Rule]]:
    """Return the rules of two chains without the identical ones at their beginning and end."""
    shorter = min(len(before), len(after))
    start = end = 0
    while start < shorter and before[start].is_written_like(after[start]):
        start += 1
    while end < shorter - start and before[-1 - end].is_written_like(after[-1 - end]):
        end += 1
    return before[start : len(before) - end], after[start : len(after) - end]


def _counters(chain: Chain) -> Iterable[object]:
    return [chain.counters, *(rule.counters for rule in chain.rules)]


def _aligned(
    change: ChainChange, before: Sequence[Rule], after: Sequence[Rule], texts: Sequence[Sequence[str]]
) -> ChainChange:
    """Return a change with the rules that were removed, added and moved."""
    old, new = texts
    start = next(i for i, (a, b) in enumerate(zip_longest(old, new)) if a != b)
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    gone = list(zip(old[start : len(old) - end], before[start : len(old) - end], strict=True))
    come = list(zip(new[start : len(new) - end], after[start : len(new) - end], strict=True))
    if max(len(gone), len(come)) <= _MOST_ALIGNED:
        matcher = SequenceMatcher(
            None, [text for text, _ in gone], [text for text, _ in come], autojunk=False
        )
        kept = matcher.get_matching_blocks()
        stays = {i for block in kept for i in range(block.a, block.a + block.size)}
        came = {j for block in kept for j in range(block.b, block.b + block.size)}
        gone = [pair for i, pair in enumerate(gone) if i not in stays]
        come = [pair for j, pair in enumerate(come) if j not in came]
    lost, won = Counter(text for text, _ in gone), Counter(text for text, _ in come)
    both = lost & won
    moved, removed, added = both.copy(), both.copy(), []
    in_another_place: list[Rule] = []
    for text, rule in come:
        if moved[text]:
            moved[text] -= 1
            in_another_place.append(rule)
        else:
            added.append(rule)
    left: list[Rule] = []
    for text, rule in gone:
        if removed[text]:
            removed[text] -= 1
        else:
            left.append(rule)
    return replace(change, removed=tuple(left), added=tuple(added), moved=tuple(in_another_place))
