"""Rules ready to run: each chain as a list of conditions and targets, prepared on first use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from iptsim.dump.chains import Node, chain_graph
from iptsim.dump.checks import refuse
from iptsim.dump.ruleset import BUILTIN_CHAINS, Chain, Jump, Rule, Ruleset
from iptsim.extensions.base import Match, Predicate, Target
from iptsim.netfilter import conntrack
from iptsim.packet import Context, Truth


@dataclass(slots=True)
class Condition:
    """One condition of a rule and the name of the match that it belongs to (empty: `-s`, `-i` ...)."""

    test: Callable[[Context], Truth]
    predicate: Predicate
    match: str


@dataclass(slots=True)
class Prepared:
    """A rule ready to run.

    Attributes:
        quiet: the rule's target changes nothing that a later rule, or the verdict, depends on.
    """

    rule: Rule
    conditions: tuple[Condition, ...]
    target: Target | None
    jump: Jump | None
    quiet: bool


def _passed_by(rule: Rule) -> Condition:
    """Return the condition of a rule that the kernel would reject: it never matches."""
    words = rule.text.removeprefix(f"-A {rule.chain} ")
    return Condition(
        lambda context: False,
        Predicate(words, lambda context: False, lambda context: f"the kernel refuses it: {rule.refused}"),
        "",
    )


class Program:
    """A ruleset ready to run: its chain graph, whose rules are prepared when a packet first reaches them."""

    def __init__(self, ruleset: Ruleset, *, conntrack_on: bool = False) -> None:
        self.graph = chain_graph(ruleset.tables.values())
        refuse(self.graph, ruleset.backend)
        self.ruleset = ruleset
        self.backend, self.version = ruleset.backend, ruleset.version
        #: whether the kernel tracks connections for these rules
        self.tracks = conntrack_on or conntrack.switched_on(ruleset)
        self._chains: dict[tuple[str, str], list[Rule | Prepared]] = {}
        self._idle: dict[tuple[str, str], bool] = {}
        self._conditions: dict[int, tuple[Condition, ...]] = {}

    @cached_property
    def names_ports(self) -> bool:
        """Whether a rule checks bridge ports."""
        return any(match.name == "physdev" for rule in self.ruleset.rules() for match in rule.matches)

    def chain(self, table: str, name: str) -> Chain | None:
        """Return a chain as the dump has it.

        The legacy backend always has all base chains of a table, even those that the dump omits.
        """
        found = self.graph.chain(Node(table, name))
        if found is None and self.backend == "legacy" and table in self.ruleset.tables:
            return Chain(table, name, "ACCEPT") if name in BUILTIN_CHAINS[table] else None
        return found

    def is_empty(self, table: str, hook: str) -> bool:
        """Return whether a base chain only accepts, without a rule."""
        chain = self.chain(table, hook)
        return chain is None or (not chain.rules and (chain.policy or "ACCEPT") == "ACCEPT")

    def is_idle(self, table: str, hook: str) -> bool:
        """Return whether a base chain leaves every packet as it is: it only accepts, counts and logs."""
        key = (table, hook)
        if key not in self._idle:
            chain = self.chain(table, hook)
            self._idle[key] = chain is None or self._is_idle(chain, set())
        return self._idle[key]

    def _is_idle(self, chain: Chain, seen: set[str]) -> bool:
        seen.add(chain.name)
        if (chain.policy or "ACCEPT") != "ACCEPT":
            return False
        for prepared in map(self._prepare, chain.rules):
            target = prepared.target
            if any(condition.predicate.effect for condition in prepared.conditions):
                return False
            if not prepared.quiet and target is not None and target.name not in ("ACCEPT", "RETURN"):
                return False
            jump = prepared.jump
            if jump is not None and jump.chain not in seen:
                called = self.chain(chain.table, jump.chain)
                if called is not None and not self._is_idle(called, seen):
                    return False
        return True

    def rules(self, chain: Chain) -> list[Rule | Prepared]:
        """Return a chain's rules; :meth:`prepare` prepares one when a packet first reaches it."""
        key = (chain.table, chain.name)
        found = self._chains.get(key)
        if found is None:
            found = self._chains[key] = list(chain.rules)
        return found

    def prepare(self, rules: list[Rule | Prepared], index: int) -> Prepared:
        """Return one of a chain's rules, ready to run."""
        rule = rules[index]
        if isinstance(rule, Prepared):
            return rule
        prepared = rules[index] = self._prepare(rule)
        return prepared

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
                Condition(predicate.test, predicate, match.name) for predicate in match.predicates()
            )
            self._conditions[id(match)] = found
        return found
