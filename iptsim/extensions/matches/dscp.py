"""`-m dscp`: the six DSCP bits of the TOS octet or traffic class (net/netfilter/xt_dscp.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate, field_predicate
from iptsim.extensions.constraints import Masked
from iptsim.extensions.dscp import DSCP, DSCP_CLASS, dscp_text
from iptsim.extensions.listing import ListingForm
from iptsim.languages import later, say_if


class Dscp(Match):
    """The DSCP value, by number or by class; the ECN bits do not matter."""

    name: ClassVar[str] = "dscp"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--dscp", "dscp", DSCP, True),
        Option("--dscp-class", "dscp", DSCP_CLASS, True),
    )

    dscp: int

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the upper six bits of the octet."""
        return (
            field_predicate(
                self.save(),
                "tos",
                Masked(self.dscp << 2, 0xFC),
                negated=bool(self.negated),
                name=later("DSCP"),
                show=lambda tos: dscp_text(tos >> 2),
            ),
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" DSCP match {'!' if self.negated else ''}{DSCP.format(self.dscp)}"

    def says(self) -> str:
        """Return the value in words."""
        return say_if(
            self.negated, "whose DSCP is not {value}", "whose DSCP is {value}", value=dscp_text(self.dscp)
        )


EXTENSIONS = (Dscp,)
