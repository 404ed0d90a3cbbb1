"""The packet that an ICMP error quotes: stated in the question, or read from the content of the error."""

from __future__ import annotations

from collections.abc import Iterable

from iptsim.connection import Connection, Flow, State, Zone
from iptsim.errors import UsageError
from iptsim.extensions.parameters import parse_protocol
from iptsim.languages import message
from iptsim.packet import Packet, is_icmp_error
from iptsim.protocols import ICMP, ICMPV6, PORT_PROTOCOLS, is_icmp_query
from iptsim.question.model import Question, QuotedPacket, check_family

#: IPv6 headers that can precede the transport header, and the fragment header.
_EXTENSIONS, _FRAGMENT = frozenset({0, 43, 44, 60}), 44
#: Bytes of an ICMP header: conntrack reads the whole of a quoted one, but only the ports of other protocols.
_ICMP_HEADER = 8
#: The flow of a quoted packet that conntrack can't look up.
UNREADABLE = Flow(0, None, 0, None, 0)


def read_quoted(question: Question, error: Packet) -> Flow | None:
    """Return the flow of the packet that an ICMP error quotes, None if it is not known.

    Raises:
        UsageError: the quoted packet is of the other family, or the packet is not an ICMP error.
    """
    inner = question.inner
    if not is_icmp_error(error):
        if inner is not None:
            raise UsageError(
                message("inner: only an ICMP error quotes a packet; give -p icmp and icmp_type as well")
            )
        return None
    if inner is not None:
        return _stated(inner, error)
    if question.payload_hex is None:
        return None
    found = _from_ipv4(error.payload) if error.family == 4 else _from_ipv6(error.payload)
    return found or UNREADABLE


def _stated(inner: QuotedPacket, error: Packet) -> Flow:
    proto = parse_protocol(inner.proto or "tcp")
    if error.family == 6 and proto == ICMP:
        proto = ICMPV6
    for name, address in (("src", inner.src), ("dst", inner.dst)):
        check_family(f"inner.{name}", address, error.family)
    sport, dport = inner.sport, inner.dport
    if proto in (ICMP, ICMPV6):
        if inner.icmp_type is not None and not is_icmp_query(proto, inner.icmp_type):
            return UNREADABLE
        sport = dport = inner.icmp_id
    return Flow(error.dst if inner.src is None else inner.src.value, sport, inner.dst.value, dport, proto)


def _from_ipv4(data: bytes) -> Flow | None:
    """Read a quoted IPv4 packet (nf_ct_get_tuplepr); later fragments are not looked up."""
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


def find_quoted(
    error: Packet, quoted: Flow, connections: Iterable[Connection], zone: Zone | None = None
) -> State | None:
    """Return the state of an ICMP error, which belongs to the connection of the quoted packet.

    The kernel looks up the quoted packet's reply, as the sender of the error saw it; the error must go to the
    quoted packet's sender (nf_conntrack_inet_error). Unknown ports count as equal.

    Args:
        error: the packet.
        quoted: the flow of the packet that it quotes.
        connections: the known connections.
        zone: the zone of the error; None searches all zones.
    """
    back = quoted.reversed()
    if error.dst != back.dst:
        return None
    for connection in connections:
        if connection.family != error.family:
            continue
        if _fits(back, connection.reply) and (zone is None or zone.reply == connection.zone.reply):
            return State("RELATED", connection, "reply")
        if _fits(back, connection.original) and (zone is None or zone.original == connection.zone.original):
            return State("RELATED", connection)
    return None


def _fits(flow: Flow, known: Flow) -> bool:
    """Return whether two flows may be the same."""
    ports = ((flow.sport, known.sport), (flow.dport, known.dport))
    return (
        (flow.src, flow.dst, flow.proto) == (known.src, known.dst, known.proto)
        and all(None in pair or pair[0] == pair[1] for pair in ports)
    )  # fmt: skip
