"""The address of the host that a sentence tells: "my host IP is 192.168.1.10"."""

from __future__ import annotations

import re
from collections.abc import Iterable

from iptsim.addresses import address_text, parse_address
from iptsim.host.model import Host
from iptsim.host.namespace import InterfaceAddress
from iptsim.languages import message
from iptsim.paste.addresses import is_address
from iptsim.paste.lines import Line

_HOST = r"(?:docker[ -]?)?(?:host|server|machine|nas)(?:'s)?"
_TOLD = re.compile(
    rf"(?:^|[\s(*`>-])(?:(?:the|my|our)\s+)?(?:{_HOST}\s+(?:machine\s+)?(?:local\s+|lan\s+)?(?:ip\b|ipv4\b|address)(?:\s+address)?"
    rf"|(?:ip|address)(?:\s+address)?\s+of\s+(?:the|my|our)\s+{_HOST})"
    r"\s*(?:is|=|:)\s*[`*]*(?P<address>\d{1,3}(?:\.\d{1,3}){3})(?![\d./]*\d)",
    re.IGNORECASE,
)


def told_address(lines: Iterable[Line]) -> InterfaceAddress | None:
    """Return the IPv4 address that sentences give the host; None if they name none or several."""
    found = {told["address"] for line in lines if (told := _TOLD.search(line.text)) is not None}
    if len(found) != 1 or not is_address(*found):
        return None
    _, address = parse_address(found.pop())
    return InterfaceAddress(family=4, address=address, prefix_length=24)


def take_address(host: Host, told: InterfaceAddress) -> None:
    """Give the told address to the interface whose assumed address is in the same subnet."""
    namespace = host.namespace
    for name, interface in namespace.interfaces.items():
        for assumed in interface.addresses if interface.kind not in ("bridge", "loopback") else ():
            own = assumed.model_copy(update={"address": told.address})
            if assumed.family != 4 or own.network != assumed.network or told.address == assumed.address:
                continue
            addresses = tuple(own if one == assumed else one for one in interface.addresses)
            namespace.interfaces[name] = interface.model_copy(update={"addresses": addresses})
            namespace.routes = [
                route.model_copy(update={"source": told.address})
                if route.source == assumed.address
                else route
                for route in namespace.routes
            ]
            namespace.cache.clear()
            host.assumptions.append(
                message(
                    "The source says that the host has the address {address}; it is assumed to be on {name}.",
                    address=address_text(4, told.address),
                    name=name,
                )
            )
            return
