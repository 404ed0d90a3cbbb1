"""`-m nfacct`: counts the packet in a named accounting object (net/netfilter/xt_nfacct.c).

An object without a quota matches every packet; one with a quota only from the moment it is used up.
"""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate, Status, quote
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import bare_value
from iptsim.languages import later, say
from iptsim.packet import Unknown


class Nfacct(Match):
    """Count the packet in an accounting object that nfacct(8) made."""

    name: ClassVar[str] = "nfacct"
    status: ClassVar[Status] = "unknown"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--nfacct-name", "nfacct_name", bare_value("the name of an accounting object", 31)),
    )

    nfacct_name: str

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the one condition: that the object has no quota, or has used it up."""
        unknown = Unknown(
            later(
                "whether the accounting object {nfacct_name} has a quota that is not used up",
                nfacct_name=self.nfacct_name,
            ),
            "--assume nfacct=yes",
            ("nfacct", self.nfacct_name),
        )
        return (
            Predicate(
                self.save(),
                lambda context: unknown,
                lambda context: say("the accounting object is not in the dump"),
            ),
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" nfacct-name  {quote(self.nfacct_name)}"

    def says(self) -> str:
        """Return the effect in words."""
        return say("counted in the accounting object {nfacct_name}", nfacct_name=self.nfacct_name)


EXTENSIONS = (Nfacct,)
