"""`-m tos`: the TOS octet of IPv4, the traffic class of IPv6 (net/netfilter/xt_dscp.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate, field_predicate
from iptsim.extensions.constraints import Masked
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.tos import TOS
from iptsim.extensions.tos import Tos as TosValue
from iptsim.languages import later, say_if


class Tos(Match):
    """The TOS octet under a mask; a number alone looks at all bits, those of ECN included."""

    name: ClassVar[str] = "tos"
    options: ClassVar[tuple[Option, ...]] = (Option("--tos", "tos", TOS, True),)

    tos: TosValue

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the octet."""
        return (
            field_predicate(
                self.save(),
                "tos",
                Masked(self.tos.value, self.tos.mask),
                negated=bool(self.negated),
                name=later("TOS"),
                show=lambda value: f"{value:#04x}",
            ),
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" tos match{self.bang('tos')}{self.tos}"

    def says(self) -> str:
        """Return the value in words."""
        return say_if(self.negated, "whose TOS is not {tos}", "whose TOS is {tos}", tos=self.tos.says())


EXTENSIONS = (Tos,)
