"""What docker-proxy's connections to containers do: the same for all packets that it receives, whoever sent them.

So one walk of a class may lead to several published ports. Afterwards, each port gets the legs of its own connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from iptsim.addresses import address_text
from iptsim.host.model import Host
from iptsim.netfilter.branches import Branches, verdict_of
from iptsim.netfilter.docker_proxy import Behind
from iptsim.netfilter.legs import connection_of_proxy
from iptsim.netfilter.namespaces import Namespaces
from iptsim.netfilter.run import Run
from iptsim.netfilter.trace import Leg, Trace
from iptsim.protocols import protocol_name
from iptsim.question.model import Question
from iptsim.question.start import first_packet

#: The legs of one of docker-proxy's connections.
Legs = tuple[Leg, ...]


class ProxyConnections:
    """The connections of docker-proxy on a host, each walked once.

    Args:
        host: the host.
        namespaces: the hooks of the host and of its containers.
    """

    def __init__(self, host: Host, namespaces: Namespaces) -> None:
        self._host, self._namespaces = host, namespaces
        self.legs = cache(self._legs)

    def _legs(self, behind: Behind) -> Legs | None:
        """Return the legs of a connection; None if they may depend on the packet that docker-proxy received.

        That is so if something undecided decides them, if rules remember earlier packets, and if the container's port
        of a bridge is unknown: the kernel then learns from earlier packets which ports it can't be.
        """
        host = self._host
        owner = host.owner_of(behind.family, behind.address)
        endpoint = owner[1] if isinstance(owner, tuple) else None
        spaces = [host.namespace, *(one.namespace for one in host.containers.values())]
        programs = [one for space in spaces for one in self._namespaces.hooks_of(space).all_programs()]
        if endpoint is None or endpoint.bridge_port is None or any(one.changed_memories for one in programs):
            return None
        to, proto = address_text(behind.family, behind.address), protocol_name(behind.proto)
        question = Question(**{"from": "host", "dst": to, "proto": proto})
        start = first_packet(host, question)
        kernel = Branches(self._namespaces, question, start).kernel((), ())
        legs = connection_of_proxy(Run(self._namespaces, question, start, kernel), behind, start.packet)
        return None if kernel.choices.decisions else tuple(legs)


class Proxied:
    """The packets of a class that docker-proxy receives, by the port to which they were sent.

    Args:
        nothing: the empty set.
    """

    def __init__(self, nothing: Any) -> None:
        self._nothing = nothing
        self._ports: list[tuple[int, Any, Legs]] = []

    def __bool__(self) -> bool:
        return bool(self._ports)

    def add(self, port: int, packets: Any, legs: Legs) -> None:
        """Note which packets came to a port, and the legs of docker-proxy's connection for them."""
        self._ports.append((port, packets, legs))

    def divided(self, packets: Any, trace: Trace) -> Iterator[tuple[Any, Trace]]:
        """Yield the packets of a class by the port to which they came, each with their trace."""
        if not self._ports:
            yield packets, trace
            return
        for port, own, legs in self._ports:
            inside = packets & own
            if inside != self._nothing:
                yield inside, _connected(trace, port, legs)


def _connected(trace: Trace, port: int, legs: Legs) -> Trace:
    """Return a trace with docker-proxy's connection for a port in the place of that for another one."""
    request, *later = trace.legs
    assert request.delivered is not None
    packet = request.delivered.packet.copy()
    packet.dport = port
    at = next(place for place, leg in enumerate(later) if leg.proxy)
    before, after = later[:at], [leg for leg in later[at:] if not leg.proxy]
    arrived = replace(request, delivered=replace(request.delivered, packet=packet))
    found = [arrived, *before, *legs, *after]
    return replace(trace, verdict=verdict_of(found), legs=found)
