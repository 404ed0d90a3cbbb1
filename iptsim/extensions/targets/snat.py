"""`-j SNAT`: rewrite the source of a connection (net/netfilter/xt_nat.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Insists, Option, Target, Translation
from iptsim.extensions.checks import demand
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.nat import NAT_PORT_PROTOCOLS, NAT_SOURCE, NatRange, listed_flags
from iptsim.languages import say
from iptsim.packet import Context


class Snat(Target):
    """Let the connection's packets come from another address, port or both."""

    name: ClassVar[str] = "SNAT"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--to-source", "to_source", NAT_SOURCE, aliases=("--to",)),
        Option("--random", "random"),
        Option("--random-fully", "random_fully"),
        Option("--persistent", "persistent"),
    )
    tables: ClassVar[frozenset[str] | None] = frozenset({"nat"})
    hooks: ClassVar[frozenset[str] | None] = frozenset({"INPUT", "POSTROUTING"})
    insists: ClassVar[Insists] = "protocols, negated too"
    terminal: ClassVar[bool] = True
    alike_beside: ClassVar[frozenset[int]] = NAT_PORT_PROTOCOLS

    to_source: NatRange | None = None
    random: bool = False
    random_fully: bool = False
    persistent: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Snat:
        demand(self, "to_source")
        return self

    def allowed_protocols(self) -> frozenset[int] | None:
        """Return the protocols with ports where ports are given."""
        return NAT_PORT_PROTOCOLS if self.to_source is not None and self.to_source.ports else None

    def apply(self, context: Context) -> Translation:
        """Ask for the translation of the source."""
        wanted = self.to_source or NatRange()
        return Translation(
            "SNAT",
            "src",
            wanted.addresses,
            wanted.ports,
            wanted.base_port,
            random=self.random or self.random_fully,
            persistent=self.persistent,
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" to:{self.to_source}{listed_flags(self, 'random', 'random_fully', 'persistent')}"

    def says(self) -> str:
        """Return the order in words."""
        return say("change the source to {to_source}", to_source=self.to_source)


EXTENSIONS = (Snat,)
