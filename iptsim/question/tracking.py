"""What a question or the capture tells of a packet's connection, before the packet sets out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from iptsim.errors import UsageError
from iptsim.host.flows import entry_of_line
from iptsim.host.model import Host
from iptsim.languages import say
from iptsim.packet import (
    ICMP,
    ICMPV6,
    Connection,
    Direction,
    Flow,
    Packet,
    State,
    Zone,
    address_text,
    find_quoted,
    is_icmp_error,
    parse_address,
)
from iptsim.question.model import ConnectionFacts, Question

#: The status of a connection of which both sides have sent packets.
ESTABLISHED = frozenset({"SEEN_REPLY", "ASSURED", "CONFIRMED"})


class Told(NamedTuple):
    """What is known when the packet comes.

    Attributes:
        state: of the packet, where conntrack would not find it by itself.
        connections: that conntrack knows.
        note: what was taken for granted; empty for nothing.
    """

    state: State | None = None
    connections: tuple[Connection, ...] = ()
    note: str = ""


def tell(question: Question, packet: Packet, host: Host) -> Told:
    """Return what the question or the capture's conntrack table says of the packet's connection.

    An ICMP error belongs to the connection of the packet that it quotes. Where the question tells of a
    connection and quotes nothing, `packet` is made to quote the one of its packets that fits.

    Raises:
        UsageError: the packet is none of the connection's that the question tells of.
    """
    error = is_icmp_error(packet)
    if question.conntrack is not None:
        connection = entry_of_line(question.conntrack).connection
        if error:
            quote_of(packet, (connection,))
        elif packet.flow not in (connection.original, connection.reply):
            raise UsageError(f"conntrack: the packet is none of this connection: {question.conntrack[:100]}")
        return Told(connections=(connection,))
    if question.state == "invalid":
        return Told(State("INVALID", None))
    if question.state == "untracked":
        return Told(State("UNTRACKED", None))
    if error and question.state in (None, "related"):
        return _tell_of_error(question, packet, host)
    if question.state is None and question.ct is None:
        return Told(connections=_saved(question, packet, host))
    return _tell_facts(question, packet)


def _saved(question: Question, packet: Packet, host: Host) -> tuple[Connection, ...]:
    """Return the connection of the capture that the packet belongs to, if its ports are known to fit."""
    flow = packet.flow
    if "sport" in packet.defaults or (packet.proto in (ICMP, ICMPV6) and flow.sport is None):
        return ()
    for entry in host.conntrack:
        if flow in (entry.connection.original, entry.connection.reply):
            return (entry.connection.copy(),)
    return ()


def _tell_of_error(question: Question, packet: Packet, host: Host) -> Told:
    """Return the connection that an ICMP error is about."""
    if question.ct is not None and (question.ct.orig is not None or question.ct.reply is not None):
        connection = _connection(question.ct, packet)
        connection.status |= ESTABLISHED
        quote_of(packet, (connection,))
        return Told(connections=(connection,))
    if packet.quoted is not None:
        known = tuple(entry.connection for entry in host.conntrack)
        found = find_quoted(packet, packet.quoted, known)
        if found is not None and found.connection is not None:
            return Told(connections=(found.connection.copy(),))
    if question.state != "related":
        return Told()
    quoted = packet.quoted or Flow(packet.dst, None, packet.src, None, packet.proto)
    connection = Connection(packet.family, quoted, quoted.reversed(), status=ESTABLISHED)
    if question.ct is not None:
        _take(question.ct, connection)
    connection.nat_done = frozenset({"src", "dst"})
    note = say(
        "The connection that the ICMP error is about is taken to be one that {sender} began, without "
        "translation; if it is another, quote one of its packets: --set inner.dst=ADDRESS --set inner.dport=PORT.",
        sender=address_text(packet.family, quoted.src),
    )
    return Told(State("RELATED", connection, "reply"), note=note)


def quote_of(error: Packet, connections: Iterable[Connection]) -> None:
    """Let an ICMP error that quotes nothing quote a packet of a connection, as it came to whoever reports it.

    The error goes to that packet's sender: who began the connection, or who answers.
    """
    if error.quoted is not None:
        return
    for connection in connections:
        for back in (connection.reply, connection.original):
            if error.dst == back.dst and connection.family == error.family:
                error.quoted = back.reversed()
                return


def _tell_facts(question: Question, packet: Packet) -> Told:
    """Return what the question says of the connection of an ordinary packet."""
    facts, state, flow = question.ct, question.state, packet.flow
    connection = Connection(packet.family, flow, flow.reversed())
    direction: Direction = "original"
    if facts is not None:
        connection = _connection(facts, packet)
        if flow == connection.reply and flow != connection.original:
            direction = "reply"
        if facts.zone:
            # the entry lies in its own zone: the packet finds it only if a CT rule puts it there
            connection.status |= ESTABLISHED
            return Told(connections=(connection,))
    if state == "established":
        connection.status |= ESTABLISHED
        connection.nat_done = frozenset({"src", "dst"})
        return Told(State("ESTABLISHED", connection, direction), (connection,) if facts is not None else ())
    if state == "related":
        connection.status |= {"EXPECTED"}
        connection.related = True
        # what the question calls the helper is the one that announced the connection
        connection.helper, connection.master_helper = None, connection.helper
        return Told(State("RELATED", connection))
    return Told(State("NEW", connection))


def _connection(facts: ConnectionFacts, packet: Packet) -> Connection:
    """Make a connection of what a question says of it."""
    flow = packet.flow
    connection = Connection(packet.family, flow, flow.reversed())
    _take(facts, connection)
    if facts.orig is not None:
        connection.original = _flow(facts.orig, packet, "ct.orig")
        connection.reply = connection.original.reversed()
    if facts.reply is not None:
        connection.reply = _flow(facts.reply, packet, "ct.reply")
        if facts.orig is None and is_icmp_error(packet):
            connection.original = connection.reply.reversed()
    expected = connection.original.reversed()
    if (connection.reply.dst, connection.reply.dport) != (expected.dst, expected.dport):
        connection.status |= {"SNAT"}
    if (connection.reply.src, connection.reply.sport) != (expected.src, expected.sport):
        connection.status |= {"DNAT"}
    return connection


def _take(facts: ConnectionFacts, connection: Connection) -> None:
    """Take over what a question says of a connection, but for its flows."""
    connection.mark, connection.helper = facts.mark, facts.helper
    connection.zone = Zone(facts.zone, facts.zone)
    connection.labels = frozenset(facts.labels)
    connection.expires = facts.expires
    connection.status |= frozenset(facts.status)
    if facts.packets is not None:
        connection.packets = {"original": facts.packets, "reply": facts.packets}
    if facts.bytes is not None:
        connection.octets = {"original": facts.bytes, "reply": facts.bytes}


def _flow(fields: dict[str, Any], packet: Packet, what: str) -> Flow:
    """Read one direction of a connection from a question."""
    try:
        return Flow(
            parse_address(str(fields["src"]))[1],
            fields.get("sport"),
            parse_address(str(fields["dst"]))[1],
            fields.get("dport"),
            packet.quoted.proto if packet.quoted is not None else packet.proto,
        )
    except (KeyError, ValueError) as error:
        raise UsageError(f"{what}: needs src and dst addresses and their ports ({error})") from None
