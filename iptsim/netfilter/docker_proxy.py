"""Published ports that a process on the host serves: docker-proxy, the userland proxy of dockerd.

It listens on the host's address and port of each published port and opens a second connection to the
container (moby cmd/docker-proxy). nat rules usually take packets away before they reach it.
"""

from __future__ import annotations

from typing import NamedTuple

from iptsim.host.containers import Container, Endpoint
from iptsim.host.model import Host
from iptsim.netfilter.steps import Delivery
from iptsim.packet import Family, parse_address

#: Programs that connect to the container of a published port; ss prints 15 characters of a name.
PROXIES = ("docker-proxy", "rootlesskit")


class Behind(NamedTuple):
    """Where docker-proxy connects to.

    Attributes:
        answers_from_any: its UDP replies leave with whatever source address the route gives (before
            engine 28, which keeps the destination of the request).
    """

    container: str
    family: Family
    address: int
    port: int
    proto: int
    answers_from_any: bool


def answered_by_proxy(host: Host, delivered: Delivery, program: str = "") -> Behind | None:
    """Return where docker-proxy connects to for a packet that the host received; None if it does not get the packet.

    Args:
        program: the program that listens there, "" if it is unknown.
    """
    if delivered.kind != "host" or program not in ("", *PROXIES):
        return None
    daemon = host.daemon
    engine = daemon.engine if daemon is not None else None
    if daemon is not None and daemon.userland_proxy is False:
        return None
    packet = delivered.packet
    for container in host.containers.values():
        if container.daemon != "docker" and not host.inferred:
            continue
        for port in container.published:
            if port.proto != packet.proto or port.host_port != packet.dport or port.family != packet.family:
                continue
            if port.host_address is not None and parse_address(port.host_address)[1] != packet.dst:
                continue
            family = packet.family
            address = _address(host, container, family)
            if address is None:
                family = 4 if family == 6 else 6
                address = _address(host, container, family)
            if address is None:
                continue
            old = engine is not None and not engine.proxy_keeps_address
            any_source = old and port.host_address is None
            return Behind(container.name, family, address, port.container_port, port.proto, any_source)
    return None


def _address(host: Host, container: Container, family: Family) -> int | None:
    """Return the address that published ports lead to: in the network that has the default route."""

    def order(endpoint: Endpoint) -> tuple[bool, int, str]:
        network = host.networks.get(endpoint.network)
        return network is not None and network.internal, -endpoint.gateway_priority, endpoint.network

    found = (endpoint.address(family) for endpoint in sorted(container.endpoints.values(), key=order))
    return next((address for address in found if address is not None), container.address(family))
