"""`-m connmark`: the mark of the packet's connection (net/netfilter/xt_connmark.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate
from iptsim.extensions.checks import demand
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import MARK, MaskedNumber
from iptsim.languages import say, say_if
from iptsim.packet import Context, Truth


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
        return (Predicate(self.save(), self._test, _got),)

    def _test(self, context: Context) -> Truth:
        connection, mark = context.connection, self.mark
        if connection is None or mark is None:
            return False
        return (connection.mark & mark.mask == mark.value) is not ("mark" in self.negated)

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


def _got(context: Context) -> str:
    if context.connection is None:
        return say("it belongs to no tracked connection")
    return say("its connection's mark is {mark:#x}", mark=context.connection.mark)


EXTENSIONS = (Connmark,)
