"""`-j REDIRECT`: send a connection to the host itself (net/netfilter/xt_REDIRECT.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Insists, Option, Target, Translation
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.nat import NAT_PORT_PROTOCOLS, NAT_PORTS, listed_flags
from iptsim.extensions.values import range_text, range_words
from iptsim.languages import say
from iptsim.packet import Context


class Redirect(Target):
    """Change the destination to the arrival interface's address, for local senders to the loopback one."""

    name: ClassVar[str] = "REDIRECT"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--to-ports", "to_ports", NAT_PORTS),
        Option("--random", "random"),
    )
    tables: ClassVar[frozenset[str] | None] = frozenset({"nat"})
    hooks: ClassVar[frozenset[str] | None] = frozenset({"PREROUTING", "OUTPUT"})
    insists: ClassVar[Insists] = "protocols, negated too"
    terminal: ClassVar[bool] = True

    to_ports: tuple[int, int] | None = None
    random: bool = False

    def allowed_protocols(self) -> frozenset[int] | None:
        """Return the protocols with ports where ports are given."""
        return NAT_PORT_PROTOCOLS if self.to_ports is not None else None

    def apply(self, context: Context) -> Translation:
        """Ask for the translation of the destination."""
        return Translation("REDIRECT", "dst", None, self.to_ports, random=self.random)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        ports = "" if self.to_ports is None else f" redir ports {range_text(self.to_ports, '-')}"
        return ports + listed_flags(self, "random")

    def says(self) -> str:
        """Return the order in words."""
        text = say("redirect to this host")
        return (
            text
            if self.to_ports is None
            else say("{text}, port {to_ports}", text=text, to_ports=range_words(self.to_ports))
        )


EXTENSIONS = (Redirect,)
