"""Routing tables: longest prefix match as in fib_table_lookup (IPv4) and fib6_table_lookup (IPv6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from iptsim.addresses import Family, is_link_local, is_multicast
from iptsim.host.connected_routes import connected_routes
from iptsim.host.namespace import Namespace, NextHop, Route, grouped, prefix_mask

#: Bits of the TOS that IPv4 routes and rules compare (IPTOS_RT_MASK).
TOS_MASK = 0x1C
REFUSALS = frozenset({"unreachable", "prohibit", "blackhole", "throw"})
#: Name of the single trie that holds both tables with the default policy rules of IPv4.
LOCAL_AND_MAIN = "local+main"

_PREFERENCE = {"low": 0, "medium": 1, "high": 2}


class Flow(NamedTuple):
    """The inputs of a routing decision.

    `iif` is None for locally generated packets. In IPv6, `oif` is only a preference once the packet has a
    source; `metric` says whether a lower metric outweighs that preference. It is False where the kernel only looks a
    route up (ip6_route_lookup): there, `oif` is a preference even without a source.
    """

    destination: int
    source: int | None = None
    iif: str | None = None
    oif: str | None = None
    mark: int = 0
    proto: int | None = None
    sport: int | None = None
    dport: int | None = None
    tos: int = 0
    uid: int | None = None
    metric: bool = True


class Found(NamedTuple):
    """The route found in a table, and its next hop; a rejecting route has no next hop.

    Attributes:
        others: further next hops of the route, which the kernel may pick instead.
    """

    route: Route
    hop: NextHop | None
    others: tuple[NextHop, ...] = ()


class Table:
    """A routing table of one family, by prefix length and destination."""

    def __init__(self, namespace: Namespace, family: Family, routes: Iterable[Route]) -> None:
        self.family = family
        #: interfaces whose routes are ignored while their link is down
        self.particular = {
            name
            for name in namespace.interfaces
            if namespace.interface_sysctl(family, name, "ignore_routes_with_linkdown")
        }
        by_length: dict[int, dict[int, list[Route]]] = {}
        #: by the identity of a route: its next hops that work, once they are needed
        self._hops: dict[int, tuple[NextHop, ...]] = {}
        for route in routes:
            by_length.setdefault(route.prefix_length, {}).setdefault(route.destination, []).append(route)
        self.lengths: list[tuple[int, dict[int, list[Route]]]] = []
        for length in sorted(by_length, reverse=True):
            for same in by_length[length].values():
                same.sort(key=_order4 if family == 4 else _order6)
            self.lengths.append((prefix_mask(family, length), by_length[length]))

    def find(self, flow: Flow) -> Found | None:
        """Return the route for a flow, or None."""
        pick = self._first if self.family == 4 else self._best
        for mask, routes in self.lengths:
            same = routes.get(flow.destination & mask)
            found = pick(same, flow) if same else None
            if found is not None:
                return found
        return None

    def _first(self, routes: list[Route], flow: Flow) -> Found | None:
        """IPv4: the first usable route that leaves by the required interface."""
        for route in routes:
            if route.tos and route.tos != flow.tos & TOS_MASK:
                continue
            if route.type in REFUSALS:
                return Found(route, None)
            alive = self._working(route)
            if flow.oif is not None:  # it determines the next hop (fib_select_path)
                alive = tuple(hop for hop in alive if hop.device == flow.oif)[:1]
            if alive:
                return Found(route, alive[0], alive[1:])
        return None

    def _best(self, routes: list[Route], flow: Flow) -> Found | None:
        """IPv6: the route with the best score among those with the lowest metric (find_rr_leaf, rt6_score_route)."""
        device = flow.iif or flow.oif
        strict = needs_device(flow.destination) or (flow.metric and flow.iif is None and flow.source is None)
        if routes[0].from_length:
            routes = [route for route in routes if not route.from_length or _comes_from(route, flow.source)]
            if not routes or not (routes[0].from_length or routes[0].prefix_length == 0):
                # If a prefix has source-specific routes, its plain route does not serve other sources
                # (fib6_node_lookup_1 goes up from the subtree); above the default there is nothing, and
                # the plain default stays (fib6_node_lookup).
                return None
        rank: tuple[int, int] | None = None
        best, best_score = None, -1
        for route in routes:
            if best is not None and rank != (route.from_length, route.metric if flow.metric else 0):
                break
            rank = route.from_length, route.metric if flow.metric else 0
            alive = self._working(route)
            for hop in alive:
                fits = device is None or hop.device == device
                if strict and not fits:
                    continue
                score = 2 * fits + 4 * _PREFERENCE.get(route.preference, 1)
                if score > best_score:
                    others = () if strict else tuple(one for one in alive if one != hop)
                    best = Found(route, None) if route.type in REFUSALS else Found(route, hop, others)
                    best_score = score
        return best

    def _working(self, route: Route) -> tuple[NextHop, ...]:
        found = self._hops.get(id(route))
        if found is None:
            found = self._hops[id(route)] = tuple(hop for hop in hops(route) if self._alive(hop))
        return found

    def _alive(self, hop: NextHop) -> bool:
        return not ("dead" in hop.flags or ("linkdown" in hop.flags and hop.device in self.particular))


def _order4(route: Route) -> tuple[bool, int, int]:
    # fib_insert_alias: at one prefix the local table first, then the higher TOS, then the lower metric.
    return (route.table != "local", -route.tos, route.metric)


def _order6(route: Route) -> tuple[int, int]:
    return (-route.from_length, route.metric)


def _comes_from(route: Route, source: int | None) -> bool:
    if source is None or route.from_address is None:
        return False
    return (source ^ route.from_address) & prefix_mask(route.family, route.from_length) == 0


def hops(route: Route) -> tuple[NextHop, ...]:
    """Return the next hops of a route: one, or several for a multipath route."""
    if route.nexthops:
        return route.nexthops
    return (
        NextHop(
            device=route.device,
            gateway=route.gateway,
            gateway_family=route.gateway_family,
            flags=route.flags,
        ),
    )


def needs_device(address: int) -> bool:
    """Return whether an IPv6 address is meaningless without an interface (rt6_need_strict)."""
    return is_multicast(6, address) or is_link_local(6, address) or address == 1


def routes_of(namespace: Namespace, family: Family) -> Iterator[Route]:
    """Yield the routes of a family; if a table is unknown, those that follow from the addresses.

    The kernel adds the local route of an IPv6 address only after a second or two (duplicate address
    detection); a capture made before that lacks it, so it is added here.
    """
    known, local = set(), set()
    for route in namespace.routes:
        if route.family == family:
            known.add(route.table)
            if route.type == "local":
                local.add(route.destination)
            yield route
    for route in connected_routes(namespace, family):
        late = family == 6 and route.type == "local" and route.destination not in local
        if late or route.table not in known:
            yield route


def tables_of(namespace: Namespace, family: Family) -> dict[str, Table]:
    """Return the tables of a family by name, :data:`LOCAL_AND_MAIN` among them."""

    def tables() -> dict[str, Table]:
        by_name = grouped(routes_of(namespace, family), lambda route: route.table)
        by_name[LOCAL_AND_MAIN] = [*by_name.get("local", ()), *by_name.get("main", ())]
        return {name: Table(namespace, family, routes) for name, routes in by_name.items()}

    return namespace.once(("tables", family), tables)
