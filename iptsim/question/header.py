"""The header of a question's packet; what the question leaves open gets a default."""

from __future__ import annotations

from iptsim.addresses import Family
from iptsim.packet import Packet, syn_options, usual_length
from iptsim.protocols import (
    ICMP,
    ICMPV6,
    MSS_OPTION,
    PORT_PROTOCOLS,
    TCP,
    TCP_FLAGS,
    is_icmp_query,
    tcp_flag_bits,
)
from iptsim.question.model import Question
from iptsim.question.quoted import read_quoted

DEFAULT_SPORT = 40000
#: Defaults that are not worth a remark: a packet that no rule marked has the mark 0.
_UNREMARKED = frozenset({"mark", "icmp_code"})


def make_packet(question: Question, family: Family, src: int, dst: int) -> Packet:
    """Make the packet of a question. The names of the fields that got a default are in `defaults`.

    Raises:
        UsageError: the packet that it quotes is not valid.
    """
    proto = question.protocol
    if family == 6 and proto == ICMP:
        proto = ICMPV6
    packet = Packet(family, src, dst, proto)
    defaults = set()

    def fill(name: str, given: object, default: object) -> None:
        if given is None:
            defaults.add(name)
        setattr(packet, name, default if given is None else given)

    if proto in PORT_PROTOCOLS:
        fill("sport", question.sport, DEFAULT_SPORT)
        fill("dport", question.dport, 80 if proto == TCP else 53)
    if proto == TCP:
        fill("tcp_flags", _stated_flags(question), TCP_FLAGS["ACK" if _is_later(question) else "SYN"])
        fill(
            "tcp_options",
            _stated_options(question),
            syn_options(family) if packet.tcp_flags & TCP_FLAGS["SYN"] else {},
        )
    else:
        packet.tcp_flags = 0
    if proto in (ICMP, ICMPV6):
        fill("icmp_type", question.icmp_type, 8 if proto == ICMP else 128)
        fill("icmp_code", question.icmp_code, 0)
        if is_icmp_query(proto, packet.icmp_type or 0):
            # conntrack keeps the identifier where others have ports
            packet.sport = packet.dport = question.extra.get("icmp_id")
    fill("ttl", question.ttl, 64)
    fill("tos", question.tos, 0)
    fill("length", question.length, usual_length(packet))
    fill("payload", bytes.fromhex(question.payload_hex) if question.payload_hex is not None else None, b"")
    fill("mark", question.mark, 0)
    packet.fragment = question.fragment
    packet.uid, packet.gid = question.uid, question.gid
    fill("src_mac", question.src_mac, None)
    fill("dst_mac", question.dst_mac, None)
    fill("pkttype", question.pkttype or _frame_kind(question.dst_mac), "unicast")
    packet.extra = dict(question.extra)
    packet.extension_headers = tuple((kind, bytes.fromhex(data)) for kind, data in question.extension_headers)
    packet.defaults = frozenset(defaults - _UNREMARKED)
    packet.quoted = read_quoted(question, packet)
    return packet


def _is_later(question: Question) -> bool:
    """Return whether the packet is a later one of its connection."""
    return question.state == "established" or question.after is not None


def _stated_flags(question: Question) -> int | None:
    return None if question.tcp_flags is None else tcp_flag_bits(question.tcp_flags)


def _stated_options(question: Question) -> dict[int, bytes] | None:
    if question.tcp_options is None and question.mss is None:
        return None
    options = {kind: bytes.fromhex(data) for kind, data in (question.tcp_options or {}).items()}
    if question.mss is not None:
        options[MSS_OPTION] = question.mss.to_bytes(2, "big")
    return options


def _frame_kind(mac: str | None) -> str | None:
    """Return how a frame to a MAC address is addressed, None if there is no address."""
    if mac is None:
        return None
    if mac.lower() == "ff:ff:ff:ff:ff:ff":
        return "broadcast"
    return "multicast" if int(mac.split(":")[0], 16) & 1 else "unicast"
