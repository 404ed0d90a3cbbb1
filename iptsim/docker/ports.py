"""Published and exposed ports as dockerd goes through them: which, on which addresses, in which order."""

from __future__ import annotations

from ipaddress import ip_address

from iptsim.docker.settings import DockerContainer, DockerNetwork, Publication
from iptsim.host.model import ExposedPort
from iptsim.packet import PROTOCOLS, Family

_TCP = PROTOCOLS["tcp"]
_ANY: dict[Family, str] = {4: "0.0.0.0", 6: "::"}  # noqa: S104


def publications(
    container: DockerContainer, network: DockerNetwork, family: Family, generation: str
) -> list[Publication]:
    """Return the published ports of a family with their host addresses, in dockerd's order.

    A network whose gateway mode is "routed" has none on the host: its ports are open, not forwarded.
    """
    ports = _sorted26(container) if generation in ("20.10", "26") else sorted(container.published, key=_key28)
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


def _sorted26(container: DockerContainer) -> list[Publication]:
    """Sort by host port, then container port, both descending, TCP first (nat.SortPortMap).

    All bindings of a container's port follow its first one.
    """
    ports = sorted(
        container.published,
        key=lambda port: (-_requested(port)[0], -port.container_port, port.proto != _TCP),
    )
    groups: dict[tuple[int, int], list[Publication]] = {}
    for port in ports:
        groups.setdefault((port.container_port, port.proto), []).append(port)
    return [port for group in groups.values() for port in group]


def _key28(port: Publication) -> tuple[bool, int, int, int, int]:
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
