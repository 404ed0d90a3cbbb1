"""Which of a container's endpoints has the default route, and in which order containers joined their networks."""

from __future__ import annotations

from iptsim.addresses import FAMILIES, Family
from iptsim.docker.model.settings import DockerContainer, DockerHost
from iptsim.host.containers import Endpoint


def joins(docker: DockerHost) -> list[tuple[DockerContainer, Endpoint]]:
    """Return the containers' endpoints in the order in which they joined."""
    order = {join: number for number, join in enumerate(docker.joins)}
    pairs = [(container, endpoint) for container in docker.containers for endpoint in container.endpoints]
    return sorted(pairs, key=lambda pair: order.get((pair[0].name, pair[1].network), len(order)))


def gateways(docker: DockerHost, container: DockerContainer) -> dict[Family, Endpoint]:
    """Return the endpoint with the default route by family; published ports are forwarded to it.

    The order of preference: the highest priority, gateways in both families, the first network by name. Internal
    networks have none (Endpoint.Less in libnetwork/sandbox.go). Before 28, IPv4 decides
    for both families (selectGatewayEndpoint of 28).
    """
    candidates: list[tuple[int, int, str, Endpoint, list[Family]]] = []
    for endpoint in container.endpoints:
        network = docker.network(endpoint.network)
        if network is None or network.internal:
            continue
        families = list(endpoint.addresses)
        if families:
            candidates.append((-endpoint.gateway_priority, -len(families), network.name, endpoint, families))
    candidates.sort(key=lambda candidate: candidate[:3])
    found: dict[Family, Endpoint] = {}
    for *_, endpoint, families in candidates:
        if len(families) == len(FAMILIES) or (docker.engine.ipv4_decides_gateway and 4 in families):
            return dict.fromkeys(FAMILIES, endpoint)
        for family in families:
            found.setdefault(family, endpoint)
    return found
