"""The numbers and names of protocols, TCP flags and ICMP types."""

from __future__ import annotations

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
ICMP, TCP, UDP, DCCP, GRE, ESP, AH, ICMPV6, IPCOMP, SCTP, UDPLITE = (
    1,
    6,
    17,
    33,
    47,
    50,
    51,
    58,
    108,
    132,
    136,
)
#: Protocols whose header starts with a source and a destination port.
PORT_PROTOCOLS = frozenset({TCP, UDP, DCCP, SCTP, UDPLITE})
#: What a header of IPv6 names where no header follows.
NO_NEXT_HEADER = 59
#: The extension headers of IPv6.
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION, MOBILITY = 0, 43, 44, 60, 135

#: ICMP types: requests with their replies, and errors about other packets (nf_conntrack_proto_icmp.c, _icmpv6.c).
ICMP_REPLIES: dict[int, dict[int, int]] = {ICMP: {8: 0, 13: 14, 15: 16, 17: 18}, ICMPV6: {128: 129, 139: 140}}
ICMP_ERRORS: dict[int, frozenset[int]] = {
    ICMP: frozenset({3, 4, 5, 11, 12}),
    ICMPV6: frozenset({1, 2, 3, 4}),
}
#: The TCP option with the maximum segment size.
MSS_OPTION = 2

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
TCP_FLAGS: dict[str, int] = {
    "FIN": FIN, "SYN": SYN, "RST": RST, "PSH": PSH, "ACK": ACK, "URG": URG, "ECE": ECE, "CWR": CWR,
}  # fmt: skip


def tcp_flag_bits(names: str) -> int:
    """Return the bits of TCP flags such as "SYN,ACK"; "NONE" has none."""
    bits = 0
    for name in names.split(","):
        bits |= TCP_FLAGS.get(name.strip().upper(), 0)
    return bits


def protocol_name(number: int) -> str:
    """Return a protocol's name, or its number if it has none."""
    return PROTOCOL_NAMES.get(number, str(number))


def usual_protocol_name(number: int) -> str:
    """Return a protocol's name as questions and answers use it: "icmpv6" for what iptables prints as "ipv6-icmp"."""
    return "icmpv6" if number == ICMPV6 else protocol_name(number)


def is_icmp_query(proto: int, icmp_type: int) -> bool:
    """Return whether an ICMP type is a request or the reply to one: conntrack can invert it."""
    replies = ICMP_REPLIES.get(proto, {})
    return icmp_type in replies or icmp_type in replies.values()
