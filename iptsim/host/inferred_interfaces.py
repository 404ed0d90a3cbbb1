"""The interfaces and addresses of a host whose `ip addr` is not saved, from its rules, its routes and its log."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from iptsim.addresses import Family, address_text, is_link_local
from iptsim.host.addresses_of_routes import addresses_of_routes, assume_addresses, last_free_address
from iptsim.host.evidence import BRIDGE, Evidence
from iptsim.host.members import Member, Prefix
from iptsim.host.model import Host
from iptsim.host.namespace import Interface, InterfaceAddress, InterfaceKind, Namespace, Route, prefix_mask
from iptsim.host.wiring import LOOPBACK
from iptsim.languages import Message, message, message_if, message_joined, message_many

#: The default external address of the host, and the length of its subnet (RFC 5737, RFC 3849).
OUTSIDE: dict[Family, tuple[int, int]] = {4: (0xC000020A, 24), 6: (0x20010DB8000200000000000000000010, 64)}
#: The interface of Tailscale, and the addresses of every tailnet (tailscale.com/kb/1015/100.x-addresses).
TAILSCALE = "tailscale0"
TAILNETS = (Prefix(4, 0x64400000, 10), Prefix(6, 0xFD7A115CA1E0 << 80, 48))
#: The name of an interface that no rule names.
_LAN = "lan0"
#: Up to this many interfaces without an address are named one by one.
_NAMED = 10


def infer_interfaces(host: Host, evidence: Evidence, own: Mapping[str, Sequence[InterfaceAddress]]) -> None:
    """Infer the interfaces of a host: loopback, an external one, bridges, and others that rules or logged packets name.

    Args:
        host: the host, with its networks; gets the interfaces, and a sentence for each assumption.
        evidence: what its rules reveal.
        own: addresses that must be the host's, by the interface on which packets to them arrive.
    """
    interfaces = host.namespace.interfaces
    shows_others = any(name != "lo" for name in interfaces)
    interfaces["lo"] = LOOPBACK
    if inferred := addresses_of_routes(host.namespace):
        for name, addresses in inferred.items():
            _place(interfaces, name, _kind(name), addresses)
        host.assumptions.append(
            message("The addresses of the host's interfaces are inferred from its routes.")
        )
        assume_addresses(host)
        place_bridges(host)
        return
    bridges = {network.bridge for network in host.networks.values()}
    by_default = (route.device for route in _default_routes(host.namespace) if route.device)
    outside = next(by_default, evidence.outside) or next(
        (one.master or name for name, one in interfaces.items() if one.kind == "physical"),
        next((name for name in own if _kind(name) == "physical"), evidence.perhaps_outside or "eth0"),
    )
    # the host also answers for its addresses on other interfaces, such as bridges, so those do not tell whose they are
    inner = {
        name: addresses
        for name, addresses in own.items()
        if name != outside and _kind(name) not in ("bridge", "other")
    }
    addresses = _outside_addresses(
        host, evidence, [one for name, addresses in own.items() if name not in inner for one in addresses]
    )
    _place(interfaces, outside, "physical", addresses)
    host.assumptions.append(
        message(
            "The host reaches the outside through {outside} and has the address {shown} there.",
            outside=outside,
            shown=_shown(interfaces[outside].addresses),
        )
    )
    place_bridges(host)
    targets = evidence.forwarded_to_from(outside)
    others = [
        name
        for name in dict.fromkeys((*evidence.interfaces, *inner))
        if name not in {outside, "lo", *bridges}
    ]
    _place_others(host, evidence, others, inner, targets)
    if not shows_others:
        _place_lan(host, evidence, targets)


def _place_others(
    host: Host,
    evidence: Evidence,
    names: Iterable[str],
    inner: Mapping[str, Sequence[InterfaceAddress]],
    targets: Collection[Member],
) -> None:
    """Place the interfaces that are neither the external one nor bridges.

    Args:
        host: the host.
        evidence: what its rules reveal.
        names: the interfaces.
        inner: addresses that the source shows, by interface.
        targets: where the host forwards packets from outside to.
    """
    interfaces = host.namespace.interfaces
    of_bridges = {
        (subnet.family, subnet.address, subnet.prefix_length)
        for network in host.networks.values()
        for subnet in network.subnets
    }
    unknown: list[str] = []
    for name in names:
        guessed = [one for one in evidence.tunnels.get(name, []) if one not in of_bridges]
        links = evidence.links.get(name, guessed)
        tailnet = [one for one in TAILNETS if name == TAILSCALE and one.family in {4, *host.rulesets}]
        is_tailnet = bool(tailnet) and not links
        firsts = [own_in(prefix, targets) for prefix in (tailnet if is_tailnet else links)]
        _place(interfaces, name, _kind(name), [*inner.get(name, firsts)])
        if name in inner:
            assumed = message(
                "The source shows that {name} has the address {shown}.", name=name, shown=_shown(inner[name])
            )
        elif is_tailnet:
            behind = message_joined(" and ", map(str, tailnet))
            assumed = message(
                "{name} leads to {behind}, the addresses of Tailscale.", name=name, behind=behind
            )
        elif links:
            assumed = _leads_to(name, links, guessed=bool(guessed), forwards=evidence.forwards_to_lan)
        else:
            unknown.append(name)
            continue
        host.assumptions.append(assumed)
    host.assumptions += _without_address(unknown)


def _without_address(names: Sequence[str]) -> list[Message]:
    """Return what is assumed about interfaces that nothing shows but their names in rules."""
    if len(names) <= _NAMED:
        return [message("Rules name {name}, whose address is not known.", name=name) for name in names]
    shown = message_joined(", ", names[:_NAMED])
    return [
        message_many(
            "Rules name {names} and {count} more interface, whose addresses are not known.",
            "Rules name {names} and {count} more interfaces, whose addresses are not known.",
            len(names) - _NAMED,
            names=shown,
        )
    ]


def _leads_to(name: str, links: Iterable[Prefix], *, guessed: bool, forwards: bool) -> Message:
    """Return which networks are behind an interface, and how it is known."""
    behind = message_joined(" and ", map(str, links))
    if not guessed:
        return message("According to the rules, {name} leads to {behind}.", name=name, behind=behind)
    return message_if(
        forwards,
        "{name} leads to {behind}: a guess, because rules forward ports to there.",
        "{name} leads to {behind}: a guess, because rules masquerade the traffic from there.",
        name=name,
        behind=behind,
    )


def own_in(prefix: Prefix, targets: Collection[Member]) -> InterfaceAddress:
    """Return the host's likely address in a subnet: the first, or the last if ports are forwarded to the first."""
    own = prefix.address + 1
    if Member(prefix.family, own) in targets:
        last = last_free_address(
            prefix.family, prefix.address, prefix.length, [one.address for one in targets]
        )
        if last is not None:
            return last
    return InterfaceAddress(family=prefix.family, address=own, prefix_length=prefix.length)


def place_bridges(host: Host) -> None:
    """Create the bridges of networks, with their gateways' addresses.

    In gateway mode "isolated", which only internal networks have, the bridge gets none (Docker 28 and later).
    """
    for network in host.networks.values():
        gateways = [
            InterfaceAddress(family=subnet.family, address=subnet.gateway, prefix_length=subnet.prefix_length)
            for subnet in network.subnets
            if subnet.gateway is not None
            and not (network.internal and network.gateway_mode.get(subnet.family) == "isolated")
        ]
        if network.bridge:
            _place(host.namespace.interfaces, network.bridge, "bridge", gateways)


def _place_lan(host: Host, evidence: Evidence, targets: Collection[Member]) -> None:
    """Create the interface that leads to the machines to which ports are forwarded, if no rule or bridge does."""
    known = host.networks.values()
    links = [
        one for one in evidence.lan if not any(network.covers(one.family, one.address) for network in known)
    ]
    if not links:
        return
    _place(host.namespace.interfaces, _LAN, "other", [own_in(one, targets) for one in links])
    host.assumptions.append(
        message(
            "An interface that no rule names, here called {name}, leads to {behind}: a guess, because rules forward"
            " ports to there.",
            name=_LAN,
            behind=message_joined(" and ", map(str, links)),
        )
    )


def _shown(addresses: Iterable[InterfaceAddress]) -> Message:
    return message_joined(
        " and ", (f"{address_text(one.family, one.address)}/{one.prefix_length}" for one in addresses)
    )


def _outside_addresses(
    host: Host, evidence: Evidence, told: Iterable[InterfaceAddress]
) -> list[InterfaceAddress]:
    """Return the host's external addresses: of its log, its rules, beside its router; else example addresses."""
    families: list[Family] = sorted({4, *host.rulesets})
    found = []
    for family in families:
        known = [*evidence.host_addresses, *(Member(one.family, one.address) for one in told)]
        own = [address for address in dict.fromkeys(known) if address.family == family]
        own = [address for address in own if not any(n.covers(*address) for n in host.networks.values())]
        length = OUTSIDE[family][1]
        if not own and (shared := _in_shared_lan(host, family) or _beside_router(host, family)) is not None:
            found.append(shared)
            continue
        for address in own or [Member(family, OUTSIDE[family][0])]:
            found.append(InterfaceAddress(family=family, address=address.address, prefix_length=length))
    return found


def _in_shared_lan(host: Host, family: Family) -> InterfaceAddress | None:
    """Return an address in the LAN that containers share with the host by macvlan or ipvlan; a VLAN is another LAN."""
    for network in host.networks.values():
        if network.driver not in ("macvlan", "ipvlan") or "." in network.options.get("parent", ""):
            continue
        for subnet in network.subnets:
            if subnet.family == family:
                taken = () if subnet.gateway is None else (subnet.gateway,)
                own = last_free_address(family, subnet.address, subnet.prefix_length, taken)
                if own is not None:
                    return own
    return None


def _default_routes(namespace: Namespace) -> Iterator[Route]:
    return (route for route in namespace.routes if not route.prefix_length and route.table == "main")


def _beside_router(host: Host, family: Family) -> InterfaceAddress | None:
    """Return the source that the default route names, else an address in the subnet of its router."""
    for route in _default_routes(host.namespace):
        if route.family != family or route.gateway is None:
            continue
        length = OUTSIDE[family][1]
        if route.source is not None:
            return InterfaceAddress(family=family, address=route.source, prefix_length=length)
        if not is_link_local(family, route.gateway):
            network = route.gateway & prefix_mask(family, length)
            return last_free_address(family, network, length, (route.gateway,))
    return None


def _place(
    interfaces: dict[str, Interface], name: str, kind: InterfaceKind, addresses: list[InterfaceAddress]
) -> None:
    """Give an interface its addresses if none are known; create the interface if `ip link` did not list it."""
    known = interfaces.get(name) or Interface(name=name, index=len(interfaces) + 1, kind=kind)
    if known.addresses:
        return
    interfaces[name] = replace(known, addresses=tuple(addresses))


def _kind(name: str) -> InterfaceKind:
    kinds: tuple[tuple[str, InterfaceKind], ...] = (
        ("tun", "tun"), ("tap", "tun"), ("ppp", "tun"), ("wg", "wireguard"), ("veth", "veth"),
        ("bond", "bond"), ("vxlan", "vxlan"), ("eth", "physical"), ("en", "physical"), ("wl", "physical"),
    )  # fmt: skip
    named: InterfaceKind = "bridge" if BRIDGE.fullmatch(name) else "other"
    return next((kind for start, kind in kinds if name.startswith(start)), named)
