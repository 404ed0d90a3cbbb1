"""The conditions of a rule, one by one, evaluated in three-valued logic."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from iptsim.extensions.constraints import Allowed, Constraint, Several
from iptsim.extensions.context import Context
from iptsim.languages import Text
from iptsim.truth import Truth, negate


@dataclass(frozen=True, slots=True)
class Predicate:
    """One condition of a rule, evaluated in three-valued logic.

    Attributes:
        text: as the rule writes it, `!` included: "! -i docker0".
        stated: the condition as a function; None for that of the constraint. It may change only `consulted` of the
            context.
        got: the packet's side, for explanations: "arrives on eth0", "its destination port is 81".
        constraint: the equivalent constraint, if the predicate is nothing more.
        negated: whether a `!` precedes it.
        effect: what the kernel does to the connection or the surroundings after evaluating it, whatever the result;
            None for nothing.
        same: a key for a condition that is not a constraint: conditions with equal keys hold for the same packets,
            apart from negation; empty if the result may change for the same packet.
        memory: the state that it checks, if this outlives a packet and rules may change it; None for nothing.
    """

    text: str
    stated: Callable[[Context], Truth] | None
    got: Callable[[Context], Text]
    constraint: Constraint | Several | None = None
    negated: bool = False
    effect: Callable[[Context], None] | None = None
    same: tuple[Any, ...] = ()
    memory: Hashable = None

    @property
    def test(self) -> Callable[[Context], Truth]:
        """The condition as a function; for a constraint, a new one each time."""
        if self.stated is not None:
            return self.stated
        assert self.constraint is not None
        return self.constraint.tester()

    @property
    def field(self) -> str | None:
        """The name of the field that it tests, where it is a constraint on one."""
        return self.constraint.field.key if isinstance(self.constraint, Constraint) else None

    @property
    def allowed(self) -> Allowed | None:
        """The values of the field that satisfy it before negation, where it is a constraint on one."""
        return self.constraint.allowed if isinstance(self.constraint, Constraint) else None


def constrained(text: str, constraint: Constraint) -> Predicate:
    """Make a predicate from a constraint alone."""
    return Predicate(text, None, constraint.field.got, constraint, constraint.negated)


def combined(
    text: str, several: Several, got: Callable[[Context], Text], *, negated: bool = False
) -> Predicate:
    """Make a predicate of several constraints; arguments as the attributes of :class:`Predicate`."""
    return Predicate(text, None, got, several, negated)


def fact_predicate(
    text: str,
    test: Callable[[Context], Truth],
    got: Callable[[Context], Text],
    *,
    negated: bool = False,
    same: tuple[Any, ...] = (),
) -> Predicate:
    """Make a predicate from any function; `negated` inverts what `test` returns. See :class:`Predicate` for `same`."""
    if not negated:
        return Predicate(text, test, got, same=same)
    return Predicate(text, lambda context: negate(test(context)), got, negated=True, same=same)
