"""Puts Docker's rules, made new, into a ruleset in which others have rules too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from iptsim.dump.ruleset import BUILTIN_CHAINS, Chain, Jump, Rule, Ruleset, Table

if TYPE_CHECKING:
    from iptsim.docker.rules import Written


def in_place(base: Ruleset, made: Ruleset, written: Written, is_dockers: Callable[[Rule], bool]) -> Ruleset:
    """Return `base` with Docker's rules replaced by new ones.

    A rule of somebody else's stays behind the same rules of Docker's as before. Where those are gone, or
    Docker had none there, new rules stand where dockerd puts them: inserted ones at the top of their
    chain, appended ones at its end.

    Args:
        base: the rules that are there.
        made: the rules that dockerd writes.
        written: the same with the facts that they come from.
        is_dockers: tells Docker's rules in `base`.
    """
    tables: dict[str, Table] = {}
    for name in [*base.tables, *(name for name in made.tables if name not in base.tables)]:
        old = base.tables.get(name, Table(name))
        new = made.tables.get(name, Table(name))
        table = replace(old, chains=dict(_chains(old, new, written, is_dockers)))
        tables[name] = table
    return replace(base, tables=tables, warnings=list(base.warnings))


def _chains(
    old: Table, new: Table, written: Written, is_dockers: Callable[[Rule], bool]
) -> Iterator[tuple[str, Chain]]:
    kept = {name: _merged(old, new, name, written, is_dockers) for name in {**old.chains, **new.chains}}
    wanted = {
        rule.target.chain for chain in kept.values() for rule in chain.rules if isinstance(rule.target, Jump)
    }
    for name in _in_order(old, new):
        chain = kept[name]
        dockers = name not in new.chains and name in old.chains and _was_dockers(old.chains[name], is_dockers)
        if not (dockers and not chain.rules and name not in wanted):
            yield name, chain


def _was_dockers(chain: Chain, is_dockers: Callable[[Rule], bool]) -> bool:
    """Tell whether a chain goes when Docker's rules go: Docker made it, by its name."""
    return not chain.builtin and (chain.name == "DOCKER" or chain.name.startswith("DOCKER-"))


def _in_order(old: Table, new: Table) -> list[str]:
    """Return the chains' names: built-in ones, then the others, sorted if they were."""
    builtin = [name for name in BUILTIN_CHAINS[old.name] if name in old.chains or name in new.chains]
    own = [name for name in old.chains if name not in builtin]
    added = [name for name in new.chains if name not in builtin and name not in own]
    return [*builtin, *(sorted([*own, *added]) if own == sorted(own) else [*own, *added])]


def _merged(old: Table, new: Table, name: str, written: Written, is_dockers: Callable[[Rule], bool]) -> Chain:
    before, after = old.chains.get(name), new.chains.get(name)
    if before is None:
        assert after is not None
        return after
    policy = "DROP" if after is not None and after.policy == "DROP" else before.policy
    there = before.rules
    fresh = after.rules if after is not None else []
    inserted = [made.fact.operation != "append" for made in written.chains.get((old.name, name), ())]
    rules = [
        replace(rule, position=number)
        for number, rule in enumerate(_interleaved(there, fresh, inserted, is_dockers), 1)
    ]
    return replace(before, policy=policy, rules=rules)


def _interleaved(
    there: Sequence[Rule], fresh: Sequence[Rule], inserted: Sequence[bool], is_dockers: Callable[[Rule], bool]
) -> Iterator[Rule]:
    """Yield the rules of a chain: new ones of Docker's, and the others' where they stood."""
    old = [number for number, rule in enumerate(there) if is_dockers(rule)]
    matcher = SequenceMatcher(
        None, [there[number].text for number in old], [rule.text for rule in fresh], autojunk=False
    )
    same = {
        old[block.a + offset]: block.b + offset
        for block in matcher.get_matching_blocks()
        for offset in range(block.size)
    }
    dockers, done = set(old), 0

    def follow(number: int) -> int:
        """Return where the run of inserted rules from `number` on ends."""
        while number < len(fresh) and inserted[number] and number not in same.values():
            number += 1
        return number

    if not same:
        done = follow(0)
        yield from fresh[:done]
    for number, rule in enumerate(there):
        if number in same:
            end = follow(same[number] + 1)
            for new in fresh[done:end]:
                yield replace(new, counters=rule.counters) if new.text == rule.text else new
            done = end
        elif number not in dockers:
            yield rule
    yield from fresh[done:]
