"""`-j REDIRECT` and `-j MASQUERADE`: translate to an address of the host.

Sources: net/netfilter/xt_REDIRECT.c, xt_MASQUERADE.c.
"""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Insists, Target
from iptsim.extensions.context import Context
from iptsim.extensions.nat import NAT_PORT_PROTOCOLS, NAT_PORTS
from iptsim.extensions.options import Option
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import range_words
from iptsim.extensions.verdicts import Translation
from iptsim.languages import Text, message


class _ToHost(Target):
    """Translate to an address that the host has; ports need a protocol that has them."""

    tables: ClassVar[frozenset[str] | None] = frozenset({"nat"})
    insists: ClassVar[Insists] = "protocols, negated too"
    terminal: ClassVar[bool] = True

    to_ports: tuple[int, int] | None = None
    random: bool = False

    def allowed_protocols(self) -> frozenset[int] | None:
        """Return the protocols with ports where ports are given."""
        return NAT_PORT_PROTOCOLS if self.to_ports is not None else None


class Redirect(_ToHost):
    """Change the destination to the arrival interface's address, or for local senders to the loopback address."""

    name: ClassVar[str] = "REDIRECT"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--to-ports", "to_ports", NAT_PORTS, phrase=Phrase("redirect to this host, port {value}", show=range_words),
            listed=" redir ports {value}",
        ),
        Option("--random", "random", listed=" random"),
    )  # fmt: skip
    hooks: ClassVar[frozenset[str] | None] = frozenset({"PREROUTING", "OUTPUT"})
    alone: ClassVar[Text] = message("redirect to this host")

    def apply(self, context: Context) -> Translation:
        return Translation("REDIRECT", "dst", None, self.to_ports, random=self.random)


class Masquerade(_ToHost):
    """Change the source of the connection's packets to the outgoing interface's address."""

    name: ClassVar[str] = "MASQUERADE"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--to-ports", "to_ports", NAT_PORTS, listed=" masq ports: {value}",
            phrase=Phrase(
                "change the source to the address of the outgoing interface, with a port of {value}", show=range_words
            ),
        ),
        Option("--random", "random", listed=" random"),
        Option("--random-fully", "random_fully", listed=" random-fully"),
    )  # fmt: skip
    hooks: ClassVar[frozenset[str] | None] = frozenset({"POSTROUTING"})
    alone: ClassVar[Text] = message("change the source to the address of the outgoing interface")

    random_fully: bool = False

    def apply(self, context: Context) -> Translation:
        return Translation("MASQUERADE", "src", None, self.to_ports, random=self.random or self.random_fully)


EXTENSIONS = (Redirect, Masquerade)
