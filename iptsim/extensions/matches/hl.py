"""`-m hl`: the hop limit of IPv6 (net/netfilter/xt_hl.c); for IPv4 see `-m ttl`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, field_predicate
from iptsim.extensions.checks import demand_one
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import compared_words, integer_value
from iptsim.languages import later, say_if

_HOPS = integer_value("a number of hops from 0 to 255", 0, 255)
_FIELDS = ("hl_eq", "hl_lt", "hl_gt")


class Hl(Match):
    """The hop limit; lower and greater are strict."""

    name: ClassVar[str] = "hl"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = (
        Option("--hl-eq", "hl_eq", _HOPS, True, ("--hl",)),
        Option("--hl-lt", "hl_lt", _HOPS),
        Option("--hl-gt", "hl_gt", _HOPS),
    )

    hl_eq: int | None = None
    hl_lt: int | None = None
    hl_gt: int | None = None

    @model_validator(mode="after")
    def _complete(self) -> Hl:
        demand_one(self, *_FIELDS)
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the hop limit."""
        if self.hl_eq is not None:
            allowed = (self.hl_eq, self.hl_eq)
        elif self.hl_lt is not None:
            allowed = (0, self.hl_lt - 1)
        else:
            allowed = ((self.hl_gt or 0) + 1, 255)
        negated = "hl_eq" in self.negated
        return (field_predicate(self.save(), "ttl", (allowed,), negated=negated, name=later("hop limit")),)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        if self.hl_eq is not None:
            return f" HL match HL {'!=' if self.negated else '=='} {self.hl_eq}"
        return f" HL match HL < {self.hl_lt}" if self.hl_gt is None else f" HL match HL > {self.hl_gt}"

    def says(self) -> str:
        """Return the hop limit in words."""
        field = next(field for field in _FIELDS if getattr(self, field) is not None)
        value = compared_words(field, getattr(self, field))
        return say_if(
            field in self.negated, "whose hop limit is not {value}", "whose hop limit is {value}", value=value
        )


EXTENSIONS = (Hl,)
