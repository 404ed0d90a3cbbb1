"""Replies: those of a socket or the kernel, and the packets that the REJECT target sends."""

from __future__ import annotations

from iptsim.extensions.targets.reject import ANSWERS, TCP_RESET
from iptsim.host import fib
from iptsim.host.model import Host
from iptsim.host.source import select_source
from iptsim.netfilter.hooks import INPUT
from iptsim.netfilter.trace import Leg
from iptsim.packet import (
    ACK,
    ICMP,
    ICMP_REPLIES,
    ICMPV6,
    MSS_OPTION,
    RST,
    SYN,
    TCP,
    UDP,
    Context,
    Packet,
    is_icmp_error,
    syn_options,
    usual_length,
)

_BROADCAST = 0xFFFFFFFF
_MULTICAST = 0xE  # the first four bits of an IPv4 group
#: What an IPv4 answer keeps of the packet's TOS, and the precedence that it gets (icmp_send).
_TOS_BITS, _INTERNET_CONTROL = 0x1E, 0xC0
#: The only ICMP types that Linux does not take for errors (icmp_pointers[]); ICMPv6 types from there on.
_ICMP_MESSAGES, _FIRST_ICMPV6_MESSAGE = frozenset({0, 8, 13, 14, 15, 16, 17, 18}), 128
#: Of the rejected packet's TOS an IPv4 answer keeps these (IPTOS_TOS_MASK).
_TOS_BITS = 0x1E
#: Protocols without a checksum over the whole packet, which REJECT would verify: GRE, ESP, AH, SCTP, UDP-Lite.
_UNVERIFIED = frozenset({47, 50, 51, 132, 136})
#: Owner of the kernel's own sockets: no user or group has this number.
NOBODY = -1


def reply_to(packet: Packet, *, listening: bool | None = None) -> Packet | None:
    """Return the first reply to a delivered packet, None if there is none.

    The reply to a SYN is SYN,ACK, or RST,ACK if no program listens (tcp_v4_send_reset); to an echo request, the
    echo reply; to anything else, a packet of the same protocol with addresses and ports swapped. A datagram that
    no program waits for gets an ICMP error instead, which is not followed. A multicast group sends nothing
    itself: a member replies from its own address, in a connection of its own. Only ICMPv6 replies to a ping of a
    group. A later fragment has no reply of its own: the reply is to the whole packet, of which nothing is known.
    """
    if packet.fragment in ("middle", "last"):
        return None
    if packet.family == 4 and (packet.dst == _BROADCAST or packet.dst >> 28 == _MULTICAST):
        return None
    if packet.family == 6 and packet.dst >> 120 == 0xFF and packet.proto != ICMPV6:
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
    elif packet.proto == UDP and listening is False:
        return None
    elif packet.proto in (ICMP, ICMPV6):
        answer = ICMP_REPLIES[packet.proto].get(packet.icmp_type or 0)
        if answer is None:
            return None
        # the code stays (icmp_echo, icmpv6_echo_reply)
        reply.icmp_type, reply.icmp_code = answer, packet.icmp_code or 0
        reply.length = packet.length
    return reply


def _was_verified(context: Context, kind: str) -> bool:
    """Return whether a checksum that was right in PREROUTING, where conntrack verified it, still counts as right.

    It does for ICMP errors (nf_reject6_csum_ok: skb_csum_unnecessary); a reset is computed again in INPUT
    (nf_ip6_checksum).
    """
    tracked = context.in_interface is not None and context.state not in (None, "UNTRACKED")
    return tracked and (kind != TCP_RESET or context.hook != INPUT)


def reject_answer(context: Context, kind: str, host: Host) -> Packet | None:
    """Return the packet that REJECT sends back, None if it sends none (net/ipv4/netfilter/nf_reject_ipv4.c)."""
    packet = context.packet
    if fib.address_type(host.namespace, packet.family, packet.dst) in ("BROADCAST", "MULTICAST"):
        return None
    if packet.checksum_error and packet.proto not in _UNVERIFIED and not _was_verified(context, kind):
        return None
    if kind == TCP_RESET:
        if packet.proto != TCP or packet.tcp_flags & RST:
            return None
        flags = RST if packet.tcp_flags & ACK else RST | ACK
        return Packet(
            packet.family,
            packet.dst,
            packet.src,
            TCP,
            sport=packet.dport,
            dport=packet.sport,
            tcp_flags=flags,
            length=40 if packet.family == 4 else 60,
        )
    answer = ANSWERS[packet.family].get(kind)
    if (
        answer is None
        or answer.icmp is None
        or packet.pkttype != "unicast"
        or _is_unanswerable(packet)
        or is_icmp_error(packet)
        or packet.fragment in ("middle", "last")
        or packet.pkttype != "unicast"
    ):
        return None
    local = fib.address_type(host.namespace, packet.family, packet.dst) in ("LOCAL", "ANYCAST")
    if packet.family == 4 and context.bridged:
        # what a bridge switches has the bridge's own route, which is not local (icmp_send, RTCF_LOCAL)
        local = False
    source = packet.dst if local else _facing(host, packet, context.entered)
    if source is None:
        return None
    number, code = answer.icmp
    proto = ICMP if packet.family == 4 else ICMPV6
    return Packet(
        packet.family,
        source,
        packet.src,
        proto,
        tcp_flags=0,
        icmp_type=number,
        icmp_code=code,
        tos=packet.tos & _TOS_BITS | _INTERNET_CONTROL if packet.family == 4 else 0,
        # as much of the rejected packet as fits (576 bytes in all, 1280 for IPv6)
        length=28 + min(packet.length, 548) if packet.family == 4 else 48 + min(packet.length, 1232),
        # sent by a socket of the kernel, which has no owner
        local_socket=True,
        uid=NOBODY,
        gid=NOBODY,
    )


def is_sent_bare(host: Host, request: Leg) -> bool:
    """Return whether a packet from a network behind the host left for the outside with its own source address.

    Its reply comes back only if the other side has a route to that address.
    """
    delivered, packet = request.delivered, request.packet
    outside = delivered is not None and delivered.kind == "outside" and delivered.packet.src == packet.src
    if not outside or not host.is_inside(packet.family, packet.src):
        return False
    return not host.is_inside(packet.family, packet.dst)


def _is_unanswerable(packet: Packet) -> bool:
    """Return whether an ICMP packet is of a type that no error is sent about, because it may be one itself."""
    if packet.proto == ICMP:
        return packet.icmp_type not in _ICMP_MESSAGES
    return packet.proto == ICMPV6 and (packet.icmp_type or 0) < _FIRST_ICMPV6_MESSAGE


def _facing(host: Host, packet: Packet, entered: str | None) -> int | None:
    """Return the host's address that faces the sender.

    By the route back; in IPv6 the interface by which the packet came in counts first (icmp6_send).
    """
    route = fib.lookup(host.namespace, packet.family, packet.src)
    if packet.family == 6 and route.source is None and entered not in (None, "lo"):
        return select_source(host.namespace, 6, entered, packet.src)
    return fib.source_address(host.namespace, packet.family, route, packet.src)
