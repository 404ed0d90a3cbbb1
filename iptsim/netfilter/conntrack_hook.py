"""Connection tracking at its hooks: fragments, the state of a packet, and the entry of its connection.

Sources: nf_conntrack_in and nf_conntrack_confirm (net/netfilter/nf_conntrack_core.c),
net/ipv4/netfilter/nf_defrag_ipv4.c, net/ipv6/netfilter/nf_conntrack_reasm.c, and measurements.
"""

from __future__ import annotations

from iptsim.connection import NO_ZONE, ZONE_OF_MARK, State
from iptsim.extensions.context import Context
from iptsim.extensions.values import MaskedNumber
from iptsim.languages import message
from iptsim.netfilter import conntrack, hooks, nat, tcp_states
from iptsim.netfilter.hooks import Hook
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.outcome import Outcome
from iptsim.packet import IPV6_HEADER, Packet, is_icmp_error
from iptsim.partly_known import some_mark
from iptsim.protocols import TCP, UDPLITE
from iptsim.question.quoted import find_quoted

#: Protocol number of the IPv6 fragment header, its length in bytes, and that of the IPv6 header.
FRAGMENT, FRAGMENT_HEADER = 44, 8


def defragment(kernel: Kernel, context: Context, hook: Hook) -> None:
    """Join fragments before a hook: for conntrack, in IPv4 also for local delivery."""
    packet, first = context.packet, hook.name in (hooks.PREROUTING, hooks.OUTPUT)
    if packet.fragment is not None:
        joined = first if hook.tracks else packet.family == 4 and hook.name == hooks.INPUT
        if joined:
            packet.fragment = None
            note = message("the kernel reassembles the fragments first; rules see the whole packet")
            kernel.note(hook.name, "CONTINUE", note, "defragmented")
    if hook.tracks and first and packet.extension_headers:
        _join_atomic_fragment(packet, bridged=context.physical_in is not None)


def _join_atomic_fragment(packet: Packet, *, bridged: bool) -> None:
    """Remove the fragment header of an unfragmented packet, as conntrack does (nf_ct_frag6_gather).

    A router still drops it if it is too big for the next link (ip6_pkt_too_big). One that came in by a bridge port is
    fragmented instead, whether it is switched or forwarded (measured). An empty fragment keeps its header (measured).
    """
    from iptsim.extensions.wire import header_size

    if packet.length <= IPV6_HEADER + sum(header_size(*header) for header in packet.extension_headers):
        return
    kept = tuple(header for header in packet.extension_headers if header[0] != FRAGMENT)
    packet.may_be_split |= bridged and kept != packet.extension_headers
    packet.length -= FRAGMENT_HEADER * (len(packet.extension_headers) - len(kept))
    packet.extension_headers = kept


def track(kernel: Kernel, context: Context) -> None:
    """Give a packet its state and its connection; one that has a state keeps it."""
    if context.state is not None:
        return
    forced = kernel.stated = kernel.world.forced_state()
    if context.notrack:
        context.state = "UNTRACKED"
        return
    if ZONE_OF_MARK in context.zone:
        if kernel.company is not None:
            kernel.company.zoned(context.packet)
        for connection in kernel.connections:
            kernel.choices.decide_mark(context.packet.mark, MaskedNumber(connection.zone.id, 0xFFFF))
        context.zone = context.zone.with_mark(some_mark(context.packet.mark))
    if forced is not None:
        _complete(kernel, context, forced)
    found = forced or _find(kernel, context)
    context.state, context.connection, context.direction = found
    if found.connection is None:
        return
    if not is_icmp_error(context.packet):
        conntrack.update(found.connection, context.packet, found.direction)
    if context.helper and found.state == "NEW":
        found.connection.helper = context.helper


def _complete(kernel: Kernel, context: Context, stated: State) -> None:
    """Set the flow of a connection of which the question states only the state, from its first packet.

    The sender's kernel may only now have picked the source address.
    """
    ct, connection = kernel.world.question.ct, stated.connection
    if connection is None or stated.direction == "reply" or connection.nat_done:
        return
    if ct is None or (ct.orig is None and ct.reply is None):
        connection.original = context.packet.flow
        connection.reply = connection.original.reversed()


def _find(kernel: Kernel, context: Context) -> State:
    packet, sysctl_number = context.packet, kernel.namespace.sysctl_number
    if context.hook == hooks.PREROUTING and sysctl_number("net.netfilter.nf_conntrack_checksum", 1):
        if kernel.company is not None:
            kernel.company.verified(packet)
        if packet.proto == UDPLITE:
            # the checksum is verified as UDP's would be, so it is never correct (udplite_error)
            return State("INVALID", None)
    if is_icmp_error(packet):
        found = _find_quoted(kernel, context)
    else:
        found = conntrack.find(packet, kernel.connections, context.zone)
    if found is not None:
        return State("INVALID", None) if _does_not_fit(kernel, packet, found) else found
    loose = sysctl_number("net.netfilter.nf_conntrack_tcp_loose", 1) != 0
    if kernel.company is not None:
        kernel.company.begins(packet, tcp_loose=loose)
    return conntrack.first_state(packet, zone=context.zone, tcp_loose=loose)


def _does_not_fit(kernel: Kernel, packet: Packet, found: State) -> bool:
    """Return whether a TCP packet is invalid in the state of its connection, and note it.

    Flags that the question does not state prove nothing, unless it gives the earlier packet.
    """
    stated = "tcp_flags" not in packet.defaults or kernel.world.question.after is not None
    if packet.proto != TCP or not stated or found.connection is None or packet.fragment is not None:
        return False
    state, flags = found.connection.tcp_state, packet.tcp_flags
    if not tcp_states.is_valid(flags):
        return True
    if state is None or tcp_states.next_state(state, found.direction, flags) is not None:
        return False
    kernel.notes.append(
        message(
            "conntrack calls the packet INVALID: its connection is in the state {state}, in which such a packet does "
            "not fit.",
            state=state,
        )
    )
    return True


def _find_quoted(kernel: Kernel, context: Context) -> State | None:
    """Return the state of an ICMP error by the packet that it quotes, None if that belongs to no connection."""
    packet = context.packet
    if packet.quoted is not None:
        return find_quoted(packet, packet.quoted, kernel.connections, context.zone)
    kernel.notes.append(
        message(
            "The packet that the ICMP error quotes is unknown, so the error belongs to no known connection and its "
            "state is INVALID; name that packet with --set inner.dst=ADDRESS --set inner.dport=PORT."
        )
    )
    return None


def confirm(kernel: Kernel, context: Context) -> Outcome | None:
    """Add the connection of a packet that has passed all hooks to the conntrack table.

    Returns:
        None, unless conntrack drops the packet because its connection has a flow that another one in the table has.
    """
    connection = context.connection
    if context.direction == "reply":
        # the error for a rejected packet does not confirm its connection
        return None
    if connection is None or connection.is_confirmed:
        return None
    if any(conntrack.clashes(connection, other) for other in kernel.connections if other.is_confirmed):
        note = message(
            "conntrack already has a connection with these addresses and ports, which it did not find because a CT "
            "rule put it into another zone for its replies"
        )
        return kernel.drop("conntrack-clash", note, context.hook)
    if nat.is_taken(connection, connection.reply, kernel.tracked):
        note = message(
            "conntrack already has a connection whose replies have these addresses and ports, and nat may not choose"
            " others"
        )
        return kernel.drop("conntrack-clash", note, context.hook)
    connection.status |= {"CONFIRMED"}
    kernel.connections.append(connection)
    return None


def forget_invalid(kernel: Kernel, context: Context) -> None:
    """Have conntrack look up an INVALID packet, which has no entry, again when it next arrives."""
    if context.state == "INVALID":
        # a state given by the question is kept
        if kernel.stated is not None:
            kernel.world.force(kernel.stated)
        context.state, context.template, context.zone = None, context.inherits, NO_ZONE
