"""The rules of a chain after a few edits, which share everything else with the rules before."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, MutableSequence, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, SupportsIndex, overload

if TYPE_CHECKING:
    from iptsim.dump.rule import Rule
    from iptsim.dump.ruleset import Chain, Ruleset

#: After more edits than this, a plain list is faster.
_MOST_RUNS = 32


class EditedRules(MutableSequence["Rule"]):
    """The rules of a chain after a few edits: runs of the rules before, and new rules between them.

    An edit takes time for the number of edits, not of rules. A rule that has moved is replaced by a copy with its new
    number when it is read; the rules before the edits never change.

    Args:
        before: the rules before the edits.

    Attributes:
        before: the rules before the edits.
        runs: positions of these rules, or new rules, in order.
    """

    def __init__(self, before: Sequence[Rule]) -> None:
        self.before = before
        self.runs: list[range | list[Rule]] = [range(len(before))]
        #: copies of rules that have moved, by their place
        self._moved: dict[int, Rule] = {}

    @property
    def added(self) -> list[Rule]:
        """The new rules."""
        return [rule for run in self.runs if isinstance(run, list) for rule in run]

    @property
    def removed(self) -> list[Rule]:
        """The rules before the edits that are no longer there."""
        kept = [run for run in self.runs if isinstance(run, range)]
        edges = [range(0), *kept, range(len(self.before), len(self.before))]
        return [rule for one, other in pairwise(edges) for rule in self.before[one.stop : other.start]]

    def __len__(self) -> int:
        return sum(map(len, self.runs))

    def __iter__(self) -> Iterator[Rule]:
        place = 0
        for run in self.runs:
            for offset in range(len(run)):
                yield self._at(run, offset, place)
                place += 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(_equal, self, other))

    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, place: SupportsIndex) -> Rule: ...
    @overload
    def __getitem__(self, place: slice) -> list[Rule]: ...
    def __getitem__(self, place: SupportsIndex | slice) -> Rule | list[Rule]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        wanted = range(len(self))[place]
        run, offset = self._find(wanted)
        return self._at(self.runs[run], offset, wanted)

    @overload
    def __setitem__(self, place: SupportsIndex, rule: Rule) -> None: ...
    @overload
    def __setitem__(self, place: slice, rule: Iterable[Rule]) -> None: ...
    def __setitem__(self, place: SupportsIndex | slice, rule: Rule | Iterable[Rule]) -> None:
        if isinstance(place, slice) or isinstance(rule, Iterable):
            raise TypeError("rules are replaced one by one")
        del self[place]
        self.insert(place.__index__(), rule)

    def __delitem__(self, place: SupportsIndex | slice) -> None:
        if isinstance(place, slice):
            raise TypeError("rules are deleted one by one")
        number, offset = self._find(range(len(self))[place])
        run = self.runs[number]
        self._replace(number, [run[:offset], run[offset + 1 :]])

    def insert(self, place: SupportsIndex, rule: Rule) -> None:
        """Insert a rule before a place."""
        wanted = place.__index__()
        number, offset = self._find(wanted) if wanted < len(self) else (len(self.runs), 0)
        run = self.runs[number] if number < len(self.runs) else None
        if isinstance(run, list):
            run.insert(offset, rule)
            self._moved = {}
        elif offset == 0 and number > 0 and isinstance(new := self.runs[number - 1], list):
            new.append(rule)
            self._moved = {}
        elif run is None:
            self.runs.append([rule])
        else:
            self._replace(number, [run[:offset], [rule], run[offset:]])

    def place_before(self, place: int) -> int | None:
        """Return the place that a rule had before the edits; None for a new rule."""
        number, offset = self._find(place)
        run = self.runs[number]
        return run[offset] if isinstance(run, range) else None

    def clear(self) -> None:
        """Remove all rules."""
        self.runs, self._moved = [], {}

    def _replace(self, number: int, runs: Iterable[range | list[Rule]]) -> None:
        """Put other runs in the place of one."""
        self.runs[number : number + 1] = [run for run in runs if run]
        if len(self.runs) > _MOST_RUNS:
            self.runs = [[dataclasses.replace(rule) for rule in self]]
        self._moved = {}

    def _find(self, place: int) -> tuple[int, int]:
        """Return the number of the run that holds a place, and the place within it."""
        for number, run in enumerate(self.runs):
            if place < len(run):
                return number, place
            place -= len(run)
        raise IndexError("no such rule")

    def _at(self, run: range | list[Rule], offset: int, place: int) -> Rule:
        """Return the rule at a place, with its number."""
        if isinstance(run, list):
            rule = run[offset]
            rule.position = place + 1
            return rule
        rule = self.before[run[offset]]
        if rule.position == place + 1:
            return rule
        moved = self._moved.get(place)
        if moved is None:
            moved = self._moved[place] = dataclasses.replace(rule, position=place + 1)
        return moved


def _equal(one: object, other: object) -> bool:
    return one == other


class Changes(NamedTuple):
    """The rules in which a ruleset differs from the one before."""

    added: list[Rule]
    removed: list[Rule]


def changes(before: Ruleset, after: Ruleset) -> Changes:
    """Return the rules in which a ruleset differs from one with which it shares most tables and chains."""
    found = Changes([], [])
    for name in before.tables.keys() | after.tables.keys():
        one, other = before.tables.get(name), after.tables.get(name)
        if one is not other:
            _compare(one.chains if one is not None else {}, other.chains if other is not None else {}, found)
    return found


def _compare(before: dict[str, Chain], after: dict[str, Chain], found: Changes) -> None:
    for name, chain in after.items():
        was = before.get(name)
        if was is not chain:
            _edits(was.rules if was is not None else (), chain.rules, found)
    for name in before.keys() - after.keys():
        found.removed.extend(before[name].rules)


def _edits(before: Sequence[Rule], after: Sequence[Rule], found: Changes) -> None:
    if after is before:
        return
    if isinstance(after, EditedRules):
        _edits(before, after.before, found)
        before, after = after.removed, after.added
    found.removed.extend(before)
    found.added.extend(after)
