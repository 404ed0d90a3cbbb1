"""The simulated packet, its connection, and the context in which a rule is evaluated.

Addresses are plain integers with a separate family (4 or 6), as the kernel compares them;
:func:`address_text` and :func:`parse_address` convert them. Nothing here decides a verdict.
"""

from __future__ import annotations

import copy
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal, NamedTuple, Protocol

from iptsim.languages import Text, message
from iptsim.partly_known import Mark

Family = Literal[4, 6]
FAMILIES: tuple[Family, Family] = (4, 6)
#: The bits of an address.
BITS: dict[int, int] = {4: 32, 6: 128}
Direction = Literal["original", "reply"]

#: The attributes of a packet of which some bits may be unknown.
PARTLY_KNOWN = frozenset({"mark"})

#: Protocols by the names that iptables prints, from netbase's /etc/protocols.
PROTOCOLS: dict[str, int] = {
    "ip": 0, "hopopt": 0, "icmp": 1, "igmp": 2, "ggp": 3, "ipencap": 4, "st": 5, "tcp": 6, "egp": 8, "igp": 9,
    "pup": 12, "udp": 17, "hmp": 20, "xns-idp": 22, "rdp": 27, "iso-tp4": 29, "dccp": 33, "xtp": 36, "ddp": 37,
    "idpr-cmtp": 38, "ipv6": 41, "ipv6-route": 43, "ipv6-frag": 44, "idrp": 45, "rsvp": 46, "gre": 47,
    "esp": 50, "ah": 51, "skip": 57, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "rspf": 73,
    "vmtp": 81, "eigrp": 88, "ospf": 89, "ax.25": 93, "ipip": 94, "etherip": 97, "encap": 98, "pim": 103,
    "ipcomp": 108, "vrrp": 112, "l2tp": 115, "isis": 124, "sctp": 132, "fc": 133, "mobility-header": 135,
    "udplite": 136, "mpls-in-ip": 137, "manet": 138, "hip": 139, "shim6": 140, "wesp": 141, "rohc": 142,
    "ethernet": 143,
}  # fmt: skip
PROTOCOL_NAMES: dict[int, str] = {number: name for name, number in PROTOCOLS.items() if number}
#: Protocols whose header starts with a source and a destination port.
PORT_PROTOCOLS = frozenset({6, 17, 33, 132, 136})
ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132

#: ICMP types: requests with their replies, and errors about other packets (nf_conntrack_proto_icmp.c, _icmpv6.c).
ICMP_REPLIES: dict[int, dict[int, int]] = {ICMP: {8: 0, 13: 14, 15: 16, 17: 18}, ICMPV6: {128: 129, 139: 140}}
_ICMP_ERRORS: dict[int, frozenset[int]] = {
    ICMP: frozenset({3, 4, 5, 11, 12}),
    ICMPV6: frozenset({1, 2, 3, 4}),
}
#: The TCP option with the maximum segment size.
MSS_OPTION = 2

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
TCP_FLAGS: dict[str, int] = {
    "FIN": FIN, "SYN": SYN, "RST": RST, "PSH": PSH, "ACK": ACK, "URG": URG, "ECE": ECE, "CWR": CWR,
}  # fmt: skip


def is_loopback(family: int, address: int) -> bool:
    """Return whether an address is a loopback address."""
    return address >> 24 == 127 if family == 4 else address == 1


def is_multicast(family: int, address: int) -> bool:
    """Return whether an address is a multicast group."""
    return address >> 28 == 0xE if family == 4 else address >> 120 == 0xFF


def is_link_local(family: int, address: int) -> bool:
    """Return whether an address names a machine only together with a link: 169.254.0.0/16, fe80::/10."""
    return address >> 16 == 0xA9FE if family == 4 else address >> 118 == 0xFE80 >> 6


@lru_cache(maxsize=65536)
def address_text(family: int, address: int) -> str:
    """Return the text of an address in the form of inet_ntop(3), which iptables prints.

    >>> address_text(4, 0xAC110002), address_text(6, 0xFFFF01020304)
    ('172.17.0.2', '::ffff:1.2.3.4')
    """
    if family == 4:
        return socket.inet_ntop(socket.AF_INET, address.to_bytes(4, "big"))
    return socket.inet_ntop(socket.AF_INET6, address.to_bytes(16, "big"))


def endpoint_text(family: int, address: int, port: int | None) -> str:
    """Return an address and a port in the usual notation.

    >>> endpoint_text(4, 0x0A000009, 80), endpoint_text(6, 1, 80), endpoint_text(4, 0x0A000009, None)
    ('10.0.0.9:80', '[::1]:80', '10.0.0.9')
    """
    text = address_text(family, address)
    if port is None:
        return text
    return f"[{text}]:{port}" if family == 6 else f"{text}:{port}"


def ip_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read an IPv4 or IPv6 address as an object of :mod:`ipaddress`.

    Raises:
        ValueError: `text` is not an address.
    """
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(message("{text!r} is not an IP address", text=text)) from None


@lru_cache(maxsize=65536)
def parse_address(text: str) -> tuple[Family, int]:
    """Read an IPv4 or IPv6 address.

    Raises:
        ValueError: `text` is not an address.
    """
    address = ip_address(text)
    return (4 if address.version == 4 else 6), int(address)


def protocol_name(number: int) -> str:
    """Return a protocol's name, or its number if it has none."""
    return PROTOCOL_NAMES.get(number, str(number))


class Flow(NamedTuple):
    """One direction of a connection: the key of conntrack. For ICMP echo, the ports contain the ID."""

    src: int
    sport: int | None
    dst: int
    dport: int | None
    proto: int

    def reversed(self) -> Flow:
        """Return the flow of the replies."""
        return Flow(self.dst, self.dport, self.src, self.sport, self.proto)


class Zone(NamedTuple):
    """A conntrack zone: its number for each direction; `--zone-orig` and `--zone-reply` set only one of them."""

    original: int = 0
    reply: int = 0

    @property
    def id(self) -> int:
        """The zone's number, whatever its direction."""
        return self.original or self.reply

    def with_mark(self, mark: int) -> Zone:
        """Return the zone with the number that a packet's mark names, where a rule left it to the mark."""
        return Zone(*(mark & 0xFFFF if number == ZONE_OF_MARK else number for number in self))


#: The number of a zone that the packet's mark names when conntrack looks the packet up (`CT --zone mark`).
ZONE_OF_MARK = -1
NO_ZONE = Zone()


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
    #: set by the CLASSIFY target, as "major:minor"
    priority: str | None = None
    #: the flow of the packet quoted in an ICMP error, as the sender of the error received it; None if unknown
    quoted: Flow | None = None
    defaults: frozenset[str] = frozenset()

    def copy(self) -> Packet:
        """Return an independent copy."""
        return Packet(*_PACKET_VALUES(self))

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
    return packet.icmp_type in _ICMP_ERRORS.get(packet.proto, ())


def is_icmp_request(packet: Packet) -> bool:
    """Return whether a packet is an ICMP request, such as a ping."""
    return packet.icmp_type in ICMP_REPLIES.get(packet.proto, {})


def query_of(packet: Packet) -> tuple[int, int] | None:
    """Return the type and code of an ICMP request, by which conntrack knows it and its replies; None for all others."""
    if packet.icmp_type is None or not is_icmp_request(packet):
        return None
    return packet.icmp_type, packet.icmp_code or 0


def is_icmp_query(proto: int, icmp_type: int) -> bool:
    """Return whether an ICMP type is a request or the reply to one: conntrack can invert it."""
    replies = ICMP_REPLIES.get(proto, {})
    return icmp_type in replies or icmp_type in replies.values()


def syn_options(family: Family) -> dict[int, bytes]:
    """Return the TCP options of a SYN from Linux: MSS for an MTU of 1500, SACK, timestamps, scale 7."""
    size = (1460 if family == 4 else 1440).to_bytes(2, "big")
    return {MSS_OPTION: size, 4: b"", 8: bytes(8), 1: b"", 3: b"\x07"}


def usual_length(packet: Packet) -> int:
    """Return the default length in bytes of a packet, as Linux would send it."""
    header = 20 if packet.family == 4 else 40
    if packet.proto == TCP:
        options = sum(1 if kind < 2 else 2 + len(data) for kind, data in packet.tcp_options.items())
        return header + 20 + (options + 3) // 4 * 4
    return header + {ICMP: 64, ICMPV6: 64}.get(packet.proto, 40)


@dataclass(slots=True)
class Connection:
    """A conntrack entry.

    Attributes:
        original: the first packet's flow, before any translation.
        reply: the flow of the replies on the wire.
        status: among "SEEN_REPLY", "ASSURED", "CONFIRMED", "EXPECTED", "SNAT", "DNAT".
        related: the connection was expected by, or belongs to, another one (ctstate RELATED for its
            first packet).
        accounting: bytes and packets so far by direction, if known (`-m connbytes`).
        nat_done: the settled translations ("src", "dst"), for which no nat chain is evaluated again.
        masqueraded_on: the interface by which it left when MASQUERADE translated it.
        tcp_state: the state of a TCP connection, if conntrack has seen it begin or its line says so.
        icmp: the type and code of its first packet, if it is one of ICMP's requests and they are known.
    """

    family: Family
    original: Flow
    reply: Flow
    mark: Mark = 0
    zone: Zone = NO_ZONE
    helper: str | None = None
    #: helper of the connection that expected this one (for `-m helper`)
    master_helper: str | None = None
    labels: frozenset[int] = frozenset()
    status: frozenset[str] = frozenset()
    related: bool = False
    secmark: str | None = None
    expires: int | None = None
    packets: dict[Direction, int] | None = None
    bytes: dict[Direction, int] | None = None
    nat_done: frozenset[str] = frozenset()
    masqueraded_on: str | None = None
    tcp_state: str | None = None
    icmp: tuple[int, int] | None = None

    def copy(self) -> Connection:
        """Return an independent copy."""
        return copy.copy(self)

    @property
    def is_confirmed(self) -> bool:
        """Whether it is in conntrack's table."""
        return "CONFIRMED" in self.status

    def carried(self, state: str | None) -> tuple[dict[Direction, int] | None, dict[Direction, int] | None]:
        """Return the packets and bytes by direction before a packet of this state; None for those that are unknown."""
        if state == "NEW" and not self.is_confirmed:
            return {"original": 0, "reply": 0}, {"original": 0, "reply": 0}
        return self.packets, self.bytes


class State(NamedTuple):
    """The state of a packet in conntrack: its ctstate, its entry, and its direction in that connection."""

    state: str
    connection: Connection | None
    direction: Direction = "original"


class Unknown(NamedTuple):
    """The third truth value: the dump, the capture and the question do not determine the result.

    Attributes:
        reason: why, as a phrase that follows "depends on": "the contents of ipset blocklist".
        decide: what would decide it, as a phrase that follows "ask again with": "--assume limit=yes" or
            "ipset-save.txt in the capture".
        key: equal keys must go the same way within one walk (set membership, the owner); an empty
            key represents a new decision each time (limit, statistic).
        learn: takes the decision, if more than this result follows from it.
    """

    reason: Text
    decide: Text = ""
    key: tuple[Any, ...] = ()
    learn: Callable[[bool], None] | None = None


#: True, False, or Unknown with its reason. There is no other way to express "maybe".
Truth = bool | Unknown


def negate(truth: Truth) -> Truth:
    """Return the negation; a negated Unknown is Unknown."""
    if not isinstance(truth, Unknown):
        return not truth
    learn = truth.learn
    return truth if learn is None else truth._replace(learn=lambda result: learn(not result))


class Surroundings(Protocol):
    """What a match may query about the world around the rules. The walker provides it."""

    def address_type(self, family: Family, address: int, interface: str | None) -> str | Unknown:
        """Return addrtype's name of an address: LOCAL, UNICAST, BROADCAST, MULTICAST, BLACKHOLE ...

        With `interface`, only that interface's own addresses are LOCAL (`--limit-iface-in/out`).
        """

    def reverse_path(self, context: Context, *, loose: bool, validmark: bool, accept_local: bool) -> Truth:
        """Return whether the packet passes the reverse path check (`-m rpfilter`)."""

    def set_contains(
        self, name: str, directions: tuple[str, ...], context: Context, options: dict[str, Any]
    ) -> Truth:
        """Return whether the packet is in an ipset; `options` are those of `-m set`."""

    def fact(self, name: str) -> Any:
        """Return a fact from the question or the capture (e.g. "time", "cpu"), or None."""

    def path_mtu(self, context: Context) -> int | None:
        """Return the smaller MTU of the routes to both ends of a packet, None if unknown."""

    def recent(self, name: str) -> dict[int, list[float]] | None:
        """Return the entries of a `-m recent` list (address -> ages in seconds), None if unknown.

        Changes by the caller persist for the rest of the walk.
        """

    def change_set(
        self,
        name: str,
        directions: tuple[str, ...],
        action: str,
        context: Context,
        *,
        overwrite: bool = False,
    ) -> bool:
        """Add the packet's entry to an ipset ("add"), or delete it ("del"); return whether the set accepts it.

        `overwrite`: an existing entry counts as added (`--exist`).
        """


@dataclass(slots=True)
class Context:
    """The context of a rule: the packet, its connection, the interfaces, the surroundings.

    Attributes:
        hook: PREROUTING, INPUT, FORWARD, OUTPUT or POSTROUTING.
        table: raw, mangle, nat, filter or security.
        in_interface / out_interface: None if the hook has none (OUTPUT has no input).
        physical_in / physical_out: bridge ports, if br_netfilter passes the packet to iptables.
        bridged: the frame is switched, not routed.
        entered: the interface on which the IP layer received the packet; None for locally generated or
            switched packets.
        state: ctstate of the packet: NEW, ESTABLISHED, RELATED, INVALID, UNTRACKED; None if
            conntrack is off.
        connection: the entry; None for INVALID and UNTRACKED packets, or if conntrack is off.
        direction: the packet's direction in its connection.
        backend: "nf_tables" or "legacy"; a few matches differ.
        version: of the iptables that saved the rules ("1.8.9"), None if unknown; some versions load
            other rules than those they print.
        consulted: names of packet fields that were used with their default.
        notrack / zone / helper: the settings of a CT target in the raw table.
        template: whether there was such a target: only the first one has an effect.
        inherits: an ICMP error without an entry, like the packet that it is about
            (nf_conntrack_attach): no such target has an effect.
    """

    packet: Packet
    hook: str
    table: str
    surroundings: Surroundings
    in_interface: str | None = None
    out_interface: str | None = None
    physical_in: str | None = None
    physical_out: str | None = None
    bridged: bool = False
    entered: str | None = None
    state: str | None = None
    connection: Connection | None = None
    direction: Direction = "original"
    backend: str = "nf_tables"
    version: str | None = None
    consulted: set[str] = field(default_factory=set)
    notrack: bool = False
    zone: Zone = NO_ZONE
    helper: str | None = None
    template: bool = False
    inherits: bool = False

    @property
    def frameless(self) -> bool:
        """Whether the packet did not arrive in an Ethernet frame (xt_mac.c, ip_set_bitmap_ipmac.c).

        Packets of the host itself do not, nor do the copies of its own broadcasts.
        """
        # a packet that a bridge switches has no input interface in POSTROUTING, but still has its frame
        own = self.in_interface is None and self.physical_in is None
        return own or self.in_interface == "lo" or self.packet.pkttype == "loopback"
