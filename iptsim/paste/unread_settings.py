"""Settings of containers and networks that a text leaves open: `$PORT`, `<your port>`, `x.x.x.x`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from iptsim.docker.sources.flag_values import read_publish
from iptsim.docker.sources.interpolation import interpolated
from iptsim.languages import Message, message
from iptsim.paste.pieces import Settings

#: What is in no address and no port: the value is that of a variable, is left to the reader, or was redacted or cut.
_UNKNOWN = re.compile(r"[^0-9A-Fa-f.:/\[\]'-]|\.\.")
#: The number of containers of a service, and what a network is, without the address.
_OTHERS = {
    "services": ("scale", "network_mode"),
    "networks": ("internal", "enable_ipv6", "driver", "external"),
}
_PROTOCOL = re.compile(r"/[a-z]+$")


def forget_unread(settings: Settings) -> list[Message]:
    """Remove from settings the ports and addresses that the text leaves open, after variables got their defaults.

    Returns:
        what is assumed instead.
    """
    assumed: list[Message] = []
    settings.services = interpolated(settings.services)
    settings.networks = interpolated(settings.networks)
    for name, service in settings.services.items():
        if isinstance(service, dict):
            assumed += _ports(str(name), service)
            assumed += _places(str(name), service)
            assumed += _variables(str(name), service, _OTHERS["services"])
            assumed += _servers(str(name), service)
            if isinstance(deploy := service.get("deploy"), dict):
                assumed += _variables(str(name), deploy, ("replicas",))
    for name, network in settings.networks.items():
        if isinstance(network, dict):
            assumed += _subnets(str(name), network)
            assumed += _variables(str(name), network, _OTHERS["networks"])
    return assumed


def _variables(name: str, settings: dict[str, Any], keys: Iterable[str]) -> list[Message]:
    """Remove settings whose value is that of a variable."""
    return [
        message(
            "{key} of {name} is not known ({text}); the default is assumed.",
            key=key,
            name=name,
            text=settings.pop(key),
        )
        for key in keys
        if "$" in str(settings.get(key))
    ]


def _servers(name: str, service: dict[str, Any]) -> list[Message]:
    """Remove name servers of which one is not known."""
    given = service.get("dns")
    servers = given if isinstance(given, list) else [given]
    unknown = [one for one in servers if isinstance(one, str) and _UNKNOWN.search(one)]
    if unknown:
        del service["dns"]
    return [
        message(
            "{key} of {name} is not known ({text}); the default is assumed.", key="dns", name=name, text=one
        )
        for one in unknown[:1]
    ]


def _ports(name: str, service: dict[str, Any]) -> list[Message]:
    """Remove published ports, or the part of them, that is not known."""
    ports = service.get("ports")
    if not isinstance(ports, list):
        return []
    kept: list[Any] = []
    assumed = []
    for port in ports:
        if not isinstance(port, str) or is_whole(port):
            kept.append(port)
            continue
        *before, inside = port.rsplit(":", 2)
        known = [f"{before[0]}::{inside}", port.removeprefix(f"{before[0]}:")] if len(before) == 2 else []
        found = [one for one in (*known, inside) if is_port(one)]
        kept += found[:1]
        assumed.append(_assumed_of(port, name, kept=found[0] if found else ""))
    service["ports"] = kept
    return assumed


def is_whole(port: str) -> bool:
    """Return whether all of a published port is given; it may still be invalid."""
    return _UNKNOWN.search(_PROTOCOL.sub("", port)) is None


def _assumed_of(port: str, name: str, *, kept: str) -> Message:
    """Return what is assumed of a published port of which a part is not known.

    Args:
        port: the port as it is given.
        name: its service.
        kept: what is left of it; "" for nothing.
    """
    if not kept:
        return message(
            "The published port {text} of {name} is not known; it is ignored.", text=port, name=name
        )
    if port.endswith(kept) and ":" in kept:
        return message(
            "The host's address in {text} of {name} is not known; all of them are assumed.",
            text=port,
            name=name,
        )
    return message(
        "The host's port in {text} of {name} is not known; a free one is assumed.", text=port, name=name
    )


def is_port(text: str) -> bool:
    """Return whether Docker takes a text as a published port."""
    try:
        return bool(read_publish(text))
    except ValueError:
        return False


def _places(name: str, service: dict[str, Any]) -> list[Message]:
    """Remove unknown addresses in networks."""
    places = service.get("networks")
    return [
        message(
            "The address {text} of {name} is not known; another one is assumed.",
            text=place.pop(key),
            name=name,
        )
        for place in (places.values() if isinstance(places, dict) else ())
        for key in ("ipv4_address", "ipv6_address")
        if isinstance(place, dict) and not _is_complete(place.get(key))
    ]


def _subnets(name: str, network: dict[str, Any]) -> list[Message]:
    """Remove unknown subnets, and unknown gateways of subnets."""
    ipam = network.get("ipam")
    config = ipam.get("config") if isinstance(ipam, dict) else None
    if not isinstance(config, list):
        return []
    assumed = []
    for pool in list(config):
        if isinstance(pool, dict) and not _is_complete(pool.get("gateway")):
            del pool["gateway"]
        if isinstance(pool, dict) and not _is_complete(pool.get("subnet")):
            config.remove(pool)
            assumed.append(
                message(
                    "The subnet {text} of {name} is not known; another one is assumed.",
                    text=pool["subnet"],
                    name=name,
                )
            )
    return assumed


def _is_complete(text: Any) -> bool:
    """Return whether all of an address or a subnet is given; it may still be invalid, which is an error."""
    return not isinstance(text, str) or not _UNKNOWN.search(text)
