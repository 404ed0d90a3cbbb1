"""`-m ttl` and `-m hl`: the time to live of IPv4, the hop limit of IPv6 (net/netfilter/xt_hl.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, constrained
from iptsim.extensions.checks import demand_one
from iptsim.extensions.constraints import Constraint, above, below, equal, packet_field
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import compared_words, integer_value
from iptsim.languages import later, say_if, told

_HOPS = integer_value("a number of hops from 0 to 255", 0, 255)
#: What each option allows, and how a listing compares.
_RELATIONS = {"hops_eq": (equal, "=="), "hops_lt": (below, "<"), "hops_gt": (above, ">")}


def _options(name: str) -> tuple[Option, ...]:
    return (
        Option(f"--{name}-eq", "hops_eq", _HOPS, True, (f"--{name}",)),
        Option(f"--{name}-lt", "hops_lt", _HOPS),
        Option(f"--{name}-gt", "hops_gt", _HOPS),
    )


class Hops(Match):
    """How many hops a packet has left; lower and greater are strict."""

    #: the field in words
    called: ClassVar[str]

    hops_eq: int | None = None
    hops_lt: int | None = None
    hops_gt: int | None = None

    @model_validator(mode="after")
    def _check(self) -> Hops:
        demand_one(self, *_RELATIONS)
        return self

    def _asked(self) -> tuple[str, int]:
        """Return the field of the option that was given, and its value."""
        return next((field, getattr(self, field)) for field in _RELATIONS if getattr(self, field) is not None)

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the hops."""
        field, value = self._asked()
        allowed = _RELATIONS[field][0](value)
        return (
            constrained(
                self.save(), Constraint(packet_field("ttl", self.called), allowed, bool(self.negated))
            ),
        )

    def lists(self, form: ListingForm) -> str:
        """Return the comparison as a listing has it."""
        field, value = self._asked()
        name = self.name.upper()
        return f" {name} match {name} {'!=' if self.negated else _RELATIONS[field][1]} {value}"

    def says(self) -> str:
        """Return the comparison in words."""
        return say_if(
            self.negated,
            "whose {word} is not {shown}",
            "whose {word} is {shown}",
            word=told(self.called),
            shown=compared_words(*self._asked()),
        )


class Ttl(Hops):
    """The time to live; lower and greater are strict."""

    name: ClassVar[str] = "ttl"
    family: ClassVar[int | None] = 4
    options: ClassVar[tuple[Option, ...]] = _options("ttl")
    called: ClassVar[str] = later("TTL")


class Hl(Hops):
    """The hop limit; lower and greater are strict."""

    name: ClassVar[str] = "hl"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = _options("hl")
    called: ClassVar[str] = later("hop limit")


EXTENSIONS = (Ttl, Hl)
