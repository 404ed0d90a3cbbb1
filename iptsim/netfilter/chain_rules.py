"""The rules of a chain, prepared when a packet first reaches them, with an index of a long chain."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from iptsim.dump.edited_rules import EditedRules
from iptsim.dump.rule import Rule
from iptsim.extensions.context import Context
from iptsim.netfilter.chain_index import ChainIndex
from iptsim.netfilter.prepared import Prepared

#: A shorter chain is faster without an index; a longer one gets one after this many evaluations per rule.
_INDEX_FROM, _INDEX_AFTER = 24, 3


class ChainRules:
    """The rules of a chain, each prepared when a packet first reaches it.

    Args:
        rules: the rules, in order.
        prepare: prepares one.
        family: the address family.
    """

    def __init__(self, rules: Sequence[Rule], prepare: Callable[[Rule], Prepared], family: int) -> None:
        self._rules: list[Rule | Prepared] = list(rules)
        self.count = len(rules)
        #: whether an index is worth it
        self.is_long = self.count >= _INDEX_FROM
        self._prepare, self.family = prepare, family
        self._evaluated = 0
        self._index: ChainIndex | None = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int) -> Prepared:
        rule = self._rules[position]
        if isinstance(rule, Prepared):
            return rule
        prepared = self._rules[position] = self._prepare(rule)
        return prepared

    def index(self) -> ChainIndex:
        """Return the index of the chain."""
        if self._index is None:
            self._index = ChainIndex([self[place] for place in range(len(self))], self.family)
        return self._index

    def following(self, context: Context, start: int, ignored: frozenset[str]) -> int:
        """Return the first rule from a position on that may match; see :meth:`ChainIndex.following`."""
        if start >= self.count or not self.is_long:
            return start
        if self._index is None:
            self._evaluated += 1
            if self._evaluated < _INDEX_AFTER * self.count:
                return start
        return self.index().following(context, start, ignored)


class EditedChainRules(ChainRules):
    """The rules of a chain after a few edits: those before, with their index, and new ones between them.

    Args:
        edited: the rules.
        before: the rules before the edits.
        prepare: prepares a new rule.
    """

    def __init__(self, edited: EditedRules, before: ChainRules, prepare: Callable[[Rule], Prepared]) -> None:
        super().__init__((), prepare, before.family)
        self.count = len(edited)
        self.is_long = self.count >= _INDEX_FROM
        self._edited, self._before = edited, before
        self._ready: dict[int, Prepared] = {}

    def __getitem__(self, position: int) -> Prepared:
        prepared = self._ready.get(position)
        if prepared is None:
            rule, place = self._edited[position], self._edited.place_before(position)
            prepared = self._ready[position] = (
                self._prepare(rule) if place is None else dataclasses.replace(self._before[place], rule=rule)
            )
        return prepared

    def following(self, context: Context, start: int, ignored: frozenset[str]) -> int:
        """Return the first rule from a position on that may match; see :meth:`ChainIndex.following`."""
        begin = 0
        for run in self._edited.runs:
            offset = max(start - begin, 0)
            if offset < len(run):
                if isinstance(run, list):
                    return begin + offset
                found = self._before.following(context, run[offset], ignored)
                if found < run.stop:
                    return begin + found - run.start
            begin += len(run)
        return self.count
