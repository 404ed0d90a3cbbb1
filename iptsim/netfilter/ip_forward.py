"""Forwarding a packet: what the kernel refuses to forward, FORWARD, POSTROUTING.

Sources: ip_forward (net/ipv4/ip_forward.c), ip6_forward (net/ipv6/ip6_output.c), and measurements.
"""

from __future__ import annotations

from iptsim.addresses import address_text, is_link_local
from iptsim.extensions.context import Context
from iptsim.languages import message
from iptsim.netfilter import hooks, routing
from iptsim.netfilter.conntrack_hook import confirm
from iptsim.netfilter.hook_evaluation import pass_hook
from iptsim.netfilter.ip_transmit import transmit
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.mtu import drop_too_big, is_too_big
from iptsim.netfilter.outcome import Outcome


def forward(kernel: Kernel, context: Context, decision: routing.Decision) -> Outcome:
    """Forward a packet by its route."""
    packet = context.packet
    if (refused := _refused(kernel, context, decision)) is not None:
        return refused
    packet.ttl -= 1
    context.out_interface = decision.device
    kernel.passage.gateway = decision.gateway
    if (outcome := pass_hook(kernel, context, hooks.FORWARD)) is not None:
        return outcome
    if kernel.company is not None:
        kernel.company.forwarded(packet)
    if (outcome := pass_hook(kernel, context, hooks.POSTROUTING)) is not None:
        return outcome
    if (outcome := confirm(kernel, context)) is not None:
        return outcome
    if packet.family == 6 and is_too_big(kernel, packet, decision.mtu):
        # a route's MTU counts only when the packet leaves (ip6_dst_mtu_maybe_forward, ip6_fragment)
        return drop_too_big(kernel, packet, decision.mtu)
    return transmit(kernel, context, decision.gateway)


def _refused(kernel: Kernel, context: Context, decision: routing.Decision) -> Outcome | None:
    """Drop a packet that is not forwarded because of its frame, socket, TTL, source or size."""
    packet, device = context.packet, decision.device or ""
    if packet.pkttype != "unicast":
        note = message("a {pkttype} frame is not forwarded", pkttype=packet.pkttype)
        return kernel.drop("not-for-host", note)
    if packet.proxied:
        note = message(
            "a transparent proxy has taken the packet, but its route leads out: it is not forwarded"
        )
        return kernel.drop("proxy-unrouted", note)
    if packet.ttl <= 1:
        return kernel.drop("ttl-exceeded", message("the TTL has expired; the host replies time exceeded"))
    link_local = packet.family == 6 and (packet.src == 0 or is_link_local(6, packet.src))
    if link_local and device != context.entered:
        address = address_text(6, packet.src)
        return kernel.drop(
            "martian", message("a packet from {address} is not forwarded to another link", address=address)
        )
    interface = kernel.namespace.interfaces.get(device)
    mtu = interface.mtu if interface is not None else None
    if packet.family == 4 and decision.mtu is not None:
        mtu = decision.mtu
    return drop_too_big(kernel, packet, mtu) if is_too_big(kernel, packet, mtu) else None
