"""`-m ttl`: the time to live of IPv4 (net/netfilter/xt_hl.c); for IPv6 see `-m hl`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, field_predicate
from iptsim.extensions.checks import demand_one
from iptsim.extensions.constraints import Ranges
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import compared_words, integer_value
from iptsim.languages import later, say_if

_TTL = integer_value("a number of hops from 0 to 255", 0, 255)
_FIELDS = ("ttl_eq", "ttl_lt", "ttl_gt")


class Ttl(Match):
    """The time to live; lower and greater are strict."""

    name: ClassVar[str] = "ttl"
    family: ClassVar[int | None] = 4
    options: ClassVar[tuple[Option, ...]] = (
        Option("--ttl-eq", "ttl_eq", _TTL, True, ("--ttl",)),
        Option("--ttl-lt", "ttl_lt", _TTL),
        Option("--ttl-gt", "ttl_gt", _TTL),
    )

    ttl_eq: int | None = None
    ttl_lt: int | None = None
    ttl_gt: int | None = None

    @model_validator(mode="after")
    def _check(self) -> Ttl:
        demand_one(self, *_FIELDS)
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the TTL."""
        allowed: Ranges
        if self.ttl_eq is not None:
            allowed = ((self.ttl_eq, self.ttl_eq),)
        elif self.ttl_lt is not None:
            allowed = ((0, self.ttl_lt - 1),)
        else:
            allowed = (((self.ttl_gt or 0) + 1, 255),)
        return (field_predicate(self.save(), "ttl", allowed, negated=bool(self.negated), name=later("TTL")),)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        if self.ttl_eq is not None:
            return f" TTL match TTL {'!=' if self.negated else '=='} {self.ttl_eq}"
        return f" TTL match TTL < {self.ttl_lt}" if self.ttl_gt is None else f" TTL match TTL > {self.ttl_gt}"

    def says(self) -> str:
        """Return the TTL in words."""
        field = next(field for field in _FIELDS if getattr(self, field) is not None)
        value = compared_words(field, getattr(self, field))
        return say_if(self.negated, "whose TTL is not {value}", "whose TTL is {value}", value=value)


EXTENSIONS = (Ttl,)
