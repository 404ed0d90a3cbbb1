"""`-m connmark`: the mark of the packet's connection (net/netfilter/xt_connmark.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, constrained
from iptsim.extensions.checks import demand
from iptsim.extensions.constraints import Constraint, Masked, connection_value
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import MARK, MaskedNumber
from iptsim.languages import say, say_if


class Connmark(Match):
    """The connection's mark; without a connection it never holds, negated or not."""

    name: ClassVar[str] = "connmark"
    options: ClassVar[tuple[Option, ...]] = (Option("--mark", "mark", MARK, True),)

    mark: MaskedNumber | None = None

    @model_validator(mode="after")
    def _complete(self) -> Connmark:
        demand(self, "mark")
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the connection's mark."""
        wanted = self.mark or MaskedNumber(0)
        allowed = Masked(wanted.value, wanted.mask)
        return (constrained(self.save(), Constraint(_MARK, allowed, "mark" in self.negated)),)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" connmark match {self.bang('mark')} {self.mark}"

    def says(self) -> str:
        """Return the mark in words."""
        return say_if(
            self.negated,
            "whose connection does not have mark {mark}",
            "whose connection has mark {mark}",
            mark=self.mark,
        )


_MARK = connection_value(
    "mark",
    lambda connection: connection.mark,
    lambda connection: say("its connection's mark is {mark:#x}", mark=connection.mark),
)

EXTENSIONS = (Connmark,)
