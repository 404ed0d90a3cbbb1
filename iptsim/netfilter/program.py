"""Rules ready to run: each chain as a list of conditions and targets, prepared on first use."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import cache, cached_property

from iptsim.addresses import FAMILIES
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.chain_graph import ChainGraph, Node
from iptsim.dump.checks import legal_graph
from iptsim.dump.edited_rules import Changes, EditedRules, changes
from iptsim.dump.rule import Jump, Rule
from iptsim.dump.ruleset import Chain, Ruleset
from iptsim.extensions.base import Extension, Match, Target
from iptsim.extensions.constraints import unsteady
from iptsim.extensions.context import Context
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.registry import find_match, find_target
from iptsim.languages import message
from iptsim.netfilter import conntrack
from iptsim.netfilter.chain_rules import ChainRules, EditedChainRules
from iptsim.netfilter.prepared import Condition, Prepared
from iptsim.truth import Truth, Unknown


def _passed_by(rule: Rule) -> Condition:
    """Return the condition of a rule that the kernel would reject: it never matches."""
    return Condition(
        Predicate(
            rule.specification,
            lambda context: False,
            lambda context: message("the kernel would reject it: {why}", why=rule.refused),
        ),
        "",
    )


#: The legacy backend allows calls of any nesting; those of Python, several for each, may nest 1,000 deep.
_FOLLOWED = 500


class Program:
    """A ruleset ready to run: its chain graph, and the rules, prepared when a packet first reaches them.

    Args:
        ruleset: the ruleset.
        conntrack_on: the kernel tracks connections, whatever the rules.
        like: the program of a ruleset with few other rules; what it has prepared is used again.

    Attributes:
        graph: which chain leads where.
        tracks: whether the kernel tracks connections for these rules.
    """

    def __init__(self, ruleset: Ruleset, *, conntrack_on: bool = False, like: Program | None = None) -> None:
        self.ruleset = ruleset
        self._like, self._changes = like, Changes([], [])
        if like is not None:
            self._changes = changes(like.ruleset, ruleset)
            if any(map(_changes_memory, (*self._changes.added, *self._changes.removed))):
                self._like = None  # the conditions on that state are prepared in another way
        self.graph = (
            legal_graph(ruleset.tables.values(), ruleset.backend, _FOLLOWED)
            if self._like is None or any(rule.jump is not None for rule in self._changes.added)
            else ChainGraph(ruleset.tables.values())
        )
        self.backend, self.version = ruleset.backend, ruleset.version
        self.tracks = conntrack_on or self._switches_on
        #: the base chains that the dump omits: a table of the legacy backend has them all
        self._implied = {
            (table, name): Chain(table, name, "ACCEPT")
            for table in (ruleset.tables if ruleset.backend == "legacy" else ())
            for name in BUILTIN_CHAINS[table]
        }
        self._chains: dict[tuple[str, str], ChainRules] = {}
        #: by the identity of the calling rule
        self._called: dict[int, ChainRules] = {}
        self._idle: dict[tuple[str, str], bool] = {}
        self._conditions: dict[int, tuple[Condition, ...]] = {}

    @cached_property
    def _switches_on(self) -> bool:
        """Whether a rule makes the kernel track connections."""
        return self._any(conntrack.switches_on, self._like is not None and self._like._switches_on)

    @cached_property
    def names_ports(self) -> bool:
        """Whether a rule checks bridge ports."""
        return self._any(_names_ports, self._like is not None and self._like.names_ports)

    def _any(self, holds: Callable[[Rule], bool], before: bool) -> bool:
        """Return whether something holds for a rule.

        Args:
            holds: returns whether it holds for one rule.
            before: it holds for one of the program that this one is like.
        """
        added, removed = self._changes
        if self._like is None or (before and any(map(holds, removed))):
            return any(map(holds, self.ruleset.rules()))
        return before or any(map(holds, added))

    def chain(self, table: str, name: str) -> Chain | None:
        """Return a chain as in the dump, or a base chain that the dump omits although it exists."""
        found = self.graph.chain(Node(table, name))
        return self._implied.get((table, name)) if found is None else found

    def called(self, rule: Rule, jump: Jump) -> ChainRules | None:
        """Return the rules of the chain that a rule calls; None if there is no such chain."""
        found = self._called.get(id(rule))
        if found is None:
            chain = self.chain(rule.table, jump.chain)
            if chain is None:
                return None
            found = self._called[id(rule)] = self.rules(chain)
        return found

    def is_empty(self, table: str, hook: str) -> bool:
        """Return whether a base chain has no rules and accepts by its policy."""
        chain = self.chain(table, hook)
        return chain is None or (not chain.rules and (chain.policy or "ACCEPT") == "ACCEPT")

    def is_idle(self, table: str, hook: str) -> bool:
        """Return whether a base chain leaves every packet as it is: it only accepts, counts and logs."""
        key = (table, hook)
        if key not in self._idle:
            reached = (self.chain(table, name) for name in self.graph.reached(table, hook))
            chains = [chain for chain in reached if chain is not None]
            # most chains act by a target, which is seen before any rule is prepared
            self._idle[key] = not any(map(_acts, chains)) and not any(map(self._has_effects, chains))
        return self._idle[key]

    def _has_effects(self, chain: Chain) -> bool:
        """Return whether a condition of a chain does something when it is evaluated."""
        rules = self.rules(chain)
        prepared = (rules[place] for place in range(len(rules)))
        return any(condition.predicate.effect for one in prepared for condition in one.conditions)

    def rules(self, chain: Chain) -> ChainRules:
        """Return a chain's rules, ready to run."""
        key = (chain.table, chain.name)
        found = self._chains.get(key)
        if found is None:
            before = self._like.chain(*key) if self._like is not None else None
            found = self._chains[key] = self._prepared(chain.rules, before) or ChainRules(
                chain.rules, self._prepare, self.ruleset.family
            )
        return found

    def _prepared(self, rules: Sequence[Rule], before: Chain | None) -> ChainRules | None:
        """Return the rules of a chain if the program that this one is like has prepared most of them."""
        if self._like is None or before is None:
            return None
        if rules is before.rules:
            return self._like.rules(before)
        if not isinstance(rules, EditedRules) or (shared := self._prepared(rules.before, before)) is None:
            return None
        return EditedChainRules(rules, shared, self._prepare)

    def _prepare(self, rule: Rule) -> Prepared:
        if rule.refused:
            return Prepared(rule, (_passed_by(rule),), None, None, quiet=True)
        conditions = self._conditions_of(rule.parameters)
        for match in rule.matches:
            conditions += self._conditions_of(match)
        target = rule.target
        if isinstance(target, Jump):
            return Prepared(rule, conditions, None, target, quiet=False)
        return Prepared(
            rule, conditions, target, None, quiet=target is None or not (target.changes or target.terminal)
        )

    def _conditions_of(self, match: Match) -> tuple[Condition, ...]:
        """Return a match's conditions; the reader makes equal matches one object, so each is done once."""
        found = self._conditions.get(id(match))
        if found is None:
            found = tuple(
                Condition(predicate, match.name) for predicate in map(self._remembering, match.predicates())
            )
            self._conditions[id(match)] = found
        return found

    def _remembering(self, predicate: Predicate) -> Predicate:
        """Return a condition; if rules change the state it checks, its result for the same packet may change."""
        if predicate.memory is None or predicate.memory not in self.changed_memories:
            return predicate
        if predicate.constraint is not None:
            return replace(predicate, stated=predicate.test, constraint=unsteady(predicate.constraint))

        stated = predicate.test

        def test(context: Context) -> Truth:
            truth = stated(context)
            return truth._replace(key=()) if isinstance(truth, Unknown) else truth

        return replace(predicate, stated=test, same=())

    @cached_property
    def changed_memories(self) -> frozenset[Hashable]:
        """The state that rules change and that outlives a packet: ("ipset", NAME), ("recent", LIST)."""
        if self._like is not None:
            return self._like.changed_memories
        return frozenset(
            memory
            for rule in self.ruleset.rules()
            if _changes_memory(rule)
            for one in (*rule.matches, rule.target)
            if isinstance(one, Extension)
            for memory in one.changes_memory
        )


def _acts(chain: Chain) -> bool:
    """Return whether a policy, or the target of a rule, does more than accept, count and log."""
    if (chain.policy or "ACCEPT") != "ACCEPT":
        return True
    targets = (
        rule.target
        for rule in chain.rules
        if rule.jump is None and not rule.refused and rule.target_name not in ("", "ACCEPT", "RETURN")
    )
    return any(isinstance(target, Target) and (target.changes or target.terminal) for target in targets)


def _names_ports(rule: Rule) -> bool:
    return "physdev" in rule.extension_names


def _changes_memory(rule: Rule) -> bool:
    """Return whether a rule may change state that outlives a packet."""
    return any(map(_may_change_memory, rule.extension_names))


@cache
def _may_change_memory(name: str) -> bool:
    """Return whether a match or target of a name may change state that outlives a packet."""
    extensions = (find(name, family) for find in (find_match, find_target) for family in FAMILIES)
    return any(one is not None and one.changes_memory is not Extension.changes_memory for one in extensions)
