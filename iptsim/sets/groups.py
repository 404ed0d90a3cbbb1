"""Groups of containers that a host distinguishes only by their addresses, so that one represents all of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import fields
from typing import NamedTuple

from iptsim.addresses import BITS, Family, is_loopback, parse_address
from iptsim.host.containers import Container
from iptsim.host.model import Host
from iptsim.host.namespace import Listener, Namespace, Route, prefix_mask
from iptsim.host.routing_policy import own_rules
from iptsim.host.routing_tables import hops, routes_of
from iptsim.netfilter.namespaces import Namespaces
from iptsim.sets.regions import prefixes

#: Matches, and parts of the types of ipsets, that tell containers apart by more than their addresses.
_TELLING = frozenset({"physdev", "mac"})
_TELLING_SETS = ("mac", "iface")


class Member(NamedTuple):
    """A container of a group.

    Attributes:
        name: its name.
        address: its only address of the family.
    """

    name: str
    address: int


#: At least two containers; the first one represents all.
Group = tuple[Member, ...]


def groups_of(host: Host, namespaces: Namespaces, family: Family) -> list[Group]:
    """Return the groups of containers that, to packets, differ only in their addresses.

    They are on one network only, with equal ports, routes, settings and listening programs, and without rules of their
    own except for loopback addresses (Docker's resolver).
    """
    if len(host.containers) < 2 or _tells_apart(host, namespaces):
        return []
    named = frozenset(_named(host, family))
    wide = [one for one in prefixes(host, family) if one.length < BITS[family]]
    found: dict[Hashable, list[Member]] = {}
    for container in host.containers.values():
        address = container.address(family)
        shape = None if address is None or address in named else _shape(host, namespaces, container, family)
        if shape is not None and address is not None:
            # a route or a policy rule may be about some of them
            within = frozenset(
                one for one in wide if address & prefix_mask(family, one.length) == one.address
            )
            found.setdefault((shape, within), []).append(Member(container.name, address))
    return [tuple(members) for members in found.values() if len(members) > 1]


def _tells_apart(host: Host, namespaces: Namespaces) -> bool:
    """Return whether a rule or a set may tell containers apart by their ports or Ethernet addresses."""
    if any(part in ipset.type for ipset in (host.ipsets or {}).values() for part in _TELLING_SETS):
        return True
    programs = namespaces.hooks_of(host.namespace).all_programs()
    return any(
        match.name in _TELLING
        for program in programs
        for rule in program.ruleset.rules()
        for match in rule.matches
    )


def _named(host: Host, family: Family) -> Iterator[int]:
    """Yield the addresses that something outside of the rules names: as a gateway, in a route or a policy rule."""
    for namespace in (host.namespace, *(one.namespace for one in host.containers.values())):
        for route in routes_of(namespace, family):
            yield from (hop.gateway for hop in hops(route) if hop.gateway is not None)
            if route.prefix_length == BITS[family] and route.type != "local":
                yield route.destination
        for rule in own_rules(namespace, family) or ():
            yield from (address for address in (rule.src, rule.dst) if address is not None)
    for container in host.containers.values():
        for port in container.published:
            if port.host_address is not None:
                yield parse_address(port.host_address)[1]


def _shape(host: Host, namespaces: Namespaces, container: Container, family: Family) -> Hashable | None:
    """Return what a container must have in common with others; None for one that stands alone."""
    namespace = container.namespace
    if len(container.endpoints) != 1 or not container.running or container.network_mode == "host":
        return None
    if container.shares_namespace or namespace.nftables or own_rules(namespace, family):
        return None
    (endpoint,) = container.endpoints.values()
    own = namespace.outer_addresses(family)
    if own != [endpoint.address(family)] or not _is_left_alone(namespaces, namespace, family):
        return None
    port = host.namespace.interfaces.get(endpoint.bridge_port or "")
    link = (port.isolated, port.hairpin, port.mtu, port.master) if port is not None else None
    inside = tuple((one.name, one.kind, one.mtu, one.up) for one in namespace.interfaces.values())
    routes = frozenset(_plain(route, own[0]) for route in routes_of(namespace, family))
    settings = tuple(sorted(namespace.sysctls.items()))
    return (
        endpoint.network,
        endpoint.gateways.get(family),
        link,
        inside,
        routes,
        settings,
        namespace.listed,
        frozenset(_listening(one, own[0]) for one in namespace.listeners),
    )


def _listening(listener: Listener, own: int) -> Hashable:
    """Return a listening socket without the container's own address."""
    address = "own" if listener.address == own else listener.address
    families = tuple(sorted(listener.families.items()))
    return listener.proto, listener.port, address, families, listener.interface, listener.program


def _plain(route: Route, own: int) -> Hashable:
    """Return a route without the container's own address."""
    values = (getattr(route, field.name) for field in fields(route) if field.name != "protocol")
    return tuple("own" if value == own else value for value in values)


def _is_left_alone(namespaces: Namespaces, namespace: Namespace, family: Family) -> bool:
    """Return whether the rules of a namespace are about loopback addresses alone."""
    for program in namespaces.hooks_of(namespace).programs(family):
        for table in program.ruleset.tables.values():
            for chain in table.chains.values():
                if not chain.builtin:
                    continue
                if (chain.policy or "ACCEPT") != "ACCEPT":
                    return False
                for rule in chain.rules:
                    target = rule.parameters.destination
                    if target is None or not target.mask or not is_loopback(family, target.address):
                        return False
    return True
