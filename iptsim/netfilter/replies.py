"""Replies: the first packet that a program or the kernel sends back to a delivered packet."""

from __future__ import annotations

from functools import partial

from iptsim.addresses import address_text, is_multicast, is_private
from iptsim.host.model import Host
from iptsim.netfilter.excerpts import unseen_tables
from iptsim.netfilter.trace import Leg
from iptsim.packet import Packet, syn_options, usual_length
from iptsim.protocols import ACK, ICMP, ICMP_REPLIES, ICMPV6, MSS_OPTION, RST, SYN, TCP, UDP

_BROADCAST = 0xFFFFFFFF


def reply_to(packet: Packet, *, listening: bool | None = None) -> Packet | None:
    """Return the first reply to a delivered packet, None if there is none.

    The reply to a SYN is SYN,ACK, or RST,ACK if no program listens (tcp_v4_send_reset); to an echo request, the
    echo reply; to anything else, a packet of the same protocol with addresses and ports swapped. A datagram that
    no program waits for gets an ICMP error instead, which is not followed. A multicast group sends nothing
    itself: a member replies from its own address, in a connection of its own (icmpv6_echo_reply: also to a ping).
    Nor does a broadcast address: TCP drops what comes there (tcp_conn_request), and so does ICMP (icmp_rcv).
    A later fragment has no reply of its own: the reply is to the whole packet, which is unknown.
    """
    if packet.fragment in ("middle", "last") or _is_for_group(packet):
        return None
    reply = Packet(
        packet.family,
        packet.dst,
        packet.src,
        packet.proto,
        sport=packet.dport,
        dport=packet.sport,
        tcp_flags=0,
        # its content is unknown
        defaults=packet.defaults | {"payload"},
    )
    if packet.proto == TCP:
        return _tcp_reply(packet, reply, listening)
    if packet.proto in (ICMP, ICMPV6):
        return _icmp_reply(packet, reply)
    return None if packet.proto == UDP and listening is False else reply


def _is_for_group(packet: Packet) -> bool:
    """Return whether a packet is a broadcast or multicast."""
    is_broadcast = packet.to_broadcast or (packet.family == 4 and packet.dst == _BROADCAST)
    return is_broadcast or is_multicast(packet.family, packet.dst)


def _tcp_reply(packet: Packet, reply: Packet, listening: bool | None) -> Packet | None:
    if packet.tcp_flags & RST:
        return None
    reply.tcp_flags = SYN | ACK if packet.tcp_flags & SYN else ACK
    if listening is False:
        reply.tcp_flags = RST | ACK
    elif packet.tcp_flags & SYN:
        # its sender's own MSS, and what else the SYN offers (tcp_synack_options)
        offered = packet.tcp_options.keys() | {MSS_OPTION}
        own = syn_options(packet.family).items()
        reply.tcp_options = {kind: data for kind, data in own if kind in offered}
        reply.defaults |= {"tcp_options"}
        reply.length = usual_length(reply)
    return reply


def _icmp_reply(packet: Packet, reply: Packet) -> Packet | None:
    icmp_type = ICMP_REPLIES[packet.proto].get(packet.icmp_type or 0)
    if icmp_type is None:
        return None
    # the code stays (icmp_echo, icmpv6_echo_reply)
    reply.icmp_type, reply.icmp_code = icmp_type, packet.icmp_code or 0
    reply.length = packet.length
    return reply


def is_sent_bare(host: Host, request: Leg) -> bool:
    """Return whether a packet from a network behind the host left for the outside with its own source address.

    Its reply comes back only if the other side has a route to that address.
    """
    delivered, packet = request.delivered, request.packet
    if delivered is None or delivered.kind != "outside" or delivered.packet.src != packet.src:
        return False
    is_inside = partial(host.is_inside, packet.family)
    return is_inside(packet.src) and not is_inside(delivered.packet.dst)


def is_unanswered(host: Host, request: Leg) -> bool:
    """Return whether a packet left with its own, private source address for a public one, which has no route back.

    If table nat is not shown, that is unknown: False.
    """
    if not is_sent_bare(host, request) or "nat" in unseen_tables(host.rulesets.values()):
        return False
    family, packet = request.packet.family, request.packet
    return is_private(family, address_text(family, packet.src)) and not is_private(
        family, address_text(family, packet.dst)
    )
