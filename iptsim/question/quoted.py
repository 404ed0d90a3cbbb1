"""The packet that an ICMP error quotes: stated in the question, or read from the content of the error."""

from __future__ import annotations

from collections.abc import Iterable

from iptsim.addresses import Family
from iptsim.connection import Connection, Flow, State, Zone
from iptsim.errors import UsageError
from iptsim.extensions.parameters import parse_protocol
from iptsim.ip_header import read_ipv4, read_ipv6, without_extensions
from iptsim.languages import message
from iptsim.packet import Packet, is_icmp_error
from iptsim.protocols import ICMP, ICMPV6, PORT_PROTOCOLS, is_icmp_query
from iptsim.question.model import Question, QuotedPacket, check_family

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
    return _flow_of(error.family, error.payload) or UNREADABLE


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


def _flow_of(family: Family, data: bytes) -> Flow | None:
    """Return the flow of a quoted packet (nf_ct_get_tuplepr); None if it is unreadable or a later fragment."""
    header = read_ipv4(data) if family == 4 else read_ipv6(data)
    if header is None or data[0] >> 4 != family:
        return None
    whole = header if family == 4 else without_extensions(header)
    if whole is None or whole.offset:
        return None
    source, destination, proto, transport = whole.src, whole.dst, whole.proto, whole.content
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
