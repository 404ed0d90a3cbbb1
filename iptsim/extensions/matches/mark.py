"""`-m mark`: the packet's mark, set by the MARK target or by the sending socket (net/netfilter/xt_mark.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Masked, Match, Option, Predicate, field_predicate
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import MARK, MaskedNumber


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
        not_ = "not " if self.negated else ""
        if self.mark.mask == 0xFFFFFFFF:
            return f"{not_}marked {self.mark}"
        return f"whose mark is {not_}{self.mark.value:#x} in the bits {self.mark.mask:#x}"


EXTENSIONS = (Mark,)
