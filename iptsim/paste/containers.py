"""Containers whose names and ports a text shows, but not their addresses, matched with those that its rules mention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from iptsim.host.containers import Container
from iptsim.host.model import Host
from iptsim.packet import protocol_name
from iptsim.paste.pieces import Listed, Settings


def name_containers(host: Host, listed: Sequence[Listed]) -> None:
    """Give the containers that rules forward ports to the names of those that publish these ports."""
    by_port = {(port, inside, proto): one.name for one in listed for _, port, inside, proto in one.ports}
    containers: dict[str, Container] = {}
    for key, container in host.containers.items():
        names = {
            by_port.get((port.host_port, port.container_port, protocol_name(port.proto)))
            for port in container.published
        } - {None}
        name = names.pop() if len(names) == 1 and not container.id else None
        if name is not None and name not in containers and name not in host.containers:
            container.name = name
        containers[container.name if name is not None else key] = container
    host.containers = containers


def settings_of(listed: Sequence[Listed]) -> list[Settings]:
    """Return containers as services of Compose, for a text without rules."""
    services: dict[str, Any] = {
        one.name: {
            "image": one.image or one.name,
            "container_name": one.name,
            "network_mode": "bridge",
            "ports": list(dict.fromkeys(_port(*port) for port in one.ports)),
        }
        for one in listed
    }
    return [Settings(0, services=services)] if services else []


def _port(host: str, port: int, inside: int, proto: str) -> str:
    everywhere = not host.strip(".:0")
    address = "" if everywhere else f"[{host}]:" if ":" in host else f"{host}:"
    return f"{address}{port}:{inside}/{proto}"
