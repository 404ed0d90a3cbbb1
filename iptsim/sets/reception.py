"""What receives packets where they are delivered: listening programs, and docker-proxy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from iptsim.extensions.constraints import Ranges
from iptsim.host.model import Host
from iptsim.netfilter import docker_proxy, replies
from iptsim.netfilter.listeners import listener_at, namespace_at
from iptsim.netfilter.steps import Delivery
from iptsim.netfilter.trace import Leg
from iptsim.packet import ICMP, ICMP_REPLIES, ICMPV6, TCP, UDP, Packet
from iptsim.ranges import united

#: A protocol without ports, which represents all protocols that are not named.
OTHER = 253


def same_reception(host: Host, leg: Leg, known: dict[Any, Any]) -> Iterator[tuple[int, Ranges]]:
    """Yield the protocols and ports whose packets would be received like the one that a leg delivers.

    The last protocol is :data:`OTHER`.

    Args:
        host: the host.
        leg: the leg that delivers the packet.
        known: a cache of the results for other places.
    """
    delivered = leg.delivered
    assert delivered is not None
    packet = delivered.packet
    place = delivered.kind, delivered.name, delivered.interface, packet.dst, leg.inside
    if place not in known:
        known[place] = list(_receptions(host, leg))
    wanted = _reception(host, leg, packet.proto, packet.dport)
    for proto, receptions in known[place]:
        yield proto, united(ports for reception, ports in receptions if reception == wanted)


def _receptions(host: Host, leg: Leg) -> Iterator[tuple[int, list[tuple[Any, tuple[int, int]]]]]:
    """Yield who receives packets, by their protocol: for ranges of ports."""
    assert leg.delivered is not None
    known = _ports(host, leg.delivered)
    icmp = ICMP if leg.delivered.packet.family == 4 else ICMPV6
    for proto in (*sorted({TCP, UDP, icmp, *(one for one, _ in known)}), OTHER):
        ports = sorted({port for one, port in known if one == proto})
        found = [(_reception(host, leg, proto, port), (port, port)) for port in ports]
        gaps = _gaps(ports)
        if gaps:
            others = _reception(host, leg, proto, gaps[0][0])
            found += [(others, gap) for gap in gaps]
        yield proto, found


def _ports(host: Host, delivered: Delivery) -> set[tuple[int, int]]:
    """Return the protocols and ports for which something is known to receive packets."""
    found = {(one.proto, one.port) for one in namespace_at(host, delivered).listeners or ()}
    if delivered.kind == "host":
        published = (one for container in host.containers.values() for one in container.published)
        found |= {(one.proto, one.host_port) for one in published}
    return found


def _reception(host: Host, leg: Leg, proto: int, port: int | None) -> tuple[Any, ...]:
    """Return who receives packets with a protocol and a port at the end of a leg, and whether there is a reply."""
    assert leg.delivered is not None
    delivered = leg.delivered
    values = {entry.name: getattr(delivered.packet, entry.name) for entry in fields(Packet)}
    packet = Packet(**{**values, "proto": proto, "dport": port})
    if proto in ICMP_REPLIES and packet.icmp_type not in ICMP_REPLIES[proto]:
        packet.icmp_type = min(ICMP_REPLIES[proto])
    there = Delivery(delivered.kind, delivered.name, packet, delivered.interface)
    listening, program = listener_at(host, leg, there)
    behind = None
    if listening is not False:
        behind = docker_proxy.answered_by_proxy(host, there, program)
        if behind is not None and behind.family == packet.family and port is not None:
            # ports that are passed on by equally many go on together
            behind = behind._replace(port=behind.port - port)
    return listening, behind, replies.reply_to(packet, listening=listening) is None


def _gaps(ports: list[int]) -> list[tuple[int, int]]:
    """Return the ranges of ports between some ports."""
    starts, ends = [0, *(port + 1 for port in ports)], [*(port - 1 for port in ports), 0xFFFF]
    return [(first, last) for first, last in zip(starts, ends, strict=True) if first <= last]
