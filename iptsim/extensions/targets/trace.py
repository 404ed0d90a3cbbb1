"""`-j TRACE`: report every rule that the packet matches from here on (net/netfilter/xt_TRACE.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import CONTINUE, Target, Verdict
from iptsim.extensions.listing import ListingForm
from iptsim.languages import say
from iptsim.packet import Context


class Trace(Target):
    """Trace the packet. The legacy backend takes it in the raw table only, nf_tables everywhere."""

    name: ClassVar[str] = "TRACE"
    changes: ClassVar[bool] = False

    def apply(self, context: Context) -> Verdict:
        """Go on."""
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return ""

    def says(self) -> str:
        """Return the order in words."""
        return say("trace the packet's way through the rules")


EXTENSIONS = (Trace,)
