"""The packet that an ICMP error quotes: as the question tells it, or read from the error's content."""

from __future__ import annotations

from iptsim.errors import UsageError
from iptsim.extensions.parameters import parse_protocol
from iptsim.packet import (
    ICMP,
    ICMPV6,
    PORT_PROTOCOLS,
    Flow,
    Packet,
    address_text,
    is_icmp_error,
    is_icmp_query,
    parse_address,
)
from iptsim.question.model import Inner, Question

#: IPv6 headers that may stand before the transport header, and the one of fragments.
_EXTENSIONS, _FRAGMENT = frozenset({0, 43, 44, 60}), 44
#: Octets of an ICMP header: conntrack reads the whole of a quoted one, but only the ports of others.
_ICMP_HEADER = 8
#: Stands for a quoted packet that conntrack can't look up.
UNREADABLE = Flow(0, None, 0, None, 0)


def read_quoted(question: Question, error: Packet) -> Flow | None:
    """Return the flow of the packet that an ICMP error quotes, None where nobody said.

    Raises:
        UsageError: the question quotes a packet that can't be one, or the packet is no ICMP error.
    """
    inner = question.inner
    if not is_icmp_error(error):
        if inner is not None:
            raise UsageError(
                "inner: only an ICMP error quotes a packet; say which with proto icmp and icmp_type"
            )
        return None
    if inner is not None:
        return _stated(inner, error)
    if question.payload_hex is None:
        return None
    found = _from_ipv4(error.payload) if error.family == 4 else _from_ipv6(error.payload)
    return found or UNREADABLE


def _stated(inner: Inner, error: Packet) -> Flow:
    proto = parse_protocol(inner.proto or "tcp")
    if error.family == 6 and proto == ICMP:
        proto = ICMPV6
    ends = []
    for name, text in (("src", inner.src or address_text(error.family, error.dst)), ("dst", inner.dst)):
        try:
            family, address = parse_address(text)
        except ValueError:
            raise UsageError(f"inner.{name}: {text[:40]!r} is not an IP address") from None
        if family != error.family:
            raise UsageError(
                f"inner.{name}: {text} is an IPv{family} address, but the error is IPv{error.family}"
            )
        ends.append(address)
    sport, dport = inner.sport, inner.dport
    if proto in (ICMP, ICMPV6):
        if inner.icmp_type is not None and not is_icmp_query(proto, inner.icmp_type):
            return UNREADABLE
        sport = dport = inner.icmp_id
    return Flow(ends[0], sport, ends[1], dport, proto)


def _from_ipv4(data: bytes) -> Flow | None:
    """Read a quoted IPv4 packet (nf_ct_get_tuplepr); of a later fragment conntrack makes nothing."""
    if len(data) < 20 or data[0] >> 4 != 4 or int.from_bytes(data[6:8], "big") & 0x1FFF:
        return None
    return _flow(data[12:16], data[16:20], data[9], data[(data[0] & 15) * 4 :])


def _from_ipv6(data: bytes) -> Flow | None:
    if len(data) < 40 or data[0] >> 4 != 6:
        return None
    proto, rest = data[6], data[40:]
    while proto in _EXTENSIONS:
        if len(rest) < 8 or (proto == _FRAGMENT and int.from_bytes(rest[2:4], "big") >> 3):
            return None
        size = 8 if proto == _FRAGMENT else 8 + 8 * rest[1]
        proto, rest = rest[0], rest[size:]
    return _flow(data[8:24], data[24:40], proto, rest)


def _flow(src: bytes, dst: bytes, proto: int, transport: bytes) -> Flow | None:
    source, destination = int.from_bytes(src, "big"), int.from_bytes(dst, "big")
    if proto in (ICMP, ICMPV6):
        if len(transport) < _ICMP_HEADER or not is_icmp_query(proto, transport[0]):
            return None
        number = int.from_bytes(transport[4:6], "big")
        return Flow(source, number, destination, number, proto)
    if proto in PORT_PROTOCOLS:
        if len(transport) < 4:
            return None
        sport, dport = int.from_bytes(transport[:2], "big"), int.from_bytes(transport[2:4], "big")
        return Flow(source, sport, destination, dport, proto)
    return Flow(source, None, destination, None, proto)
