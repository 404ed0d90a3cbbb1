"""What happened to one packet in a network namespace."""

from __future__ import annotations

from dataclasses import dataclass

from iptsim.extensions.context import Context
from iptsim.host.containers import Container
from iptsim.netfilter.steps import Delivery
from iptsim.netfilter.trace import FinalVerdict
from iptsim.packet import Packet


@dataclass(slots=True)
class Outcome:
    """The end of a packet's path.

    Attributes:
        verdict: of the rules or the kernel.
        delivered: where it arrived.
        reject: the packet that the REJECT target sends back, when one is due ("tcp-reset",
            "icmp-port-unreachable" ...).
        context: the context in which the packet ended.
        next_hop: the next hop of a packet that leaves a container.
    """

    verdict: FinalVerdict
    delivered: Delivery | None = None
    reject: str = ""
    context: Context | None = None
    next_hop: int | None = None


def handed_over(packet: Packet, container: Container | None, name: str, device: str) -> Outcome:
    """Return the outcome of a packet that leaves by a device: to a container, or to the outside."""
    if container is None:
        return Outcome("ACCEPT", Delivery("outside", name, packet, device))
    return Outcome("ACCEPT", Delivery("container", container.name, packet, device))
