"""The bytes of a simulated packet, for the matches that read raw data: bpf, string, u32.

A question states little about a packet, so most of its bytes on the wire are unknown: the identification, sequence
numbers, checksums, a payload that was not stated. :func:`wire_bytes` therefore returns the data together with a mask of
the bits that the packet's fields determine. Bits outside it are zero in the data and have no meaning.

Keys of :attr:`Packet.extra` that fill such gaps: `ip_id`, `ip_df`, `fragment_offset` (in bytes),
`flow_label`, `fragment_id`, `tcp_seq`, `tcp_ack`, `tcp_window`, `icmp_id`, `icmp_seq`, `ah_spi`,
`esp_spi`, `ipcomp_cpi`, `dccp_type`. All are numbers; `ip_df` is 0 or 1, `dccp_type` may be a name of
:data:`DCCP_TYPES` as well.
"""

from __future__ import annotations

from typing import NamedTuple

from iptsim.extensions.context import Context
from iptsim.packet import Packet
from iptsim.protocols import (
    AH,
    DCCP,
    ESP,
    FRAGMENT,
    ICMP,
    ICMPV6,
    IPCOMP,
    PORT_PROTOCOLS,
    SCTP,
    TCP,
    UDP,
    UDPLITE,
    URG,
)

#: DCCP packet types in the order of their numbers; INVALID is every further number.
DCCP_TYPES = (
    "REQUEST", "RESPONSE", "DATA", "ACK", "DATAACK", "CLOSEREQ", "CLOSE", "RESET", "SYNC", "SYNCACK",
    "INVALID",
)  # fmt: skip
#: the ICMP types whose header continues with an identifier and a sequence number
_ECHO = {ICMP: (0, 8, 13, 14, 15, 16, 17, 18), ICMPV6: (128, 129)}


class WireBytes(NamedTuple):
    """An IP packet's data, from its IP header on.

    Attributes:
        data: the bytes; unknown bits are 0.
        known: as long as `data`; a set bit means that the bit of `data` is known.
        fields: as long as `data`; the packet field from which each byte comes, empty for none.
    """

    data: bytes
    known: bytes
    fields: tuple[str, ...]

    def number(self, context: Context, offset: int, size: int) -> tuple[int, int] | None:
        """Return the big-endian number at an offset and the mask of its known bits.

        Fields with a default are noted in `consulted`. None if it is not completely inside the packet.
        """
        end = offset + size
        if offset < 0 or end > len(self.data):
            return None
        context.consulted.update(context.packet.defaults.intersection(self.fields[offset:end]))
        return int.from_bytes(self.data[offset:end], "big"), int.from_bytes(self.known[offset:end], "big")


class _Writer:
    """Collects bytes, which of their bits are known, and the fields that they come from."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.known = bytearray()
        self.fields: list[str] = []

    def put(self, value: int | None, size: int, mask: int = -1, field: str = "") -> None:
        """Add a number of `size` bytes; None, or bits outside `mask`, are unknown."""
        known = 0 if value is None else mask & (1 << 8 * size) - 1
        self.data += ((value or 0) & known).to_bytes(size, "big")
        self.known += known.to_bytes(size, "big")
        self.fields += [field] * size

    def raw(self, data: bytes, field: str = "") -> None:
        """Add known bytes."""
        self.data += data
        self.known += b"\xff" * len(data)
        self.fields += [field] * len(data)

    def append(self, other: _Writer) -> None:
        """Append what another writer has collected."""
        self.data += other.data
        self.known += other.known
        self.fields += other.fields

    def finish(self, length: int) -> WireBytes:
        """Return what was collected, padded with unknown bytes to a length."""
        self.put(None, max(0, length - len(self.data)), field="payload")
        return WireBytes(bytes(self.data), bytes(self.known), tuple(self.fields))


def wire_bytes(packet: Packet) -> WireBytes:
    """Return the IP packet's bytes: IP header, extension headers, transport header, payload.

    They extend to the packet's `length`, or further if its content is longer. A payload that was not stated is unknown
    up to that length.
    """
    extensions = _Writer()
    first = _put_extensions(extensions, packet) if packet.family == 6 else packet.proto
    head = 40 + len(extensions.data) if packet.family == 6 else 20
    transport = _transport(packet, 0)
    total = _total(packet, head + len(transport.data) + len(packet.payload))
    transport = _transport(packet, total - head)
    transport.raw(packet.payload, "payload")
    writer = _Writer()
    if packet.family == 6:
        _put_ipv6(writer, packet, first, total)
    else:
        _put_ipv4(writer, packet, total)
    writer.append(extensions)
    writer.append(transport)
    return writer.finish(total)


def transport_offset(packet: Packet) -> int:
    """Return how many bytes precede the transport header."""
    if packet.family == 4:
        return 20
    extensions = _Writer()
    _put_extensions(extensions, packet)
    return 40 + len(extensions.data)


def _total(packet: Packet, content: int) -> int:
    """Return the packet's length; a stated payload takes precedence over an unstated length."""
    if packet.payload and "length" in packet.defaults and "payload" not in packet.defaults:
        return content
    return max(packet.length, content)


def _fragment_bits(packet: Packet, shift: int, more: int) -> tuple[int, int]:
    """Return the 16 bits that hold a fragment's offset, and the mask of the known ones.

    Args:
        packet: the fragment.
        shift: the position of the offset's lowest bit.
        more: the bit for more fragments to follow.
    """
    offset = packet.extra.get("fragment_offset", 0 if packet.fragment == "first" else None)
    value = more if packet.fragment in ("first", "middle") else 0
    if offset is None:
        return value, 0xFFFF & ~(0x1FFF << shift)
    return value | offset // 8 << shift, 0xFFFF


def _put_ipv4(writer: _Writer, packet: Packet, total: int) -> None:
    extra = packet.extra
    writer.put(0x45, 1)
    writer.put(packet.tos, 1, field="tos")
    writer.put(total, 2, field="length")
    writer.put(extra.get("ip_id"), 2)
    if packet.fragment:
        bits, known = _fragment_bits(packet, 0, 0x2000)
        writer.put(bits, 2, known)
    else:
        writer.put(0x4000 if extra.get("ip_df") else 0, 2, 0xFFFF if "ip_df" in extra else 0xBFFF)
    writer.put(packet.ttl, 1, field="ttl")
    writer.put(packet.proto, 1, field="proto")
    writer.put(None, 2)
    writer.put(packet.src, 4, field="src")
    writer.put(packet.dst, 4, field="dst")


def _put_ipv6(writer: _Writer, packet: Packet, first: int, total: int) -> None:
    label = packet.extra.get("flow_label")
    writer.put(6 << 28 | packet.tos << 20 | (label or 0), 4, -1 if label is not None else 0xFFF00000, "tos")
    writer.put(total - 40, 2, field="length")
    writer.put(first, 1, field="proto")
    writer.put(packet.ttl, 1, field="ttl")
    writer.put(packet.src, 16, field="src")
    writer.put(packet.dst, 16, field="dst")


def extension_headers(packet: Packet) -> tuple[tuple[int, bytes], ...]:
    """Return an IPv6 packet's extension headers as (protocol number, content) pairs.

    The content is what follows the header's first two bytes. A fragment has a fragment header even if it is not listed;
    unknown values in it are 0.
    """
    headers = packet.extension_headers
    if packet.fragment and all(number != FRAGMENT for number, _ in headers):
        bits, _ = _fragment_bits(packet, 3, 1)
        identification = int(packet.extra.get("fragment_id", 0))
        headers = (*headers, (FRAGMENT, bits.to_bytes(2, "big") + identification.to_bytes(4, "big")))
    return headers


def header_size(number: int, content: bytes) -> int:
    """Return how many bytes an extension header takes, its first two and its padding included."""
    unit = 4 if number == AH else 8
    return max(8, -(-(2 + len(content)) // unit) * unit)


def _put_extensions(writer: _Writer, packet: Packet) -> int:
    """Add the extension headers and return the value of the IPv6 header's next-header field."""
    headers = extension_headers(packet)
    next_headers = [*(number for number, _ in headers), packet.proto][1:]
    for (number, content), next_header in zip(headers, next_headers, strict=True):
        size = header_size(number, content)
        length = 0 if number == FRAGMENT else size // 4 - 2 if number == AH else size // 8 - 1
        writer.put(next_header, 1, field="proto")
        writer.put(length, 1)
        writer.raw(content.ljust(size - 2, b"\0"))
    if len(headers) > len(packet.extension_headers):
        # the fragment header that was not listed: its offset and identification may be unknown
        writer.known[-6:-4] = _fragment_bits(packet, 3, 1)[1].to_bytes(2, "big")
        if "fragment_id" not in packet.extra:
            writer.known[-4:] = bytes(4)
    return headers[0][0] if headers else packet.proto


def _transport(packet: Packet, length: int) -> _Writer:
    """Return the transport header of a packet whose transport header and payload take `length` bytes."""
    writer, proto, extra = _Writer(), packet.proto, packet.extra
    if packet.is_later_fragment:
        return writer
    if proto in PORT_PROTOCOLS:
        writer.put(packet.sport, 2, field="sport")
        writer.put(packet.dport, 2, field="dport")
    if proto == TCP:
        _put_tcp(writer, packet)
    elif proto == UDP:
        # a first fragment carries the length of the whole datagram, which is unknown
        writer.put(None if packet.fragment else length, 2, field="length")
        writer.put(None, 2)
    elif proto == UDPLITE:
        writer.put(None, 4)
    elif proto == SCTP:
        writer.put(None, 8)
    elif proto == DCCP:
        kind = dccp_type(packet)
        writer.put(None, 4)
        writer.put(None if kind is None else kind << 1, 1, 0x1E)
        writer.put(None, 3)
    elif proto in (ICMP, ICMPV6):
        writer.put(packet.icmp_type, 1, field="icmp_type")
        writer.put(packet.icmp_code, 1, field="icmp_code")
        writer.put(None, 2)
        writer.put(extra.get("icmp_id", packet.sport if packet.icmp_type in _ECHO[proto] else None), 2)
        writer.put(extra.get("icmp_seq"), 2)
    elif proto == ESP:
        writer.put(extra.get("esp_spi"), 4)
        writer.put(None, 4)
    elif proto == IPCOMP:
        writer.put(None, 2)
        writer.put(extra.get("ipcomp_cpi"), 2)
    elif proto == AH:
        writer.put(None, 4)
        writer.put(extra.get("ah_spi"), 4)
        writer.put(None, 4)
    return writer


def dccp_type(packet: Packet) -> int | None:
    """Return the number of a DCCP packet's type, None if it was not stated."""
    stated = packet.extra.get("dccp_type")
    if stated is None or isinstance(stated, int):
        return stated
    return int(stated) if stated.isdecimal() else DCCP_TYPES.index(stated.upper())


def _put_tcp(writer: _Writer, packet: Packet) -> None:
    """Add a TCP header without its ports."""
    extra = packet.extra
    options = b"".join(
        bytes([kind]) if kind in (0, 1) else bytes([kind, 2 + len(data)]) + data
        for kind, data in packet.tcp_options.items()
    )
    options += bytes(-len(options) % 4)
    writer.put(extra.get("tcp_seq"), 4)
    writer.put(extra.get("tcp_ack"), 4)
    writer.put((20 + len(options)) // 4 << 4, 1, field="tcp_options")
    writer.put(packet.tcp_flags, 1, field="tcp_flags")
    writer.put(extra.get("tcp_window"), 2)
    writer.put(None, 2)
    writer.put(None if packet.tcp_flags & URG else 0, 2)
    writer.raw(options, "tcp_options")
