"""Containers whose names and ports a text shows, but not their addresses, matched with those that its rules mention."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from iptsim.host.containers import Container, PublishedPort
from iptsim.host.model import Host
from iptsim.paste.pieces import Listed, Settings
from iptsim.protocols import protocol_name

#: A container of a service: project, service and number, joined by dashes (Compose 2) or underscores.
_OF_COMPOSE = re.compile(r"(?P<first>[^-_]+)(?P<joint>[-_]).+(?P=joint)\d+")


def name_containers(host: Host, listed: Sequence[Listed]) -> None:
    """Give the containers that rules forward ports to the names of those that publish these ports.

    Without table nat, those for which the rules accept just the ports that one in the list publishes.
    """
    by_port = {(port, inside, proto): one.name for one in listed for _, port, inside, proto in one.ports}
    by_accepted = _by_accepted_ports(host, listed)
    containers: dict[str, Container] = {}
    for key, container in host.containers.items():
        names = {
            by_port.get((port.host_port, port.container_port, protocol_name(port.proto)))
            for port in container.published
        } - {None}
        name = names.pop() if len(names) == 1 and not container.id else None
        found = by_accepted.get(_accepted(container)) if name is None and not container.id else None
        if found is not None:
            name = found.name
            numbers = {protocol_name(port.proto): port.proto for port in container.exposed}
            container.published = [
                PublishedPort(
                    proto=numbers[proto],
                    container_port=inside,
                    host_address=address if address.strip(".:0") else None,
                    host_port=port,
                    family=6 if ":" in address else 4,
                )
                for address, port, inside, proto in found.ports
            ]
        if name is not None and name not in containers and name not in host.containers:
            container.name = name
        containers[container.name if name is not None else key] = container
    host.containers = containers


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

    They are on the default bridge, or on the default network of the Compose project that their names begin with.
    """
    services: dict[str, Any] = {}
    networks: dict[str, Any] = {}
    projects = _projects(listed)
    for one in listed:
        project = projects.get(one.name)
        place = {"network_mode": "bridge"} if project is None else {"networks": [f"{project}_default"]}
        services[one.name] = {
            "image": one.image or one.name,
            "container_name": one.name,
            "ports": list(dict.fromkeys(_port(*port) for port in one.ports)),
            **place,
        }
        if project is not None:
            networks[f"{project}_default"] = {"name": f"{project}_default"}
    return [Settings(0, services=services, networks=networks)] if services else []


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
