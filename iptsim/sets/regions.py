"""Regions of addresses: addresses that no route, interface, neighbour or container distinguishes.

Outside the rules, the kernel compares addresses only with prefixes: those of routes, interface addresses, `ip rule` and
a few special networks. Addresses in the same prefixes are treated alike, so one represents all of them. As prefixes are
nested or disjoint, the longest prefix that contains an address identifies its region.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from iptsim.addresses import BITS, Family, parse_address, solicited_node
from iptsim.extensions.constraints import Ranges
from iptsim.host.model import Host
from iptsim.host.namespace import Namespace, prefix_mask
from iptsim.host.routing_policy import own_rules
from iptsim.host.routing_tables import hops, routes_of
from iptsim.host.source_address import labels_decide
from iptsim.netfilter.routing import ALL_NODES6, ALL_ROUTERS6, OWN_NODE6

#: Networks that the kernel itself treats in a special way (routing.py, source.py, replies.py).
_SPECIAL: dict[Family, tuple[str, ...]] = {
    4: (
        "0.0.0.0/0", "0.0.0.0/32", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "224.0.0.1/32",
        "255.255.255.255/32",
    ),
    6: (
        "::/0", "::/128", "::1/128", "::ffff:0:0/96", "fe80::/10", "fec0::/10", "ff00::/8",
    ),
}  # fmt: skip
#: Groups that the kernel itself joins (routing.py): all nodes, all routers.
_JOINED: dict[Family, tuple[int, ...]] = {4: (), 6: (OWN_NODE6, ALL_NODES6, ALL_ROUTERS6)}
#: Networks of global scope that have a label of their own (ip6addrlbl_init_table).
_LABELLED = ("fc00::/7", "2001::/32", "2001:10::/28", "2002::/16", "3ffe::/16", "::/96")


class Prefix(NamedTuple):
    """A network: its first address, and the length of its prefix."""

    address: int
    length: int


#: Scopes of IPv6 groups that the kernel treats in a special way: it refuses 0 and 1 (ip6_rcv_core), and REDIRECT picks
#: an address of the same scope for 2 and 5 (nf_nat_redirect_ipv6).
_SCOPES = (0, 1, 2, 5)
#: Networks that the kernel does not tell apart: groups of one scope, whatever their flags.
_TOGETHER: dict[Family, tuple[tuple[Prefix, ...], ...]] = {
    4: (),
    6: tuple(
        tuple(Prefix((0xFF00 | flags << 4 | scope) << 112, 16) for flags in range(16)) for scope in _SCOPES
    ),
}


class Regions:
    """The regions of the addresses of one family, as a host distinguishes them.

    Args:
        host: the host; prefixes of its containers' namespaces count as well.
        family: 4 or 6.
        alike: groups of addresses that form one region each, although they have prefixes of their own.
    """

    def __init__(self, host: Host, family: Family, alike: Iterable[Sequence[int]] = ()) -> None:
        self.bits = BITS[family]
        groups = [tuple(Prefix(one, self.bits) for one in group) for group in alike]
        groups += _TOGETHER[family]
        found = {*prefixes(host, family), *(one for group in groups for one in group)}
        lengths = sorted({prefix.length for prefix in found}, reverse=True)
        self._by_length = [
            (length, prefix_mask(family, length), {one.address for one in found if one.length == length})
            for length in lengths
        ]
        self._children: dict[Prefix, list[Prefix]] = {}
        for prefix in found:
            if prefix.length:
                self._children.setdefault(self._above(prefix), []).append(prefix)
        self._groups = {group[0]: group for group in groups}
        self._leaders = {one: leader for leader, group in self._groups.items() for one in group}
        self.all = sorted(one for one in found if self._leaders.get(one, one) == one)

    def of(self, address: int) -> Prefix:
        """Return the region of an address: the longest prefix that contains it."""
        for length, mask, addresses in self._by_length:
            if address & mask in addresses:
                found = Prefix(address & mask, length)
                return self._leaders.get(found, found)
        raise AssertionError("the prefix of length 0 holds every address")

    def is_group(self, region: Prefix) -> bool:
        """Return whether a region is a group of single addresses."""
        return region in self._groups and region.length == self.bits

    def ranges(self, region: Prefix) -> Ranges:
        """Return the addresses of a region: those of its prefixes that are in no longer prefix."""
        return tuple(span for one in sorted(self._groups.get(region, (region,))) for span in self._own(one))

    def _own(self, prefix: Prefix) -> Iterator[tuple[int, int]]:
        """Yield the addresses of a prefix that are in no longer one."""
        first = prefix.address
        last = first + (1 << self.bits - prefix.length) - 1
        for child in sorted(self._children.get(prefix, ())):
            if child.address > first:
                yield first, child.address - 1
            first = child.address + (1 << self.bits - child.length)
        if first <= last:
            yield first, last

    def _above(self, prefix: Prefix) -> Prefix:
        return next(
            Prefix(prefix.address & mask, length)
            for length, mask, addresses in self._by_length
            if length < prefix.length and prefix.address & mask in addresses
        )


def prefixes(host: Host, family: Family) -> Iterator[Prefix]:
    """Yield all prefixes that anything outside of the rules compares addresses with."""
    namespaces = {id(one): one for one in (host.namespace, *(c.namespace for c in host.containers.values()))}
    labels = family == 6 and any(map(labels_decide, namespaces.values()))
    yield from _single(family, _JOINED[family])
    for text in (*_SPECIAL[family], *(_LABELLED if labels else ())):
        address, _, length = text.partition("/")
        yield Prefix(parse_address(address)[1], int(length))
    for namespace in namespaces.values():
        yield from _of_namespace(namespace, family)
    for network in host.networks.values():
        for subnet in network.subnets:
            if subnet.family == family:
                yield _network(family, subnet.address, subnet.prefix_length)
                yield from _single(family, (subnet.gateway,))
    for container in host.containers.values():
        for endpoint in container.endpoints.values():
            yield from _single(family, (endpoint.address(family), endpoint.gateways.get(family)))
        addresses = (port.host_address for port in container.published if port.family == family)
        yield from _single(family, (parse_address(text)[1] for text in addresses if text is not None))


def _of_namespace(namespace: Namespace, family: Family) -> Iterator[Prefix]:
    for route in routes_of(namespace, family):
        yield _network(family, route.destination, route.prefix_length)
        if route.from_address is not None:
            yield _network(family, route.from_address, route.from_length)
        ways = (hop for hop in hops(route) if hop.gateway_family in (None, family))
        yield from _single(family, (hop.gateway for hop in ways))
        if route.type == "anycast":
            yield from _single(6, (solicited_node(route.destination),))
    for _, own in namespace.addresses(family):
        yield _network(family, own.address, own.prefix_length)
        yield from _single(family, (own.address, own.broadcast, own.peer))
        if family == 6:
            yield from _single(6, (solicited_node(own.address),))
    for rule in own_rules(namespace, family) or ():
        for address, length in ((rule.src, rule.src_length), (rule.dst, rule.dst_length)):
            if address is not None:
                yield _network(family, address, length)
    yield from _single(family, (one.address for one in namespace.neighbours if one.family == family))


def _network(family: Family, address: int, length: int) -> Prefix:
    return Prefix(address & prefix_mask(family, length), length)


def _single(family: Family, addresses: Iterable[int | None]) -> Iterator[Prefix]:
    for address in addresses:
        if address is not None:
            yield Prefix(address, BITS[family])
