"""Addresses that a host treats alike before any rule is evaluated: with the same owner, routes and type."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.address_sets import AddressSet, Span
from iptsim.addresses import Family
from iptsim.host.model import Host
from iptsim.host.namespace import Namespace
from iptsim.host.routing_policy import own_rules
from iptsim.host.routing_tables import hops, routes_of

#: Addresses of private networks.
_PRIVATE: dict[Family, AddressSet] = {
    4: AddressSet.read(4, "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"),
    6: AddressSet.read(6, "fc00::/7"),
}
#: Addresses that name a machine only together with the link that they are used on.
LINK_LOCAL: dict[Family, AddressSet] = {
    4: AddressSet.read(4, "169.254.0.0/16"),
    6: AddressSet.read(6, "fe80::/10"),
}
#: Addresses that routers forward to the outside: all but special ones (RFC 6890) and those of private networks
#: (RFC 1918, 4193, 6598).
_PUBLIC: dict[Family, AddressSet] = {
    4: ~AddressSet.read(4, "0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3") - LINK_LOCAL[4] - _PRIVATE[4],
    6: AddressSet.read(6, "2000::/3"),
}
#: Addresses that belong to no single machine, or to every one.
_NOT_UNICAST: dict[Family, AddressSet] = {
    4: AddressSet.read(4, "0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3"),
    6: AddressSet.read(6, "::/127", "ff00::/8"),
}

#: The most addresses whose region is kept with a host.
_KEPT = 1000


def region_of(host: Host, family: Family, address: int) -> AddressSet:
    """Return the addresses that no route, policy rule, network or owner distinguishes from an address."""
    regions: dict[tuple[Family, int], AddressSet] = host.namespace.cache.setdefault("regions", {})
    found = regions.get((family, address))
    if found is None:
        if len(regions) >= _KEPT:
            regions.clear()
        found = regions[family, address] = _region_of(host, family, address)
    return found


def _region_of(host: Host, family: Family, address: int) -> AddressSet:
    low, high = AddressSet.every(family).spans[0]
    apart: list[Span] = []
    for first, last in known_spans(host, family):
        if first <= address <= last:
            low, high = max(low, first), min(high, last)
        else:
            apart.append((first, last))
    region = AddressSet(family, ((low, high),)) - AddressSet.of(family, apart)
    for kind in (_PUBLIC[family], _NOT_UNICAST[family]):
        region = region & kind if address in kind else region - kind
    return region


def every_public_address(family: Family) -> AddressSet:
    """Return the addresses that routers forward to the outside."""
    return _PUBLIC[family]


def public_addresses(host: Host, family: Family) -> AddressSet:
    """Return the public addresses to which only a default route leads."""
    return host.namespace.once(("public addresses", family), lambda: _PUBLIC[family] - _routed(host, family))


def private_addresses(host: Host, family: Family) -> AddressSet:
    """Return the private addresses to which only a default route leads."""
    return _PRIVATE[family] - _routed(host, family)


def are_private(addresses: AddressSet) -> bool:
    """Return whether all addresses belong to private networks."""
    return addresses <= _PRIVATE[addresses.family]


def _routed(host: Host, family: Family) -> AddressSet:
    """Return the addresses that are in a prefix that the host knows, other than that of the default route."""
    every = AddressSet.every(family).spans[0]
    return AddressSet.of(family, (span for span in known_spans(host, family) if span != every))


def unicast_addresses(host: Host, addresses: AddressSet) -> AddressSet:
    """Return the addresses that a machine can have: no broadcast, multicast or loopback addresses."""
    family = addresses.family
    broadcasts = (
        AddressSet.prefix(family, route.destination, route.prefix_length).spans[0]
        for route in routes_of(host.namespace, family)
        if route.type in ("broadcast", "multicast")
    )
    return addresses - _NOT_UNICAST[family] - AddressSet.of(family, broadcasts)


def sources_behind(namespace: Namespace, family: Family) -> dict[str, AddressSet]:
    """Return, by interface, the addresses that its routes lead to: the sources that packets arriving there may have."""
    found: dict[str, AddressSet] = {}
    taken = AddressSet(family)
    routes = [route for route in routes_of(namespace, family) if route.table in ("main", "default")]
    for route in sorted(routes, key=lambda route: -route.prefix_length):
        prefix = AddressSet.prefix(family, route.destination, route.prefix_length)
        for device in filter(None, (hop.device for hop in hops(route))):
            found[device] = found.get(device, AddressSet(family)) | (prefix - taken)
        taken = taken | prefix
    return found


def known_spans(host: Host, family: Family) -> frozenset[Span]:
    """Return the prefixes that a host knows, as ranges: those of routes, policy rules, networks and owners."""
    return host.namespace.once(("known prefixes", family), lambda: frozenset(_spans(host, family)))


def _spans(host: Host, family: Family) -> Iterator[Span]:
    for namespace in (host.namespace, *(one.namespace for one in host.containers.values())):
        yield from _spans_of(namespace, family)
    for container in host.containers.values():
        for endpoint in container.endpoints.values():
            own = endpoint.address(family)
            if own is not None:
                yield own, own
    for network in host.networks.values():
        for subnet in network.subnets:
            if subnet.family == family:
                yield AddressSet.prefix(family, subnet.address, subnet.prefix_length).spans[0]


def _spans_of(namespace: Namespace, family: Family) -> Iterator[Span]:
    for route in routes_of(namespace, family):
        yield AddressSet.prefix(family, route.destination, route.prefix_length).spans[0]
        if route.from_address is not None:
            yield AddressSet.prefix(family, route.from_address, route.from_length).spans[0]
    for rule in own_rules(namespace, family) or ():
        for base, length in ((rule.src, rule.src_length), (rule.dst, rule.dst_length)):
            if base is not None:
                yield AddressSet.prefix(family, base, length).spans[0]
    for _, address in namespace.addresses(family):
        yield address.address, address.address
    for neighbour in namespace.neighbours:
        interface = namespace.interfaces.get(neighbour.device)
        if neighbour.family == family and interface is not None and interface.kind == "bridge":
            yield neighbour.address, neighbour.address
