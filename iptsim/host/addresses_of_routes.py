"""The addresses of interfaces, inferred from the routes that the kernel creates for them.

Each address has a route of type local to itself in the local table, and its subnet a route in the main one
(net/ipv4/fib_frontend.c fib_add_ifaddr, net/ipv6/addrconf.c).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from iptsim.addresses import BITS, Family, address_text, is_link_local
from iptsim.host.model import Host
from iptsim.host.namespace import InterfaceAddress, Namespace, Route
from iptsim.languages import message


def addresses_of_routes(namespace: Namespace) -> dict[str, list[InterfaceAddress]]:
    """Return the addresses of each interface except the loopback, inferred from the routes of a namespace.

    Nothing if no route leads to a subnet of the host: then the source shows only some of its routes.
    """
    found: dict[str, list[InterfaceAddress]] = {}
    for route in namespace.routes:
        whole = route.prefix_length == BITS[route.family]
        if route.table != "local" or route.type != "local" or not whole or route.device in (None, "lo"):
            continue
        link = route.family == 6 and is_link_local(6, route.destination)
        address = InterfaceAddress(
            family=route.family,
            address=route.destination,
            prefix_length=_length(namespace, route),
            scope="link" if link else "global",
        )
        found.setdefault(route.device or "", []).append(address)
    return found or _by_preferred_source(namespace)


#: The prefix length of the largest private subnet; shorter ones are halves of the default route, as VPNs add them.
_LARGEST = 8


def assume_addresses(host: Host) -> None:
    """Give an address to each interface of which only the subnet is known: the last one that is not a gateway.

    `route -n` shows no preferred sources; an interface with a subnet has an address in it nevertheless.
    """
    namespace = host.namespace
    gateways = {
        route.gateway for route in namespace.routes if route.gateway is not None and route.family == 4
    }
    for route in namespace.routes:
        device = namespace.interfaces.get(route.device or "")
        if device is None or device.addresses or route.family != 4:
            continue
        if route.type != "unicast" or route.gateway is not None or route.prefix_length < _LARGEST:
            continue
        own = last_free_address(4, route.destination, route.prefix_length, gateways)
        if own is None:
            continue
        namespace.interfaces[device.name] = replace(device, addresses=(own,))
        host.assumptions.append(
            message(
                "The address of {name} is not shown; it is assumed to be {address}.",
                name=device.name,
                address=address_text(4, own.address),
            )
        )


def last_free_address(
    family: Family, network: int, prefix_length: int, taken: Collection[int]
) -> InterfaceAddress | None:
    """Return the last address of machines in a subnet that is not taken, None if there is none."""
    last = network + (1 << BITS[family] - prefix_length) - 2
    free = (one for one in range(last, network, -1) if one not in taken)
    address = next(free, None)
    if address is None:
        return None
    return InterfaceAddress(family=family, address=address, prefix_length=prefix_length)


def _by_preferred_source(namespace: Namespace) -> dict[str, list[InterfaceAddress]]:
    """Return the addresses that routes to a link name as their source, where the local table is not shown."""
    found: dict[str, list[InterfaceAddress]] = {}
    # routes to single machines show no subnet either
    subnets = [route for route in namespace.routes if 0 < route.prefix_length < BITS[route.family]]
    if all(route.gateway is not None for route in subnets):
        return found
    for route in namespace.routes:
        if route.device in (None, "lo"):
            continue
        addresses = found.setdefault(route.device or "", [])
        if route.source is not None and route.gateway is None and route.prefix_length < BITS[route.family]:
            addresses.append(
                InterfaceAddress(family=route.family, address=route.source, prefix_length=route.prefix_length)
            )
    return found


def _length(namespace: Namespace, local: Route) -> int:
    """Return the prefix length of an address's subnet: the longest for which its interface has a route."""
    lengths = [
        route.prefix_length
        for route in namespace.routes
        if (route.table, route.family, route.device) == ("main", local.family, local.device)
        and route.gateway is None
        and 0 < route.prefix_length < BITS[route.family]
        and route.source in (None, local.destination)
        and local.destination >> (BITS[route.family] - route.prefix_length)
        == route.destination >> (BITS[route.family] - route.prefix_length)
    ]
    return max(lengths, default=BITS[local.family])
