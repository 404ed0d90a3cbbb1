"""`-j MARK`: change the packet's mark (net/netfilter/xt_mark.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import CONTINUE, Verdict
from iptsim.extensions.checks import demand_one
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.marks import MarkChange, change_text, clear_and_flip, listed_change, says_change
from iptsim.extensions.values import MaskedNumber
from iptsim.languages import say
from iptsim.packet import Context


class Mark(MarkChange):
    """Change the mark that later rules, and routing by `ip rule fwmark`, look at."""

    name: ClassVar[str] = "MARK"

    @model_validator(mode="after")
    def _one_form(self) -> Mark:
        demand_one(self, "set_xmark", "set_mark", "and_mark", "or_mark", "xor_mark")
        return self

    @property
    def _change(self) -> MaskedNumber:
        assert self.change is not None
        return self.change

    def save(self) -> str:
        """Return the change as iptables-save prints all its forms."""
        return f"--set-xmark {change_text(self._change)}"

    def apply(self, context: Context) -> Verdict:
        """Change the mark."""
        context.packet.mark = clear_and_flip(context.packet.mark, self._change)
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" MARK {listed_change(self._change)}"

    def says(self) -> str:
        """Return the order in words."""
        return says_change(self._change, say("the packet's mark"))


EXTENSIONS = (Mark,)
