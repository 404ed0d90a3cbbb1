"""`-j DNAT`: rewrite the destination of a connection (net/netfilter/xt_nat.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import InstanceOf, model_validator

from iptsim.extensions.base import Insists, Option, Target, Translation
from iptsim.extensions.checks import demand
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.nat import NAT_PORT_PROTOCOLS, NAT_RANGE, NatRange, listed_flags
from iptsim.languages import say
from iptsim.packet import Context


class Dnat(Target):
    """Send the connection's packets to another address, port or both."""

    name: ClassVar[str] = "DNAT"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--to-destination", "to_destination", NAT_RANGE, aliases=("--to",)),
        Option("--random", "random"),
        Option("--persistent", "persistent"),
    )
    tables: ClassVar[frozenset[str] | None] = frozenset({"nat"})
    hooks: ClassVar[frozenset[str] | None] = frozenset({"PREROUTING", "OUTPUT"})
    insists: ClassVar[Insists] = "protocols, negated too"
    terminal: ClassVar[bool] = True
    alike_beside: ClassVar[frozenset[int]] = NAT_PORT_PROTOCOLS

    to_destination: InstanceOf[NatRange] | None = None
    random: bool = False
    persistent: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Dnat:
        demand(self, "to_destination")
        return self

    def allowed_protocols(self) -> frozenset[int] | None:
        """Return the protocols with ports where ports are given."""
        return NAT_PORT_PROTOCOLS if self.to_destination is not None and self.to_destination.ports else None

    def apply(self, context: Context) -> Translation:
        """Ask for the translation of the destination."""
        wanted = self.to_destination or NatRange()
        return Translation(
            "DNAT",
            "dst",
            wanted.addresses,
            wanted.ports,
            wanted.base_port,
            random=self.random,
            persistent=self.persistent,
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" to:{self.to_destination}{listed_flags(self, 'random', 'persistent')}"

    def says(self) -> str:
        """Return the order in words."""
        return say("change the destination to {to_destination}", to_destination=self.to_destination)


EXTENSIONS = (Dnat,)
