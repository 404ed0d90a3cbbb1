"""`-m rpfilter`: the way back to the packet's source (net/ipv4/netfilter/ipt_rpfilter.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate, fact_predicate
from iptsim.extensions.listing import ListingForm
from iptsim.languages import say, say_if
from iptsim.packet import Context, Truth, Unknown


class Rpfilter(Match):
    """The reverse path test."""

    name: ClassVar[str] = "rpfilter"
    tables: ClassVar[frozenset[str] | None] = frozenset({"raw", "mangle"})
    hooks: ClassVar[frozenset[str] | None] = frozenset({"PREROUTING"})
    options: ClassVar[tuple[Option, ...]] = (
        Option("--loose", "loose"),
        Option("--validmark", "validmark"),
        Option("--accept-local", "accept_local"),
        Option("--invert", "invert"),
    )

    loose: bool = False
    validmark: bool = False
    accept_local: bool = False
    invert: bool = False

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the route back."""

        def test(context: Context) -> Truth:
            return context.surroundings.reverse_path(
                context, loose=self.loose, validmark=self.validmark, accept_local=self.accept_local
            )

        def got(context: Context) -> str:
            good = test(context)
            if isinstance(good, Unknown):
                return say("the route back to its source is not known")
            return say_if(
                good,
                "the route back to its source fits {in_interface}",
                "the route back to its source does not fit {in_interface}",
                in_interface=context.in_interface,
            )

        return (fact_predicate(f"-m rpfilter {self.save()}".strip(), test, got, negated=self.invert),)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        given = [option.flag.removeprefix("--") for option in self.options if getattr(self, option.field)]
        return " ".join([" rpfilter", *given])

    def says(self) -> str:
        """Return the test in words."""
        way = say("some interface") if self.loose else say("the interface they came in by")
        return say_if(
            self.invert, "whose source is not reached by {way}", "whose source is reached by {way}", way=way
        )


EXTENSIONS = (Rpfilter,)
