"""Routing decisions, and what depends on them: source addresses, address types, reverse paths.

IPv4 follows net/ipv4/{route,fib_frontend,devinet}.c, IPv6 net/ipv6/{route,addrconf}.c, the matches
net/netfilter/xt_addrtype.c and {ipt,ip6t}_rpfilter.c. Nothing here drops packets; the walker does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from iptsim.addresses import Family, is_link_local, is_multicast
from iptsim.host.namespace import Namespace, NextHop, Route, RoutingRule
from iptsim.host.routing_policy import fitting, own_rules, suppressed
from iptsim.host.routing_tables import LOCAL_AND_MAIN, Flow, Found, hops, needs_device, tables_of
from iptsim.host.source_address import select_source

LIMITED_BROADCAST = 0xFFFFFFFF
#: The number of lookups cached per namespace.
CACHE_SIZE = 200_000
#: The error sent to the source if a route or rule rejects the packet.
_ERRORS = {"unreachable": "EHOSTUNREACH", "prohibit": "EACCES", "blackhole": "EINVAL", "none": "ENETUNREACH"}


class RouteResult(NamedTuple):
    """A routing decision.

    Attributes:
        type: "unicast", "local", "broadcast", "multicast", "anycast", "unreachable", "prohibit",
            "blackhole", or "none" if no route matches.
        device: the outgoing device; "lo" for local delivery. None if nothing is sent.
        gateway: the next hop's address, or None if the destination is on the link.
        gateway_family: family of the gateway (an IPv4 route may have an IPv6 gateway).
        source: the route's preferred source address; see :func:`source_address` for the choice itself.
        table: the table that decided, or None without a route.
        route: the route that decided.
        rule: the policy rule that decided without a table (unreachable, prohibit, blackhole).
        others: further next hops of the route; the kernel picks one by a hash of the packet's addresses.
        policy: the policy rule that selected the table, or None with the default policy rules.
    """

    type: str
    device: str | None = None
    gateway: int | None = None
    gateway_family: Family | None = None
    source: int | None = None
    table: str | None = None
    route: Route | None = None
    rule: RoutingRule | None = None
    others: tuple[NextHop, ...] = ()
    policy: RoutingRule | None = None

    @property
    def error(self) -> str | None:
        """Name of the error that a local sender gets, from which the ICMP error follows. None for a usable route."""
        if self.rule is not None and self.type == "unreachable":
            return "ENETUNREACH"
        return _ERRORS.get(self.type)

    @property
    def mtu(self) -> int | None:
        """The MTU of the route, None for that of its device."""
        return self.route.mtu if self.route is not None else None

    def gateway_of(self, family: int) -> int | None:
        """Return the gateway if its address has the given family, else None."""
        return self.gateway if self.gateway_family in (None, family) else None

    @property
    def by_next_hop(self) -> tuple[RouteResult, ...]:
        """The decision for each next hop that the kernel may pick; a single one if there is no choice."""
        if not self.others:
            return (self,)
        further = (
            self._replace(
                device=hop.device, gateway=hop.gateway, gateway_family=hop.gateway_family, others=()
            )
            for hop in self.others
        )
        return self._replace(others=()), *further


_NO_ROUTE = RouteResult("none")


def lookup(
    namespace: Namespace,
    family: Family,
    destination: int,
    *,
    source: int | None = None,
    iif: str | None = None,
    oif: str | None = None,
    mark: int = 0,
    proto: int | None = None,
    sport: int | None = None,
    dport: int | None = None,
    tos: int = 0,
    uid: int | None = None,
) -> RouteResult:
    """Route a packet.

    `source` is its source address, or None if the kernel has yet to choose one. `iif` is the interface
    on which it arrived (the bridge for bridged frames), or None for locally generated packets; `oif`
    the interface to which the sending socket is bound. Packets without an owner `uid` count as root's.
    """
    if own_rules(namespace, family) is None:
        # only policy rules check the other fields
        flow = Flow(destination, source, iif, oif, tos=tos)
    else:
        flow = Flow(destination, source, iif, oif, mark, proto, sport, dport, tos, uid)
    cached: RouteResult | None = namespace.cache.get((family, flow))
    if cached is None:
        cached = _decide4(namespace, flow) if family == 4 else _decide(namespace, 6, flow)
        _keep(namespace, (family, flow), cached)
    return cached


def _keep(namespace: Namespace, key: object, value: object) -> None:
    """Cache a value about a namespace; a full cache is cleared first."""
    if len(namespace.cache) > CACHE_SIZE:
        namespace.cache.clear()
    namespace.cache[key] = value


def _decide4(namespace: Namespace, flow: Flow) -> RouteResult:
    """Add the decisions of IPv4 that depend only on the address (ip_route_{in,out}put*)."""
    broadcast, multicast = flow.destination == LIMITED_BROADCAST, is_multicast(4, flow.destination)
    if flow.iif is not None:
        if broadcast or (flow.destination == 0 and flow.source == 0):
            return RouteResult("broadcast", device="lo")
        if multicast:
            return RouteResult("multicast", device="lo")
        result = _decide(namespace, 4, flow)
        return result._replace(device="lo") if result.type == "broadcast" else result
    if flow.destination == 0:  # historically means "this host"
        return RouteResult("local", device="lo")
    if flow.oif is None and flow.source and (broadcast or multicast):
        own = namespace.interface_of(4, flow.source)
        flow = flow._replace(oif=own.name if own else None)
    result = _decide(namespace, 4, flow)
    if result.error and flow.oif is not None:  # a bound socket may send without a route
        result = RouteResult("unicast", device=flow.oif)
    if result.type == "unicast" and (broadcast or multicast):
        return result._replace(
            type="broadcast" if broadcast else "multicast", gateway=None, gateway_family=None
        )
    return result


def _decide(namespace: Namespace, family: Family, flow: Flow) -> RouteResult:
    """Look up the policy rules and their tables."""
    for rule, found in _answers(namespace, family, flow):
        if found is None:
            return RouteResult(rule.action, rule=rule) if rule is not None else _NO_ROUTE
        if found.hop is None:
            return RouteResult(found.route.type, table=found.route.table, route=found.route, policy=rule)
        route, hop = found.route, found.hop
        device = hop.device
        if route.type in ("local", "anycast") and not (family == 6 and needs_device(route.destination)):
            device = "lo"
        return RouteResult(
            route.type,
            device,
            hop.gateway,
            hop.gateway_family,
            route.source,
            route.table,
            route,
            others=found.others,
            policy=rule,
        )
    return _NO_ROUTE


def _answers(
    namespace: Namespace, family: Family, flow: Flow
) -> Iterator[tuple[RoutingRule | None, Found | None]]:
    """Yield the matching routes, or the rejecting rule; the first one decides."""
    tables = tables_of(namespace, family)
    rules = own_rules(namespace, family)
    if rules is None:
        # With the default policy rules, IPv4 keeps local and main in one trie: the longer prefix wins.
        asked: Iterator[tuple[RoutingRule | None, str]] = (
            (None, name) for name in ((LOCAL_AND_MAIN, "default") if family == 4 else ("local", "main"))
        )
    else:
        asked = ((rule, rule.table) for rule in fitting(rules, flow))
    for rule, name in asked:
        if rule is not None and rule.action != "to_table":
            yield rule, None
            continue
        found = tables[name].find(flow) if name in tables else None
        if found is None or found.route.type == "throw":
            continue
        if rule is None or not suppressed(namespace, rule, found):
            yield rule, found


def source_address(namespace: Namespace, family: Family, route: RouteResult, destination: int) -> int | None:
    """Return the source address that the kernel chooses for this route, or None if there is none."""
    if route.source is not None:
        return route.source
    if route.type == "local" and family == 4:
        return destination
    device = route.device
    if route.type == "local" and route.route is not None:
        device = route.route.device
    gateway = route.gateway if route.gateway_family == 4 else None
    scope = route.route.scope if route.route is not None else "link"
    return select_source(namespace, family, device, destination, gateway=gateway, scope=scope)


def address_type(namespace: Namespace, family: Family, address: int, interface: str | None = None) -> str:
    """Return the type of an address in the terms of `-m addrtype`: LOCAL, UNICAST, BROADCAST, MULTICAST ...

    With `interface`, only its own addresses are LOCAL. IPv6 addresses have several types at once
    (:func:`address_types`); this is the most specific one.
    """
    if family == 6:
        types = address_types(namespace, 6, address, interface)
        order = ("UNSPEC", "MULTICAST", "LOCAL", "ANYCAST", "UNREACHABLE", "UNICAST")
        return next((name for name in order if name in types), "UNICAST")
    if address in (0, LIMITED_BROADCAST):
        return "BROADCAST"
    if is_multicast(4, address):
        return "MULTICAST"
    key = ("type", address, interface)
    known: str | None = namespace.cache.get(key)
    if known is None:
        known = _type_by_route(namespace, address, interface)
        _keep(namespace, key, known)
    return known


def _type_by_route(namespace: Namespace, address: int, interface: str | None) -> str:
    found = _local_route(namespace, Flow(address))
    if found is None or found.hop is None or interface not in (None, found.hop.device):
        return "UNICAST"
    return found.route.type.upper()


def is_broadcast_on(namespace: Namespace, interface: str, address: int) -> bool:
    """Return whether machines on the link of an interface send to an IPv4 address by broadcast (arp_constructor)."""
    if address == LIMITED_BROADCAST:
        return True
    key = ("broadcast", interface, address)
    known: bool | None = namespace.cache.get(key)
    if known is None:
        found = _local_route(namespace, Flow(address, oif=interface))
        known = found is not None and found.route.type == "broadcast"
        _keep(namespace, key, known)
    return known


def _local_route(namespace: Namespace, flow: Flow) -> Found | None:
    """Return the route in the table that tells the types of IPv4 addresses (__inet_dev_addr_type)."""
    name = LOCAL_AND_MAIN if own_rules(namespace, 4) is None else "local"
    table = tables_of(namespace, 4).get(name)
    return table.find(flow) if table is not None else None


def address_types(
    namespace: Namespace, family: Family, address: int, interface: str | None = None
) -> frozenset[str]:
    """Return all types of an address; `-m addrtype` in IPv6 tests them one by one (match_type6)."""
    if family == 4:
        return frozenset({address_type(namespace, 4, address, interface)})
    types = set()
    if address == 0:
        types.add("UNSPEC")
    elif is_multicast(6, address):
        types.add("MULTICAST")
    elif address >> 32 != 0xFFFF:  # IPv4-mapped addresses are neither
        types.add("UNICAST")
    route = lookup(namespace, 6, address, oif=interface)
    if route.error is not None:
        types.add("UNREACHABLE")
    elif interface is None and route.type == "local":
        types.add("LOCAL")
    elif route.type == "anycast":
        types.add("ANYCAST")
    if interface is not None:
        own = namespace.interfaces.get(interface)
        if own is not None and any((a.family, a.address) == (6, address) for a in own.addresses):
            types.add("LOCAL")
    return frozenset(types)


def reverse_path(
    namespace: Namespace,
    family: Family,
    source: int,
    iif: str,
    *,
    strict: bool,
    destination: int | None = None,
    mark: int = 0,
    tos: int = 0,
    proto: int | None = None,
    accept_local: bool = False,
) -> bool:
    """Return whether the route to a packet's source leaves by the interface on which it arrived (`-m rpfilter`).

    In loose mode, any interface will do. `destination`, `tos` and in IPv6 the protocol `proto` are the
    packet's, for policy rules (ports are not used); `mark` is its mark if that counts (`--validmark`).
    """
    if family == 6 and source == 1:
        return accept_local
    if _is_unspecified(family, source, destination):
        return True
    back = Flow(
        source,
        _answering(family, destination),
        oif=iif if family == 6 and (strict or is_link_local(6, source)) else None,
        mark=mark,
        proto=proto if family == 6 else None,
        tos=tos,
        metric=False,
    )
    route = _decide(namespace, family, back)
    if route.type == "local":
        return accept_local and (family == 6 or not strict or _uses(route, iif))
    # the source of a frame on a bridge may be a group, to which IPv6 has a route of its own (rpfilter_lookup_reverse6)
    usable = route.type == "unicast" or (family == 6 and route.type == "multicast")
    return usable and (not strict or _uses(route, iif))


def _is_unspecified(family: Family, source: int, destination: int | None) -> bool:
    """Return whether `-m rpfilter` matches without a route: senders that have no address yet (rpfilter_mt)."""
    if source or family == 6:
        return source == 0
    return destination is not None and (destination == LIMITED_BROADCAST or destination >> 8 == 0xE00000)


def _answering(family: Family, destination: int | None) -> int | None:
    """Return the source address of a reply: the packet's destination, if that is a unicast address."""
    special = destination is None or is_multicast(family, destination) or destination == LIMITED_BROADCAST
    return None if special else destination


def _uses(route: RouteResult, interface: str) -> bool:
    return route.route is not None and any(hop.device == interface for hop in hops(route.route))


def source_problem(
    namespace: Namespace,
    source: int,
    destination: int,
    iif: str,
    *,
    out: str | None = None,
    mark: int = 0,
    proto: int | None = None,
    sport: int | None = None,
    dport: int | None = None,
    tos: int = 0,
) -> str | None:
    """Return why the kernel drops an arriving IPv4 packet because of its source (__fib_validate_source).

    Args:
        out: the interface by which it will leave again, or None for a packet to the host. The reverse route
            is looked up as if the reply arrived there.

    Returns:
        "martian" for an address of this host, "rp_filter" if the route back differs, else None.
    """
    rp_filter = namespace.greater_sysctl(iif, "rp_filter")
    accept_local = bool(namespace.greater_sysctl(iif, "accept_local"))
    redirects = out == iif and namespace.greater_sysctl(iif, "send_redirects", 1)
    if not rp_filter and not redirects:
        if accept_local:
            return None
        if own_rules(namespace, 4) is None and not _local_routes_of_its_own(namespace):
            return "martian" if namespace.has_address(4, source) else None
    valid_mark = mark if namespace.greater_sysctl(iif, "src_valid_mark") else 0
    back = Flow(
        source, _answering(4, destination), out, None, valid_mark, proto, dport, sport, tos, metric=False
    )
    route = _decide(namespace, 4, back)
    if route.error is not None:
        return "rp_filter" if rp_filter else None
    if route.type != "unicast" and not (route.type == "local" and accept_local):
        return "martian"
    if _uses(route, iif) or (route.type == "local" and iif == "lo"):
        return None
    addressless = not any(interface.name == iif for interface, _ in namespace.addresses(4))
    return "rp_filter" if rp_filter == 1 or (rp_filter and addressless) else None


def _local_routes_of_its_own(namespace: Namespace) -> bool:
    """Return whether there are manually added routes of type local (fib_has_custom_local_routes)."""
    return namespace.once(
        "local routes of its own",
        lambda: any(
            route.family == 4 and route.type == "local" and route.protocol != "kernel"
            for route in namespace.routes
        ),
    )
