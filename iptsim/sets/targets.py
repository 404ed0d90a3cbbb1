"""Regions of destinations that one walk can have together: as far as FORWARD, those that one route leads to.

The host's own addresses have it to the end, where nothing tells them apart.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from iptsim.addresses import BITS, is_loopback, parse_address
from iptsim.host import fib
from iptsim.host.namespace import Namespace
from iptsim.host.routing_policy import own_rules
from iptsim.netfilter.bypass import BYPASSING_DRIVERS
from iptsim.netfilter.hooks import FORWARD, PREROUTING
from iptsim.protocols import UDP
from iptsim.sets.landscape import Landscape
from iptsim.sets.regions import Prefix

#: The way to destinations to which a kernel has no route.
_NO_ROUTE = "no route"


class Targets:
    """Which regions a sender's packets reach alike.

    The host takes a packet to any of its IPv4 addresses, on whatever interface (the weak host model). Its sender tells
    these addresses apart by its own routes, the host by listening sockets, published ports and policy rules.

    What the host forwards by one route goes the same way until FORWARD has accepted it; then each region counts
    (:meth:`iptsim.sets.class_walk.ClassWalk.forwarded`). A kernel sends nothing to destinations without a route.
    """

    def __init__(self, land: Landscape) -> None:
        self._land = land
        #: by region: what the host does with it, which is the same for regions that it does not tell apart
        self._ways: dict[Prefix, Hashable] = dict(self._routed())
        self._ways.update(dict.fromkeys(self._alike(), "own"))
        self._order = {region: place for place, region in enumerate(land.regions.all)}
        #: targets to which a sender has no route
        self._without_route: set[tuple[Prefix, ...]] = set()
        self._interfaces = {own.address: one.name for one, own in land.host.namespace.addresses(4)}

    def of(self, namespace: Namespace | None, interface: str = "") -> Iterator[tuple[Prefix, ...]]:
        """Yield the regions of destinations, together those that are reached alike.

        Args:
            namespace: the sender's; None for a sender outside.
            interface: the interface by which the packets of a sender outside arrive.
        """
        groups: dict[Hashable, list[Prefix]] = {}
        for region in self._land.regions.all:
            groups.setdefault(self._way(namespace, interface, region), []).append(region)
        for way, regions in groups.items():
            targets = tuple(regions)
            if way == _NO_ROUTE:
                self._without_route.add(targets)
            yield targets

    def place(self, targets: tuple[Prefix, ...], address: int) -> int:
        """Return the place of an address of some targets in the order of all regions.

        The host's own addresses share one, and so do those without a route.
        """
        region = self._land.regions.of(address)
        together = self._ways.get(region) == "own" or targets in self._without_route
        return self._order[targets[0] if together else region]

    def _way(self, namespace: Namespace | None, interface: str, region: Prefix) -> Hashable:
        """Return a key that is equal for regions that are reached alike."""
        host = self._land.host.namespace
        if namespace is not None and self._has_no_route(namespace, region):
            return _NO_ROUTE
        way = self._ways.get(region)
        if way is None or namespace is host:
            # to each of its addresses the host sends from that address
            return region
        if namespace is None:
            entry = host.interfaces.get(interface)
            # a frame on a bridge may be for a neighbour
            bridged = entry is not None and (entry.kind == "bridge" or entry.master is not None)
            return region if bridged and way != "own" else way
        if own_rules(namespace, self._land.family) is not None:
            return region
        found = fib.lookup(namespace, self._land.family, region.address)
        hop = region.address if found.gateway is None else found.gateway
        own = self._interfaces.get(hop)
        if own is None or found.route is None or found.others:
            return region
        # the sender's frame goes to the host, whether it has the address itself or is the gateway
        return way, own, found.device, found.mtu

    def _has_no_route(self, namespace: Namespace, region: Prefix) -> bool:
        """Return whether a kernel has no route to a region, whatever it sends there."""
        if own_rules(namespace, self._land.family) is not None:
            return False
        spans = self._land.regions.ranges(region)
        return bool(spans) and fib.lookup(namespace, self._land.family, spans[0][0]).type == "none"

    def _routed(self) -> Iterator[tuple[Prefix, Hashable]]:
        """Yield the regions to which the host forwards packets, each with its route."""
        land = self._land
        host, space = land.host, land.host.namespace
        hooks = land.namespaces.hooks_of(space)
        if land.family != 4 or own_rules(space, 4) is not None:
            return
        if any(hooks.at(4, name).lacks_table for name in (PREROUTING, FORWARD)):
            # rules that are not shown may name an address
            return
        if any(network.driver in BYPASSING_DRIVERS for network in host.networks.values()):
            return
        for region in land.regions.all:
            found = fib.lookup(space, 4, region.address)
            if found.type == "unicast" and not found.others:
                yield region, id(found.route)

    def _alike(self) -> Iterator[Prefix]:
        """Yield the host's own addresses that the host does not tell apart."""
        land = self._land
        host, space = land.host, land.host.namespace
        if land.family != 4 or own_rules(space, 4) is not None or land.tells_own_addresses:
            return
        published = [port for one in host.containers.values() for port in one.published if port.family == 4]
        engine = host.daemon.engine if host.daemon is not None else None
        if (
            engine is not None
            and not engine.proxy_keeps_address
            and any(one.proto == UDP for one in published)
        ):
            # docker-proxy answers from the address that the route gives
            return
        named = {one.address for one in space.listeners}
        named |= {parse_address(one.host_address)[1] for one in published if one.host_address is not None}
        for _, own in space.addresses(4):
            if own.address not in named and not is_loopback(4, own.address):
                yield Prefix(own.address, BITS[4])
