"""`-j TTL`: change an IPv4 packet's time to live (net/netfilter/xt_HL.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Option, Target, Verdict
from iptsim.extensions.checks import demand_one
from iptsim.extensions.hoplimit import change_hops, listed_hops, says_hops
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import integer_value
from iptsim.packet import Context


class Ttl(Target):
    """Set, lower or raise the TTL."""

    name: ClassVar[str] = "TTL"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--ttl-set", "ttl_set", integer_value("a TTL, 0 to 255", 0, 255)),
        Option("--ttl-dec", "ttl_dec", integer_value("by how much, 1 to 255", 1, 255)),
        Option("--ttl-inc", "ttl_inc", integer_value("by how much, 1 to 255", 1, 255)),
    )
    family: ClassVar[int | None] = 4
    tables: ClassVar[frozenset[str] | None] = frozenset({"mangle"})

    ttl_set: int | None = None
    ttl_dec: int | None = None
    ttl_inc: int | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Ttl:
        demand_one(self, "ttl_set", "ttl_dec", "ttl_inc")
        return self

    def apply(self, context: Context) -> Verdict:
        """Change it."""
        return change_hops(context, self.ttl_set, self.ttl_dec, self.ttl_inc)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return listed_hops("TTL", self.ttl_set, self.ttl_dec, self.ttl_inc)

    def says(self) -> str:
        """Return the order in words."""
        return says_hops("TTL", self.ttl_set, self.ttl_dec, self.ttl_inc)


EXTENSIONS = (Ttl,)
