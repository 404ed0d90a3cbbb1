"""Rules made ready to run: each chain as a list of conditions and targets, prepared on first use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from iptsim.dump.loops import refuse_loops
from iptsim.dump.ruleset import Chain, Jump, Rule, Ruleset
from iptsim.extensions.base import Predicate, Target
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
        quiet: the rule's target changes nothing that a later rule, or the packet's fate, depends on.
    """

    rule: Rule
    conditions: tuple[Condition, ...]
    target: Target | None
    jump: Jump | None
    quiet: bool


class Program:
    """A ruleset ready to run."""

    def __init__(self, ruleset: Ruleset, *, conntrack_on: bool = False) -> None:
        refuse_loops(ruleset)
        self.ruleset = ruleset
        self.backend = ruleset.backend
        #: whether the kernel tracks connections for these rules
        self.tracks = conntrack_on or conntrack.switched_on(ruleset)
        self._chains: dict[tuple[str, str], list[Prepared]] = {}

    def chain(self, table: str, name: str) -> Chain | None:
        """Return a chain as the dump has it."""
        return self.ruleset.chain(table, name)

    def prepared(self, chain: Chain) -> list[Prepared]:
        """Return a chain's rules, ready to run."""
        key = (chain.table, chain.name)
        found = self._chains.get(key)
        if found is None:
            found = self._chains[key] = [_prepare(rule) for rule in chain.rules]
        return found


def _prepare(rule: Rule) -> Prepared:
    conditions = [Condition(predicate.test, predicate, "") for predicate in rule.parameters.predicates()]
    for match in rule.matches:
        conditions.extend(
            Condition(predicate.test, predicate, match.name) for predicate in match.predicates()
        )
    jump = rule.target if isinstance(rule.target, Jump) else None
    target = None if isinstance(rule.target, Jump) else rule.target
    quiet = jump is None and (target is None or not (target.changes or target.terminal))
    return Prepared(rule, tuple(conditions), target, jump, quiet)
