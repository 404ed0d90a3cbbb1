"""Containers whose names and ports a text shows, but not their addresses, matched with those that its rules mention."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

from iptsim.addresses import address_text
from iptsim.docker.sources.compose import ON_DEFAULT_BRIDGE
from iptsim.host.containers import Container, PublishedPort
from iptsim.host.docker_defaults import DOCKER0, guessed_subnet
from iptsim.host.model import Host
from iptsim.paste.pieces import Listed, Settings
from iptsim.protocols import PROTOCOLS, protocol_name

#: A container of a service: project, service and number, joined by dashes (Compose 2) or underscores.
_OF_COMPOSE = re.compile(r"(?P<first>[^-_]+)(?P<joint>[-_]).+(?P=joint)\d+")
#: The project of services, as a text does not tell its name.
PROJECT = "project"
_OF_SERVICE = re.compile(rf"{PROJECT}-(?P<service>.+)-1")


def container_of_service(service: str) -> str:
    """Return the name of a service's container, which Compose names after the project."""
    return f"{PROJECT}-{service}-1"


def service_of_container(name: str) -> str | None:
    """Return the service that has a container with such a name; None for another name.

    >>> service_of_container(container_of_service("web")), service_of_container("web")
    ('web', None)
    """
    found = _OF_SERVICE.fullmatch(name)
    return found["service"] if found is not None else None


def each_once(listed: Sequence[Listed]) -> list[Listed]:
    """Return each container once, although its published ports are listed one by one, and its address apart.

    docker-proxy, which shows the addresses, does so for each port; `docker ps` shows the names.
    """
    by_address: dict[str, list[Listed]] = {}
    for one in listed:
        if one.address:
            by_address.setdefault(one.address, []).append(one)
    addressed = {
        address: tuple(dict.fromkeys(port for one in group for port in one.ports))
        for address, group in by_address.items()
    }
    named: list[Listed] = []
    for one in listed:
        if one.address:
            continue
        mine = [
            address
            for address, ports in addressed.items()
            if ports and _publish(ports) <= _publish(one.ports)
        ]
        if len(mine) == 1 and not one.stopped:
            one = replace(one, address=mine[0])
            del addressed[mine[0]]
        named.append(one)
    return [
        *named,
        *(Listed(address, "", "", ports, address=address) for address, ports in addressed.items()),
    ]


def _publish(ports: Iterable[tuple[str, int, int, str]]) -> set[tuple[int, int, str]]:
    return {port[1:] for port in ports}


def name_containers(host: Host, listed: Sequence[Listed]) -> None:
    """Give the containers that rules forward ports to the names of those that publish these ports, or have the address.

    Without table nat, those for which the rules accept just the ports that one in the list publishes.
    """
    by_port = {(port, inside, proto): one.name for one in listed for _, port, inside, proto in one.ports}
    by_address = {one.address: one.name for one in listed if one.address}
    by_accepted = _by_accepted_ports(host, listed)
    containers: dict[str, Container] = {}
    for key, container in host.containers.items():
        names = {
            by_port.get((port.host_port, port.container_port, protocol_name(port.proto)))
            for port in container.published
        } - {None}
        if not names and (own := container.address(4)) is not None:
            names = {by_address.get(address_text(4, own))} - {None}
        name = names.pop() if len(names) == 1 and not container.id else None
        found = by_accepted.get(_accepted(container)) if name is None and not container.id else None
        if found is not None:
            name = found.name
            container.published = published_ports(found)
        if name is not None and name not in containers and name not in host.containers:
            container.name = container.namespace.name = name
        containers[container.name if name is not None else key] = container
    host.containers = containers


def published_ports(one: Listed) -> list[PublishedPort]:
    """Return the ports that a container in a list publishes."""
    return [
        PublishedPort(
            proto=PROTOCOLS[proto],
            container_port=inside,
            host_address=address if address.strip(".:0") else None,
            host_port=port,
            family=6 if ":" in address else 4,
        )
        for address, port, inside, proto in one.ports
    ]


def _by_accepted_ports(host: Host, listed: Iterable[Listed]) -> dict[frozenset[tuple[int, str]], Listed]:
    """Return the containers in a list by the ports that they publish, if nat is not shown.

    Only those whose ports no other one publishes, and no other address accepts.
    """
    ruleset = host.rulesets.get(4)
    if ruleset is None or "nat" in ruleset.tables:
        return {}
    published = [(frozenset((inside, proto) for _, _, inside, proto in one.ports), one) for one in listed]
    accepted = Counter(map(_accepted, host.containers.values()))
    counts = Counter(ports for ports, _ in published)
    return {ports: one for ports, one in published if ports and counts[ports] == 1 and accepted[ports] == 1}


def _accepted(container: Container) -> frozenset[tuple[int, str]]:
    return frozenset((port.port, protocol_name(port.proto)) for port in container.exposed)


def settings_of(listed: Sequence[Listed]) -> list[Settings]:
    """Return containers as services of Compose, for a text without rules.

    They are on the default network of the Compose project that their names begin with, on a network of their address,
    on the only network of the others' addresses, or on the default bridge.
    """
    services: dict[str, Any] = {}
    networks: dict[str, Any] = {}
    projects = _projects(listed)
    known = {_network_of(one.address) for one in listed if one.address}
    usual = known.pop() if len(known) == 1 else ON_DEFAULT_BRIDGE
    for one in listed:
        project = projects.get(one.name)
        network = (
            f"{project}_default"
            if project is not None
            else _network_of(one.address)
            if one.address
            else usual
        )
        endpoint = {"ipv4_address": one.address} if one.address and ":" not in one.address else {}
        services[one.name] = {
            "image": one.image or one.name,
            "container_name": one.name,
            "ports": list(dict.fromkeys(_port(*port) for port in one.ports)),
            "networks": {network: endpoint},
        }
        if network != ON_DEFAULT_BRIDGE:
            networks[network] = {"name": network}
    return [Settings(0, services=services, networks=networks)] if services else []


def _network_of(address: str) -> str:
    """Return the name of the network with an address: the default bridge, unless only another network can have it."""
    if ":" in address:
        return ON_DEFAULT_BRIDGE
    subnet = guessed_subnet(int(IPv4Address(address)))
    return ON_DEFAULT_BRIDGE if subnet == DOCKER0 else f"net-{str(subnet).partition('/')[0]}"


def _projects(listed: Sequence[Listed]) -> dict[str, str]:
    """Return the projects of containers with names such as app-web-1 and app-db-1, which only Compose gives."""
    groups: dict[str, list[str]] = {}
    for one in listed:
        if (found := _OF_COMPOSE.fullmatch(one.name)) is not None:
            groups.setdefault(found["first"], []).append(one.name)
    return {name: _common(names) for names in groups.values() if len(names) > 1 for name in names}


def _common(names: Sequence[str]) -> str:
    """Return the longest beginning, up to a joint, that names have in common."""
    ends = [joint.start() for joint in re.finditer("[-_]", names[0])]
    return max(names[0][:end] for end in ends if all(name.startswith(names[0][: end + 1]) for name in names))


def _port(host: str, port: int, inside: int, proto: str) -> str:
    everywhere = not host.strip(".:0")
    address = "" if everywhere else f"[{host}]:" if ":" in host else f"{host}:"
    return f"{address}{port}:{inside}/{proto}"
