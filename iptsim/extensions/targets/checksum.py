"""`-j CHECKSUM`: fill in a checksum that was left to the network card (net/netfilter/xt_CHECKSUM.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import CONTINUE, Option, Target, Verdict
from iptsim.extensions.checks import demand
from iptsim.extensions.listing import ListingForm
from iptsim.languages import say
from iptsim.packet import Context


class Checksum(Target):
    """Fill in the checksum of a packet that has none yet."""

    name: ClassVar[str] = "CHECKSUM"
    options: ClassVar[tuple[Option, ...]] = (Option("--checksum-fill", "checksum_fill"),)
    tables: ClassVar[frozenset[str] | None] = frozenset({"mangle"})
    changes: ClassVar[bool] = False

    checksum_fill: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Checksum:
        demand(self, "checksum_fill")
        return self

    def apply(self, context: Context) -> Verdict:
        """Go on: no rule looks at checksums."""
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return " CHECKSUM fill" if self.checksum_fill else " CHECKSUM"

    def says(self) -> str:
        """Return the order in words."""
        return say("fill in the checksum if the packet has none")


EXTENSIONS = (Checksum,)
