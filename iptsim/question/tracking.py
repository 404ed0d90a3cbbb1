"""What conntrack knows when the packet of a question is sent: from the question, or from the capture's table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from iptsim.addresses import address_text
from iptsim.connection import Connection, Direction, Flow, State, Zone
from iptsim.errors import UsageError
from iptsim.host.conntrack_entries import entry_of_line
from iptsim.host.model import Host
from iptsim.languages import Message, message
from iptsim.packet import Packet, is_icmp_error
from iptsim.partly_known import Mark, UnknownNumber, unknown_mark
from iptsim.protocols import ICMP, ICMPV6
from iptsim.question.model import Question, StatedConnection, StatedFlow, check_family
from iptsim.question.quoted import find_quoted

#: The status of a connection in which both sides have sent packets.
ESTABLISHED = frozenset({"SEEN_REPLY", "ASSURED", "CONFIRMED"})


class Tracking(NamedTuple):
    """What conntrack knows when a packet is sent.

    Attributes:
        state: the state of the packet, if conntrack would not find it on its own.
        connections: the known connections.
        note: what was assumed; None for nothing.
    """

    state: State | None = None
    connections: tuple[Connection, ...] = ()
    note: Message | None = None


def tracking_of(question: Question, packet: Packet, host: Host) -> Tracking:
    """Return what the question or the capture's conntrack table says about the packet's connection.

    An ICMP error belongs to the connection of the packet that it quotes. If the question gives a connection and quotes
    nothing, `packet` is made to quote the packet of that connection that fits.

    Raises:
        UsageError: the packet does not belong to the connection that the question gives.
    """
    error = is_icmp_error(packet)
    if question.conntrack is not None:
        connection = entry_of_line(question.conntrack).connection
        if error:
            quote_of(packet, (connection,))
        elif packet.flow not in (connection.original, connection.reply):
            raise UsageError(
                message(
                    "conntrack: the packet does not belong to this connection: {entry}",
                    entry=question.conntrack[:100],
                )
            )
        return Tracking(connections=(connection,))
    if question.state == "invalid":
        return Tracking(State("INVALID", None))
    if question.state == "untracked":
        return Tracking(State("UNTRACKED", None))
    if error and question.state in (None, "related"):
        return _of_error(question, packet, host)
    if question.state is None and question.ct is None:
        return Tracking(connections=_saved(packet, host))
    return _stated(question, packet)


def _saved(packet: Packet, host: Host) -> tuple[Connection, ...]:
    """Return the connections of the capture that the packet belongs to, in any zone, if its ports are known to fit."""
    flow = packet.flow
    if "sport" in packet.defaults or (packet.proto in (ICMP, ICMPV6) and flow.sport is None):
        return ()
    known = (entry.connection for entry in host.conntrack)
    return tuple(one.copy() for one in known if flow in (one.original, one.reply))


def _of_error(question: Question, packet: Packet, host: Host) -> Tracking:
    """Return the connection that an ICMP error is about."""
    if question.ct is not None and (question.ct.orig is not None or question.ct.reply is not None):
        connection = _connection(question.ct, packet)
        connection.status |= ESTABLISHED
        quote_of(packet, (connection,))
        return Tracking(connections=(connection,))
    if packet.quoted is not None:
        known = (entry.connection for entry in host.conntrack)
        found = tuple(one.copy() for one in known if find_quoted(packet, packet.quoted, (one,)) is not None)
        if found:
            return Tracking(connections=found)
    if question.state != "related":
        return Tracking()
    quoted = packet.quoted or Flow(packet.dst, None, packet.src, None, packet.proto)
    connection = Connection(
        packet.family, quoted, quoted.reversed(), status=ESTABLISHED, mark=unknown_connection_mark()
    )
    if question.ct is not None:
        _copy_details(question.ct, connection)
    connection.nat_done = frozenset({"src", "dst"})
    note = message(
        "Assumed that {sender} opened the connection that the ICMP error is about, without NAT; "
        "for another one quote one of its packets: --set inner.dst=ADDRESS --set inner.dport=PORT.",
        sender=address_text(packet.family, quoted.src),
    )
    return Tracking(State("RELATED", connection, "reply"), note=note)


def quote_of(error: Packet, connections: Iterable[Connection]) -> None:
    """Make an ICMP error that quotes nothing quote a packet of a connection, as the sender of the error received it.

    The error goes to the sender of that packet: the side that opened the connection, or the other one.
    """
    if error.quoted is not None:
        return
    for connection in connections:
        for back in (connection.reply, connection.original):
            if error.dst == back.dst and connection.family == error.family:
                error.quoted = back.reversed()
                return


def _stated(question: Question, packet: Packet) -> Tracking:
    """Return what the question states about the connection of an ordinary packet."""
    stated, state, flow = question.ct, question.state, packet.flow
    connection = Connection(packet.family, flow, flow.reversed())
    direction: Direction = "original"
    if stated is not None:
        connection = _connection(stated, packet)
        if flow == connection.reply and flow != connection.original:
            direction = "reply"
        if stated.zone:
            # the entry is in its own zone: the packet finds it only if a CT rule puts it there
            connection.status |= ESTABLISHED
            return Tracking(connections=(connection,))
    if state == "established":
        connection.status |= ESTABLISHED
        connection.nat_done = frozenset({"src", "dst"})
        return Tracking(
            State("ESTABLISHED", connection, direction), (connection,) if stated is not None else ()
        )
    if state == "related":
        connection.status |= {"EXPECTED"}
        connection.related = True
        if stated is None:
            # the mark of the connection that announced it (init_conntrack)
            connection.mark = unknown_connection_mark()
        # the helper that the question gives is the one that announced the connection
        connection.helper, connection.master_helper = None, connection.helper
        return Tracking(State("RELATED", connection))
    return Tracking(State("NEW", connection))


def unknown_connection_mark() -> Mark:
    """Return the mark of a connection of which the question states nothing."""
    return unknown_mark(UnknownNumber(message("the mark of its connection"), "--set ct.mark=N"))


def _connection(stated: StatedConnection, packet: Packet) -> Connection:
    """Make the connection that a question states."""
    flow = packet.flow
    connection = Connection(packet.family, flow, flow.reversed())
    _copy_details(stated, connection)
    if stated.orig is not None:
        connection.original = _flow(stated.orig, packet, "ct.orig")
        connection.reply = connection.original.reversed()
    if stated.reply is not None:
        connection.reply = _flow(stated.reply, packet, "ct.reply")
        if stated.orig is None and is_icmp_error(packet):
            connection.original = connection.reply.reversed()
    expected = connection.original.reversed()
    if (connection.reply.dst, connection.reply.dport) != (expected.dst, expected.dport):
        connection.status |= {"SNAT"}
    if (connection.reply.src, connection.reply.sport) != (expected.src, expected.sport):
        connection.status |= {"DNAT"}
    return connection


def _copy_details(stated: StatedConnection, connection: Connection) -> None:
    """Copy everything that a question states about a connection, except its flows."""
    connection.mark, connection.helper = stated.mark, stated.helper
    connection.zone = Zone(stated.zone, stated.zone)
    connection.labels = frozenset(stated.labels)
    connection.expires = stated.expires
    connection.status |= frozenset(stated.status)
    if stated.packets is not None:
        connection.packets = {"original": stated.packets, "reply": stated.packets}
    if stated.bytes is not None:
        connection.bytes = {"original": stated.bytes, "reply": stated.bytes}


def _flow(stated: StatedFlow, packet: Packet, name: str) -> Flow:
    """Return one direction of a connection.

    Raises:
        UsageError: its addresses are of the other family.
    """
    for address in (stated.src, stated.dst):
        check_family(name, address, packet.family)
    proto = packet.quoted.proto if packet.quoted is not None else packet.proto
    return Flow(stated.src.value, stated.sport, stated.dst.value, stated.dport, proto)
