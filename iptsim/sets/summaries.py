"""What a chain does with packets: how they leave it, rule by rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from iptsim.dump.chain_graph import Node
from iptsim.dump.ruleset import Rule
from iptsim.extensions.base import Translation
from iptsim.sets.packets import PacketSet, union
from iptsim.sets.rewriting import AS_IT_CAME, Rewriting


class Outcome(NamedTuple):
    """A way in which packets leave a chain.

    Attributes:
        kind: ACCEPT, DROP, REJECT, STOLEN, TRANSLATE, or RETURN for those that fall through.
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
        takes: the packets that reach it and match.
        calls: the summary of the chain that it jumps to, by what was rewritten.
        times: which call of that chain it is, counted from 1 over all rules.
        stays: the packets that match and still reach the next rule, by what was rewritten before; without those that
            return from a call.
    """

    rule: Rule
    reaches: dict[Rewriting, PacketSet] = field(default_factory=dict)
    matches: dict[Rewriting, PacketSet] = field(default_factory=dict)
    takes: dict[Rewriting, PacketSet] = field(default_factory=dict)
    calls: dict[Rewriting, Summary] = field(default_factory=dict)
    times: dict[Rewriting, int] = field(default_factory=dict)
    stays: dict[Rewriting, PacketSet] = field(default_factory=dict)

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


@dataclass(slots=True, eq=False)
class Summary:
    """What a chain does with all packets, in one state of the fields that it reads.

    Attributes:
        node: the chain.
        entry: the state: the fields that rules rewrote before the chain.
        among: the packets that are summarised; None for all.
        parts: for each outcome, functions that return packets; computed only on demand, as they are often large.
        rules: its rules, in order.
        taken_from: the summary of an equal chain of another program from which this one was copied.
    """

    node: Node
    entry: Rewriting
    nothing: PacketSet
    among: PacketSet | None = None
    parts: dict[Outcome, list[Callable[[], PacketSet]]] = field(default_factory=dict)
    rules: list[RuleSets] = field(default_factory=list)
    taken_from: Summary | None = None

    _left: dict[Outcome, PacketSet] = field(default_factory=dict)
    #: how many parts there are of the outcomes that are not yet in `_left`; None before the first question
    _waiting: int | None = None

    def end(self, outcome: Outcome, packets: PacketSet) -> None:
        """Record packets that leave the chain."""
        if packets:
            self.end_later(outcome, lambda: packets)

    def end_later(self, outcome: Outcome, packets: Callable[[], PacketSet]) -> None:
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
                found = union([self.nothing, *(part() for part in parts)])
            self._left[outcome] = found
            self._waiting -= len(parts)
        return found

    @property
    def outcomes(self) -> dict[Outcome, PacketSet]:
        """The packets that leave the chain, by outcome."""
        found = {outcome: self.leaving(outcome) for outcome in self.parts}
        return {outcome: packets for outcome, packets in found.items() if packets}

    def packets(self, kind: str) -> PacketSet:
        """Return the packets that leave the chain with a kind of outcome, whatever was rewritten."""
        return union([self.nothing, *(self.leaving(one) for one in self.parts if one.kind == kind)])
