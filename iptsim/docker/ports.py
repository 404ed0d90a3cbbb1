"""Published and exposed ports as dockerd goes through them: which, on which addresses, in which order."""

from __future__ import annotations

from functools import cmp_to_key
from ipaddress import ip_address

from iptsim.docker.settings import DockerContainer, DockerNetwork, Publication
from iptsim.host.model import ExposedPort
from iptsim.packet import PROTOCOLS, Family

_TCP = PROTOCOLS["tcp"]
_ANY: dict[Family, str] = {4: "0.0.0.0", 6: "::"}  # noqa: S104


def publications(
    container: DockerContainer, network: DockerNetwork, family: Family, *, by_host_port: bool
) -> list[Publication]:
    """Return the published ports of a family with their host addresses, in dockerd's order.

    A network whose gateway mode is "routed" has none on the host: its ports are open, not forwarded.

    Args:
        container: whose ports.
        network: the network that leads to it.
        family: 4 or 6.
        by_host_port: in the order of engines before 27.
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
    """Return where a port is bound in a family, None for nowhere."""
    address = port.address or network.host_binding or _ANY[4]
    if not port.address and address == _ANY[4]:
        return _ANY[family]
    return address if ip_address(address).version == family else None


def _requested(port: Publication) -> tuple[int, bool]:
    """Return the first host port that was asked for, 0 for any, and whether the engine had to choose."""
    if port.requested is None:
        return port.host_port, port.host_port == 0
    first = port.requested.partition("-")[0]
    return int(first) if first.isdecimal() else 0, True


def _by_host_port(container: DockerContainer) -> list[Publication]:
    """Sort by host port, then container port, both descending, TCP first (nat.SortPortMap).

    Where the two orders disagree, dockerd's result hangs on chance, and the given order is kept. All
    bindings of a container's port follow its first one.
    """
    ports = sorted(container.published, key=cmp_to_key(_earlier))
    groups: dict[tuple[int, int], list[Publication]] = {}
    for port in ports:
        groups.setdefault((port.container_port, port.proto), []).append(port)
    return [port for group in groups.values() for port in group]


def _earlier(one: Publication, other: Publication) -> int:
    """Compare as portMapSorter.Less does, which may hold both ways: then neither comes first."""

    def less(a: Publication, b: Publication) -> bool:
        if _requested(a)[0] > _requested(b)[0] or a.container_port > b.container_port:
            return True
        return a.container_port == b.container_port and a.proto == _TCP

    return less(other, one) - less(one, other)


def _by_own_port(port: Publication) -> tuple[bool, int, int, int, int]:
    """Order by exact host ports first, container port, protocol, host port, address (cmpPortBinding)."""
    first, chosen = _requested(port)
    address = int(ip_address(port.address)) if port.address else -1
    return chosen, port.container_port, port.proto, first, address


def exposed(container: DockerContainer) -> list[ExposedPort]:
    """Return the exposed ports in the order in which links open them (nat.SortPortMap)."""
    host_ports: dict[tuple[int, int], int] = {}
    for port in container.published:
        place = (port.proto, port.container_port)
        host_ports[place] = max(host_ports.get(place, 0), _requested(port)[0])
    places = {(port.proto, port.port) for port in container.exposed} | host_ports.keys()
    ordered = sorted(
        places, key=lambda place: (-host_ports.get(place, 0), -place[1], place[0] != _TCP, place[0])
    )
    return [ExposedPort(proto=proto, port=number) for proto, number in ordered]
