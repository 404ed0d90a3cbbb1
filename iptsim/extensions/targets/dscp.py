"""`-j DSCP`: set the differentiated services code point (net/netfilter/xt_DSCP.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import CONTINUE, Option, Target, Verdict
from iptsim.extensions.dscp import DSCP, DSCP_CLASS, dscp_text
from iptsim.extensions.listing import ListingForm
from iptsim.languages import say
from iptsim.packet import Context


class Dscp(Target):
    """Set the six upper bits of the TOS octet, and keep the ECN bits."""

    name: ClassVar[str] = "DSCP"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--set-dscp", "set_dscp", DSCP),
        Option("--set-dscp-class", "set_dscp", DSCP_CLASS),
    )
    tables: ClassVar[frozenset[str] | None] = frozenset({"mangle"})

    set_dscp: int

    def apply(self, context: Context) -> Verdict:
        """Set the code point."""
        context.packet.tos = context.packet.tos & 0x03 | self.set_dscp << 2
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" DSCP set {DSCP.format(self.set_dscp)}"

    def says(self) -> str:
        """Return the order in words."""
        return say("set the DSCP to {dscp}", dscp=dscp_text(self.set_dscp))


EXTENSIONS = (Dscp,)
