"""The published and exposed ports of a container in the order in which dockerd opens them."""

from __future__ import annotations

from functools import cmp_to_key
from ipaddress import ip_address
from typing import NamedTuple

from iptsim.addresses import Family
from iptsim.docker.model.settings import DockerContainer, DockerNetwork, Publication
from iptsim.host.containers import ExposedPort
from iptsim.protocols import PROTOCOLS

_TCP = PROTOCOLS["tcp"]
_ANY: dict[Family, str] = {4: "0.0.0.0", 6: "::"}  # noqa: S104


def publications(
    container: DockerContainer, network: DockerNetwork, family: Family, *, by_host_port: bool
) -> list[Publication]:
    """Return the published ports of a family with their host addresses, in dockerd's order.

    On a network whose gateway mode is "routed" they are open, not forwarded, and have no port on the host.

    Args:
        container: the container.
        network: the network to which its ports are forwarded.
        family: 4 or 6.
        by_host_port: use the order of engines before 27.
    """
    ports = _by_host_port(container) if by_host_port else sorted(container.published, key=_by_own_port)
    found = []
    for port in ports:
        if network.mode(family) == "routed":
            if not port.address or ip_address(port.address).version == family:
                found.append(port.model_copy(update={"address": _ANY[family], "host_port": 0}))
        elif (address := _host_address(port, network, family)) is not None:
            found.append(port.model_copy(update={"address": address}))
    return found


def _host_address(port: Publication, network: DockerNetwork, family: Family) -> str | None:
    """Return the host address of a port in a family, None if it has none."""
    address = port.address or network.host_binding or _ANY[4]
    if not port.address and address == _ANY[4]:
        return _ANY[family]
    return address if ip_address(address).version == family else None


def _requested(port: Publication) -> tuple[int, bool]:
    """Return the first host port of the request, 0 for any, and whether the engine had to choose."""
    if port.requested is None:
        return port.host_port, port.host_port == 0
    first = port.requested.partition("-")[0]
    return int(first) if first.isdecimal() else 0, True


def _by_host_port(container: DockerContainer) -> list[Publication]:
    """Sort by host port, then container port, both descending, TCP first (nat.SortPortMap).

    All bindings of a container's port follow its first one.
    """

    def place(port: Publication) -> _Place:
        return _Place(_requested(port)[0], port.container_port, port.proto)

    ports = sorted(container.published, key=lambda port: _in_order(place(port)))
    groups: dict[tuple[int, int], list[Publication]] = {}
    for port in ports:
        groups.setdefault((port.container_port, port.proto), []).append(port)
    return [port for group in groups.values() for port in group]


class _Place(NamedTuple):
    """What nat.SortPortMap compares; host port 0 where none was requested."""

    host_port: int
    port: int
    proto: int


def _less(one: _Place, other: _Place) -> bool:
    """Compare as portMapSorter.Less does, where each of two may be less than the other."""
    if one.host_port > other.host_port or one.port > other.port:
        return True
    return one.port == other.port and one.proto == _TCP


def _compare(one: _Place, other: _Place) -> int:
    """Compare for a sort. Where each counts as less than the other, dockerd's order is random; here they are equal."""
    return _less(other, one) - _less(one, other)


_in_order = cmp_to_key(_compare)


def _by_own_port(port: Publication) -> tuple[bool, int, int, int, int]:
    """Order by exact host ports first, container port, protocol, host port, address (cmpPortBinding)."""
    first, chosen = _requested(port)
    address = int(ip_address(port.address)) if port.address else -1
    return chosen, port.container_port, port.proto, first, address


def exposed(container: DockerContainer) -> list[ExposedPort]:
    """Return the exposed ports in the order in which links open them (nat.SortPortMap)."""
    host_ports: dict[tuple[int, int], int] = {(port.proto, port.port): 0 for port in container.exposed}
    for port in container.published:
        key = (port.proto, port.container_port)
        host_ports[key] = max(host_ports.get(key, 0), _requested(port)[0])
    places = [_Place(host_port, number, proto) for (proto, number), host_port in host_ports.items()]
    return [ExposedPort(proto=place.proto, port=place.port) for place in sorted(places, key=_in_order)]
