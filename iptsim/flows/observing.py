"""What a walk checked about the addresses and ports of its packet, so that it can be tested for others."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iptsim.extensions.base import Target
from iptsim.extensions.context import Context
from iptsim.flows.cuts import COLUMNS, SOLICITED, Cuts
from iptsim.flows.evenness import is_even, kind_of
from iptsim.flows.vectors import Numbers, VectorChain
from iptsim.netfilter.chain_index import indexed
from iptsim.netfilter.chain_rules import ChainRules
from iptsim.netfilter.prepared import Condition, Prepared
from iptsim.packet import Packet
from iptsim.truth import Unknown

Rows = NDArray[np.int64]
#: The kinds of some rows: the name of a column and the rows -> their numbers.
Places = Callable[[str, Rows], Numbers]


@dataclass(slots=True)
class Lookup:
    """Records which rule of a chain was the first that may match.

    Attributes:
        fixed: the rules that everything except the columns allows, as bits, from the start of the search.
        columns: field of the chain's index -> column of the record.
        result: the index of the rule.
        firm: no field of the index was unknown or missing, so the rule certainly matches if all its conditions are
            indexed.
    """

    chain: VectorChain
    fixed: int
    columns: dict[tuple[str, int], str]
    result: int
    firm: bool

    def results(self, rows: Rows, places: Places) -> Numbers:
        """Return the result for each row."""
        columns = {key: places(column, rows) for key, column in self.columns.items()}
        return self.chain.first(self.fixed, columns, len(rows))


@dataclass(slots=True)
class Evaluation:
    """Records whether a condition was true, false or unknown.

    Attributes:
        context: the packet for which it was evaluated.
        columns: attribute of the packet -> column of the record.
        result: 0, 1, or 2 for unknown.
    """

    condition: Condition
    context: Context
    columns: dict[str, str]
    cuts: Cuts
    result: int

    def results(self, rows: Rows, places: Places) -> Numbers:
        """Return the result for each row."""
        numbers = np.stack([places(column, rows) for column in self.columns.values()])
        different, which = np.unique(numbers, axis=1, return_inverse=True)
        found = np.array([self._result(one) for one in different.T.tolist()], np.int64)
        return found[which.reshape(-1)]

    def _result(self, numbers: list[int]) -> int:
        context = copy.copy(self.context)
        context.packet = self.context.packet.copy()
        family = context.packet.family
        for attribute, number in zip(self.columns, numbers, strict=True):
            setattr(context.packet, attribute, self.cuts.named(attribute, family).examples[number])
        return _outcome(self.condition.test(context))


class Uneven:
    """Records that something was tested that kinds cannot express: each packet must be walked."""


#: What a walk asked.
Asked = Lookup | Evaluation | Uneven


class Observed:
    """Follows one walk.

    Args:
        given: the columns that the record has; not for the address of a named endpoint, nor for an open port.
        chains: the chains as matrices, kept for all walks.
        kinds: which conditions of a rule are to be tested for other packets, kept for all walks.

    Attributes:
        asked: what the walk checked, in order.
    """

    def __init__(
        self,
        given: frozenset[str],
        cuts: Cuts,
        chains: dict[int, VectorChain],
        kinds: dict[int, Questions],
    ) -> None:
        self._cuts, self._chains, self._kinds = cuts, chains, kinds
        #: field of the packet -> the columns whose value it may have
        self._ways = {
            name: tuple(way for way in ways if way in given)
            for ways in (("src", "dst"), ("sport", "dport"))
            for name in ways
        }
        self.asked: list[Asked] = []

    def begins(self, packet: Packet) -> None:
        """Take note of the packet of the record; see :class:`iptsim.netfilter.kernel.Observer`."""
        self._packet = packet.copy()

    def following(self, rules: ChainRules, context: Context, start: int) -> int:
        """Return the first rule from a position on that may match; see :class:`iptsim.netfilter.kernel.Observer`."""
        if start >= len(rules):
            return start
        chain = self._chains.get(id(rules))
        if chain is None:
            chain = self._chains[id(rules)] = VectorChain(rules, self._cuts)
        index = rules.index()
        fixed = allowed = (1 << index.count) - 1 >> start << start
        columns: dict[tuple[str, int], str] = {}
        firm = True
        for key, field in index.fields.items():
            value = field.read(context)
            firm = firm and value is not None and not isinstance(value, Unknown)
            bits = field.allowing(value)
            allowed &= bits
            column = None if isinstance(value, Unknown) else self._column(key[0], context.packet)
            if column is None:
                fixed &= bits
            else:
                columns[key] = column
        result = (allowed & -allowed).bit_length() - 1 if allowed else index.count
        groups = chain.tells_groups and context.packet.dst >> 24 == SOLICITED
        if groups or any(key[0] in chain.uneven for key in columns):
            self.asked.append(Uneven())
        elif columns:
            self.asked.append(Lookup(chain, fixed, columns, result, firm))
        return result

    def evaluates(self, rule: Prepared, context: Context) -> None:
        """Take note of the conditions that are not in the index; see :class:`iptsim.netfilter.kernel.Observer`."""
        kinds = self._kinds.get(id(rule))
        if kinds is None:
            kinds = self._kinds[id(rule)] = Questions(rule, context.packet.family)
        if kinds.recent and context.surroundings.recent("DEFAULT") is not None:
            self.asked.append(Uneven())
            return
        for condition in kinds.asked:
            if condition is None:
                self.asked.append(Uneven())
                return
            columns = {
                name: column for name in COLUMNS if (column := self._column(name, context.packet)) is not None
            }
            if columns:
                kept = copy.copy(context)
                kept.packet, kept.consulted = context.packet.copy(), set()
                outcome = _outcome(condition.test(kept))
                self.asked.append(Evaluation(condition, kept, columns, self._cuts, outcome))

    def _column(self, name: str, packet: Packet) -> str | None:
        """Return the column of the record that a field of the packet has; None for another value.

        What else can be written into a packet is a coarse class of its own, so that equal values are not a coincidence.
        """
        ways = self._ways.get(name)
        if not ways or packet.family != self._packet.family:
            return None
        value = getattr(packet, name)
        return next((way for way in ways if getattr(self._packet, way) == value), None)


def _outcome(truth: object) -> int:
    return 2 if isinstance(truth, Unknown) else int(bool(truth))


class Questions:
    """Which conditions of a rule must be tested for other packets as well.

    Attributes:
        rule: the rule, so that it is kept.
        asked: the conditions; None if kinds cannot express the result, or the effect of the target.
        recent: whether it looks up a list of `-m recent`, which is unknown unless the lists were saved.
    """

    def __init__(self, rule: Prepared, family: int) -> None:
        self.rule = rule
        self.asked: list[Condition | None] = []
        known = sum(1 for _ in indexed(rule))
        self.recent = any(condition.match == "recent" for condition in rule.conditions)
        for condition in rule.conditions[known:]:
            if condition.match == "recent":
                continue
            kind = kind_of(condition.predicate, family)
            if kind == "uneven":
                self.asked.append(None)
            elif kind == "asked":
                self.asked.append(condition)
        if isinstance(rule.target, Target) and not is_even(rule.target):
            self.asked.append(None)
