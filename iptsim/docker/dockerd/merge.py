"""Replaces Docker's rules in a ruleset that also contains other rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from iptsim.docker.dockerd.written_rules import TABLES, WrittenRules
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Jump, Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table

IsDockers = Callable[[Rule], bool]


def in_place(
    base: Ruleset, made: Ruleset, now: WrittenRules, before: WrittenRules, is_dockers: IsDockers
) -> Ruleset:
    """Return `base` with Docker's rules replaced by new ones.

    A rule that Docker did not write keeps its place after the same Docker rules. If those are gone, or
    the chain had none, dockerd's operation decides: inserted rules go to the top of the chain, appended ones
    to its end. The result is as if dockerd had started with the new settings: rules left over from the old
    ones are removed.

    Args:
        base: the ruleset.
        made: the rules that dockerd writes now.
        now: the same rules with their templates.
        before: the rules that dockerd wrote for its earlier settings.
        is_dockers: returns whether a rule of `base` is Docker's.
    """
    names = list(base.tables)
    added = [name for name in made.tables if name not in names]
    in_order = names == sorted(names, key=TABLES.index)
    merge = _Merge(now, before, is_dockers)
    merged = {
        name: merge.table(base.tables.get(name, Table(name)), made.tables.get(name, Table(name)))
        for name in (sorted([*names, *added], key=TABLES.index) if in_order else [*names, *added])
    }
    tables = {
        name: table for name, table in merged.items() if name in made.tables or not merge.is_left_over(table)
    }
    return replace(base, tables=tables, warnings=list(base.warnings))


class _Merge:
    """Merges table by table and chain by chain."""

    def __init__(self, now: WrittenRules, before: WrittenRules, is_dockers: IsDockers) -> None:
        self.now = now
        self.before = before
        self.is_dockers = is_dockers

    def is_left_over(self, table: Table) -> bool:
        """Return whether a table existed only for Docker's rules."""
        return any(place[0] == table.name for place in self.before.chains) and all(
            chain.builtin and not chain.rules and chain.policy != "DROP" for chain in table.chains.values()
        )

    def table(self, old: Table, new: Table) -> Table:
        """Return a table with its chains merged, without Docker chains that are no longer needed."""
        chains = {name: self._chain(old, new, name) for name in _in_order(old, new)}
        needed = {
            rule.target.chain
            for chain in chains.values()
            for rule in chain.rules
            if isinstance(rule.target, Jump)
        }
        return replace(
            old,
            chains={
                name: chain
                for name, chain in chains.items()
                if name in new.chains or name in needed or chain.rules or not name.startswith("DOCKER")
            },
        )

    def _chain(self, old: Table, new: Table, name: str) -> Chain:
        before, after = old.chains.get(name), new.chains.get(name)
        if before is None:
            assert after is not None
            return after
        place = (old.name, name)
        fresh = after.rules if after is not None else []
        inserted = [made.template.operation != "append" for made in self.now.chains.get(place, ())]
        rules = [
            replace(rule, position=number)
            for number, rule in enumerate(self._rules(before.rules, fresh, inserted), 1)
        ]
        policy = before.policy
        if place == ("filter", "FORWARD") and self.now.forward_drop != self.before.forward_drop:
            policy = "DROP" if self.now.forward_drop else "ACCEPT"
        return replace(before, policy=policy, rules=rules)

    def _rules(
        self, there: Sequence[Rule], fresh: Sequence[Rule], inserted: Sequence[bool]
    ) -> Iterator[Rule]:
        """Yield the rules of a chain: Docker's new ones, and the others in their places."""
        old = [number for number, rule in enumerate(there) if self.is_dockers(rule)]
        matcher = SequenceMatcher(
            None, [there[number].text for number in old], [rule.text for rule in fresh], autojunk=False
        )
        same = {
            old[block.a + offset]: block.b + offset
            for block in matcher.get_matching_blocks()
            for offset in range(block.size)
        }
        dockers, kept = set(old), set(same.values())

        def follow(number: int) -> int:
            """Return the end of the run of newly inserted rules that begins at `number`."""
            while number < len(fresh) and inserted[number] and number not in kept:
                number += 1
            return number

        done = 0
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


def _in_order(old: Table, new: Table) -> list[str]:
    """Return the names of the chains: built-in ones, then the others, sorted if they were sorted."""
    builtin = [name for name in BUILTIN_CHAINS[old.name] if name in old.chains or name in new.chains]
    own = [name for name in old.chains if name not in builtin]
    added = [name for name in new.chains if name not in builtin and name not in own]
    return [*builtin, *(sorted([*own, *added]) if own == sorted(own) else [*own, *added])]
