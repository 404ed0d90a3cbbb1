"""A frame that comes in by a bridge port: for the host, for another port, or for all.

Sources: net/bridge/br_input.c, br_nf_pre_routing (net/bridge/br_netfilter_hooks.c), and measurements.
"""

from __future__ import annotations

from typing import NamedTuple

from iptsim.addresses import solicited_node
from iptsim.extensions.context import Context
from iptsim.host.namespace import Interface
from iptsim.languages import message
from iptsim.netfilter import hooks
from iptsim.netfilter.bridge_forward import flood, switch
from iptsim.netfilter.bridge_ports import (
    addressee,
    assume_one_vlan,
    bridge_netfilter,
    drop_if_down,
    drop_if_empty,
    hand_up,
    is_of_other_port,
    neighbour_behind,
    settle_port,
)
from iptsim.netfilter.conntrack_hook import confirm
from iptsim.netfilter.hook_evaluation import pass_hook
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.nftables import pass_bridge
from iptsim.netfilter.outcome import Outcome
from iptsim.netfilter.route_selection import route_input, route_output
from iptsim.packet import Packet
from iptsim.protocols import ICMPV6


class HandedUp(NamedTuple):
    """A frame that the bridge hands up to the host's IP stack.

    Attributes:
        seen: PREROUTING has seen it on the bridge already.
        entered: the interface that IP takes as the input interface, if it is not the bridge.
        flooded: the outcome of a copy of a flooded frame that arrived or was rejected.
    """

    seen: bool
    entered: str | None = None
    flooded: Outcome | None = None


def receive(
    kernel: Kernel, context: Context, port: Interface, next_hop: int | None, discovered: bool
) -> Outcome | HandedUp:
    """Receive a frame from a bridge port.

    Args:
        next_hop: the address whose MAC the sender put in the frame; None: the bridge's own.
        discovered: the sender knows that MAC address already (IPv6).
    """
    packet, bridge = context.packet, port.master or ""
    context.in_interface = bridge
    assume_one_vlan(kernel, bridge)
    target = addressee(kernel, packet, port, next_hop)
    outcome = drop_if_down(kernel, bridge)
    outcome = outcome or pass_bridge(kernel, context, "prerouting", came_by=port.name, late=False)
    if outcome is not None:
        return outcome
    seen = bridge_netfilter(kernel, packet.family)
    if seen:
        if packet.family == 6 and target is not None and next_hop is not None and not discovered:
            outcome = _discover_neighbour(kernel, packet, port, next_hop)
            if outcome is not None:
                return outcome
        context.physical_in = port.name
        before = packet.dst
        outcome = pass_hook(kernel, context, hooks.PREROUTING)
        outcome = outcome or pass_bridge(kernel, context, "prerouting", came_by=port.name, late=True)
        if outcome is not None:
            return outcome
        if packet.dst != before:
            return _after_dnat(kernel, context, port)
    elif (outcome := pass_bridge(kernel, context, "prerouting", came_by=port.name, late=True)) is not None:
        return outcome
    if (outcome := drop_if_empty(kernel, packet)) is not None:
        return outcome
    if packet.pkttype != "unicast":
        flooded = flood(kernel, context, port)
        outcome = hand_up(kernel, context, port)
        if outcome is None and seen:
            # its copies share the entry, so it is confirmed before INPUT (br_nf_local_in)
            outcome = confirm(kernel, context)
        return HandedUp(seen, flooded=flooded) if outcome is None else flooded or outcome
    if target is not None:
        return switch(kernel, context, port, target)
    if is_of_other_port(kernel, packet, port):
        note = message("the frame's destination MAC address is that of another port")
        return kernel.drop("not-for-host", note, "BRIDGE")
    return hand_up(kernel, context, port) or HandedUp(seen)


def _after_dnat(kernel: Kernel, context: Context, port: Interface) -> Outcome | HandedUp:
    """Go on with a frame whose destination PREROUTING rewrote (br_nf_pre_routing_finish)."""
    packet, bridge = context.packet, port.master or ""
    decision = route_input(kernel, packet, bridge)
    if decision.kind == "drop":
        found = route_output(kernel, packet, source=None)
        if packet.family == 6 and decision.code == "ip-forward-off" and found.device == bridge:
            return _switch_to(kernel, context, port, found.gateway_of(6) or packet.dst)
        # IPv4 wants forwarding even when the new destination is on the same bridge
        return kernel.drop(decision.code, decision.note)
    if decision.kind == "forward" and decision.device == bridge:
        return _switch_to(kernel, context, port, decision.gateway or packet.dst)
    # from here on the frame is for the host, whatever its destination MAC address
    packet.pkttype = "unicast"
    # it has a route already, and IPv6 takes its device as the input interface (ip6_rcv_core)
    return hand_up(kernel, context, port) or HandedUp(True, entered=decision.device)


def _switch_to(kernel: Kernel, context: Context, port: Interface, next_hop: int) -> Outcome:
    """Switch a frame to the neighbour on the bridge that has an address."""
    return switch(
        kernel, context, port, neighbour_behind(kernel, context.packet, next_hop, port.master or "")
    )


def _discover_neighbour(kernel: Kernel, packet: Packet, port: Interface, next_hop: int) -> Outcome | None:
    """Pass the solicitation and the advertisement of IPv6 neighbour discovery, which the rules see as well.

    Without it the sender never learns the MAC address and sends nothing. Returns None if both pass.
    """
    bridge, passage = port.master or "", kernel.passage
    steps, skipped = len(passage.steps), len(passage.skipped)
    target = kernel.world.neighbour(6, next_hop, bridge, behind_ports=True)
    group = solicited_node(next_hop)
    solicitation = Packet(6, packet.src, group, ICMPV6, tcp_flags=0, icmp_type=135, icmp_code=0, ttl=255)
    advertisement = Packet(6, next_hop, packet.src, ICMPV6, tcp_flags=0, icmp_type=136, icmp_code=0, ttl=255)
    solicitation.pkttype = "multicast"
    far_port = settle_port(kernel, target.ports, target.name, bridge) if target and target.ports else None
    for sent, input_port, output_port in (
        (solicitation, port.name, far_port),
        (advertisement, far_port, port.name),
    ):
        context = kernel.context(sent)
        context.in_interface, context.physical_in = bridge, input_port
        context.state, destination = "UNTRACKED", sent.dst
        outcome = pass_hook(kernel, context, hooks.PREROUTING)
        if outcome is None and sent.dst != destination:
            # it is routed elsewhere instead
            outcome = Outcome("DROP")
        if outcome is None:
            context.bridged, context.out_interface, context.physical_out = True, bridge, output_port
            outcome = pass_hook(kernel, context, hooks.FORWARD)
        if outcome is None:
            outcome = pass_hook(kernel, context, hooks.POSTROUTING)
        if outcome is not None:
            passage.steps[-1].note = message(
                "neighbour discovery is dropped here, so the packet is never sent"
            )
            return Outcome("DROP", context=context)
    del passage.steps[steps:], passage.skipped[skipped:]
    return None
