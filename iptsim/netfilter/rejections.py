"""The packets that the REJECT target sends back.

Sources: net/ipv4/netfilter/nf_reject_ipv4.c, net/ipv6/netfilter/nf_reject_ipv6.c, icmp_send (net/ipv4/icmp.c).
"""

from __future__ import annotations

from iptsim.addresses import is_link_local
from iptsim.extensions.context import Context
from iptsim.host import fib
from iptsim.host.model import Host
from iptsim.host.source_address import select_source
from iptsim.netfilter import hooks
from iptsim.packet import Packet, is_icmp_error
from iptsim.protocols import ACK, ICMP, ICMPV6, RST, TCP

#: What an ICMP error keeps of the rejected packet's TOS (IPTOS_TOS_MASK), and its own precedence (icmp_send).
_TOS_BITS, _INTERNET_CONTROL = 0x1E, 0xC0
#: The only ICMP types that Linux does not treat as errors (icmp_pointers[]); the first such type of ICMPv6.
_ICMP_MESSAGES, _FIRST_ICMPV6_MESSAGE = frozenset({0, 8, 13, 14, 15, 16, 17, 18}), 128
#: Protocols without a checksum over the whole packet, which REJECT would verify: GRE, ESP, AH, SCTP, UDP-Lite.
_UNVERIFIED = frozenset({47, 50, 51, 132, 136})
#: The address ::1.
_LOOPBACK6 = 1
#: Owner of the kernel's own sockets: no user or group has this number.
_NO_OWNER = -1


def rejection(context: Context, kind: str, host: Host) -> Packet | None:
    """Return the packet that REJECT sends back, None if it sends none.

    Args:
        context: of the rejected packet.
        kind: what is sent, as `--reject-with` names it.
        host: whose rule rejects the packet.
    """
    packet = context.packet
    # what a bridge switches has the bridge's own route, which is to no group (nf_send_reset, icmp_send: rt_flags)
    routed = not (packet.family == 4 and context.bridged)
    if routed and fib.address_type(host.namespace, packet.family, packet.dst) in ("BROADCAST", "MULTICAST"):
        return None
    if packet.checksum_error and packet.proto not in _UNVERIFIED and not _was_verified(context, kind, host):
        return None
    answer = _reset(packet) if kind == "tcp-reset" else _icmp_error(context, kind, host)
    version = "ipv4" if packet.family == 4 else "ipv6"
    if answer is not None and host.namespace.sysctl_number(f"net.{version}.fwmark_reflect"):
        answer.mark = packet.mark
    return answer


def _was_verified(context: Context, kind: str, host: Host) -> bool:
    """Return whether a checksum that conntrack verified on arrival still counts as right.

    Conntrack keeps the sum of the whole packet, which a changed address does not change (skb->csum,
    __skb_checksum_complete). For a reset it counts in INPUT only: elsewhere the checksum is computed again
    (nf_ip6_checksum; skb_forward_csum).
    """
    arrived = context.in_interface not in (None, "lo") and context.state is not None and not context.notrack
    verified = arrived and host.namespace.sysctl_number("net.netfilter.nf_conntrack_checksum", 1) != 0
    return verified and (kind != "tcp-reset" or context.hook == hooks.INPUT)


def _reset(packet: Packet) -> Packet | None:
    if packet.proto != TCP or packet.tcp_flags & RST:
        return None
    return Packet(
        packet.family,
        packet.dst,
        packet.src,
        TCP,
        sport=packet.dport,
        dport=packet.sport,
        tcp_flags=RST if packet.tcp_flags & ACK else RST | ACK,
        length=40 if packet.family == 4 else 60,
    )


def _icmp_error(context: Context, kind: str, host: Host) -> Packet | None:
    from iptsim.extensions.targets.reject import ANSWERS

    packet = context.packet
    answer = ANSWERS[packet.family].get(kind)
    if answer is None or answer.icmp is None or _gets_no_error(packet):
        return None
    source = _source(context, host)
    if source is None:
        return None
    number, code = answer.icmp
    return Packet(
        packet.family,
        source,
        packet.src,
        ICMP if packet.family == 4 else ICMPV6,
        tcp_flags=0,
        icmp_type=number,
        icmp_code=code,
        tos=packet.tos & _TOS_BITS | _INTERNET_CONTROL if packet.family == 4 else 0,
        # as much of the rejected packet as fits (576 bytes in all, 1280 for IPv6)
        length=28 + min(packet.length, 548) if packet.family == 4 else 48 + min(packet.length, 1232),
        # sent by a socket of the kernel, which has no owner
        local_socket=True,
        uid=_NO_OWNER,
        gid=_NO_OWNER,
    )


def _gets_no_error(packet: Packet) -> bool:
    """Return whether no ICMP error is sent about a packet: a broadcast, a later fragment, or an error itself."""
    if packet.pkttype != "unicast" or packet.fragment in ("middle", "last") or is_icmp_error(packet):
        return True
    if packet.proto == ICMP:
        return packet.icmp_type not in _ICMP_MESSAGES
    return packet.proto == ICMPV6 and (packet.icmp_type or 0) < _FIRST_ICMPV6_MESSAGE


def _source(context: Context, host: Host) -> int | None:
    """Return the source of an ICMP error: the packet's destination if that is the host's, else one facing the sender.

    The latter is chosen by the route back; in IPv6 the interface that the packet came in by counts first (icmp6_send).
    """
    packet, namespace = context.packet, host.namespace
    local = fib.address_type(namespace, packet.family, packet.dst) in ("LOCAL", "ANYCAST")
    if packet.family == 6 and (packet.dst == _LOOPBACK6 or is_link_local(6, packet.dst)):
        # such an address is the host's only on its own interface (ipv6_chk_addr)
        entry = namespace.interfaces.get(context.in_interface or "lo")
        local = entry is not None and any(one.address == packet.dst for one in entry.addresses)
    # what a bridge switches has the bridge's own route, which is not local (icmp_send, RTCF_LOCAL)
    if local and not (packet.family == 4 and context.bridged):
        return packet.dst
    route = fib.lookup(namespace, packet.family, packet.src)
    if packet.family == 6 and route.source is None and context.entered not in (None, "lo"):
        return select_source(namespace, 6, context.entered, packet.src)
    return fib.source_address(namespace, packet.family, route, packet.src)
