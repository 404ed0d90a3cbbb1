"""`-j CLUSTERIP`: let several hosts share an address (net/ipv4/netfilter/ipt_CLUSTERIP.c, removed in Linux 6.3)."""

from __future__ import annotations

import re
from typing import ClassVar

from iptsim.extensions.base import Status, Target
from iptsim.extensions.checks import demand, given
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.stated import stated
from iptsim.extensions.values import choice, integer_value
from iptsim.extensions.verdicts import CONTINUE, Verdict
from iptsim.languages import Text, message
from iptsim.protocols import ICMP
from iptsim.truth import Unknown

_MODES = ("sourceip", "sourceip-sourceport", "sourceip-sourceport-destport")
_NODE = integer_value("a node's number, 1 to 16", 0, 16)


def parse_mac(text: str) -> str:
    """Read a link-layer multicast address.

    Raises:
        ValueError: not an address, or not a multicast one.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}", text):
        raise ValueError(message("{text!r} is not a link-layer address such as 01:00:5E:00:00:20", text=text))
    numbers = [int(part, 16) for part in text.split(":")]
    if not numbers[0] & 1:
        raise ValueError(message("{text!r} is not a multicast address: its first byte is even", text=text))
    return ":".join(f"{number:02X}" for number in numbers)


class Clusterip(Target):
    """Keep the packet only if a hash of its connection selects this node of the cluster."""

    name: ClassVar[str] = "CLUSTERIP"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--new", "new"),
        Option(
            "--hashmode", "hashmode", choice(message("one of {choices}", choices=", ".join(_MODES)), _MODES)
        ),
        Option("--clustermac", "clustermac", Value("a link-layer multicast address", parse_mac)),
        Option("--total-nodes", "total_nodes", _NODE),
        Option("--local-node", "local_node", _NODE),
        Option("--hash-init", "hash_init", integer_value("the seed of the hash")),
    )
    family: ClassVar[int | None] = 4
    status: ClassVar[Status] = "given"
    alone: ClassVar[Text] = message("drop unless this node of the cluster serves the connection")

    new: bool = False
    hashmode: str | None = None
    clustermac: str | None = None
    total_nodes: int | None = None
    local_node: int | None = None
    hash_init: int | None = None

    def check(self) -> None:
        if given(self, "new", "hashmode", "clustermac", "total_nodes", "local_node", "hash_init"):
            demand(self, "new", "hashmode", "clustermac", "total_nodes", "local_node")

    def save(self) -> str:
        """Return the options as iptables-save prints them, always with the seed."""
        if not self.new:
            return ""
        words = super().save()
        return words if self.hash_init is not None else f"{words} --hash-init 0"

    def apply(self, context: Context) -> Verdict | Unknown:
        # which nodes this host serves can change at any time; the question may state whether it serves this connection
        if context.connection is None:
            return Verdict("DROP", detail=message("no connection"))
        if context.packet.proto == ICMP and context.state == "RELATED":
            return CONTINUE
        serves = stated(context, "clusterip_node")
        if serves is None:
            return Unknown(
                message("whether this node of the cluster serves the connection"), "--set clusterip_node=yes"
            )
        if not serves:
            return Verdict("DROP", detail=message("another node serves it"))
        context.packet.pkttype = "unicast"
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        if not self.new:
            return " CLUSTERIP"
        text = f" CLUSTERIP hashmode={self.hashmode} clustermac={self.clustermac}"
        return f"{text} total_nodes={self.total_nodes} local_node={self.local_node} hash_init={self.hash_init or 0}"


EXTENSIONS = (Clusterip,)
