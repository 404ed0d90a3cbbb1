"""`-j MASQUERADE`: hide a connection behind the host's address (net/netfilter/xt_MASQUERADE.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Insists, Option, Target, Translation
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.nat import NAT_PORT_PROTOCOLS, NAT_PORTS, listed_flags
from iptsim.extensions.values import range_text, range_words
from iptsim.languages import say
from iptsim.packet import Context


class Masquerade(Target):
    """Change the source of the connection's packets to the outgoing interface's address."""

    name: ClassVar[str] = "MASQUERADE"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--to-ports", "to_ports", NAT_PORTS),
        Option("--random", "random"),
        Option("--random-fully", "random_fully"),
    )
    tables: ClassVar[frozenset[str] | None] = frozenset({"nat"})
    hooks: ClassVar[frozenset[str] | None] = frozenset({"POSTROUTING"})
    insists: ClassVar[Insists] = "protocols, negated too"
    terminal: ClassVar[bool] = True

    to_ports: tuple[int, int] | None = None
    random: bool = False
    random_fully: bool = False

    def allowed_protocols(self) -> frozenset[int] | None:
        """Return the protocols with ports where ports are given."""
        return NAT_PORT_PROTOCOLS if self.to_ports is not None else None

    def apply(self, context: Context) -> Translation:
        """Ask for the translation of the source."""
        return Translation("MASQUERADE", "src", None, self.to_ports, random=self.random or self.random_fully)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        ports = "" if self.to_ports is None else f" masq ports: {range_text(self.to_ports, '-')}"
        return ports + listed_flags(self, "random", "random_fully")

    def says(self) -> str:
        """Return the order in words."""
        text = say("change the source to the address of the outgoing interface")
        return (
            text
            if self.to_ports is None
            else say("{text}, its port to {to_ports}", text=text, to_ports=range_words(self.to_ports))
        )


EXTENSIONS = (Masquerade,)
