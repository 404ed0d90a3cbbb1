"""Addresses that sentences and messages tell: "my host IP is 192.168.1.10", "app (172.20.0.3) can't reach db"."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain

from iptsim.addresses import address_text, parse_address
from iptsim.host.docker_defaults import DOCKER0, default_subnet
from iptsim.host.model import Host
from iptsim.host.namespace import InterfaceAddress
from iptsim.languages import message
from iptsim.paste.addresses import is_address
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Listed

_HOST = r"(?:docker[ -]?)?(?:host|server|machine|nas)(?:'s)?"
_TOLD = re.compile(
    rf"(?:^|[\s(*`>-])(?:(?:the|my|our)\s+)?(?:(?:{_HOST}\s+(?:machine\s+)?(?:local\s+|lan\s+)?(?:ip\b|ipv4\b|address)(?:\s+address)?"
    rf"|(?:ip|address)(?:\s+address)?\s+of\s+(?:the|my|our)\s+{_HOST})\s*(?:is|=|:)"
    rf"|{_HOST}\s+with\s+(?:the\s+)?(?:ip|address)(?:\s+address)?)"
    r"\s*[`*]*(?P<address>\d{1,3}(?:\.\d{1,3}){3})(?![\d./]*\d)",
    re.IGNORECASE,
)
#: A name with its address, as people write it, and as psql and ping print it.
_NAMED = re.compile(
    r"(?<![\w./-])(?P<name>[A-Za-z0-9][\w.-]*)[\"'`*]* (?:(?:container|service) )?"
    r"\([`*]*(?P<address>\d{1,3}(?:\.\d{1,3}){3})[`*]*\)"
)


def told_address(lines: Iterable[Line]) -> InterfaceAddress | None:
    """Return the IPv4 address that sentences give the host; None if they name none or several."""
    found = {told["address"] for line in lines if (told := _TOLD.search(line.text)) is not None}
    if len(found) != 1 or not is_address(*found):
        return None
    _, address = parse_address(found.pop())
    return InterfaceAddress(family=4, address=address, prefix_length=24)


def with_told_addresses(listed: Sequence[Listed], lines: Iterable[Line]) -> list[Listed]:
    """Give containers in a list the addresses that stand in brackets behind their names.

    Only one that dockerd may have chosen for just this container: neither the gateway of its subnet, nor one told of
    several containers.
    """
    told: dict[str, set[str]] = {one.name: set() for one in listed if not (one.address or one.stopped)}
    for line in lines if told else ():
        for found in _NAMED.finditer(line.text):
            if found["name"] in told:
                told[found["name"]].add(found["address"])
    times = Counter([*(one.address for one in listed), *chain.from_iterable(told.values())])
    only = {
        name: address
        for name, found in told.items()
        for address in found
        if len(found) == 1 and times[address] == 1 and _is_of_container(address)
    }
    return [replace(one, address=only[one.name]) if one.name in only else one for one in listed]


def _is_of_container(text: str) -> bool:
    """Return whether an address is in a subnet that dockerd chooses where no home network is, but not its gateway.

    >>> _is_of_container("172.20.0.3"), _is_of_container("172.20.0.1"), _is_of_container("192.168.1.3")
    (True, False, False)
    """
    if not is_address(text):
        return False
    _, address = parse_address(text)
    subnet = default_subnet(address)
    return subnet is not None and subnet.length == DOCKER0.length and address > subnet.address + 1


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
