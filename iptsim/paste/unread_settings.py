"""Ports and addresses of containers that a text does not tell: `$PORT`, `<your port>`, `x.x.x.x`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from iptsim.docker.sources.flag_values import read_publish
from iptsim.docker.sources.interpolation import interpolated
from iptsim.languages import Message, message
from iptsim.paste.pieces import Settings

#: What is in no address and no port: the value is that of a variable, is left to the reader, or was redacted.
_UNKNOWN = re.compile(r"[^0-9A-Fa-f.:/\[\]'-]")
_PROTOCOL = re.compile(r"/[a-z]+$")


def forget_unread(settings: Settings) -> Iterator[Message]:
    """Remove from settings the ports and addresses that the text leaves open, after variables got their defaults.

    Yields:
        what is assumed instead.
    """
    settings.services = interpolated(settings.services)
    settings.networks = interpolated(settings.networks)
    for name, service in settings.services.items():
        if isinstance(service, dict):
            yield from _ports(str(name), service)
            yield from _places(str(name), service)
    for name, network in settings.networks.items():
        if isinstance(network, dict):
            yield from _subnets(str(name), network)


def _ports(name: str, service: dict[str, Any]) -> Iterator[Message]:
    ports = service.get("ports")
    if not isinstance(ports, list):
        return
    kept: list[Any] = []
    for port in ports:
        inside = str(port).rpartition(":")[2]
        if not isinstance(port, str) or not _UNKNOWN.search(_PROTOCOL.sub("", port)):
            kept.append(port)
        elif _is_port(inside):
            kept.append(inside)
            yield message(
                "The host's port in {text} of {name} is not known; a free one is assumed.",
                text=port,
                name=name,
            )
        else:
            yield message(
                "The published port {text} of {name} is not known; it is ignored.", text=port, name=name
            )
    service["ports"] = kept


def _is_port(text: str) -> bool:
    try:
        return bool(read_publish(text))
    except ValueError:
        return False


def _places(name: str, service: dict[str, Any]) -> Iterator[Message]:
    places = service.get("networks")
    for place in places.values() if isinstance(places, dict) else ():
        for key in ("ipv4_address", "ipv6_address"):
            if isinstance(place, dict) and not _may_be_told(place.get(key)):
                yield message(
                    "The address {text} of {name} is not known; another one is assumed.",
                    text=place.pop(key),
                    name=name,
                )


def _subnets(name: str, network: dict[str, Any]) -> Iterator[Message]:
    ipam = network.get("ipam")
    config = ipam.get("config") if isinstance(ipam, dict) else None
    if not isinstance(config, list):
        return
    for pool in list(config):
        if isinstance(pool, dict) and not _may_be_told(pool.get("gateway")):
            del pool["gateway"]
        if isinstance(pool, dict) and not _may_be_told(pool.get("subnet")):
            config.remove(pool)
            yield message(
                "The subnet {text} of {name} is not known; another one is assumed.",
                text=pool["subnet"],
                name=name,
            )


def _may_be_told(text: Any) -> bool:
    """Return whether a value can be meant as an address or a subnet; if it is none, that is an error."""
    return not isinstance(text, str) or not _UNKNOWN.search(text)
