"""`-j NETMAP`: map a whole network onto another one, host by host (net/netfilter/xt_NETMAP.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Option, Target, Translation, Value
from iptsim.extensions.checks import demand
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import Network, parse_network, prefix_length
from iptsim.languages import say
from iptsim.packet import Context


def parse_to(text: str, family: int) -> Network:
    """Read a network; iptables takes a mask with holes for that of a single address.

    Raises:
        ValueError: not an address or network of that family.
    """
    network = parse_network(text, family)
    width = 32 if family == 4 else 128
    if prefix_length(network.mask, width) is None:
        return network._replace(mask=(1 << width) - 1)
    return network


class Netmap(Target):
    """Replace the network part of the destination, or of the source on the way out; keep the host part."""

    name: ClassVar[str] = "NETMAP"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--to", "to", Value("a network (10.1.0.0/16)", parse_to, needs_family=True)),
    )
    tables: ClassVar[frozenset[str] | None] = frozenset({"nat"})
    terminal: ClassVar[bool] = True

    to: Network | None = None

    @model_validator(mode="after")
    def _complete(self) -> Netmap:
        demand(self, "to")
        return self

    def apply(self, context: Context) -> Translation:
        """Ask for the translation of the side that the hook is about."""
        assert self.to is not None
        return Translation(
            "NETMAP",
            "dst" if context.hook in ("PREROUTING", "OUTPUT") else "src",
            (self.to.address, self.to.address),
            netmap=self.to.mask,
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" to:{self.to}"

    def says(self) -> str:
        """Return the order in words."""
        return say("map the address into the network {to}, keeping its host part", to=self.to)


EXTENSIONS = (Netmap,)
