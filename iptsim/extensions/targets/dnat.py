"""`-j DNAT` and `-j SNAT`: rewrite the destination or the source of a connection (net/netfilter/xt_nat.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Insists, Target
from iptsim.extensions.context import Context
from iptsim.extensions.nat import NAT_PORT_PROTOCOLS, NAT_RANGE, NAT_SOURCE, NatRange
from iptsim.extensions.options import Option
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.verdicts import Translation


class _Nat(Target):
    """Rewrite an address, a port or both; ports need a protocol that has them."""

    tables: ClassVar[frozenset[str] | None] = frozenset({"nat"})
    insists: ClassVar[Insists] = "protocols, negated too"
    terminal: ClassVar[bool] = True
    alike_beside: ClassVar[frozenset[int]] = NAT_PORT_PROTOCOLS

    random: bool = False
    persistent: bool = False


class Dnat(_Nat):
    """Send the connection's packets to another address, port or both."""

    name: ClassVar[str] = "DNAT"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--to-destination", "to_destination", NAT_RANGE, aliases=("--to",), listed=" to:{value}",
            phrase=Phrase("change the destination to {value}"),
        ),
        Option("--random", "random", listed=" random"),
        Option("--persistent", "persistent", listed=" persistent"),
    )  # fmt: skip
    hooks: ClassVar[frozenset[str] | None] = frozenset({"PREROUTING", "OUTPUT"})

    to_destination: NatRange

    def allowed_protocols(self) -> frozenset[int] | None:
        return NAT_PORT_PROTOCOLS if self.to_destination.ports else None

    def apply(self, context: Context) -> Translation:
        wanted = self.to_destination
        return Translation(
            "DNAT", "dst", wanted.addresses, wanted.ports, wanted.base_port,
            random=self.random, persistent=self.persistent,
        )  # fmt: skip


class Snat(_Nat):
    """Give the connection's packets another source address, port or both."""

    name: ClassVar[str] = "SNAT"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--to-source", "to_source", NAT_SOURCE, aliases=("--to",), listed=" to:{value}",
            phrase=Phrase("change the source to {value}"),
        ),
        Option("--random", "random", listed=" random"),
        Option("--random-fully", "random_fully", listed=" random-fully"),
        Option("--persistent", "persistent", listed=" persistent"),
    )  # fmt: skip
    hooks: ClassVar[frozenset[str] | None] = frozenset({"INPUT", "POSTROUTING"})

    to_source: NatRange
    random_fully: bool = False

    def allowed_protocols(self) -> frozenset[int] | None:
        return NAT_PORT_PROTOCOLS if self.to_source.ports else None

    def apply(self, context: Context) -> Translation:
        wanted = self.to_source
        return Translation(
            "SNAT", "src", wanted.addresses, wanted.ports, wanted.base_port,
            random=self.random or self.random_fully, persistent=self.persistent,
        )  # fmt: skip


EXTENSIONS = (Dnat, Snat)
