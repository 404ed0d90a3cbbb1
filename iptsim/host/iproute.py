"""Parsers for the output of ip(8), bridge(8) and sysctl(8), which make models of the host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast, get_args

from iptsim.addresses import BITS, Family, parse_address
from iptsim.host.docker_defaults import DEFAULT_BRIDGE
from iptsim.host.foreign import (
    FAMILIES,
    AddressEntry,
    ForwardingEntry,
    LinkEntry,
    NeighbourEntry,
    NextHopEntry,
    PortData,
    RouteEntry,
    RuleEntry,
    converted,
)
from iptsim.host.namespace import (
    REFUSING,
    Forwarding,
    Interface,
    InterfaceAddress,
    InterfaceKind,
    Neighbour,
    NextHop,
    Route,
    RouteType,
    RoutingRule,
    RuleAction,
    check_prefix_length,
    parameter_name,
)
from iptsim.languages import message
from iptsim.protocols import PROTOCOLS
from iptsim.reading import brief

#: Names that ip gives to values of the TOS byte (/etc/iproute2/rt_dsfield).
TOS_NAMES = {
    "default": 0, "lowdelay": 0x10, "throughput": 0x08, "reliability": 0x04,
    "AF11": 0x28, "AF12": 0x30, "AF13": 0x38, "AF21": 0x48, "AF22": 0x50, "AF23": 0x58,
    "AF31": 0x68, "AF32": 0x70, "AF33": 0x78, "AF41": 0x88, "AF42": 0x90, "AF43": 0x98,
    "CS1": 0x20, "CS2": 0x40, "CS3": 0x60, "CS4": 0x80, "CS5": 0xA0, "CS6": 0xC0, "CS7": 0xE0, "EF": 0xB8,
}  # fmt: skip
_KINDS = {"wireguard", "dummy", "bridge", "veth", "macvlan", "ipvlan", "vxlan", "vlan", "bond", "tun"}


def prefix(text: str, family: Family) -> tuple[Family, int, int]:
    """Read "10.0.0.0/8", an address, "default" or "all".

    Returns:
        The family (of the address, else `family`), the first address, the prefix length.

    Raises:
        ValueError: it is not one of these.
    """
    if text in ("default", "all", "any"):
        return family, 0, 0
    base, _, length = text.partition("/")
    found, address = parse_address(base)
    return found, address, check_prefix_length(found, int(length)) if length else BITS[found]


def interfaces(
    addresses: Iterable[LinkEntry], links: Iterable[LinkEntry] = (), ports: Iterable[LinkEntry] = ()
) -> dict[str, Interface]:
    """Combine the output of `ip -j addr`, `ip -j -d link` and `bridge -j link`.

    Each may be empty: addresses come from the first, kinds and bridge port settings from the others.
    """
    found: dict[str, dict[str, LinkEntry]] = {}
    for source, entries in (("addr", addresses), ("link", links), ("port", ports)):
        for entry in entries:
            if entry.ifname:
                found.setdefault(entry.ifname.partition("@")[0], {})[source] = entry
    masters = {entry.master for by_source in found.values() for entry in by_source.values()}
    return {name: _interface(name, by_source, name in masters) for name, by_source in found.items()}


def _interface(name: str, by_source: dict[str, LinkEntry], is_master: bool) -> Interface:
    addr, link, port = (by_source.get(source) or LinkEntry() for source in ("addr", "link", "port"))
    # `bridge link` translates the peer's index as if it were in this namespace: ignored.
    either = [entry for entry in (link, addr) if entry.ifname]
    info = next((entry.linkinfo for entry in either if entry.linkinfo), None)
    kind = _kind(name, info.info_kind if info else None, either, is_master)
    lower = next((entry.link for entry in either if entry.link), None)
    index = next((entry.link_index for entry in either if entry.link_index is not None), None)
    outside = next((entry.link_netnsid for entry in either if entry.link_netnsid is not None), None)
    flags = {flag for entry in (*either, port) for flag in entry.flags}
    slave = info.info_slave_data if info else PortData()
    everywhere = [*either, port]
    return Interface(
        name=name,
        index=next((entry.ifindex for entry in everywhere if entry.ifindex), 0),
        kind=kind,
        up="UP" in flags,
        carrier="NO-CARRIER" not in flags,
        arp="NOARP" not in flags,
        master=next((entry.master for entry in everywhere if entry.master), None),
        mac=next((entry.address for entry in either if entry.address and entry.link_type != "none"), None),
        mtu=next((entry.mtu for entry in everywhere if entry.mtu), 1500),
        addresses=tuple(filter(None, map(_address, addr.addr_info))),
        group=next((entry.group for entry in either if entry.group), "default"),
        peer=lower if kind == "veth" and outside is None else None,
        peer_index=index if kind == "veth" else None,
        peer_namespace=outside if kind == "veth" else None,
        isolated=bool(port.isolated or slave.isolated),
        hairpin=bool(port.hairpin or slave.hairpin),
        filters_vlans=bool(info and info.info_data.vlan_filtering),
        parent=lower if kind in ("macvlan", "ipvlan", "vlan", "vxlan") else None,
    )


def _kind(name: str, reported: str | None, entries: list[LinkEntry], is_master: bool) -> InterfaceKind:
    if any("LOOPBACK" in entry.flags or entry.link_type == "loopback" for entry in entries):
        return "loopback"
    if reported in ("macvtap", "ipvtap"):
        reported = reported.replace("vtap", "vlan")
    if reported in _KINDS:
        return cast(InterfaceKind, reported)
    if reported is not None:
        return "other"
    # Without `ip -d link`, the kind shows only in its effects.
    if name.startswith("veth") or any(entry.link_netnsid is not None for entry in entries):
        return "veth"
    if is_master or name == DEFAULT_BRIDGE or name.startswith("br-"):
        return "bridge"
    return "physical" if any(entry.link_type == "ether" for entry in entries) else "other"


def _address(entry: AddressEntry) -> InterfaceAddress | None:
    family = FAMILIES.get(entry.family)
    if family is None or entry.local is None:
        return None
    return InterfaceAddress(
        family=family,
        address=parse_address(entry.local)[1],
        prefix_length=entry.prefixlen,
        scope=entry.scope,
        peer=parse_address(entry.address)[1] if entry.address else None,
        broadcast=parse_address(entry.broadcast)[1] if entry.broadcast else None,
        secondary=entry.secondary and family == 4,
        deprecated=entry.deprecated,
        temporary=entry.temporary or (entry.secondary and family == 6),
        duplicate=entry.dadfailed,
    )


def routes(entries: Iterable[RouteEntry], family: Family = 4, place: str = "") -> list[Route]:
    """Read routes. `family` applies to routes whose text does not show it ("default dev tun0").

    Raises:
        ValueError: a route is invalid; the message says which.
    """
    return converted(entries, lambda entry: _route(entry, family), place)


def _route(entry: RouteEntry, family: Family) -> Route:
    if entry.gateway is not None:
        family = parse_address(entry.gateway)[0]
    elif entry.prefsrc is not None:
        family = parse_address(entry.prefsrc)[0]
    elif entry.via is not None:
        family = 4  # only IPv4 routes may have a gateway of the other family
    elif entry.pref is not None:
        family = 6
    elif entry.nexthops and entry.nexthops[0].gateway is not None:
        family = parse_address(entry.nexthops[0].gateway)[0]
    family, destination, length = prefix(entry.dst, family)
    if entry.type not in get_args(RouteType):
        raise ValueError(message("type: {type} is not a route type", type=brief(entry.type)))
    hop = _next_hop(entry)
    _, from_address, from_length = prefix(entry.source or "all", 6)
    source = _of_family(entry.prefsrc, family, "prefsrc") if entry.prefsrc else None
    if not entry.via and entry.gateway:
        _of_family(entry.gateway, family, "gateway")
    return Route(
        family=family,
        destination=destination,
        prefix_length=length,
        type=cast(RouteType, entry.type),
        device=hop.device,
        gateway=hop.gateway,
        gateway_family=hop.gateway_family,
        table=entry.table,
        source=source,
        metric=entry.metric if entry.metric is not None else (0 if family == 4 else 1024),
        scope=entry.scope,
        nexthops=tuple(map(_next_hop, entry.nexthops)),
        from_address=from_address if entry.source else None,
        from_length=from_length,
        tos=_tos(entry.tos) or 0,
        preference=entry.pref or "medium",
        protocol=entry.protocol,
        mtu=next((metrics.mtu for metrics in entry.metrics if metrics.mtu), None),
        flags=frozenset(entry.flags),
    )


def _of_family(text: str, family: Family, key: str) -> int:
    """Return an address, which must have the given family."""
    found, address = parse_address(text)
    if found != family:
        raise ValueError(
            message(
                "{key}: {text} is not an IPv{family} address, but the destination is IPv{family}",
                key=key,
                text=text,
                family=family,
            )
        )
    return address


def _next_hop(entry: NextHopEntry) -> NextHop:
    gateway = entry.via.host if entry.via else entry.gateway
    family, address = parse_address(gateway) if gateway else (None, None)
    return NextHop(
        device=entry.dev,
        gateway=address,
        gateway_family=family,
        weight=entry.weight,
        flags=frozenset(entry.flags),
    )


def _tos(text: str | None) -> int | None:
    if text is None:
        return None
    return TOS_NAMES[text] if text in TOS_NAMES else int(text, 0)


def rules(entries: Iterable[RuleEntry], family: Family = 4, place: str = "") -> list[RoutingRule]:
    """Read policy rules of one family.

    Raises:
        ValueError: a rule is invalid; the message says which.
    """
    return converted(entries, lambda entry: _rule(entry, family), place)


def _rule(entry: RuleEntry, family: Family) -> RoutingRule:
    _, src, src_length = prefix(entry.src, family)
    _, dst, dst_length = prefix(entry.dst, family)
    if entry.srclen is not None:
        src_length = check_prefix_length(family, entry.srclen)
    if entry.dstlen is not None:
        dst_length = check_prefix_length(family, entry.dstlen)
    action: RuleAction = "to_table"
    if entry.goto is not None:
        action = "goto"
    elif entry.nop is None:
        action = "nop"
    elif entry.action in REFUSING:
        action = cast(RuleAction, entry.action)
    elif entry.action is not None:
        raise ValueError(message("{action!r} is not an action of a routing rule", action=entry.action))
    return RoutingRule(
        family=family,
        priority=entry.priority,
        action=action,
        table=entry.table or "main",
        negated=entry.negated is not False,
        src=src if src_length else None,
        src_length=src_length,
        dst=dst if dst_length else None,
        dst_length=dst_length,
        iif=entry.iif,
        oif=entry.oif,
        fwmark=int(entry.fwmark, 0) if entry.fwmark is not None else None,
        fwmask=int(entry.fwmask, 0) if entry.fwmask is not None else 0xFFFFFFFF,
        tos=_tos(entry.tos),
        ipproto=_protocol(entry.ipproto),
        sport=_ports(entry.sport, entry.sport_start, entry.sport_end),
        dport=_ports(entry.dport, entry.dport_start, entry.dport_end),
        uidrange=_ports(None, entry.uid_start, entry.uid_end),
        suppress_prefixlength=entry.suppress_prefixlen,
        suppress_ifgroup=entry.suppress_ifgroup,
        target=int(entry.goto) if entry.goto is not None else None,
        l3mdev=entry.l3mdev is not False,
    )


def _protocol(text: str | None) -> int | None:
    if text is None:
        return None
    return PROTOCOLS[text] if text in PROTOCOLS else int(text.removeprefix("ipproto-"), 0)


def _ports(single: int | None, first: int | None, last: int | None) -> tuple[int, int] | None:
    if single is not None:
        return single, single
    return None if first is None or last is None else (first, last)


def neighbours(entries: Iterable[NeighbourEntry]) -> list[Neighbour]:
    """Read the neighbour table.

    Raises:
        ValueError: an entry is invalid; the message says which.
    """
    return [found for found in converted(entries, _neighbour) if found is not None]


def _neighbour(entry: NeighbourEntry) -> Neighbour | None:
    if not entry.dst or not entry.dev:
        return None
    family, address = parse_address(entry.dst)
    return Neighbour(
        family=family, address=address, device=entry.dev, mac=entry.lladdr, state=tuple(entry.state)
    )


def forwarding(entries: Iterable[ForwardingEntry]) -> list[Forwarding]:
    """Read the forwarding tables of bridges, without the entries of the network cards themselves."""
    return [
        Forwarding(
            bridge=entry.master, mac=entry.mac.lower(), port=entry.ifname, local=entry.state == "permanent"
        )
        for entry in entries
        if entry.mac and entry.ifname and entry.master
    ]


#: Another name of net.ipv4.ip_forward (IPV4_DEVCONF_ALL(net, FORWARDING), net/ipv4/devinet.c).
_SAME_AS_IP_FORWARD = "net.ipv4.conf.all.forwarding"


def sysctls(text: str) -> dict[str, str]:
    """Read `NAME = VALUE` lines; other lines (errors of sysctl) are ignored."""
    pairs = (
        line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("sysctl:")
    )
    found = {parameter_name(name.strip()): value.strip() for name, _, value in pairs}
    if _SAME_AS_IP_FORWARD in found:
        found.setdefault("net.ipv4.ip_forward", found[_SAME_AS_IP_FORWARD])
    return found
