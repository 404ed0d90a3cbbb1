"""The simulated packet: its headers, its payload, and what the kernel knows about it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

from iptsim.addresses import Family
from iptsim.connection import Flow
from iptsim.partly_known import Mark
from iptsim.protocols import ICMP, ICMP_ERRORS, ICMP_REPLIES, ICMPV6, MSS_OPTION, PORT_PROTOCOLS, SYN, TCP

#: The attributes of a packet of which some bits may be unknown.
PARTLY_KNOWN = frozenset({"mark"})


@dataclass(slots=True)
class Packet:
    """A packet's header, payload and the kernel's metadata (mark, owner, type of the frame).

    ``None`` means that the packet has no such value (a forwarded packet has no owner), except for
    ports of a protocol with ports, where it means unknown (a port that the kernel picks at random).
    `defaults` names the fields that the question left open and that have a documented default.
    """

    family: Family
    src: int
    dst: int
    proto: int = TCP
    sport: int | None = None
    dport: int | None = None
    #: bit mask of :data:`TCP_FLAGS`
    tcp_flags: int = SYN
    #: kinds of TCP option present -> their data, e.g. {2: b"\\x05\\xb4"} for an MSS of 1460
    tcp_options: dict[int, bytes] = field(default_factory=dict)
    icmp_type: int | None = None
    icmp_code: int | None = None
    ttl: int = 64
    #: the whole TOS / traffic class byte, ECN bits included
    tos: int = 0
    #: total length of the IP packet in bytes (IPv6: header included)
    length: int = 60
    #: the data after the transport header
    payload: bytes = b""
    #: "first", "middle" or "last" for a fragment, None for a whole packet
    fragment: str | None = None
    #: IPv6 extension headers before the transport header, as (protocol number, content) pairs
    extension_headers: tuple[tuple[int, bytes], ...] = ()
    #: whether IPv6 may be fragmented on the way (ignore_df): conntrack has removed its fragment header on a bridge
    may_be_split: bool = False
    #: SPI of ESP/AH, verification tag and chunks of SCTP, type of DCCP ... by the option's name
    extra: dict[str, Any] = field(default_factory=dict)
    mark: Mark = 0
    secmark: str | None = None
    #: owner of the local socket that sent it; None if there is no local socket, or it is unknown
    uid: int | None = None
    gid: int | None = None
    #: the error of the transport checksum (ones' complement), which SNPT and DNPT may cause
    checksum_error: int = 0
    #: whether a local socket sent the packet
    local_socket: bool = False
    #: whether a transparent proxy has taken it (skb->sk), so that the kernel does not forward it
    proxied: bool = False
    src_mac: str | None = None
    dst_mac: str | None = None
    #: "unicast", "broadcast" or "multicast", by the frame's destination; "loopback" for the host's own
    #: broadcasts, which it receives itself
    pkttype: str = "unicast"
    #: whether the host has received it at a broadcast address of one of its subnets (RTCF_BROADCAST)
    to_broadcast: bool = False
    #: set by the CLASSIFY target, as "major:minor"
    priority: str | None = None
    #: the flow of the packet quoted in an ICMP error, as the sender of the error received it; None if unknown
    quoted: Flow | None = None
    defaults: frozenset[str] = frozenset()

    def copy(self) -> Packet:
        """Return an independent copy."""
        return Packet(*_PACKET_VALUES(self))

    def has_random(self, port: str) -> bool:
        """Return whether the kernel has picked a port, "sport" or "dport", at random."""
        return self.proto in PORT_PROTOCOLS and not self.is_later_fragment and getattr(self, port) is None

    @property
    def is_later_fragment(self) -> bool:
        """Whether it is a fragment without a transport header."""
        return self.fragment in ("middle", "last")

    @property
    def flow(self) -> Flow:
        """The packet's own tuple, which conntrack looks up."""
        return Flow(self.src, self.sport, self.dst, self.dport, self.proto)


# Packets are copied several times per walk: this takes a fifth of the time of copy.copy.
_PACKET_VALUES = attrgetter(*(entry.name for entry in fields(Packet)))


def is_icmp_error(packet: Packet) -> bool:
    """Return whether a packet is an ICMP error about another packet."""
    return packet.icmp_type in ICMP_ERRORS.get(packet.proto, ())


def is_icmp_request(packet: Packet) -> bool:
    """Return whether a packet is an ICMP request, such as a ping."""
    return packet.icmp_type in ICMP_REPLIES.get(packet.proto, {})


def query_of(packet: Packet) -> tuple[int, int] | None:
    """Return the type and code of an ICMP request, by which conntrack knows it and its replies; None for all others."""
    if packet.icmp_type is None or not is_icmp_request(packet):
        return None
    return packet.icmp_type, packet.icmp_code or 0


#: The length in bytes of the header of IPv6 without extension headers.
IPV6_HEADER = 40


def syn_options(family: Family) -> dict[int, bytes]:
    """Return the TCP options of a SYN from Linux: MSS for an MTU of 1500, SACK, timestamps, scale 7."""
    size = (1460 if family == 4 else 1440).to_bytes(2, "big")
    return {MSS_OPTION: size, 4: b"", 8: bytes(8), 1: b"", 3: b"\x07"}


def usual_length(packet: Packet) -> int:
    """Return the default length in bytes of a packet, as Linux would send it."""
    header = 20 if packet.family == 4 else IPV6_HEADER
    if packet.proto == TCP:
        options = sum(1 if kind < 2 else 2 + len(data) for kind, data in packet.tcp_options.items())
        return header + 20 + (options + 3) // 4 * 4
    return header + {ICMP: 64, ICMPV6: 64}.get(packet.proto, 40)
