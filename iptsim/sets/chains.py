"""Chains as a whole: which packets a chain accepts, drops and lets through, and what its rules change on the way.

Several rules may call one chain. Each chain is therefore summarised once, callees first, from *all packets* to its
outcomes, over the header as it was at the base chain; and once for each state of the rewritten fields that it reads. A
call intersects its packets with these outcomes. Then, callers first, the packets that enter a chain are the union over
its calls: a rule is dead if none of them reaches it and matches, in any of these states.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property, partial
from typing import NamedTuple

from iptsim.dump.chain_graph import Node
from iptsim.dump.rule import Rule
from iptsim.extensions.ports import merges_ports
from iptsim.netfilter.prepared import Prepared
from iptsim.netfilter.program import Program
from iptsim.sets.callers import Callers, Lasting, lasting
from iptsim.sets.costs import Costs, constrained, too_many
from iptsim.sets.effects import Effect, Place, effects, touched
from iptsim.sets.packets import PacketSet, union
from iptsim.sets.rewriting import AS_IT_CAME, Following, Rewriting
from iptsim.sets.rule_conditions import RuleConditions, RulePlace
from iptsim.sets.sharing import Alike
from iptsim.sets.space import Known, Space, TooManyNodesError
from iptsim.sets.summaries import Among, OfCall, Outcome, RuleSets, Summary, added
from iptsim.sets.unrelated_rules import UnrelatedRules

#: The maximum number of combinations of rewritten fields in one chain.
_MOST_STATES = 4096


class Chains:
    """The summaries of the chains of one program in one space.

    The outcomes of a base chain cover all packets in question: those that fall through get its policy. Chains that
    another program in this space has too are not summarised again, unless rules are kept apart.

    Args:
        space: the space of the sets.
        program: the rules.
        known: values of fields that the host determines, such as the contents of ipsets.
        apart: keep outcomes of different rules apart.
        among: the packets that are summarised; None for all.
        called: summarise other than base chains only for packets that satisfy what all their callers check. All else
            about those chains is then undefined, but their sets are much smaller.
    """

    def __init__(
        self,
        space: Space,
        program: Program,
        *,
        known: Known | None = None,
        apart: bool = False,
        among: Among | None = None,
        called: bool = False,
    ) -> None:
        self.space, self.program, self.apart, self.among = space, program, apart, among
        self.callers, self._relies = Callers(program), called
        everything = space.everything
        merging = merges_ports(program.backend, program.version)
        self.known: Known = {
            "backend": [(program.backend, everything)],
            "merges_ports": [(merging, everything)],
            # connection tracking puts fragments together before any rule sees them
            **({"fragment": [("whole", everything)]} if program.tracks else {}),
            **(known or {}),
        }
        self._summaries: dict[tuple[Node, Rewriting], Summary] = {}
        self._reads: dict[Node, frozenset[str]] = {}
        self._bases: dict[Node, bool] = {}
        #: by table: the hooks from which packets reach each chain
        self._hooks = cache(program.graph.reaching_hooks)
        self._unrelated: dict[str, UnrelatedRules] = {}
        self._conditions = RuleConditions(space, self.known)
        self._effects: dict[Hashable, list[Effect]] = {}
        self._following = Following(space.layout)
        #: by chain: the rules that call it, in each base chain and in all other chains, with their numbers
        self._sites: dict[tuple[Node, Node | None], dict[tuple[Node, int], int]] = {}
        self._anew: dict[tuple[Summary, Outcome], list[str]] = {}
        self._may_be_anew: dict[Summary, frozenset[str]] = {}
        self._tested: dict[Node, set[str]] = {}
        self._called: dict[Node, set[Node]] = {}
        #: the nodes that each rule has made
        self.costs = Costs(space)
        #: the summaries of other programs that may hold here as well, with the chains for which they do
        self._others = [
            (one, Alike(one.program, program))
            for one in space.summarised
            if not apart and not one.apart and (one.known, one.among) == (self.known, among)
        ]
        space.summarised.append(self)

    # -- summaries --------------------------------------------------------------------------------------

    def base(self, table: str, hook: str) -> Summary:
        """Return what a base chain does with all packets, its policy included.

        Raises:
            TooManyNodesError: the sets grow beyond what is allowed.
        """
        return self.summary(Node(table, hook))

    def summary(self, node: Node, entry: Rewriting = AS_IT_CAME) -> Summary:
        """Return what a chain does with all packets.

        Args:
            node: the chain.
            entry: the fields that were rewritten before the chain.

        Raises:
            TooManyNodesError: the sets grow beyond what is allowed.
        """
        key = (node, entry.only(self.reads(node)) if entry.fields else entry)
        found = self._summaries.get(key)
        if found is None:
            with self.bounded():
                found = self._summaries[key] = self._take_over(*key) or self._summarise(*key)
        return found

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Work with sets of these chains; if they need too many nodes, the error names the costliest rules.

        Raises:
            TooManyNodesError: the sets grow beyond what is allowed.
        """
        try:
            yield
        except (MemoryError, TooManyNodesError):
            raise too_many([self.costs]) from None

    def implied(self, node: Node) -> frozenset[Lasting]:
        """Return the conditions that the rules of a chain need not check, as all of its callers do."""
        return self.callers.implied(node) if self._relies else frozenset()

    def reads(self, node: Node) -> frozenset[str]:
        """Return the fields whose rewriting can make a difference in a chain, or in one that it calls.

        Where a mark is only changed, as by KUBE-MARK-MASQ, its bits before may be filled in afterwards.
        """
        found = self._reads.get(node)
        if found is None:
            known = (one._reads[node] for one, alike in self._others if node in one._reads and alike(node))
            found = next(known, None)
            if found is not None:
                self._reads[node] = found
        if found is None:
            chain = self.program.chain(*node)
            keys = {"src", "dst"}
            for prepared in self.prepared(node) if chain is not None else ():
                for condition in prepared.conditions:
                    keys.update(constrained(condition.predicate.constraint))
                if prepared.target is not None and prepared.target.name != "MARK":
                    keys |= touched(prepared.target)
                if prepared.jump is not None:
                    keys |= self.reads(Node(node.place, prepared.jump.chain))
            if any(key.startswith("ct") for key in keys):
                keys.add("ct.state")
            found = self._reads[node] = frozenset(keys)
        return found

    def tested(self, node: Node) -> list[str]:
        """Return the fields and decisions that a chain or its callees test, without decisions that each place makes."""
        found = self._tested_in(node)
        if self.among is not None:
            found.update(self.among.at(node.place).fields)
        return [key for key in self.space.layout.places if key in found]

    def decisions(self, node: Node) -> frozenset[str]:
        """Return the keys of what is undecided in a summarised chain, or in one that it calls."""
        found = frozenset(self._tested_in(node))
        if self.among is not None:
            found |= frozenset(self.among.at(node.place).fields)
        return found - self.space.layout.header

    def _tested_in(self, node: Node) -> set[str]:
        """Return the fields and decisions that a chain or its callees test."""
        found = set[str]()
        for one in self._with_called(node):
            found |= self._tested.get(one, frozenset())
        return found

    def _with_called(self, node: Node) -> Iterable[Node]:
        """Return a summarised chain, and those into which its packets went."""
        found, todo = {node}, [node]
        for one in todo:
            new = self._called.get(one, set()) - found
            found |= new
            todo += new
        return found

    def prepared(self, node: Node) -> Iterator[Prepared]:
        """Yield the rules of a chain; none of a chain that is missing."""
        chain = self.program.chain(*node)
        if chain is not None:
            rules = self.program.rules(chain)
            yield from (rules[place] for place in range(len(rules)))

    def is_like(self, other: Chains, table: str) -> bool:
        """Return whether all chains of a table do the same as those of another program in this space."""
        names = [
            dict.fromkeys(found.chains) if (found := one.program.ruleset.tables.get(table)) else {}
            for one in (self, other)
        ]
        alike = next((alike for one, alike in self._others if one is other), None)
        return (
            alike is not None and names[0] == names[1] and all(alike(Node(table, name)) for name in names[0])
        )

    def _take_over(self, node: Node, entry: Rewriting) -> Summary | None:
        """Return the summary of the same chain of another program, with the rules of this one."""
        for other, alike in self._others:
            known = other._summaries.get((node, entry))
            if known is None or not alike(node) or other.implied(node) != self.implied(node):
                continue
            found = Summary(node, entry, self.space.nothing, known.among, known.parts, taken_from=known)
            inside = set[Node]()
            chain = self.program.chain(*node)
            for rule, sets in zip(chain.rules if chain is not None else (), known.rules, strict=True):
                calls = dict[Rewriting, Summary]()
                for rewriting, called in sets.calls.items():
                    mine = calls[rewriting] = self.summary(called.node, called.entry)
                    inside.add(mine.node)
                    # what is decided again each time has to be decided for the same time
                    later = (
                        self._time(node, rule, mine.node) != sets.times[rewriting]
                        and other.decisions(called.node) & self.space.anew
                    )
                    if later or mine.taken_from is not called:
                        return None
                found.rules.append(
                    RuleSets(rule, sets.reaches, sets.matches, calls, sets.times, sets.stays, sets)
                )
            self._notes(node, other._tested.get(node, ()))
            self._called.setdefault(node, set()).update(inside)
            return found
        return None

    def _summarise(self, node: Node, entry: Rewriting) -> Summary:
        among = self.among.at(node.place) if self.among is not None else None
        summary = Summary(node, entry, self.space.nothing, among)
        here = {entry: self.space.everything if among is None else among}
        seen: dict[str, int] = {}
        chain = self.program.chain(*node)
        for prepared in self.costs.counted(self.prepared(node), len(chain.rules) if chain is not None else 0):
            here = self._pass(summary, prepared, here, seen)
            if len(here) > _MOST_STATES:
                raise too_many([self.costs])
        policy = chain.policy or "ACCEPT" if chain is not None and chain.builtin else "RETURN"
        for rewriting, packets in here.items():
            summary.end(Outcome(policy, rewriting), packets)
        if policy != "RETURN":
            for outcome in [one for one in summary.parts if one.kind == "RETURN"]:
                summary.parts.setdefault(Outcome(policy, outcome.rewriting), []).extend(
                    summary.parts.pop(outcome)
                )
        return summary

    def _pass(
        self,
        summary: Summary,
        prepared: Prepared,
        here: dict[Rewriting, PacketSet],
        seen: dict[str, int],
    ) -> dict[Rewriting, PacketSet]:
        """Let packets pass a rule; return those that reach the next one."""
        sets = RuleSets(prepared.rule, here)
        summary.rules.append(sets)
        place = RulePlace(prepared.rule, seen)
        after: dict[Rewriting, PacketSet] = {}
        if not here:
            sets.matches[summary.entry] = self._match(summary.node, prepared, summary.entry, place)
        for rewriting, packets in here.items():
            match = sets.matches[rewriting] = self._match(summary.node, prepared, rewriting, place)
            left = packets if prepared.quiet else packets - match
            if left == packets:
                sets.stays[rewriting] = self.space.everything if prepared.quiet else self.space.nothing
                added(after, rewriting, packets)
                continue
            added(after, rewriting, left)
            if prepared.jump is not None:
                self._jump(summary, sets, prepared, rewriting, after)
            else:
                self._target(summary, sets, prepared, rewriting, place, left, after)
        return after

    def _jump(
        self,
        summary: Summary,
        sets: RuleSets,
        prepared: Prepared,
        rewriting: Rewriting,
        after: dict[Rewriting, PacketSet],
    ) -> None:
        jump, match = prepared.jump, sets.matches[rewriting]
        assert jump is not None
        taken = sets.reaches[rewriting] & match
        called = sets.calls[rewriting] = self.summary(Node(summary.node.place, jump.chain), rewriting)
        self._called.setdefault(summary.node, set()).add(called.node)
        times = sets.times[rewriting] = self._time(summary.node, prepared.rule, called.node)
        if times > 1 and self.space.anew:
            for key in self.decisions(called.node) & self.space.anew:
                for number in self.space.bits(key):
                    again = self._again(called, number, times).fields
                    self.space.anew.update(again)
                    self._notes(summary.node, again)
        reads = partial(self.reads, called.node)
        for outcome in called.parts:
            now = self._following(rewriting, outcome.rewriting, reads)
            if outcome.kind != "RETURN":
                later = OfCall(match, taken, _Left(self, called, outcome, times))
                same = now == outcome.rewriting
                summary.end_later(outcome if same else outcome._replace(rewriting=now), later)
                continue
            part = taken & self.left(called, outcome, times)
            if jump.goto:
                summary.end(Outcome("RETURN", now), part)
            else:
                added(after, now, part)

    def left(self, called: Summary, outcome: Outcome, times: int) -> PacketSet:
        """Return the packets that leave a chain by an outcome; `times` counts its calls."""
        packets = called.leaving(outcome)
        if times > 1 and self.space.anew and packets:
            # what the chain decides is decided again
            packets = packets.substituted(
                {
                    number: self._again(called, number, times)
                    for key in self._anew_in(called, outcome)
                    for number in self.space.bits(key)
                }
            )
        return packets

    def _again(self, called: Summary, number: int, times: int) -> PacketSet:
        """Return a decision of a chain, given by its variable, as it is made in a later call."""
        why = self.space.layout.place_of(number).why or ""
        return self.space.undecided(("again", number, called.node, times), why)

    def _time(self, caller: Node, rule: Rule, called: Node) -> int:
        """Return which call of a chain a rule makes, counted from 1.

        A packet may pass several calls as it passes through one base chain. What it meets there again at another hook
        is decided again by the walk.
        """
        base = caller if self._is_base(caller) else None
        sites = self._sites.setdefault((called, base), {})
        number = sites.setdefault((caller, rule.position), len(sites) + 1)
        return number if base is None else number + self._inner_calls[called]

    @cached_property
    def _inner_calls(self) -> Counter[Node]:
        """How many rules call each chain from chains that are not base chains."""
        return Counter(
            Node(rule.table, rule.jump.chain)
            for table in self.program.ruleset.tables.values()
            for chain in table.chains.values()
            if not chain.builtin
            for rule in chain.rules
            if rule.jump is not None and not rule.refused
        )

    def _notes(self, node: Node, fields: Iterable[str]) -> None:
        """Note that a chain tests some fields."""
        self._tested.setdefault(node, set()).update(fields)

    def _target(
        self,
        summary: Summary,
        sets: RuleSets,
        prepared: Prepared,
        rewriting: Rewriting,
        place: RulePlace,
        left: PacketSet,
        after: dict[Rewriting, PacketSet],
    ) -> None:
        target, reached, match = prepared.target, sets.reaches[rewriting], sets.matches[rewriting]
        assert target is not None
        before = rewriting.only(touched(target)) if rewriting.fields else rewriting
        # most targets decide nothing, so that their effects are the same in all rules
        found = self._effects.get((id(target), before, place.name))
        if found is None:
            hook = self._hooks(summary.node.place).get(summary.node.name, ("PREROUTING",))[0]
            found = effects(self.space, target, Place(hook, summary.node.place, place), before)
            self._effects[id(target), before, place.name] = found
        going_on = [effect.when for effect in found if effect.kind == "CONTINUE"]
        sets.stays[rewriting] = union([self.space.nothing, *going_on])
        for effect in found:
            always = effect.when == self.space.everything
            if not always:
                self._notes(summary.node, effect.when.fields)
            now = rewriting.then(self.space.layout, effect.bits) if effect.bits else rewriting
            inside = match if always else match & effect.when
            if effect.kind == "CONTINUE":
                added(after, now, reached & inside)
                continue
            deciding = self.apart and effect.kind != "RETURN"
            rule = (prepared.rule.chain, prepared.rule.position) if deciding else None
            outcome = Outcome(effect.kind, now, effect.translation, rule)
            if always:
                summary.end_between(outcome, reached, left)
            else:
                summary.end(outcome, reached & inside)

    def _unrelated_rules(self, table: str) -> UnrelatedRules | None:
        """Return what tells which rules of a table match none of the packets that are summarised."""
        if self.among is not None and table not in self._unrelated:
            self._unrelated[table] = UnrelatedRules(self.among.at(table))
        return self._unrelated.get(table)

    def _is_base(self, node: Node) -> bool:
        found = self._bases.get(node)
        if found is None:
            chain = self.program.chain(*node)
            found = self._bases[node] = chain is not None and chain.builtin
        return found

    # -- conditions -----------------------------------------------------------------------------------

    def matching(self, node: Node, prepared: Prepared) -> PacketSet:
        """Return the packets that satisfy the conditions of a rule of a chain, if nothing was rewritten before."""
        return self._match(node, prepared, AS_IT_CAME, RulePlace(prepared.rule, {}), called=False)

    def _match(
        self, node: Node, prepared: Prepared, rewriting: Rewriting, place: RulePlace, *, called: bool = True
    ) -> PacketSet:
        """Return the packets that satisfy all conditions of a rule, without those that its callers have checked.

        Those of packets that are not summarised may be missing.
        """
        aside = self._unrelated_rules(node.place) if called else None
        if prepared.rule.refused or (aside is not None and aside(prepared, rewriting.changed)):
            return self.space.nothing
        match, tested = self.space.everything, self._tested.setdefault(node, set())
        implied = self.implied(node) if called else ()
        for number, condition in enumerate(prepared.conditions):
            if implied and (same := lasting(condition)) in implied and same.key not in rewriting.changed:
                continue
            found = self._conditions.satisfying(condition, rewriting, place, number)
            tested.update(found.fields)
            match &= found.packets
        return match

    def _anew_in(self, summary: Summary, outcome: Outcome) -> list[str]:
        """Return what is decided again each time that a packet passes a chain, and that an outcome depends on."""
        key = summary, outcome
        if key not in self._anew:
            if summary not in self._may_be_anew:
                self._may_be_anew[summary] = self.decisions(summary.node) & self.space.anew
            may = self._may_be_anew[summary]
            self._anew[key] = [one for one in summary.leaving(outcome).fields if one in may] if may else []
        return self._anew[key]


class _Left(NamedTuple):
    """Returns the packets that leave a called chain by an outcome."""

    chains: Chains
    called: Summary
    outcome: Outcome
    times: int

    def __call__(self) -> PacketSet:
        return self.chains.left(self.called, self.outcome, self.times)
