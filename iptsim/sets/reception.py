"""What receives packets where they are delivered: listening programs, and docker-proxy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import NamedTuple

from iptsim.extensions.constraints import Ranges
from iptsim.host.model import Host
from iptsim.netfilter import docker_proxy, replies
from iptsim.netfilter.listeners import listener_at, namespace_at
from iptsim.netfilter.steps import Delivery
from iptsim.netfilter.trace import Leg
from iptsim.packet import Packet
from iptsim.protocols import ICMP, ICMP_REPLIES, ICMPV6, TCP, UDP
from iptsim.ranges import united
from iptsim.sets.proxied import Legs, ProxyConnections

#: A protocol without ports, which represents all protocols that are not named.
OTHER = 253


class Reception(NamedTuple):
    """What receives packets.

    Attributes:
        listening: whether a program listens; None if that is unknown.
        behind: where docker-proxy connects to, with the distance of its port; None if it gets nothing.
        is_silent: whether there is no reply.
    """

    listening: bool | None
    behind: docker_proxy.Behind | None
    is_silent: bool


class Connected(NamedTuple):
    """A published port whose packets docker-proxy passes on over connections that are always the same.

    Attributes:
        proto: the protocol.
        port: the port to which the packets were sent.
        legs: those of the connection.
    """

    proto: int
    port: int
    legs: Legs


class _Place(NamedTuple):
    """The receptions at one place.

    Attributes:
        by_proto: the receptions by protocol, with their ranges of ports.
        proxied: those that are the reception of one port only: its protocol and number, and where docker-proxy
            connects to.
    """

    by_proto: list[tuple[int, list[tuple[Reception, tuple[int, int]]]]]
    proxied: dict[Reception, tuple[int, int, docker_proxy.Behind]]


class Receptions:
    """What receives packets at each place of a host.

    Args:
        host: the host.
        connections: what docker-proxy does.
    """

    def __init__(self, host: Host, connections: ProxyConnections) -> None:
        self._host, self._connections = host, connections
        self._places: dict[Hashable, _Place] = {}

    def like(
        self, leg: Leg, occurs: Callable[[int, int], bool]
    ) -> tuple[list[tuple[int, Ranges]], list[Connected]]:
        """Return the packets that would be received like the one that a leg delivers, and take the same path then.

        Args:
            leg: the leg.
            occurs: returns whether there are packets of a protocol to a port.

        Returns:
            The protocols, the last of which is :data:`OTHER`, each with its ports; and those of the ports for which
            docker-proxy's connections are known in advance.
        """
        delivered = leg.delivered
        assert delivered is not None
        packet = delivered.packet
        key = delivered.kind, delivered.name, delivered.interface, packet.dst, leg.inside
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = _place(self._host, leg)
        own = _reception(self._host, leg, packet.proto, packet.dport)
        connected: dict[Reception, Connected] = {}
        for reception, (proto, port, behind) in place.proxied.items() if own in place.proxied else ():
            if occurs(proto, port) and (legs := self._connections.legs(behind)) is not None:
                connected[reception] = Connected(proto, port, legs)
        wanted = _path(own, connected)
        alike = [
            (proto, united(ports for reception, ports in found if _path(reception, connected) == wanted))
            for proto, found in place.by_proto
        ]
        return alike, [one for reception, one in connected.items() if _path(reception, connected) == wanted]


def _path(reception: Reception, connected: Mapping[Reception, Connected]) -> Hashable:
    """Return a key: packets whose receptions have equal keys are walked together."""
    found = connected.get(reception)
    if found is None or reception.behind is None:
        return reception
    # docker-proxy replies to a datagram only after the container has
    replied = all(leg.verdict == "ACCEPT" for leg in found.legs)
    return reception.listening, found.proto, reception.behind.answers_from_any, replied


def _place(host: Host, leg: Leg) -> _Place:
    assert leg.delivered is not None
    by_proto = list(_receptions(host, leg))
    # ports of a range have the same distance; one connection represents them
    alone = Counter(reception for _, found in by_proto for reception, _ in found)
    proxied: dict[Reception, tuple[int, int, docker_proxy.Behind]] = {}
    for proto, found in by_proto:
        for reception, (port, _) in found:
            behind = reception.behind
            if behind is None or alone[reception] > 1:
                continue
            has_distance = behind.family == leg.delivered.packet.family
            to = behind._replace(port=behind.port + port) if has_distance else behind
            proxied[reception] = proto, port, to
    return _Place(by_proto, proxied)


def _receptions(host: Host, leg: Leg) -> Iterator[tuple[int, list[tuple[Reception, tuple[int, int]]]]]:
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
    found = {(one.proto, one.port) for one in namespace_at(host, delivered).listeners}
    if delivered.kind == "host":
        published = (one for container in host.containers.values() for one in container.published)
        found |= {(one.proto, one.host_port) for one in published}
    return found


def _reception(host: Host, leg: Leg, proto: int, port: int | None) -> Reception:
    """Return who receives packets with a protocol and a port at the end of a leg, and whether there is a reply."""
    assert leg.delivered is not None
    delivered = leg.delivered
    packet = Packet.copy(delivered.packet)
    packet.proto, packet.dport = proto, port
    if proto in ICMP_REPLIES and packet.icmp_type not in ICMP_REPLIES[proto]:
        packet.icmp_type = min(ICMP_REPLIES[proto])
    there = Delivery(delivered.kind, delivered.name, packet, delivered.interface)
    listening, program = listener_at(host, leg, there)
    is_silent = replies.reply_to(packet, listening=listening) is None
    behind = None
    # without a reply, docker-proxy connects to nothing
    if listening is not False and not is_silent:
        behind = docker_proxy.answered_by_proxy(host, there, program)
        if behind is not None and behind.family == packet.family and port is not None:
            # ports that are passed on by equally many go on together
            behind = behind._replace(port=behind.port - port)
    return Reception(listening, behind, is_silent)


def _gaps(ports: list[int]) -> list[tuple[int, int]]:
    """Return the ranges of ports between some ports."""
    starts, ends = [0, *(port + 1 for port in ports)], [*(port - 1 for port in ports), 0xFFFF]
    return [(first, last) for first, last in zip(starts, ends, strict=True) if first <= last]
