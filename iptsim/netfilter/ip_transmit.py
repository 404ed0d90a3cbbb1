"""Transmitting a packet: the neighbour that the frame goes to, and the device, perhaps a bridge.

Sources: ip_finish_output2 (net/ipv4/ip_output.c), net/bridge/br_device.c.
"""

from __future__ import annotations

from iptsim.addresses import address_text
from iptsim.extensions.context import Context
from iptsim.languages import message
from iptsim.netfilter.bridge_forward import transmit as transmit_on_bridge
from iptsim.netfilter.bridge_ports import is_bridge
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.nftables import pass_device
from iptsim.netfilter.outcome import Outcome, handed_over
from iptsim.netfilter.steps import Delivery


def transmit(kernel: Kernel, context: Context, gateway: int | None) -> Outcome:
    """Send a packet to its next hop.

    Args:
        gateway: the next hop; None: the destination itself, on the link.
    """
    packet, device = context.packet, context.out_interface or ""
    next_hop = gateway if gateway is not None else packet.dst
    if not kernel.is_host:
        link = Delivery("outside", address_text(packet.family, next_hop), packet, device)
        return Outcome("ACCEPT", link, next_hop=next_hop)
    target = kernel.world.neighbour(packet.family, next_hop, device)
    if target is None:
        note = message(
            "no host on {device} answers for {target}",
            device=device,
            target=address_text(packet.family, next_hop),
        )
        return kernel.drop("no-neighbour", note)
    outcome = pass_device(kernel, context, "egress", *carriers(kernel, device))
    if outcome is None and is_bridge(kernel, device):
        outcome = transmit_on_bridge(kernel, context, target.ports)
    return outcome or handed_over(packet, target.container, target.name, device)


def carriers(kernel: Kernel, name: str) -> list[str]:
    """Return an interface and those that carry its frames: for a VLAN its parent, for a bond its ports."""
    interface = kernel.namespace.interfaces.get(name)
    found = [name]
    if interface is not None and interface.kind == "vlan" and interface.parent:
        found += carriers(kernel, interface.parent)
    elif interface is not None and interface.kind == "bond":
        found += [port.name for port in kernel.namespace.ports(name)]
    return found
