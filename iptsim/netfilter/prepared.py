"""A rule ready to run: its conditions as functions, and what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from iptsim.dump.ruleset import Jump, Rule
from iptsim.extensions.base import Predicate, Target
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
