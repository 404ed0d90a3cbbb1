"""A packet that the host itself sends: its route, OUTPUT, POSTROUTING; a packet to itself comes in again on lo.

Sources: ip_queue_xmit, ip_mc_output (net/ipv4/ip_output.c), nf_send_reset, icmp_send, and measurements.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from iptsim.addresses import address_text
from iptsim.extensions.context import Context
from iptsim.host import fib
from iptsim.languages import message
from iptsim.netfilter import conntrack, hooks, routing
from iptsim.netfilter.conntrack_hook import confirm, forget_invalid
from iptsim.netfilter.hook_evaluation import pass_hook
from iptsim.netfilter.ip_input import refused_before_rules, route
from iptsim.netfilter.ip_transmit import transmit
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.local_delivery import deliver, is_joined
from iptsim.netfilter.mtu import drop_too_big, is_too_big
from iptsim.netfilter.nftables import pass_device
from iptsim.netfilter.outcome import Outcome
from iptsim.netfilter.route_selection import note_policy, refused_output, route_output
from iptsim.netfilter.steps import Step
from iptsim.packet import Packet
from iptsim.protocols import TCP


def send(
    kernel: Kernel,
    packet: Packet,
    *,
    keep_source: bool = True,
    echoes: bool = False,
    link: str | None = None,
) -> Outcome:
    """Follow a packet that a program of this namespace sends.

    Args:
        kernel: the state of the kernel in the namespace.
        packet: the packet; it is changed on its path.
        keep_source: keep its source address; otherwise the kernel picks one by the route.
        echoes: the kernel itself sends it, in reply to a ping.
        link: the interface on which a link-local destination is, if it is known.
    """
    if echoes and packet.family == 4 and fib.address_type(kernel.namespace, 4, packet.src) == "UNICAST":
        # icmp_reply: ip_route_output_key looks for the source in table local only
        note = message(
            "nothing is sent: the kernel does not reply to a ping from {address}, which is not an address of the host",
            address=address_text(4, packet.src),
        )
        return kernel.drop("no-source", note)
    context = kernel.context(packet)
    packet.local_socket = True
    kernel.passage.sent = sent = packet.copy()
    found = route_output(kernel, packet, source=packet.src if keep_source else None, link=link)
    if found.error is not None:
        why = routing.refusal(found) or message("there is no route to the destination")
        return kernel.drop("no-route", message("nothing is sent: {why}", why=why))
    if not keep_source:
        source = fib.source_address(kernel.namespace, packet.family, found, packet.dst)
        if source is None:
            return kernel.drop("no-source", message("nothing is sent: there is no address to send from"))
        packet.src = sent.src = source
    if (refused := refused_output(kernel, packet, found.device)) is not None:
        return refused
    note_policy(kernel, routing.policy_words(found))
    interface = kernel.namespace.interfaces.get(found.device or "")
    mtu = found.mtu or (interface.mtu if interface is not None else None)
    if packet.extra.get("ip_df") and is_too_big(kernel, packet, mtu):
        return drop_too_big(kernel, packet, mtu)
    return _output(kernel, context, found)


def send_rejection(kernel: Kernel, packet: Packet, rejected: Context) -> Outcome:
    """Follow the packet that REJECT sends back; it belongs to the rejected packet's connection."""
    context = kernel.context(packet)
    # a reset keeps its source; an ICMP error has a source before routing if the rejected packet was for an address of
    # the host, in IPv6 also if it arrived on an interface (icmp_send, icmp6_send)
    settled = (
        packet.proto == TCP
        or packet.src == rejected.packet.dst
        or (packet.family == 6 and rejected.entered not in (None, "lo"))
    )
    # of a reset, the link of the receiver is not given (nf_send_reset6); a switched packet has the port by which it
    # would have left (skb->dev)
    link = rejected.physical_out if rejected.bridged else rejected.entered
    link = None if packet.proto == TCP else link
    found = route_output(kernel, packet, source=packet.src if settled else None, link=link)
    if found.device is None:
        return kernel.drop("no-route", message("there is no route back to the sender"))
    if not settled:
        # the source belongs to the next hop that was picked
        source = fib.source_address(kernel.namespace, packet.family, found, packet.dst)
        packet.src = packet.src if source is None else source
    kernel.passage.sent = packet.copy()
    if (refused := refused_output(kernel, packet, found.device)) is not None:
        return refused
    if rejected.connection is not None:
        conntrack.count(rejected.connection, rejected.packet, rejected.state, rejected.direction)
        context.connection, context.state = rejected.connection, "RELATED"
        context.direction = "original" if rejected.direction == "reply" else "reply"
    else:
        packet.quoted = rejected.packet.flow
        # the error for an untracked packet inherits its state, so CT does nothing, but conntrack looks the error up
        context.template = context.inherits = rejected.state == "UNTRACKED"
    return _output(kernel, context, found)


def _output(kernel: Kernel, context: Context, found: fib.RouteResult) -> Outcome:
    passage = kernel.passage
    passage.route = found
    context.out_interface = _device(found)
    outcome = pass_hook(kernel, context, hooks.OUTPUT)
    if outcome is not None:
        return outcome
    found = passage.route
    context.out_interface, passage.gateway = _device(found), found.gateway_of(context.packet.family)
    heard = found.type == "broadcast" or (found.type == "multicast" and _hears_group(kernel, context))
    heard_from_link = heard and context.out_interface != "lo"
    if heard_from_link and context.packet.family == 4:
        _hear_own_broadcast(kernel, context)
    outcome = pass_hook(kernel, context, hooks.POSTROUTING) or confirm(kernel, context)
    if outcome is not None:
        return outcome
    own_copy = (
        _hear_own_broadcast(kernel, context) if heard_from_link and context.packet.family == 6 else None
    )
    if context.out_interface == "lo":
        return _loop_back(kernel, context, heard=heard or found.type != "multicast")
    if routing.group_scope6(context.packet) in (0, 1):
        return own_copy or _no_group_of_interface(kernel)
    return transmit(kernel, context, passage.gateway if found.type == "unicast" else None)


def _hears_group(kernel: Kernel, context: Context) -> bool:
    """Return whether the host is in the multicast group to which it sends."""
    packet = context.packet
    own = packet.family == 6 and routing.is_own_group6(kernel.namespace, packet, context.out_interface or "")
    return own or is_joined(kernel, packet)


def _no_group_of_interface(kernel: Kernel) -> Outcome:
    """Drop what no program of the host receives, as it does not leave the interface (ip6_finish_output2)."""
    note = message(
        "nothing is sent: the group is one of the interface alone, and the host is assumed not to have joined it"
        " (--set joined=yes if it has)"
    )
    return kernel.drop("not-joined", note)


def _device(found: fib.RouteResult) -> str | None:
    return "lo" if found.type in ("local", "anycast") else found.device


def _loop_back(kernel: Kernel, context: Context, *, heard: bool) -> Outcome:
    """Follow a packet from the host to itself: it comes in again on lo, with the same connection.

    Args:
        heard: it is not for a multicast group that the host has not joined.
    """
    outcome = pass_device(kernel, context, "egress", "lo") or pass_device(kernel, context, "ingress", "lo")
    if outcome is not None:
        return outcome
    context.in_interface, context.out_interface = "lo", None
    forget_invalid(kernel, context)
    outcome = refused_before_rules(kernel, context) or pass_hook(kernel, context, hooks.PREROUTING)
    if outcome is None and kernel.passage.translated:
        # its earlier route no longer applies
        return route(kernel, context)
    if outcome is None and not heard:
        unheard = routing.not_joined()
        return kernel.drop(unheard.code, unheard.note)
    return outcome or deliver(kernel, context)


def _share_changes(steps: Iterable[Step], packet: Packet) -> None:
    """Change a packet as SNPT changed its copy, with which it shares its header (ip6t_snpt_tg).

    HL, and another TOS, give the copy a header of its own first (skb_ensure_writable).
    """
    for step in steps:
        target = step.rule.target_name if step.rule is not None else ""
        if target == "SNPT":
            step.change(packet)
        elif target == "HL" or "tos" in step.changes:
            return


def _hear_own_broadcast(kernel: Kernel, context: Context) -> Outcome:
    """Deliver a copy of the host's own broadcast to it, before the packet itself leaves.

    What happens to the copy, which is returned, does not stop the packet. IPv4 makes it before POSTROUTING
    (ip_mc_output), IPv6 after it (ip6_finish_output2).
    """
    copy, before = replace(context, packet=context.packet.copy()), len(kernel.passage.steps)
    # a clone has no socket
    copy.packet.local_socket = False
    outcome = pass_hook(kernel, copy, hooks.POSTROUTING) or confirm(kernel, copy)
    _share_changes(kernel.passage.steps[before:], context.packet)
    if outcome is not None:
        return outcome
    copy.in_interface, copy.out_interface = context.out_interface, None
    copy.packet.pkttype, copy.packet.to_broadcast = "loopback", True
    forget_invalid(kernel, copy)
    outcome = refused_before_rules(kernel, copy) or pass_hook(kernel, copy, hooks.PREROUTING)
    return outcome or deliver(kernel, copy)
