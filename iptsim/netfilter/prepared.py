"""A rule ready to run: its conditions as functions, and what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from iptsim.dump.rule import Jump, Rule
from iptsim.extensions.base import Target
from iptsim.extensions.context import Context
from iptsim.extensions.predicates import Predicate
from iptsim.truth import Truth


@dataclass(slots=True)
class Condition:
    """One condition of a rule.

    Attributes:
        predicate: the condition.
        match: the name of the match that it belongs to (empty: `-s`, `-i` ...).
        test: the condition as a function, made on first use: for most rules, only the first condition is ever tested.
    """

    predicate: Predicate
    match: str
    test: Callable[[Context], Truth] = field(init=False, compare=False, repr=False)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name != "test":
                raise AttributeError(f"a condition has no {name}")
            self.test = self.predicate.test
            return self.test


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
