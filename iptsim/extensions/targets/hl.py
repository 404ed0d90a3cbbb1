"""`-j HL`: change an IPv6 packet's hop limit (net/netfilter/xt_HL.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Option, Target, Verdict
from iptsim.extensions.checks import demand_one
from iptsim.extensions.hoplimit import change_hops, listed_hops, says_hops
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import integer_value
from iptsim.languages import say
from iptsim.packet import Context


class Hl(Target):
    """Set, lower or raise the hop limit."""

    name: ClassVar[str] = "HL"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--hl-set", "hl_set", integer_value("a hop limit, 0 to 255", 0, 255)),
        Option("--hl-dec", "hl_dec", integer_value("by how much, 1 to 255", 1, 255)),
        Option("--hl-inc", "hl_inc", integer_value("by how much, 1 to 255", 1, 255)),
    )
    family: ClassVar[int | None] = 6
    tables: ClassVar[frozenset[str] | None] = frozenset({"mangle"})

    hl_set: int | None = None
    hl_dec: int | None = None
    hl_inc: int | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Hl:
        demand_one(self, "hl_set", "hl_dec", "hl_inc")
        return self

    def apply(self, context: Context) -> Verdict:
        """Change it."""
        return change_hops(context, self.hl_set, self.hl_dec, self.hl_inc)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return listed_hops("HL", self.hl_set, self.hl_dec, self.hl_inc)

    def says(self) -> str:
        """Return the order in words."""
        return says_hops(say("hop limit"), self.hl_set, self.hl_dec, self.hl_inc)


EXTENSIONS = (Hl,)
