"""Which packets really reach the rules of a table, from all callers of each chain; and rules that no packet reaches.

A rule is dead if no packet that enters its chain reaches it and matches: from any hook, in any connection state, with
    any mark, and whatever the outcome of what is undecided.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain as chained
from itertools import combinations
from typing import Literal, NamedTuple

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.chain_graph import Node
from iptsim.dump.rule import Rule
from iptsim.extensions.constraints import named
from iptsim.extensions.context import ARRIVING
from iptsim.sets.chains import Chains
from iptsim.sets.packets import PacketSet, union
from iptsim.sets.removals import Removals
from iptsim.sets.rewriting import Rewriting
from iptsim.sets.space import Space
from iptsim.sets.summaries import RuleSets, Summary

#: The reasons why a rule is dead: its conditions contradict each other; no packet enters its chain; none that it is
#: about does; earlier rules take them all.
DeadReason = Literal["contradiction", "unreached", "not-entered", "hidden"]
#: Earlier rules of which all pairs are tried before a set is put together rule by rule.
_PAIRS = 80


class DeadRule(NamedTuple):
    """A rule that never matches a packet.

    Attributes:
        rule: the rule.
        reason: why.
        hidden_by: the smallest set of rules found that leave no packet for it, in its chain or in a calling one; for
            "not-entered", the rules that call its chain.
    """

    rule: Rule
    reason: DeadReason
    hidden_by: tuple[Rule, ...] = ()


class Call(NamedTuple):
    """A call of a chain: the summary of the caller, the index of the rule there, and what was rewritten before."""

    caller: Summary
    place: int
    rewriting: Rewriting


class Traffic:
    """The packets that reach the rules of a table.

    Args:
        chains: the summaries.
        table: the table.
        within: only these packets; None for all that the kernel can have at the hooks.

    Raises:
        TooManyNodesError: the sets grow beyond what is allowed.
    """

    def __init__(self, chains: Chains, table: str, within: PacketSet | None = None) -> None:
        self.chains, self.table, self.space = chains, table, chains.space
        hooks = [hook for hook in BUILTIN_CHAINS[table] if chains.program.chain(table, hook) is not None]
        self.within = within
        #: the summaries of base chains
        self.bases = {hook: chains.base(table, hook) for hook in hooks}
        self._calls: dict[Summary, list[Call]] = {}
        #: what a chain tests as well -> all that is undecided beside it, as the engine takes it
        self._entered: dict[Summary, PacketSet] = {}
        self._removals: dict[tuple[Summary, Rewriting], Removals] = {}
        with chains.bounded():
            for summary in self._callers_first():
                self._enter(summary)

    def entered(self, summary: Summary) -> PacketSet:
        """Return the packets that enter a chain in the state of a summary, in terms of the header at the base chain."""
        return self._entered.get(summary, self.space.nothing)

    def taken(self, rule: Rule) -> PacketSet:
        """Return the packets that reach a rule and match it, from all hooks and callers."""
        found = [
            self.entered(summary) & packets
            for summary, sets in self._places(rule)
            for packets in sets.takes.values()
        ]
        return union([self.space.nothing, *found])

    def is_dead(self, rule: Rule) -> bool:
        """Return whether a rule never matches a packet."""
        return not self._is_alive(rule)

    def changed(self, other: Traffic) -> Iterator[Rule]:
        """Yield the rules that may match other packets than the same rule of another program in this space."""
        theirs = other.chains.program
        for name, chain in self.chains.program.ruleset.tables[self.table].chains.items():
            before = theirs.chain(self.table, name)
            rules = before.rules if before is not None else []
            places = self._alike_in(other, name)
            for at, rule in enumerate(chain.rules):
                same = places is not None and at < len(rules) and _is_same(rules[at], rule)
                if not same or not all(
                    one.rules[at].takes_like(known.rules[at]) for one, known in places or ()
                ):
                    yield rule

    def _alike_in(self, other: Traffic, name: str) -> list[tuple[Summary, Summary]] | None:
        """Return the summaries of a chain in pairs, if the same packets enter it in both; None if not."""
        known = {one.entry: one for one in other._summaries.get(name, ())}
        own = self._summaries.get(name, ())
        if known.keys() != {one.entry for one in own}:
            return None
        pairs = [(one, known[one.entry]) for one in own]
        return pairs if all(self.entered(one) == other.entered(same) for one, same in pairs) else None

    def dead(self) -> list[DeadRule]:
        """Return the rules that never match a packet, in dump order, without those that the kernel would reject."""
        table = self.chains.program.ruleset.tables[self.table]
        with self.chains.bounded():
            return [
                self._why(rule)
                for chain in table.chains.values()
                for rule in chain.rules
                if not rule.refused and not self._is_alive(rule)
            ]

    def dead_in(self, name: str) -> Iterator[DeadRule]:
        """Yield the rules of a chain that never match, whatever packets enter it: for one whose callers are unknown."""
        with self.chains.bounded():
            summary = self.chains.summary(Node(self.table, name))
            for place, sets in enumerate(summary.rules):
                taken = union([self.space.nothing, *sets.takes.values()])
                matched = {key: self._inside(packets) for key, packets in sets.matches.items()}
                if sets.rule.refused or self._inside(taken):
                    continue
                hiding = {
                    id(rule): rule
                    for rewriting, packets in matched.items()
                    if packets
                    for rule in smallest_cover(packets, self._takers(summary, place, rewriting, packets))
                }
                reason: DeadReason = "hidden" if hiding else "contradiction"
                yield DeadRule(sets.rule, reason, tuple(hiding.values()))

    def _inside(self, packets: PacketSet) -> PacketSet:
        return packets if self.within is None else packets & self.within

    # -- callers first --------------------------------------------------------------------------------

    def _callers_first(self) -> list[Summary]:
        """Return the summaries that a packet can reach, each after all that call it."""
        found: dict[Summary, None] = {}

        def visit(summary: Summary) -> None:
            if summary in found:
                return
            for sets in summary.rules:
                for called in sets.calls.values():
                    visit(called)
            found[summary] = None

        for summary in self.bases.values():
            visit(summary)
        return list(reversed(found))

    def _enter(self, summary: Summary) -> None:
        """Find what enters a chain, of which all callers are known; and note what it calls."""
        node = summary.node
        if node.name in self.bases:
            self._entered[summary] = self.at_hook(node.name)
        for place, sets in enumerate(summary.rules):
            for rewriting, called in sets.calls.items():
                self._calls.setdefault(called, []).append(Call(summary, place, rewriting))
                part = self._entered[summary] & sets.takes[rewriting]
                self._entered[called] = self.entered(called) | self._forget(part, called.node)

    def _forget(self, packets: PacketSet, node: Node) -> PacketSet:
        """Return packets without what was decided about them before, apart from what a chain tests as well."""
        # what is decided again is another decision there
        kept = self.chains.decisions(node) - self.space.anew
        return packets.without_bits(self.space.layout.undecided(kept))

    def at_hook(self, hook: str) -> PacketSet:
        """Return the packets that the kernel can have at a hook in this table."""
        found = at_hook(self.space, self.table, hook)
        return found if self.within is None else found & self.within

    # -- rules ----------------------------------------------------------------------------------------

    @cached_property
    def _summaries(self) -> dict[str, list[Summary]]:
        found: dict[str, list[Summary]] = {}
        for summary in self._entered:
            found.setdefault(summary.node.name, []).append(summary)
        return found

    def _place(self, rule: Rule) -> int:
        """Return the index of a rule in its chain: in a pasted text, it may differ from the rule's number."""
        rules = self.chains.program.ruleset.tables[self.table].chains[rule.chain].rules
        at = rule.position - 1
        if 0 <= at < len(rules) and rules[at] is rule:
            return at
        return next((place for place, one in enumerate(rules) if one is rule), at)

    def _places(self, rule: Rule) -> Iterator[tuple[Summary, RuleSets]]:
        for summary in self._summaries.get(rule.chain, ()):
            yield summary, summary.rules[self._place(rule)]

    def _is_alive(self, rule: Rule) -> bool:
        return any(
            self.entered(summary).meets(packets)
            for summary, sets in self._places(rule)
            for packets in sets.takes.values()
        )

    def _why(self, rule: Rule) -> DeadRule:
        """Return why a rule is dead."""
        places = [(summary, sets) for summary, sets in self._places(rule) if self.entered(summary)]
        if not places:
            return DeadRule(rule, "unreached")
        wanted = [
            (summary, rewriting, packets)
            for summary, sets in places
            for rewriting, packets in sets.matches.items()
            if packets
        ]
        if not wanted:
            return DeadRule(rule, "contradiction")
        hiding: dict[int, Rule] = {}
        for summary, rewriting, packets in wanted:
            for missed, takers in self._chances(summary, self._place(rule), rewriting, packets):
                hiding.update({id(taker): taker for taker in smallest_cover(missed, takers)})
        if hiding:
            return DeadRule(rule, "hidden", tuple(hiding.values()))
        calls = (call for summary, *_ in wanted for call in self._calls.get(summary, ()))
        callers = {id(one): one for one in (call.caller.rules[call.place].rule for call in calls)}
        return DeadRule(rule, "not-entered", tuple(callers.values()))

    def _chances(
        self, summary: Summary, place: int, rewriting: Rewriting, packets: PacketSet
    ) -> Iterator[tuple[PacketSet, Iterator[tuple[Rule, PacketSet]]]]:
        """Yield what a rule would take, for each call of its chain, and the earlier rules that take some of it."""
        calls = self._calls.get(summary, ())
        if not calls:
            wanted = packets & self.entered(summary)
            yield wanted, self._takers(summary, place, rewriting, wanted)
        for call in calls:
            caller = call.caller
            wanted = packets & caller.rules[call.place].matches[call.rewriting] & self.entered(caller)
            if wanted:
                own = self._takers(summary, place, rewriting, wanted)
                yield wanted, chained(own, self._takers(caller, call.place, call.rewriting, wanted))

    def _takers(
        self, summary: Summary, place: int, rewriting: Rewriting, wanted: PacketSet
    ) -> Iterator[tuple[Rule, PacketSet]]:
        """Return the rules before a place that take some of given packets, with all that each takes."""
        removals = self._removals.get((summary, rewriting))
        if removals is None:
            removals = Removals(summary.rules, rewriting, self.space.nothing)
            self._removals[summary, rewriting] = removals
        return removals.meeting(wanted, place)


def at_hook(space: Space, table: str, hook: str) -> PacketSet:
    """Return the packets that the kernel can have at a hook in a table."""
    no_input = space.where("in_interface", named(""))
    no_output = space.where("out_interface", named(""))
    found = {
        "PREROUTING": no_output - no_input,
        "INPUT": no_output - no_input,
        "FORWARD": ~(no_input | no_output),
        "OUTPUT": no_input - no_output,
        "POSTROUTING": ~no_output,
    }[hook]
    if hook in ARRIVING:
        found -= space.where("local_socket", named(True))
    if table == "raw":
        # conntrack has not seen them yet
        found &= space.where("ct.state", named("INVALID"))
    return found


def _is_same(one: Rule, other: Rule) -> bool:
    return one.is_written_like(other) or one.text == other.text


def smallest_cover(wanted: PacketSet, takers: Iterable[tuple[Rule, PacketSet]]) -> tuple[Rule, ...]:
    """Return the smallest set of rules found that together match all of some packets; empty if there is none.

    If one or two rules suffice, they are found; larger sets are built greedily, without redundant rules.
    """
    useful = list[tuple[Rule, PacketSet]]()
    for rule, packets in takers:
        part = packets & wanted
        if part == wanted:
            return (rule,)
        if part:
            useful.append((rule, part))
    if len(useful) <= _PAIRS:
        for (rule, packets), (other, more) in combinations(useful, 2):
            if packets | more == wanted:
                return rule, other
    left, chosen = wanted, list[tuple[Rule, PacketSet]]()
    for rule, packets in useful:
        if left & packets:
            chosen.append((rule, packets))
            left -= packets
    if left:
        return ()
    for one in list(chosen):
        others = [packets for rule, packets in chosen if rule is not one[0]]
        if union([wanted - wanted, *others]) == wanted:
            chosen.remove(one)
    return tuple(rule for rule, _ in chosen)
