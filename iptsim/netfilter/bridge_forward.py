"""A frame from one port of a bridge to another, or to all others.

Sources: net/bridge/br_forward.c, br_nf_forward and br_nf_post_routing (net/bridge/br_netfilter_hooks.c), and
measurements.
"""

from __future__ import annotations

from dataclasses import replace

from iptsim.addresses import address_text
from iptsim.extensions.context import Context
from iptsim.host.namespace import Interface
from iptsim.languages import message
from iptsim.netfilter import hooks
from iptsim.netfilter.bridge_ports import (
    assume_one_vlan,
    bridge_netfilter,
    drop_if_down,
    drop_if_empty,
    leave_by,
    settle_port,
)
from iptsim.netfilter.conntrack_hook import confirm
from iptsim.netfilter.hook_evaluation import pass_hook
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.mtu import drop_too_big, is_too_big
from iptsim.netfilter.nftables import pass_bridge
from iptsim.netfilter.outcome import Outcome, handed_over
from iptsim.netfilter.steps import Delivery, Step
from iptsim.netfilter.surroundings import Neighbour
from iptsim.packet import Packet

#: How many bytes a frame may exceed the MTU of the port that it leaves by: a VLAN tag (is_skb_forwardable).
_SPARE = 4


def switch(kernel: Kernel, context: Context, port: Interface, target: Neighbour) -> Outcome:
    """Switch a frame from one port of a bridge to another."""
    packet, bridge = context.packet, port.master or ""
    kernel.passage.gateway = None
    ports = target.ports
    if target.port is None:
        ports = tuple(name for name in ports if name != port.name or port.hairpin)
    if not ports and not target.sends and kernel.namespace.ports(bridge):
        note = message("no host on {device} answers for {target}", device=bridge, target=target.name)
        return kernel.drop("no-neighbour", note, "BRIDGE")
    name = settle_port(kernel, ports, target.name, bridge) if ports else None
    out = kernel.namespace.interfaces.get(name or "")
    outcome = (
        _refused(kernel, port, out)
        or pass_bridge(kernel, context, "forward", came_by=port.name, late=False)
        or _pass_ip_hooks(kernel, context, port, name)
        or pass_bridge(kernel, context, "forward", came_by=port.name, late=True)
        or leave_by(kernel, context, ports if name is None else (name,))
    )
    return outcome or handed_over(packet, target.container, target.name, bridge)


def _refused(kernel: Kernel, port: Interface, out: Interface | None) -> Outcome | None:
    """Drop a frame that the bridge does not send out of a port (should_deliver)."""
    if out is None:
        return None
    if out.name == port.name and not port.hairpin:
        note = message(
            "the frame would leave by {name}, the port that it came in by, and hairpin mode is off there",
            name=port.name,
        )
        return kernel.drop("hairpin-off", note, "BRIDGE")
    if port.isolated and out.isolated:
        return kernel.drop("isolated-ports", message("both bridge ports are isolated"), "BRIDGE")
    return drop_if_down(kernel, out.name)


def _pass_ip_hooks(kernel: Kernel, context: Context, port: Interface, name: str | None) -> Outcome | None:
    """Pass FORWARD and POSTROUTING with a switched frame if br_netfilter shows it to iptables.

    Args:
        name: the port that it leaves by, None if that is unknown.
    """
    packet, bridge = context.packet, port.master or ""
    out = kernel.namespace.interfaces.get(name or "")
    if not bridge_netfilter(kernel, packet.family):
        return _pass_unseen_by_iptables(kernel, packet, bridge, out)
    context.bridged = True
    context.out_interface = bridge
    context.physical_in, context.physical_out = port.name, name
    outcome = _forward(kernel, context)
    if outcome is None and out is not None and is_too_big(kernel, packet, out.mtu):
        return drop_too_big(kernel, packet, out.mtu, "BRIDGE")
    return outcome


def _forward(kernel: Kernel, context: Context) -> Outcome | None:
    outcome = pass_hook(kernel, context, hooks.FORWARD)
    if outcome is not None:
        return outcome
    context.in_interface = None
    return pass_hook(kernel, context, hooks.POSTROUTING) or confirm(kernel, context)


def _pass_unseen_by_iptables(
    kernel: Kernel, packet: Packet, bridge: str, out: Interface | None
) -> Outcome | None:
    if out is not None and "length" not in packet.defaults and packet.length > out.mtu + _SPARE:
        note = message("its {length} bytes exceed the MTU of {mtu}", length=packet.length, mtu=out.mtu)
        return kernel.drop("too-big", note, "BRIDGE")
    note = message(
        "switched by {bridge}; {switch} is off, so iptables never sees it",
        bridge=bridge,
        switch=f"bridge-nf-call-ip{'6' if packet.family == 6 else ''}tables",
    )
    kernel.add(Step("BRIDGE", "ACCEPT", note=note, code="bypasses-iptables", switched_by=bridge))
    return None


def flood(kernel: Kernel, context: Context, port: Interface) -> Outcome | None:
    """Send a broadcast or multicast frame out of all other ports.

    Returns the outcome of a copy that arrives, else of one that is rejected (its sender gets the error); None if all
    are dropped.
    """
    packet, bridge = context.packet, port.master or ""
    seen = bridge_netfilter(kernel, packet.family)
    reached: dict[str, Packet] = {}
    rejected: Outcome | None = None
    # the port that was added last comes first (new_nbp adds it at the head of the list)
    for other in reversed(kernel.namespace.ports(bridge)):
        if (
            (other.name == port.name and not port.hairpin)
            or (port.isolated and other.isolated)
            or not other.up
        ):
            continue
        copy = replace(context, packet=packet.copy(), out_interface=bridge, bridged=True)
        if pass_bridge(kernel, copy, "forward", came_by=port.name, late=False) is not None:
            continue
        if seen:
            copy.physical_out = other.name
            outcome = _forward(kernel, copy)
            if outcome is not None:
                rejected = outcome if outcome.verdict == "REJECT" else rejected
                continue
        if pass_bridge(kernel, copy, "forward", came_by=port.name, late=True) is not None:
            continue
        if leave_by(kernel, copy, (other.name,)) is None:
            reached[other.name] = copy.packet
    if not reached:
        return rejected
    target = kernel.world.neighbour(packet.family, packet.dst, bridge)
    if target is not None and target.container is not None and target.port in reached:
        return handed_over(reached[target.port], target.container, target.name, bridge)
    last = [*reached.values()][-1]
    return Outcome("ACCEPT", Delivery("outside", address_text(packet.family, packet.dst), last, bridge))


def transmit(kernel: Kernel, context: Context, ports: tuple[str, ...]) -> Outcome | None:
    """Send a packet of the host's own IP stack out of a bridge's port (br_dev_xmit)."""
    assume_one_vlan(kernel, context.out_interface or "")
    return (
        drop_if_empty(kernel, context.packet)
        or pass_bridge(kernel, context, "output")
        or leave_by(kernel, context, ports)
    )
