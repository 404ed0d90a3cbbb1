"""What a chain does with packets: how they leave it, rule by rule."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from iptsim.dump.chain_graph import Node
from iptsim.dump.rule import Rule
from iptsim.extensions.verdicts import Translation
from iptsim.sets.packets import PacketSet, union
from iptsim.sets.rewriting import AS_IT_CAME, Rewriting

#: Fewer parts of an outcome are always joined.
MANY_PARTS = 16


class Among(NamedTuple):
    """Packets that are followed where others do not matter, in each form in which rules may see them.

    Attributes:
        asked: the packets as they are sent.
        opening: those that open connections, before and after the translation of their destination: what nat sees.
        every: these, and what is left of them after all translations, and their replies.
    """

    asked: PacketSet
    opening: PacketSet
    every: PacketSet

    def at(self, table: str) -> PacketSet:
        """Return what the rules of a table may see."""
        return self.opening if table == "nat" else self.every


class Outcome(NamedTuple):
    """A way in which packets leave a chain.

    Attributes:
        kind: as of an :class:`iptsim.sets.effects.Effect`, but no CONTINUE; RETURN for those that fall through.
        rewriting: the fields that have changed.
        translation: what nat does to them.
        rule: chain and position of the rule that decides, where rules are kept apart; None for a policy, and for
            RETURN.
    """

    kind: str
    rewriting: Rewriting = AS_IT_CAME
    translation: Translation | None = None
    rule: tuple[str, int] | None = None


@dataclass(slots=True)
class RuleSets:
    """The packet sets of a rule in a summary.

    Attributes:
        rule: the rule.
        reaches: the packets that reach it if all packets enter the chain, by what was rewritten.
        matches: the packets that match, whether or not they reach it.
        calls: the summary of the chain that it jumps to, by what was rewritten.
        times: which call of that chain it is, counted from 1 over all rules.
        stays: the packets that match and still reach the next rule, by what was rewritten before; without those that
            return from a call.
        taken_from: the same rule of another program, from whose summary this one was copied.
    """

    rule: Rule
    reaches: dict[Rewriting, PacketSet] = field(default_factory=dict)
    matches: dict[Rewriting, PacketSet] = field(default_factory=dict)
    calls: dict[Rewriting, Summary] = field(default_factory=dict)
    times: dict[Rewriting, int] = field(default_factory=dict)
    stays: dict[Rewriting, PacketSet] = field(default_factory=dict)

    taken_from: RuleSets | None = None
    _takes: dict[Rewriting, PacketSet] | None = None

    @property
    def takes(self) -> dict[Rewriting, PacketSet]:
        """The packets that reach it and match; computed only on demand."""
        if self.taken_from is not None:
            return self.taken_from.takes
        if self._takes is None:
            self._takes = {key: packets & self.matches[key] for key, packets in self.reaches.items()}
        return self._takes

    def takes_like(self, other: RuleSets) -> bool:
        """Return whether another rule takes the same packets."""
        same = (self.taken_from or self) is (other.taken_from or other)
        return same or self.takes == other.takes

    def removed(self, rewriting: Rewriting) -> PacketSet | None:
        """Return the packets for which it is the last rule of its chain; None if there are none of a rewriting."""
        matching, called = self.matches.get(rewriting), self.calls.get(rewriting)
        if matching is None:
            return None
        if called is not None:
            goes = self.rule.jump is not None and self.rule.jump.goto
            return matching if goes else matching - called.packets("RETURN")
        stays = self.stays.get(rewriting)
        return None if stays is None else matching - stays


class Leaving(Protocol):
    """Packets that leave a chain, computed on demand."""

    def factors(self) -> Sequence[PacketSet]:
        """Return sets that have just these packets in common; the smallest functions first."""

    def packets(self) -> PacketSet:
        """Return the packets."""


class Known(NamedTuple):
    """Packets that have been computed already."""

    known: PacketSet

    def factors(self) -> Sequence[PacketSet]:
        """Return their set."""
        return (self.known,)

    def packets(self) -> PacketSet:
        """Return their set."""
        return self.known


class LeavingCall(Protocol):
    """Packets that leave a called chain, computed on demand."""

    def __call__(self) -> PacketSet:
        """Return the packets."""


class OfCall(NamedTuple):
    """Packets that leave a chain at a rule which calls another one.

    Attributes:
        match: what matches the rule.
        taken: the packets that reach it and match.
        leaving: returns the packets that leave the other chain that way; equal for equal calls.
    """

    match: PacketSet
    taken: PacketSet
    leaving: LeavingCall

    def factors(self) -> Sequence[PacketSet]:
        """Return sets that have just these packets in common; the smallest functions first."""
        return self.match, self.leaving(), self.taken

    def packets(self) -> PacketSet:
        """Return the packets."""
        return self.taken & self.leaving()


@dataclass(slots=True, eq=False)
class _Run:
    """Successive rules at which packets leave a chain with one outcome, and no others leave it.

    Attributes:
        outcome: the outcome.
        before: the packets that reach the first of the rules.
        after: those among them that are left behind the last one.
    """

    outcome: Outcome
    before: PacketSet
    after: PacketSet

    def factors(self) -> Sequence[PacketSet]:
        """Return the two sets that have the packets in common."""
        return self.before, ~self.after

    def packets(self) -> PacketSet:
        """Return the packets that leave the chain."""
        return self.before - self.after


@dataclass(slots=True, eq=False)
class Summary:
    """What a chain does with all packets, in one state of the fields that it reads.

    Attributes:
        node: the chain.
        entry: the state: the fields that rules rewrote before the chain.
        among: the packets that are summarised; None for all.
        parts: for each outcome, sets of packets; computed only on demand, as they are often large.
        rules: its rules, in order.
        taken_from: the summary of an equal chain of another program from which this one was copied.
    """

    node: Node
    entry: Rewriting
    nothing: PacketSet
    among: PacketSet | None = None
    parts: dict[Outcome, list[Leaving]] = field(default_factory=dict)
    rules: list[RuleSets] = field(default_factory=list)
    taken_from: Summary | None = None

    _left: dict[Outcome, PacketSet] = field(default_factory=dict)
    #: how many parts there are of the outcomes that are not yet in `_left`; None before the first question
    _waiting: int | None = None
    #: the last run of rules that ended with one outcome
    _run: _Run | None = None

    def end(self, outcome: Outcome, packets: PacketSet) -> None:
        """Record packets that leave the chain."""
        if packets:
            self.end_later(outcome, Known(packets))

    def end_between(self, outcome: Outcome, before: PacketSet, after: PacketSet) -> None:
        """Record packets that leave the chain at a rule, as those that reach it without those that reach the next one.

        What leaves at successive rules with one outcome is computed at once.
        """
        run = self._run
        if run is not None and run.outcome == outcome and run.after == before:
            run.after = after
            return
        run = self._run = _Run(outcome, before, after)
        self.end_later(outcome, run)

    def end_later(self, outcome: Outcome, packets: Leaving) -> None:
        """Record packets that leave the chain, computed on demand."""
        self.parts.setdefault(outcome, []).append(packets)

    def leaving(self, outcome: Outcome) -> PacketSet:
        """Return the packets that leave the chain with an outcome, once all its parts are known."""
        if self.taken_from is not None:
            return self.taken_from.leaving(outcome)
        found = self._left.get(outcome)
        if found is None:
            if self._waiting is None:
                self._waiting = sum(map(len, self.parts.values()))
            parts = self.parts[outcome]
            if self._waiting - len(parts) < len(parts):
                # each packet leaves in one way: these are all that leave in no other
                others = [one for one in self.parts if one != outcome]
                found = ~union([self.nothing, *map(self.leaving, others)])
                if self.among is not None:
                    found &= self.among
            else:
                found = union([part.packets() for part in parts])
            self._left[outcome] = found
            self._waiting -= len(parts)
        return found

    def pieces(self, outcome: Outcome, most_nodes: int) -> tuple[PacketSet, list[Leaving]]:
        """Return packets that leave the chain with an outcome, and the parts that are too large to join with them.

        Args:
            outcome: the outcome.
            most_nodes: how many nodes joining them may make; above, further parts remain apart.
        """
        if self.taken_from is not None:
            return self.taken_from.pieces(outcome, most_nodes)
        parts, engine = self.parts[outcome], self.nothing.layout.engine
        if outcome in self._left or len(parts) < MANY_PARTS:
            return self.leaving(outcome), []
        before, done = engine.nodes, [self.nothing]
        for number, part in enumerate(parts):
            if engine.nodes - before > most_nodes and any(done):
                return union(done), parts[number:]
            done.append(part.packets())
        return self.leaving(outcome), []

    @property
    def way(self) -> Hashable:
        """A key: chains with equal keys do the same, by the same calls."""
        return tuple((outcome, tuple(parts)) for outcome, parts in self.parts.items())

    @property
    def outcomes(self) -> dict[Outcome, PacketSet]:
        """The packets that leave the chain, by outcome."""
        found = {outcome: self.leaving(outcome) for outcome in self.parts}
        return {outcome: packets for outcome, packets in found.items() if packets}

    def packets(self, kind: str) -> PacketSet:
        """Return the packets that leave the chain with a kind of outcome, whatever was rewritten."""
        return union([self.nothing, *(self.leaving(one) for one in self.parts if one.kind == kind)])


def added(sets: dict[Rewriting, PacketSet], key: Rewriting, packets: PacketSet) -> None:
    """Unite some packets with those of a key."""
    if packets:
        known = sets.get(key)
        sets[key] = packets if known is None else known | packets
