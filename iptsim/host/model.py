"""The host as data: network namespaces, containers, networks, the Docker daemon, ipsets, conntrack.

Small parts are frozen pydantic models; a :class:`Namespace`, a :class:`Container` and a :class:`Host`
are plain dataclasses that a reader fills. Addresses are integers beside a family, as in
:mod:`iptsim.packet`. Names follow ip(8), ipset(8) and the Docker Engine API.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationInfo, field_validator

from iptsim.dump.ruleset import Ruleset
from iptsim.errors import printable
from iptsim.packet import Connection, Family, address_text
from iptsim.reading import brief
from iptsim.shown import Pictured

InterfaceKind = Literal[
    "loopback", "bridge", "veth", "physical", "macvlan", "ipvlan", "vxlan", "vlan", "bond", "tun",
    "wireguard", "dummy", "other",
]  # fmt: skip
RouteType = Literal[
    "unicast", "local", "broadcast", "multicast", "anycast", "unreachable", "prohibit", "blackhole", "throw",
]  # fmt: skip
RuleAction = Literal["to_table", "goto", "nop", "unreachable", "prohibit", "blackhole"]

#: Address length in bits by family.
BITS: dict[int, int] = {4: 32, 6: 128}


def prefix_mask(family: int, length: int) -> int:
    """Return the netmask of a prefix length as an integer.

    >>> hex(prefix_mask(4, 16))
    '0xffff0000'
    """
    bits = BITS[family]
    return ((1 << length) - 1) << (bits - length)


class Frozen(BaseModel):
    """A value that is never changed after it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def check_prefix_length(family: int, length: int) -> int:
    """Return the length of a prefix.

    Raises:
        ValueError: addresses of the family are not that long.
    """
    if not 0 <= length <= BITS[family]:
        raise ValueError(f"{length} is no prefix length of IPv{family} (0 to {BITS[family]})")
    return length


def check_interface_name(name: str) -> str:
    """Return the name of an interface.

    The kernel takes no other (dev_valid_name in net/core/dev.c). Nor is one taken that a rule with it would be read
    differently for: quotes, backslashes, and a minus sign in front.

    Raises:
        ValueError: no interface is called so.
    """
    if not _INTERFACE_NAME.fullmatch(name) or len(name.encode()) > 15 or name in (".", ".."):
        raise ValueError(
            f"{brief(name)} is not the name of an interface: 1 to 15 characters without spaces, quotes, / and :"
        )
    return name


_INTERFACE_NAME = re.compile(r"""[^\s/:"'\\\x00-\x20\x7f-][^\s/:"'\\\x00-\x20\x7f]*""")


class Prefixed(Frozen):
    """A value with a prefix of addresses in it."""

    family: Family
    prefix_length: int

    @field_validator("prefix_length")
    @classmethod
    def _possible_length(cls, value: int, info: ValidationInfo) -> int:
        return check_prefix_length(info.data["family"], value) if "family" in info.data else value


class InterfaceAddress(Prefixed):
    """An address that an interface carries.

    Attributes:
        scope: "global", "site", "link" or "host".
        peer: the far side of a point-to-point address; `prefix_length` then belongs to it.
        broadcast: the broadcast address, where one is set.
        secondary: IPv4: not the first address of its subnet on the interface.
        deprecated: IPv6: not to be used as a source while another address serves.
        duplicate: IPv6: another machine on the link has it, so that it is not used.
        temporary: IPv6: made by the privacy extensions.
    """

    address: int
    scope: str = "global"
    peer: int | None = None
    broadcast: int | None = None
    secondary: bool = False
    deprecated: bool = False
    duplicate: bool = False
    temporary: bool = False

    @property
    def network(self) -> int:
        """First address of the subnet (of the peer's, for a point-to-point address)."""
        base = self.address if self.peer is None else self.peer
        return base & prefix_mask(self.family, self.prefix_length)

    def covers(self, address: int) -> bool:
        """Tell whether an address lies in the subnet."""
        return address & prefix_mask(self.family, self.prefix_length) == self.network


class Interface(Frozen):
    """A network interface.

    Attributes:
        up: set up (IFF_UP).
        carrier: the lower layer is up too (LOWER_UP); a bridge without ports has none.
        master: the bridge or bond that it is a port of.
        group: the device group, as a name or a number (`-m devgroup`).
        peer: veth: name of the other end, when it is in the same namespace.
        peer_index: veth: interface index of the other end, in whatever namespace.
        peer_namespace: the kernel's number of the namespace of the other end; None: this one.
        isolated / hairpin: bridge port settings.
        parent: the lower device of a macvlan, ipvlan, vlan or vxlan.
    """

    name: str
    index: int = 0
    kind: InterfaceKind = "other"
    up: bool = True
    carrier: bool = True
    master: str | None = None
    mac: str | None = None
    mtu: int = 1500
    addresses: tuple[InterfaceAddress, ...] = ()
    group: str | int = "default"
    peer: str | None = None
    peer_index: int | None = None
    peer_namespace: int | None = None
    isolated: bool = False
    hairpin: bool = False
    parent: str | None = None


class NextHop(Frozen):
    """One way of a multipath route. A gateway may be of another family than the route's."""

    device: str | None
    gateway: int | None = None
    gateway_family: Family | None = None
    weight: int = 1
    flags: frozenset[str] = frozenset()


class Route(Prefixed):
    """A route.

    Attributes:
        table: "local", "main", "default", or a number or name as `ip route` prints it.
        source: the preferred source address (`src`).
        metric: IPv4: lower wins among equal prefixes; 0 is best. IPv6: likewise, 1024 by default.
        scope: "global", "site", "link", "host", "nowhere".
        from_address / from_length: IPv6 source-specific routes (`from`).
        preference: IPv6 router preference: "low", "medium" or "high".
        mtu: of packets that take it, None for that of the device.
        flags: "linkdown", "dead", "onlink" ...
    """

    destination: int
    type: RouteType = "unicast"
    device: str | None = None
    gateway: int | None = None
    gateway_family: Family | None = None
    table: str = "main"
    source: int | None = None
    metric: int = 0
    scope: str = "global"
    nexthops: tuple[NextHop, ...] = ()
    from_address: int | None = None
    from_length: int = 0
    tos: int = 0
    preference: str = "medium"
    protocol: str | None = None
    mtu: int | None = None
    flags: frozenset[str] = frozenset()


class RoutingRule(Frozen):
    """A policy routing rule (`ip rule`). A value of None means: not looked at.

    Attributes:
        fwmark / fwmask: the packet's mark and mask must equal `fwmark`.
        sport / dport: first and last port.
        uidrange: first and last user id.
        suppress_prefixlength: a route found with a prefix not longer than this is not taken.
        suppress_ifgroup: a route found over a device of this group is not taken.
        target: priority to go on at, for the action "goto".
    """

    family: Family
    priority: int
    action: RuleAction = "to_table"
    table: str = "main"
    negated: bool = False
    src: int | None = None
    src_length: int = 0
    dst: int | None = None
    dst_length: int = 0
    iif: str | None = None
    oif: str | None = None
    fwmark: int | None = None
    fwmask: int = 0xFFFFFFFF
    tos: int | None = None
    ipproto: int | None = None
    sport: tuple[int, int] | None = None
    dport: tuple[int, int] | None = None
    uidrange: tuple[int, int] | None = None
    suppress_prefixlength: int | None = None
    suppress_ifgroup: str | None = None
    target: int | None = None
    l3mdev: bool = False


class Neighbour(Frozen):
    """An entry of the neighbour (ARP, NDP) table."""

    family: Family
    address: int
    device: str
    mac: str | None = None
    state: tuple[str, ...] = ()


class Forwarding(Frozen):
    """An entry of a bridge's forwarding table.

    Attributes:
        port: behind which the MAC address is.
        local: the address is the host's own (a permanent entry).
    """

    bridge: str
    mac: str
    port: str
    local: bool = False


@dataclass(eq=False)
class Namespace:
    """A network namespace: the host itself, a container or another guest.

    Treat it as immutable once it is read: lookups are cached.

    Attributes:
        name: "host", or the name of the container or guest.
        rules: policy routing rules; empty means the kernel's default ones.
        sysctls: as `sysctl` prints them, without spaces around the value.
        iptables / ip6tables: text of iptables-save in this namespace, None if nobody asked.
        listeners: its listening sockets, None where they were not saved.
        nftables: its base chains of nftables, None where they were not saved.
    """

    name: str = "host"
    interfaces: dict[str, Interface] = field(default_factory=dict)
    routes: list[Route] = field(default_factory=list)
    rules: list[RoutingRule] = field(default_factory=list)
    sysctls: dict[str, str] = field(default_factory=dict)
    iptables: str | None = None
    ip6tables: str | None = None
    resolv_conf: str | None = None
    neighbours: list[Neighbour] = field(default_factory=list)
    forwarding: list[Forwarding] = field(default_factory=list)
    listeners: tuple[Listener, ...] | None = None
    nftables: NftRuleset | None = None
    #: what :mod:`iptsim.host.fib` has looked up and prepared
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    def addresses(self, family: int) -> Iterator[tuple[Interface, InterfaceAddress]]:
        """Yield the addresses of a family with their interfaces, in the order of the interfaces."""
        for interface in self.interfaces.values():
            for address in interface.addresses:
                if address.family == family:
                    yield interface, address

    def has_address(self, family: int, address: int) -> bool:
        """Tell whether an interface carries this address."""
        return self.interface_of(family, address) is not None

    def interface_of(self, family: int, address: int) -> Interface | None:
        """Return the interface that carries an address, or None."""
        own = self.cache.get(("addresses", family))
        if own is None:
            own = {}
            for interface, entry in self.addresses(family):
                own.setdefault(entry.address, interface)
            self.cache["addresses", family] = own
        found: Interface | None = own.get(address)
        return found

    def sysctl(self, name: str, default: str = "") -> str:
        """Return a kernel parameter, `default` where it is not known."""
        return self.sysctls.get(name, default)

    def sysctl_number(self, name: str, default: int = 0) -> int:
        """Return a kernel parameter as a number, `default` where it is not known or not a number."""
        try:
            return int(self.sysctls[name])
        except (KeyError, ValueError):
            return default

    def interface_sysctl(self, family: int, interface: str, name: str, default: int = 0) -> int:
        """Return an interface's parameter: net.ipv4.conf.INTERFACE.NAME (net.ipv6 for family 6).

        sysctl writes a dot in an interface's name as a slash.
        """
        version = "ipv4" if family == 4 else "ipv6"
        return self.sysctl_number(f"net.{version}.conf.{interface.replace('.', '/')}.{name}", default)

    def ports(self, bridge: str) -> list[Interface]:
        """Return the ports of a bridge."""
        return [interface for interface in self.interfaces.values() if interface.master == bridge]

    def learnt(self, mac: str | None, bridge: str | None = None) -> str | None:
        """Return the port of a bridge, or of any, behind which a MAC address is; None where nothing tells."""
        fitting = (one for one in self.forwarding if one.mac == mac and bridge in (None, one.bridge))
        return next((one.port for one in fitting if not one.local), None)

    def nameservers(self) -> list[str]:
        """Return the resolvers of resolv.conf, in order."""
        lines = (line.split() for line in (self.resolv_conf or "").splitlines())
        return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


#: What a base chain of nftables could do to a packet: drop it, reject it, rewrite it or how others see it.
NftEffect = Literal["drop", "reject", "change"]


class NftChain(Frozen):
    """A base chain of nftables; what is None was not saved.

    Attributes:
        family: "ip", "ip6", "inet", "bridge", "netdev" or "arp".
        type: "filter", "nat" or "route".
        hook: "prerouting", "input", "forward", "output", "postrouting", "ingress" or "egress".
        policy: "accept" or "drop".
        devices: the interfaces whose ingress or egress it hangs at.
        effects: what it could do; empty where it can only let packets go on.
    """

    family: str
    table: str
    name: str | None = None
    type: str | None = None
    hook: str | None = None
    priority: int | None = None
    policy: str | None = None
    devices: tuple[str, ...] = ()
    effects: tuple[NftEffect, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the chain as plain data."""
        named = ("family", "table", "name", "type", "hook", "priority", "policy")
        return {"chain" if name == "name" else name: getattr(self, name) for name in named}


class NftRuleset(Frozen):
    """The base chains of nftables in a network namespace.

    Attributes:
        chains: those of iptables-nft as well.
        tracked: the address families whose connections some rule makes the kernel track.
    """

    chains: tuple[NftChain, ...] = ()
    tracked: frozenset[Family] = frozenset()


class Listener(Frozen):
    """A socket that waits for connections or datagrams.

    Attributes:
        proto: 6 or 17.
        address: the address that it is bound to, None for all.
        families: the address families that it takes; None: unknown whether it does.
        interface: the interface that it is bound to, None for all.
        program: name of the process that holds it, "" where that was not saved.
    """

    proto: int
    port: int
    address: int | None = None
    families: dict[int, bool | None] = {}
    interface: str | None = None
    program: str = ""


class Endpoint(Frozen):
    """A container's place in a network.

    Attributes:
        network: the network's name.
        addresses / prefix_lengths / gateways: by family; a missing family has none.
        interface: name of the interface inside the container.
        bridge_port: name of the host's end of the veth pair.
        gateway_priority: of several endpoints, the one with the highest has the default route.
        network_id: the network's id.
    """

    network: str
    addresses: dict[Family, int] = {}
    prefix_lengths: dict[Family, int] = {}
    gateways: dict[Family, int] = {}
    mac: str | None = None
    aliases: tuple[str, ...] = ()
    interface: str | None = None
    bridge_port: str | None = None
    gateway_priority: int = 0
    network_id: str = ""

    @field_validator("prefix_lengths")
    @classmethod
    def _possible_lengths(cls, value: dict[Family, int]) -> dict[Family, int]:
        return {family: check_prefix_length(family, length) for family, length in value.items()}

    def address(self, family: Family) -> int | None:
        """Return the address of a family, or None."""
        return self.addresses.get(family)


class ExposedPort(Frozen):
    """A port that the image or `--expose` names; it opens nothing by itself."""

    proto: int
    port: int


class PublishedPort(Frozen):
    """A port of a container that the host forwards.

    Attributes:
        proto: the protocol's number.
        host_address: the address on the host, None for all of them.
        family: of the host's address.
        requested: what was asked for where the engine chose the host port: a range, "" for any.
    """

    proto: int
    container_port: int
    host_address: str | None
    host_port: int
    family: Family
    requested: str | None = None


class Link(Frozen):
    """`--link TARGET:ALIAS`."""

    target: str
    alias: str


@dataclass(eq=False)
class Container:
    """A container, or another guest (virtual machine, pod) with a namespace of its own.

    Attributes:
        endpoints: by network name, in the engine's order.
        network_mode: as the engine says: "bridge", "host", "none", "container:ID", a network's name.
        opened: published ports without one on the host (0), in networks whose gateway mode is "routed".
        dns: `--dns` servers.
        daemon: the engine that runs it: "docker", "podman", or "" for other guests.
        started: when it was started last, as the engine writes it; "" if nobody said.
    """

    name: str
    id: str = ""
    namespace: Namespace = field(default_factory=Namespace)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    published: list[PublishedPort] = field(default_factory=list)
    exposed: list[ExposedPort] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    network_mode: str = "bridge"
    running: bool = True
    opened: list[PublishedPort] = field(default_factory=list)
    dns: list[str] = field(default_factory=list)
    daemon: str = ""
    started: str = ""

    def __repr__(self) -> str:
        places = [
            f"{endpoint.network} {address_text(family, address)}"
            for endpoint in self.endpoints.values()
            for family, address in endpoint.addresses.items()
        ]
        return printable(f"<Container {self.name}: {', '.join(places) or self.network_mode}>")

    def address(self, family: Family, network: str | None = None) -> int | None:
        """Return its address in a network, or its first one."""
        for endpoint in self.endpoints.values():
            if network is None or endpoint.network == network:
                found = endpoint.address(family)
                if found is not None:
                    return found
        return None


class Subnet(Prefixed):
    """A subnet of a network, and the address that its members have as gateway."""

    address: int
    gateway: int | None = None

    def covers(self, family: int, address: int) -> bool:
        """Tell whether an address lies in it."""
        return family == self.family and address & prefix_mask(family, self.prefix_length) == self.address

    def __str__(self) -> str:
        return f"{address_text(self.family, self.address)}/{self.prefix_length}"


class Network(Frozen):
    """A network of Docker, Podman or the like.

    Attributes:
        bridge: name of its bridge interface, None for drivers without one.
        internal: no way out (`--internal`).
        icc: containers on it may talk to each other.
        masquerade: packets that leave it get the host's address.
        gateway_mode: by family: "nat", "routed", "nat-unprotected" or "isolated".
        host_binding: default host address of published ports, None for all.
        options: the driver's options as they were given.
        created: when, as the engine writes it; "" if nobody said.
        daemon: the engine that made it: "docker", "podman", or "" for a bridge of somebody else.
    """

    name: str
    id: str = ""
    driver: str = "bridge"
    daemon: str = ""
    bridge: str | None = None
    subnets: tuple[Subnet, ...] = ()
    internal: bool = False
    icc: bool = True
    masquerade: bool = True
    gateway_mode: dict[Family, str] = {}
    host_binding: str | None = None
    is_default_bridge: bool = False
    options: dict[str, str] = {}
    created: str = ""

    @property
    def gateways(self) -> dict[Family, int]:
        """The gateway address by family."""
        return {subnet.family: subnet.gateway for subnet in self.subnets if subnet.gateway is not None}

    def covers(self, family: int, address: int) -> bool:
        """Tell whether an address lies in one of the subnets."""
        return any(subnet.covers(family, address) for subnet in self.subnets)


class DockerDaemon(Frozen):
    """Settings of dockerd that bear on packets. None: nobody said, so the default holds.

    Attributes:
        version: of the engine, e.g. "28.5.2".
        generation: the way in which it lays out its rules: "20.10", "26", "28" or "29".
        firewall_backend: "iptables" or "nftables".
        bridge: name of the default bridge (`--bridge`), "none" for no default network.
        host_binding: default address of published ports (`--ip`).
        default_address_pools: where networks get their subnets: (prefix, length of a subnet).
        sources: where each setting was found: field -> file.
    """

    version: str | None = None
    generation: str | None = None
    userland_proxy: bool | None = None
    icc: bool | None = None
    iptables: bool | None = None
    ip6tables: bool | None = None
    ip_forward: bool | None = None
    ip_forward_no_drop: bool | None = None
    ip_masq: bool | None = None
    ipv6: bool | None = None
    allow_direct_routing: bool | None = None
    bridge: str | None = None
    bip: str | None = None
    bip6: str | None = None
    fixed_cidr: str | None = None
    fixed_cidr_v6: str | None = None
    host_binding: str | None = None
    default_gateway: str | None = None
    firewall_backend: str | None = None
    live_restore: bool | None = None
    default_address_pools: tuple[tuple[str, int], ...] = ()
    dns: tuple[str, ...] = ()
    sources: dict[str, str] = {}

    @property
    def major(self) -> int | None:
        """The first number of the version; where only the generation is known, that of its name."""
        found = re.match(r"[0-9]+", self.version or self.generation or "")
        return int(found[0]) if found is not None else None


class IpSet(Frozen):
    """An ipset as `ipset save` prints it.

    Attributes:
        type: "hash:ip,port", "list:set" ...
        family: of a hash set, None where the type has none.
        options: the header: "hashsize", "maxelem", "timeout", "range", "netmask", "markmask" ...
        entries: the elements' text and options, in order: ("10.0.0.0/8", {"nomatch": ""}).
    """

    name: str
    type: str
    family: Family | None = None
    options: dict[str, str] = {}
    entries: tuple[tuple[str, dict[str, str]], ...] = ()
    #: the entries as :mod:`iptsim.host.ipsets` has indexed them
    _index: Any = PrivateAttr(default=None)


@dataclass(frozen=True, slots=True)
class ConntrackEntry:
    """A line of `conntrack -L`.

    Attributes:
        state: the protocol's state (TCP: "ESTABLISHED", "TIME_WAIT" ...), None where it has none.
        timeout: seconds until it is forgotten.
    """

    connection: Connection
    state: str | None = None
    timeout: int | None = None


@dataclass(eq=False)
class Host(Pictured):
    """Everything known about the host.

    Attributes:
        containers: by name.
        networks: by name.
        ipsets: by name; None when nobody saved them, so that no set's contents are known.
        recent: `-m recent` lists: name -> address -> ages of its stamps in seconds, newest first;
            None when nobody saved them.
        rulesets: by family, of the backend that `iptables-save` speaks to.
        extra_rulesets: by family, of the other backend, when the host has rules there too.
        assumptions: what was taken for granted, one sentence each.
        inferred: there was only a dump; host and containers were guessed from its rules.
        source: the path it was read from.
    """

    namespace: Namespace = field(default_factory=Namespace)
    containers: dict[str, Container] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    daemon: DockerDaemon | None = None
    ipsets: dict[str, IpSet] | None = None
    conntrack: list[ConntrackEntry] = field(default_factory=list)
    recent: dict[str, dict[int, list[float]]] | None = None
    rulesets: dict[Family, Ruleset] = field(default_factory=dict)
    extra_rulesets: dict[Family, Ruleset] = field(default_factory=dict)
    assumptions: list[str] = field(default_factory=list)
    inferred: bool = False
    source: str = ""

    def __repr__(self) -> str:
        held = f"{len(self.containers)} containers, {len(self.networks)} networks"
        return printable(f"<Host {self.source or 'made in memory'}: {held}>")

    def container(self, name: str) -> tuple[Container, Endpoint | None] | None:
        """Find a container by name, by the start of its id, or as `container@network`.

        Returns:
            The container, and the endpoint when a network was named; None where there is none, or
            where the start of an id fits several.
        """
        wanted, _, network = name.partition("@")
        found = self.containers.get(wanted)
        if found is None and wanted:
            fitting = [container for container in self.containers.values() if container.id.startswith(wanted)]
            found = fitting[0] if len(fitting) == 1 else None
        if found is None:
            return None
        if not network:
            return found, None
        endpoint = found.endpoints.get(network)
        return None if endpoint is None else (found, endpoint)

    def owner_of(
        self, family: Family, address: int
    ) -> tuple[Container, Endpoint | None] | Literal["host"] | None:
        """Return whose address it is: a container with its endpoint, "host", or None for nobody's.

        Loopback addresses belong to everybody and count as the host's.
        """
        if self.namespace.has_address(family, address):
            return "host"
        owners = self.namespace.cache.get(("owners", family))
        if owners is None:
            owners = {}
            for container in self.containers.values():
                if container.network_mode == "host" or not container.running or self._borrows(container):
                    continue
                for endpoint in container.endpoints.values():
                    own = endpoint.address(family)
                    if own is not None:
                        owners.setdefault(own, (container, endpoint))
                for interface, entry in container.namespace.addresses(family):
                    if interface.kind != "loopback" and entry.scope != "link":
                        owners.setdefault(entry.address, (container, None))
            self.namespace.cache["owners", family] = owners
        owner: tuple[Container, Endpoint | None] | None = owners.get(address)
        return owner

    def is_inside(self, family: Family, address: int) -> bool:
        """Tell whether an address is of a network behind the host: a container's, or in a bridge's subnet."""
        owner = self.owner_of(family, address)
        if owner is not None:
            return owner != "host"
        return any(
            interface.kind == "bridge" and own.covers(address) and not self._leads_outside(interface.name)
            for interface, own in self.namespace.addresses(family)
        )

    def _leads_outside(self, bridge: str) -> bool:
        """Tell whether others than this host's guests are on a bridge: an uplink is a port, or the way out."""
        outwards = ("physical", "bond", "vlan")
        return any(port.kind in outwards for port in self.namespace.ports(bridge)) or any(
            route.device == bridge and route.prefix_length == 0 for route in self.namespace.routes
        )

    def _borrows(self, container: Container) -> bool:
        """Tell whether a container lives in the network namespace of another one that is known."""
        mode, _, other = container.network_mode.partition(":")
        return mode == "container" and self.container(other) is not None

    def bridge_ports(self, bridge: str) -> list[Interface]:
        """Return the ports of a bridge of the host."""
        return self.namespace.ports(bridge)

    def network_of_bridge(self, bridge: str) -> Network | None:
        """Return the network whose bridge this is, or None."""
        return next((network for network in self.networks.values() if network.bridge == bridge), None)
