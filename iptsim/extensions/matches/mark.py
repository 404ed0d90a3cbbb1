"""`-m mark`: the packet's mark, set by the MARK target or by the sending socket (net/netfilter/xt_mark.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate, field_predicate
from iptsim.extensions.constraints import Masked
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import MARK, MaskedNumber
from iptsim.languages import say_if


class Mark(Match):
    """The packet's mark under a mask."""

    name: ClassVar[str] = "mark"
    options: ClassVar[tuple[Option, ...]] = (Option("--mark", "mark", MARK, True),)

    mark: MaskedNumber

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the mark."""
        return (
            field_predicate(
                self.save(),
                "mark",
                Masked(self.mark.value, self.mark.mask),
                negated=bool(self.negated),
                show=hex,
            ),
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" mark match{self.bang('mark', ' !')} {self.mark}"

    def says(self) -> str:
        """Return the mark in words."""
        if self.mark.mask == 0xFFFFFFFF:
            return say_if(self.negated, "not marked {mark}", "marked {mark}", mark=self.mark)
        return say_if(
            self.negated,
            "whose mark is not {value:#x} in the bits {mask:#x}",
            "whose mark is {value:#x} in the bits {mask:#x}",
            value=self.mark.value,
            mask=self.mark.mask,
        )


EXTENSIONS = (Mark,)
