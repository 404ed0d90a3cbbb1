"""The routes that the kernel adds for addresses.

When an interface gets an address, the kernel adds a local route, a route to the subnet, and broadcast
or multicast routes (fib_add_ifaddr in net/ipv4/fib_frontend.c, addrconf_add_dev and __ipv6_ifa_notify
in net/ipv6/addrconf.c). Captures of containers often lack the local table; this module restores it.
"""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import BITS, Family
from iptsim.host.namespace import Interface, InterfaceAddress, Namespace, Route, RouteType, prefix_mask

#: Metric of the IPv6 routes that the kernel adds automatically (IP6_RT_PRIO_ADDRCONF).
KERNEL_METRIC = 256
#: Where a namespace caches the IPv4 routes of each interface, with the interface from which they were made.
CONNECTED = "connected"


def connected_routes(namespace: Namespace, family: Family) -> Iterator[Route]:
    """Yield the routes that the kernel adds for the addresses of a namespace."""
    if family == 4:
        made: dict[str, tuple[Interface, list[Route]]] = namespace.cache.setdefault(CONNECTED, {})
        for name, interface in namespace.interfaces.items():
            if name not in made or made[name][0] is not interface:
                addresses = (address for address in interface.addresses if address.family == 4)
                made[name] = interface, [route for one in addresses for route in _routes4(interface, one)]
            yield from made[name][1]
    else:
        for interface, address in namespace.addresses(family):
            yield from _routes6(namespace, interface, address)
        for interface in namespace.interfaces.values():
            if (
                interface.up
                and interface.kind != "loopback"
                and any(a.family == 6 for a in interface.addresses)
            ):
                yield Route(
                    family=6,
                    destination=0xFF << 120,
                    prefix_length=8,
                    type="multicast",
                    device=interface.name,
                    table="local",
                    metric=KERNEL_METRIC,
                )


def _routes4(interface: Interface, address: InterfaceAddress) -> Iterator[Route]:
    def route(destination: int, length: int, kind: RouteType, table: str, scope: str) -> Route:
        return Route(
            family=4,
            destination=destination,
            prefix_length=length,
            type=kind,
            device=interface.name,
            table=table,
            source=source,
            scope=scope,
            flags=_flags(interface, kind),
        )

    loopback = interface.kind == "loopback"
    source = _primary(interface, address).address
    yield route(address.address, 32, "local", "local", "host")
    if not interface.up:
        return
    if address.broadcast is not None and address.broadcast != 0xFFFFFFFF:
        yield route(address.broadcast, 32, "broadcast", "local", "link")
    if address.secondary:
        return
    network, length = address.network, address.prefix_length
    if network != address.address or length < 32:
        if loopback:
            yield route(network, length, "local", "local", "host")
        else:
            yield route(network, length, "unicast", "main", "link")
    last = network | ~prefix_mask(4, length) & 0xFFFFFFFF
    if length < 31 and last != address.broadcast:
        yield route(last, 32, "broadcast", "local", "link")


def _flags(interface: Interface, kind: RouteType) -> frozenset[str]:
    return frozenset() if interface.carrier or kind == "local" else frozenset({"linkdown"})


def _primary(interface: Interface, address: InterfaceAddress) -> InterfaceAddress:
    """Return the first address in the same subnet: the source address of the routes to it."""
    if not address.secondary:
        return address
    same = (
        other
        for other in interface.addresses
        if not other.secondary
        and (other.family, other.prefix_length, other.network) == (4, address.prefix_length, address.network)
    )
    return next(same, address)


def _routes6(namespace: Namespace, interface: Interface, address: InterfaceAddress) -> Iterator[Route]:
    def route(destination: int, length: int, kind: RouteType, table: str, metric: int) -> Route:
        return Route(
            family=6,
            destination=destination,
            prefix_length=length,
            type=kind,
            device=interface.name,
            table=table,
            metric=metric,
            flags=_flags(interface, kind),
        )

    if not interface.up or address.duplicate:
        return
    yield route(address.address, BITS[6], "local", "local", 0)
    if interface.kind == "loopback":
        return
    if address.peer is not None:
        yield route(address.peer, BITS[6], "unicast", "main", KERNEL_METRIC)
    yield route(address.network, address.prefix_length, "unicast", "main", KERNEL_METRIC)
    # A router responds to the subnet's first address (RFC 4291, 2.6.1).
    everywhere = namespace.interface_sysctl(6, "all", "forwarding")
    forwarding = namespace.interface_sysctl(6, interface.name, "forwarding", everywhere)
    if forwarding and address.prefix_length < 127 and address.network != address.address:
        yield route(address.network, BITS[6], "anycast", "local", 0)


def default_route(family: Family, gateway: int, device: str) -> Route:
    """Return the default route through a gateway."""
    return Route(
        family=family,
        destination=0,
        prefix_length=0,
        device=device,
        gateway=gateway,
        gateway_family=family,
        metric=0 if family == 4 else 1024,
    )
