"""`-j NETMAP`: map a whole network onto another one, host by host (net/netfilter/xt_NETMAP.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.addresses import BITS
from iptsim.extensions.base import Target
from iptsim.extensions.context import Context
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import Network, parse_network, prefix_length
from iptsim.extensions.verdicts import Translation


def parse_to(text: str, family: int) -> Network:
    """Read a network; iptables reads a mask with holes as that of a single address.

    Raises:
        ValueError: not an address or network of that family.
    """
    network = parse_network(text, family)
    width = BITS[family]
    if prefix_length(network.mask, width) is None:
        return network._replace(mask=(1 << width) - 1)
    return network


class Netmap(Target):
    """Replace the network part of the destination, or of the source on the way out; keep the host part."""

    name: ClassVar[str] = "NETMAP"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--to", "to", Value("a network (10.1.0.0/16)", parse_to, needs_family=True), listed=" to:{value}",
            phrase=Phrase("map the address into the network {value}, keeping its host part"),
        ),
    )  # fmt: skip
    tables: ClassVar[frozenset[str] | None] = frozenset({"nat"})
    terminal: ClassVar[bool] = True

    to: Network

    def apply(self, context: Context) -> Translation:
        return Translation(
            "NETMAP",
            "dst" if context.hook in ("PREROUTING", "OUTPUT") else "src",
            (self.to.address, self.to.address),
            netmap=self.to.mask,
        )


EXTENSIONS = (Netmap,)
