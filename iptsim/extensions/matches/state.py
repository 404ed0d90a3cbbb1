"""`-m state`: the connection state, an older form of `-m conntrack --ctstate` (net/netfilter/xt_state.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate, constrained
from iptsim.extensions.constraints import Constraint, Some
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.matches.conntrack import STATE
from iptsim.extensions.values import any_of, choices
from iptsim.languages import say_if

#: In the order in which iptables prints them.
STATES = ("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED")


class State(Match):
    """The packet's connection state."""

    name: ClassVar[str] = "state"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--state", "state", choices(f"states of {', '.join(STATES)}", STATES), True),
    )

    state: tuple[str, ...]

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the state."""
        return (
            constrained(
                self.save(), Constraint(STATE, Some(frozenset(self.state)), negated=bool(self.negated))
            ),
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f"{self.bang('state', ' !')} state {','.join(self.state)}"

    def says(self) -> str:
        """Return the states in words."""
        return say_if(
            self.negated,
            "whose connection state is not {state}",
            "whose connection state is {state}",
            state=any_of(self.state),
        )


EXTENSIONS = (State,)
