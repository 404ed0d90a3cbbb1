"""A packet that comes in: PREROUTING, the routing decision, then local delivery or forwarding.

Sources: ip_rcv and ip_rcv_finish (net/ipv4/ip_input.c), ip6_rcv_core (net/ipv6/ip6_input.c), and measurements.
"""

from __future__ import annotations

from iptsim.addresses import Family, address_text, is_multicast
from iptsim.extensions.context import Context
from iptsim.host import fib
from iptsim.host.namespace import Interface, interface_parameter
from iptsim.host.routing_policy import own_rules
from iptsim.languages import message
from iptsim.netfilter import bridge_input, hooks
from iptsim.netfilter.bridge_input import HandedUp
from iptsim.netfilter.bridge_ports import drop_if_down, entrance, is_bridge
from iptsim.netfilter.hook_evaluation import pass_hook
from iptsim.netfilter.ip_forward import forward
from iptsim.netfilter.ip_transmit import carriers
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.local_delivery import deliver, is_joined
from iptsim.netfilter.nftables import pass_device
from iptsim.netfilter.outcome import Outcome
from iptsim.netfilter.route_selection import note_policy, route_input
from iptsim.netfilter.routing import group_scope6
from iptsim.packet import Packet


def receive(
    kernel: Kernel, packet: Packet, interface: str, next_hop: int | None = None, *, discovered: bool = False
) -> Outcome:
    """Follow a packet that arrives on an interface of the namespace.

    Args:
        kernel: the state of the kernel in the namespace.
        packet: the packet; it is changed on its path.
        interface: the interface on which it arrives; it may be a bridge port.
        next_hop: the address whose MAC the sender put in the frame, when it arrives on a bridge
            port; None: the bridge's own.
        discovered: the sender knows that MAC address already (IPv6).
    """
    context = kernel.context(packet)
    interfaces = kernel.namespace.interfaces
    port = interfaces.get(interface)
    outcome = drop_if_down(kernel, interface)
    outcome = outcome or pass_device(kernel, context, "ingress", *carriers(kernel, interface))
    if outcome is not None:
        return outcome
    if port is not None and port.master is not None:
        if is_bridge(kernel, port.master):
            received = bridge_input.receive(kernel, context, port, next_hop, discovered)
            return (
                received if isinstance(received, Outcome) else _enter_from_bridge(kernel, context, received)
            )
        if interfaces[port.master].kind == "bond":
            # the bond takes the packet over before any hook (bond_handle_frame)
            return receive(kernel, packet, port.master, next_hop, discovered=discovered)
    context.in_interface = interface
    if _is_for_others(packet, port):
        note = message("the frame's destination MAC address is not the host's")
        return kernel.drop("not-for-host", note, "LINK")
    return _enter(kernel, context)


def receive_from_outside(kernel: Kernel, packet: Packet, interface: str) -> Outcome:
    """Follow a packet from outside that arrives on an interface, a bridge or a bridge port of the namespace."""
    port, next_hop = entrance(kernel, packet, interface)
    return receive(kernel, packet, port, next_hop, discovered=True)


def route(kernel: Kernel, context: Context, entered: str | None = None) -> Outcome:
    """Route an incoming packet; `entered` is the input interface that IP sees instead of the real one."""
    interface = context.in_interface or "lo"
    context.entered = entered or interface
    joined = is_joined(kernel, context.packet)
    decision = route_input(kernel, context.packet, interface, joined=joined)
    if decision.kind == "drop":
        return kernel.drop(decision.code, decision.note)
    note_policy(kernel, decision.policy)
    if decision.kind == "local" or _leads_to_proxy(kernel, context.packet):
        if decision.policy:
            _note_foreign(kernel, context.packet)
        context.packet.to_broadcast = decision.broadcast
        return deliver(kernel, context)
    return forward(kernel, context, decision)


def _note_foreign(kernel: Kernel, packet: Packet) -> None:
    """Note what is assumed about a program that gets packets for an address that the host does not have.

    ip_route_output_key_hash_rcu (net/ipv4/route.c) refuses such a source, unless the socket is a transparent one.
    """
    if packet.family == 6 or packet.proxied or packet.dport is None:
        return
    if fib.address_type(kernel.namespace, 4, packet.dst) == "UNICAST":
        kernel.notes.append(
            message(
                "A program with a transparent socket (IP_TRANSPARENT) listens: an ordinary one cannot reply from"
                " {address}, which is not an address of the host.",
                address=address_text(4, packet.dst),
            )
        )


def _leads_to_proxy(kernel: Kernel, packet: Packet) -> bool:
    """Return whether a transparent proxy has taken a packet, and a routing rule may lead here that is not shown."""
    if not packet.proxied or _shows_policy(kernel, packet.family):
        return False
    kernel.notes.append(
        message(
            "A routing rule leads packets that a transparent proxy takes to this host:"
            " the source does not show all of ip rule and ip route show table all."
        )
    )
    return True


def _shows_policy(kernel: Kernel, family: Family) -> bool:
    """Return whether the source shows the policy rules, and the routes of the tables that they name."""
    rules = own_rules(kernel.namespace, family)
    if rules is None or kernel.host.pasted is None:
        return any(rule.family == family for rule in kernel.namespace.rules)
    shown = {route.table for route in kernel.namespace.routes} | {"local", "main", "default"}
    return all(rule.table in shown for rule in rules)


def _enter_from_bridge(kernel: Kernel, context: Context, frame: HandedUp) -> Outcome:
    """Receive a frame that a bridge hands up; if it was flooded, the outcome of another copy may count instead."""
    outcome = _enter(kernel, context, seen=frame.seen, entered=frame.entered)
    flooded = frame.flooded
    if outcome.verdict == "ACCEPT" or flooded is None:
        return outcome
    # a rule that drops the host's own copy explains more than one that rejects another copy
    dropped_by_rule = kernel.passage.steps[-1].table is not None
    return outcome if flooded.verdict == "REJECT" and dropped_by_rule else flooded


def _enter(kernel: Kernel, context: Context, *, seen: bool = False, entered: str | None = None) -> Outcome:
    """Take a packet into the IP stack; `seen`: PREROUTING has seen it already."""
    outcome = refused_before_rules(kernel, context)
    if seen:
        _forget_proxy(kernel, context.packet)
    elif outcome is None:
        outcome = pass_hook(kernel, context, hooks.PREROUTING)
    return outcome or route(kernel, context, entered)


def _forget_proxy(kernel: Kernel, packet: Packet) -> None:
    """Take the socket from a packet to which rules gave one in the bridge (skb_orphan in ip_rcv_core, ip6_rcv_core)."""
    if not packet.proxied:
        return
    packet.proxied = False
    kernel.notes.append(
        message(
            "The transparent proxy does not get the packet: br_netfilter passes frames of bridges through PREROUTING,"
            " and the kernel forgets the proxy's socket when the bridge hands the packet up. With {sysctl}=0, TPROXY"
            " works.",
            sysctl=f"net.bridge.bridge-nf-call-ip{'' if packet.family == 4 else '6'}tables",
        )
    )


def _is_for_others(packet: Packet, interface: Interface | None) -> bool:
    """Return whether a frame is addressed to another machine (PACKET_OTHERHOST: no hook sees it)."""
    if packet.dst_mac is None or interface is None or interface.mac is None:
        return False
    return packet.pkttype == "unicast" and packet.dst_mac.lower() != interface.mac.lower()


def refused_before_rules(kernel: Kernel, context: Context) -> Outcome | None:
    """Drop what ip6_rcv_core refuses before any hook.

    That is multicast sources, and everything from an interface without IPv6; unless they come from the host itself,
    loopback addresses and groups of one interface (RFC 4291, section 2.7).
    """
    packet, interface = context.packet, context.in_interface
    if packet.family == 4:
        return None
    if interface is not None and kernel.namespace.interface_sysctl(6, interface, "disable_ipv6") != 0:
        sysctl = interface_parameter(6, interface, "disable_ipv6")
        note = message(
            "the kernel drops it: IPv6 is disabled on {interface} ({sysctl} is 1)",
            interface=interface,
            sysctl=sysctl,
        )
        return kernel.drop("ipv6-disabled", note)
    scope = group_scope6(packet)
    loops = interface == "lo"
    if scope == 0 or (scope == 1 and not loops and packet.pkttype != "loopback"):
        note = message(
            "the kernel drops it before any rule: the group is one of the sender's interface alone"
        )
        return kernel.drop("martian", note)
    if is_multicast(6, packet.src) or (1 in (packet.src, packet.dst) and not loops):
        note = message(
            "the kernel drops it before any rule: a multicast or loopback address is not valid there"
        )
        return kernel.drop("martian", note)
    return None
