"""`-j DSCP`: set the differentiated services code point (net/netfilter/xt_DSCP.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import CONTINUE, Option, Target, Verdict
from iptsim.extensions.checks import demand_one
from iptsim.extensions.dscp import CLASSES, DSCP, DSCP_CLASS, dscp_text
from iptsim.extensions.listing import ListingForm
from iptsim.languages import say
from iptsim.packet import Context


class Dscp(Target):
    """Set the six upper bits of the TOS octet, and keep the ECN bits."""

    name: ClassVar[str] = "DSCP"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--set-dscp", "set_dscp", DSCP),
        Option("--set-dscp-class", "set_dscp_class", DSCP_CLASS),
    )
    tables: ClassVar[frozenset[str] | None] = frozenset({"mangle"})

    set_dscp: int | None = None
    set_dscp_class: str | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Dscp:
        demand_one(self, "set_dscp", "set_dscp_class")
        return self

    @property
    def dscp(self) -> int:
        """The code point to set."""
        return CLASSES[self.set_dscp_class] if self.set_dscp_class else self.set_dscp or 0

    def save(self) -> str:
        """Return the code point as iptables-save prints it, always as a number."""
        return f"--set-dscp {DSCP.format(self.dscp)}"

    def apply(self, context: Context) -> Verdict:
        """Set the code point."""
        context.packet.tos = context.packet.tos & 0x03 | self.dscp << 2
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" DSCP set {DSCP.format(self.dscp)}"

    def says(self) -> str:
        """Return the order in words."""
        return say("set the DSCP to {dscp}", dscp=dscp_text(self.dscp))


EXTENSIONS = (Dscp,)
