"""Bytes of packets: made from a :class:`Probe`, and read back from what the kernel shows."""

from __future__ import annotations

import ipaddress
import struct
from typing import NamedTuple

from iptsim.protocols import ACK, ICMP, ICMPV6, SCTP, SYN, TCP, UDP
from tests.kernel.description import Probe

_UDPLITE, _DCCP = 136, 33
_FRAGMENT_HEADER = 44
_EXTENSION_HEADERS = frozenset({0, 43, 60, _FRAGMENT_HEADER})
#: Where a middle and a last fragment start, in units of 8 bytes.
OFFSETS = {"first": 0, "middle": 64, "last": 128}


class Header(NamedTuple):
    """What a look at a packet shows. Fields that the packet lacks are 0."""

    src: str
    dst: str
    proto: int
    sport: int
    dport: int
    tcp_flags: int
    icmp_type: int
    icmp_code: int
    ttl: int
    tos: int
    length: int
    #: IP identification or flow label: tells the laboratory's packets apart
    cookie: int
    #: the cookie of the packet that an ICMP error quotes
    quoted: int
    fragment_offset: int
    more_fragments: bool


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _crc32c_table() -> tuple[int, ...]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return tuple(table)


_CRC32C = _crc32c_table()


def crc32c(data: bytes) -> int:
    """Return the checksum of SCTP (RFC 9260, appendix A)."""
    value = 0xFFFFFFFF
    for octet in data:
        value = value >> 8 ^ _CRC32C[(value ^ octet) & 0xFF]
    return value ^ 0xFFFFFFFF


def _tcp_options(options: dict[int, str]) -> bytes:
    data = b""
    for kind, content in options.items():
        value = bytes.fromhex(content)
        data += bytes([kind]) if kind in (0, 1) else bytes([kind, 2 + len(value)]) + value
    return data + b"\0" * (-len(data) % 4)


def _transport(probe: Probe, payload: bytes, pseudo: bytes) -> bytes:
    """Build the transport header and payload of a whole packet or a first fragment."""
    ports = struct.pack("!HH", probe.sport, probe.dport)
    body = bytes.fromhex(probe.body)
    place: int | None
    if probe.proto == TCP:
        options = _tcp_options(probe.tcp_options)
        # numbers that conntrack's window check takes: both sides begin at 1000
        sequence = 1000 if probe.tcp_flags & SYN else 1001
        acknowledged = 1001 if probe.tcp_flags & ACK else 0
        data = ports + struct.pack(
            "!IIBBHHH", sequence, acknowledged, (5 + len(options) // 4) << 4, probe.tcp_flags, 8192, 0, 0
        )
        data, place = data + options + payload, 16
    elif probe.proto in (UDP, _UDPLITE):
        data, place = ports + struct.pack("!HH", 8 + len(payload) + probe.bad_length, 0) + payload, 6
    elif probe.proto in (ICMP, ICMPV6):
        data = bytes([probe.icmp_type, probe.icmp_code, 0, 0]) + (body or bytes(4)) + payload
        place = 2
        pseudo = pseudo if probe.proto == ICMPV6 else b""
    elif probe.proto == SCTP:
        data = ports + (body or bytes(4)) + bytes(4) + payload
        total = crc32c(data) ^ (1 if probe.bad_checksum else 0)
        return data[:8] + struct.pack("<I", total) + data[12:]
    elif probe.proto == _DCCP:
        data, place = ports + (body or bytes(12)) + payload, 6
    else:
        data, place = body + payload, None
    if place is not None and len(data) >= place + 2:
        total = checksum(pseudo + data) or 0xFFFF
        if probe.bad_checksum:
            total = total ^ 0x0101 or 0x0102
        data = data[:place] + struct.pack("!H", total) + data[place + 2 :]
    return data


def packet(probe: Probe, cookie: int) -> bytes:
    """Build the IP packet. `cookie` becomes its identification or flow label."""
    source, destination = ipaddress.ip_address(probe.src), ipaddress.ip_address(probe.dst)
    payload = bytes.fromhex(probe.payload)
    version = source.version
    if probe.length:
        payload += b"\0" * (probe.length - len(packet(probe.model_copy(update={"length": 0}), 0)))
    if probe.fragment in ("middle", "last"):
        content = payload
    else:
        size = len(_transport(probe, payload, b""))
        if version == 4:
            pseudo = source.packed + destination.packed + struct.pack("!BBH", 0, probe.proto, size)
        else:
            pseudo = source.packed + destination.packed + struct.pack("!II", size, probe.proto)
        content = _transport(probe, payload, pseudo)
    offset = OFFSETS[probe.fragment] if probe.fragment else 0
    more = probe.fragment in ("first", "middle")
    if version == 4:
        flags = (0x4000 if probe.dont_fragment else 0) | (0x2000 if more else 0)
        head = struct.pack(
            "!BBHHHBBH4s4s",
            0x45, probe.tos, 20 + len(content), cookie, offset | flags,
            probe.ttl, probe.proto, 0, source.packed, destination.packed,
        )  # fmt: skip
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + content
    chain = [(kind, bytes.fromhex(data)) for kind, data in probe.extension_headers]
    if probe.fragment:
        chain.append((_FRAGMENT_HEADER, struct.pack("!BHI", 0, offset << 3 | more, cookie)))
    numbers = [kind for kind, _ in chain] + [probe.proto]
    extensions = b"".join(
        bytes([following]) + data for (_, data), following in zip(chain, numbers[1:], strict=True)
    )
    head = struct.pack(
        "!IHBB16s16s",
        6 << 28 | probe.tos << 20 | cookie, len(extensions) + len(content), numbers[0], probe.ttl,
        source.packed, destination.packed,
    )  # fmt: skip
    return head + extensions + content


def read_header(network: bytes, transport: bytes | None = None) -> Header | None:
    """Read a packet; `transport` is its transport header where the kernel shows it apart.

    Returns None for what is no IP packet.
    """
    if len(network) >= 20 and network[0] >> 4 == 4:
        _, tos, length, cookie, bits, ttl, proto = struct.unpack_from("!BBHHHBB", network)
        source, destination = (
            str(ipaddress.IPv4Address(network[12:16])),
            str(ipaddress.IPv4Address(network[16:20])),
        )
        offset, more = bits & 0x1FFF, bool(bits & 0x2000)
        if transport is None:
            transport = network[(network[0] & 15) * 4 :]
    elif len(network) >= 40 and network[0] >> 4 == 6:
        word, length, proto, ttl = struct.unpack_from("!IHBB", network)
        tos, cookie, length = word >> 20 & 0xFF, word & 0xFFFFF, length + 40
        source, destination = (
            str(ipaddress.IPv6Address(network[8:24])),
            str(ipaddress.IPv6Address(network[24:40])),
        )
        offset, more, start = 0, False, 40
        while proto in _EXTENSION_HEADERS and len(network) >= start + 8:
            if proto == _FRAGMENT_HEADER:
                bits = struct.unpack_from("!H", network, start + 2)[0]
                offset, more = bits >> 3, bool(bits & 1)
                size = 8
            else:
                size = 8 + 8 * network[start + 1]
            proto, start = network[start], start + size
        if transport is None:
            transport = network[start:]
    else:
        return None
    sport = dport = flags = icmp_type = icmp_code = quoted = 0
    if not offset:
        if proto in (TCP, UDP, SCTP, _UDPLITE, _DCCP) and len(transport) >= 4:
            sport, dport = struct.unpack_from("!HH", transport)
            flags = transport[13] if proto == TCP and len(transport) >= 14 else 0
        elif proto == ICMP and len(transport) >= 2:
            icmp_type, icmp_code = transport[:2]
            if icmp_type in (3, 4, 5, 11, 12) and len(transport) >= 14:
                quoted = struct.unpack_from("!H", transport, 12)[0]
        elif proto == ICMPV6 and len(transport) >= 2:
            icmp_type, icmp_code = transport[:2]
            if icmp_type < 128 and len(transport) >= 12:
                quoted = struct.unpack_from("!I", transport, 8)[0] & 0xFFFFF
    return Header(
        source, destination, proto, sport, dport, flags, icmp_type, icmp_code,
        ttl, tos, length, cookie, quoted, offset, more,
    )  # fmt: skip
