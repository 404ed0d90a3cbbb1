"""The end of an answer about an allowed packet: which program receives it, or that nothing listens."""

from __future__ import annotations

from iptsim.addresses import address_text, endpoint_text
from iptsim.host.model import Host
from iptsim.host.namespace import Listener
from iptsim.languages import Message, Text, message, message_joined, message_sentences
from iptsim.netfilter.listeners import namespace_at
from iptsim.netfilter.steps import Delivery
from iptsim.netfilter.trace import Leg, Trace
from iptsim.protocols import TCP, protocol_name


def delivered_text(delivered: Delivery) -> str:
    """Return where a packet arrived: "web 172.17.0.2:80"."""
    packet = delivered.packet
    text = endpoint_text(packet.family, packet.dst, packet.dport)
    named = delivered.kind != "outside" and delivered.name != address_text(packet.family, packet.dst)
    return f"{delivered.name} {text}" if named else text


def listening_text(host: Host, trace: Trace) -> Text:
    """Return a sentence on whether a program listens where the connection ends; "" if that is unknown."""
    leg = trace.opening
    delivered = leg.delivered
    if delivered is None or leg.listening is None:
        return ""
    if leg.listening:
        return _heard(leg, delivered)
    place = _place(delivered)
    if leg.proxy:
        return message(
            (
                "docker-proxy accepts the connection, but nothing listens on {place}, so the connection "
                "is closed again."
            ),
            place=place,
        )
    elsewhere = bound_elsewhere(host, delivered)
    if elsewhere:
        place = _full_place(delivered)
    if delivered.packet.proto == TCP:
        text = message("No rule blocks it, but nothing listens on {place}: connection refused.", place=place)
    elif delivered.packet.pkttype != "unicast":
        text = message("No rule blocks it, but nothing listens on {place}.", place=place)
    else:
        text = message(
            "No rule blocks it, but nothing listens on {place}: ICMP port unreachable.", place=place
        )
    return message_sentences(elsewhere, text)


def _heard(leg: Leg, delivered: Delivery) -> Message:
    if not leg.program:
        return message("A program listens on {place}.", place=_place(delivered))
    if delivered.kind == "host":
        return message("Delivered to {program}.", program=leg.program)
    return message("Delivered to {program} in {container}.", program=leg.program, container=delivered.name)


def _place(delivered: Delivery) -> Text:
    """Return a port and where it is: "8081", "53/udp in web"."""
    packet = delivered.packet
    port = str(packet.dport) if packet.proto == TCP else f"{packet.dport}/{protocol_name(packet.proto)}"
    if delivered.kind == "host":
        return port
    return message("{port} in {container}", port=port, container=delivered.name)


def _full_place(delivered: Delivery) -> str:
    """Return an address and port: "192.0.2.10:5432", "[fd00::9]:53/udp"."""
    packet = delivered.packet
    text = endpoint_text(packet.family, packet.dst, packet.dport)
    return text if packet.proto == TCP else f"{text}/{protocol_name(packet.proto)}"


def bound_elsewhere(host: Host, delivered: Delivery) -> Text:
    """Return a sentence if programs listen on that port only on other addresses; else ""."""
    packet = delivered.packet
    places = {
        _bound(listener)
        for listener in namespace_at(host, delivered).listeners
        if (listener.proto, listener.port) == (packet.proto, packet.dport)
    }
    if not places:
        return ""
    return message(
        "Port {port} is bound to other addresses only: {places}.",
        port=packet.dport or 0,
        places=message_joined(", ", sorted(places, key=str)),
    )


def _bound(listener: Listener) -> Text:
    """Return a program and what it is bound to: "sshd on 127.0.0.1"."""
    address = address_text(6 if 6 in listener.families else 4, listener.address or 0)
    if listener.interface:
        address += f"%{listener.interface}"
    return (
        message("{program} on {address}", program=listener.program, address=address)
        if listener.program
        else address
    )
