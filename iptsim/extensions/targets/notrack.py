"""`-j NOTRACK`: leave the packet out of connection tracking (net/netfilter/xt_CT.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import CONTINUE, Target, Verdict
from iptsim.extensions.listing import ListingForm
from iptsim.languages import say
from iptsim.packet import Context


class Notrack(Target):
    """Make the packet UNTRACKED."""

    name: ClassVar[str] = "NOTRACK"
    listed_name: ClassVar[str] = "CT"
    tables: ClassVar[frozenset[str] | None] = frozenset({"raw"})

    def apply(self, context: Context) -> Verdict:
        """Ask conntrack to leave the packet alone, unless it has a connection or template already."""
        if context.connection is None and not context.template:
            context.notrack = context.template = True
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return " NOTRACK"

    def says(self) -> str:
        """Return the order in words."""
        return say("do not track the connection")


EXTENSIONS = (Notrack,)
