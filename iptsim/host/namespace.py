"""A network namespace as data: its interfaces, routes, neighbours, sockets, and base chains of nftables.

Small parts are frozen; a :class:`Namespace` is a plain dataclass that a reader fills. Addresses are
integers with a separate family, as in :mod:`iptsim.addresses`. Names follow ip(8).
"""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from iptsim.addresses import BITS, Family, parse_address
from iptsim.frozen import Frozen
from iptsim.host.nft_chains import NftRuleset
from iptsim.languages import message
from iptsim.reading import brief

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)
Made = TypeVar("Made")
InterfaceKind = Literal[
    "loopback", "bridge", "veth", "physical", "macvlan", "ipvlan", "vxlan", "vlan", "bond", "tun",
    "wireguard", "dummy", "other",
]  # fmt: skip
RouteType = Literal[
    "unicast", "local", "broadcast", "multicast", "anycast", "unreachable", "prohibit", "blackhole", "throw",
]  # fmt: skip
RuleAction = Literal["to_table", "goto", "nop", "unreachable", "prohibit", "blackhole"]


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Return the items by what `key` returns for them, each group in their order."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def prefix_mask(family: int, length: int) -> int:
    """Return the netmask of a prefix length as an integer.

    >>> hex(prefix_mask(4, 16))
    '0xffff0000'
    """
    bits = BITS[family]
    return ((1 << length) - 1) << (bits - length)


def check_prefix_length(family: int, length: int) -> int:
    """Return a prefix length that is valid for a family.

    Raises:
        ValueError: it is not valid.
    """
    if not 0 <= length <= BITS[family]:
        raise ValueError(
            message(
                "{length} is not a prefix length of IPv{family} (0 to {bits})",
                length=length,
                family=family,
                bits=BITS[family],
            )
        )
    return length


def check_interface_name(name: str) -> str:
    """Return a valid name of an interface.

    The kernel accepts no others (dev_valid_name in net/core/dev.c). Quotes, backslashes and a leading minus sign are
    rejected too, because they would change how a rule with the name is read.

    Raises:
        ValueError: no interface can have that name.
    """
    if not _INTERFACE_NAME.fullmatch(name) or len(name.encode()) > 15 or name in (".", ".."):
        raise ValueError(
            message(
                "{name} is not a valid interface name: use 1 to 15 characters, without spaces, quotes, / or :",
                name=brief(name),
            )
        )
    return name


_INTERFACE_NAME = re.compile(r"""[^\s/:"'\\\x00-\x20\x7f-][^\s/:"'\\\x00-\x20\x7f]*""")


#: The types of routes, and actions of routing rules, that refuse packets.
REFUSING = frozenset({"unreachable", "prohibit", "blackhole"})
#: The kernel parameters that let iptables and ip6tables see what bridges switch.
BRIDGE_NF: dict[Family, str] = {
    4: "net.bridge.bridge-nf-call-iptables",
    6: "net.bridge.bridge-nf-call-ip6tables",
}


def interface_parameter(family: int, interface: str, name: str) -> str:
    """Return the name of an interface's kernel parameter, in which sysctl writes a dot of the interface as a slash.

    >>> interface_parameter(4, "eth0.100", "rp_filter")
    'net.ipv4.conf.eth0/100.rp_filter'
    """
    return f"net.{'ipv4' if family == 4 else 'ipv6'}.conf.{interface.replace('.', '/')}.{name}"


def parameter_name(text: str) -> str:
    """Return the name of a kernel parameter with dots; sysctl also accepts that of the file, with slashes.

    >>> parameter_name("net/ipv4/conf/eth0.100/rp_filter"), parameter_name("net.ipv4.conf.eth0/100.rp_filter")
    ('net.ipv4.conf.eth0/100.rp_filter', 'net.ipv4.conf.eth0/100.rp_filter')
    """
    separators = [one for one in text if one in "./"]
    return text.translate(str.maketrans("./", "/.")) if separators[:1] == ["/"] else text


class Prefixed(Frozen):
    """A value that contains an address prefix."""

    family: Family
    prefix_length: int

    def __post_init__(self) -> None:
        check_prefix_length(self.family, self.prefix_length)


class InterfaceAddress(Prefixed):
    """An address of an interface.

    Attributes:
        scope: "global", "site", "link" or "host".
        peer: the far side of a point-to-point address; `prefix_length` then belongs to it.
        broadcast: the broadcast address, if set.
        secondary: IPv4: not the first address in its subnet on the interface.
        deprecated: IPv6: not used as a source if there is another suitable address.
        duplicate: IPv6: another machine on the link has the address, so it is not used.
        temporary: IPv6: created by the privacy extensions.
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
        """The first address of the subnet (of the peer's, for a point-to-point address)."""
        base = self.address if self.peer is None else self.peer
        return base & prefix_mask(self.family, self.prefix_length)

    def covers(self, address: int) -> bool:
        """Return whether an address lies in the subnet."""
        return address & prefix_mask(self.family, self.prefix_length) == self.network


class Interface(Frozen):
    """A network interface.

    Attributes:
        up: enabled (IFF_UP).
        carrier: the lower layer is up too (LOWER_UP); a bridge without ports has no carrier.
        arp: it resolves addresses of its link; tunnels do not (NOARP).
        master: the bridge or bond of which it is a port.
        group: the device group, as a name or a number (`-m devgroup`).
        peer: veth: name of the other end, if it is in the same namespace.
        peer_index: veth: interface index of the other end, in its own namespace.
        peer_namespace: the kernel's number of the namespace of the other end; None: this one.
        isolated / hairpin: bridge port settings.
        filters_vlans: a bridge that separates the VLANs of its ports.
        parent: the lower device of a macvlan, ipvlan, vlan or vxlan.
    """

    name: str
    index: int = 0
    kind: InterfaceKind = "other"
    up: bool = True
    carrier: bool = True
    arp: bool = True
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
    filters_vlans: bool = False
    parent: str | None = None

    @property
    def is_tunnel(self) -> bool:
        """Whether it carries IP packets without frames, as WireGuard and mostly OpenVPN do; a TAP has frames."""
        without_frames = self.mac is None and not self.name.startswith("tap")
        return self.kind == "wireguard" or (self.kind == "tun" and self.master is None and without_frames)


class NextHop(Frozen):
    """A next hop of a multipath route. The gateway's family may differ from the route's."""

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
        mtu: the MTU for its packets, or None for the device's MTU.
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
    """A policy routing rule (`ip rule`). None means that the rule does not check the field.

    Attributes:
        fwmark / fwmask: the packet's mark and mask must equal `fwmark`.
        sport / dport: first and last port.
        uidrange: first and last user ID.
        suppress_prefixlength: routes with a prefix up to this length are ignored.
        suppress_ifgroup: routes over a device of this group are ignored.
        target: the priority at which to continue, for the action "goto".
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
        port: the port behind which the MAC address is.
        local: the address is the host's own (a permanent entry).
    """

    bridge: str
    mac: str
    port: str
    local: bool = False


class Listener(Frozen):
    """A socket that waits for connections or datagrams.

    Attributes:
        proto: 6 or 17.
        address: the address to which it is bound, or None for all.
        families: its address families; None if it is unknown whether it accepts them.
        interface: the interface to which it is bound, or None for all.
        program: name of the process that owns it, "" if it was not saved.
    """

    proto: int
    port: int
    address: int | None = None
    families: dict[int, bool | None] = field(default_factory=dict)
    interface: str | None = None
    program: str = ""


@dataclass(eq=False)
class Namespace:
    """A network namespace: the host itself, a container or another guest.

    Treat it as immutable once it is read: lookups are cached.

    Attributes:
        name: "host", or the name of the container or guest.
        rules: policy routing rules; empty means the kernel's default ones.
        sysctls: as `sysctl` prints them, without spaces around the value.
        iptables / ip6tables: text of iptables-save in this namespace, or None if it was not saved.
        listeners: its listening sockets, as far as the source lists them.
        listed: the protocols of which it lists all of them: 6, 17.
        nftables: its nftables base chains, or None if they were not saved.
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
    listeners: tuple[Listener, ...] = ()
    listed: frozenset[int] = frozenset()
    nftables: NftRuleset | None = None
    #: what follows from it: lookups, tables and indexes
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied and pickled: everything except the cache, whose tables know routes by identity."""
        return {**self.__dict__, "cache": {}}

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Return what `make` returned for a key the first time: something that follows from the namespace."""
        if key not in self.cache:
            self.cache[key] = make()
        made: Made = self.cache[key]
        return made

    def addresses(self, family: int) -> Iterator[tuple[Interface, InterfaceAddress]]:
        """Yield the addresses of a family with their interfaces, in the order of the interfaces."""
        for interface in self.interfaces.values():
            for address in interface.addresses:
                if address.family == family:
                    yield interface, address

    def outer_addresses(self, family: int) -> list[int]:
        """Return the addresses at which other machines may reach it: neither loopback nor link-local ones."""
        return [
            entry.address
            for interface, entry in self.addresses(family)
            if interface.kind != "loopback" and entry.scope != "link"
        ]

    def has_address(self, family: int, address: int) -> bool:
        """Return whether an interface has this address."""
        return self.interface_of(family, address) is not None

    def interface_of(self, family: int, address: int) -> Interface | None:
        """Return the interface that has an address, or None."""
        own = self.once(
            ("addresses", family),
            # of two interfaces with an address, the first counts
            lambda: {one.address: interface for interface, one in reversed(list(self.addresses(family)))},
        )
        return own.get(address)

    def sysctl(self, name: str, default: str = "") -> str:
        """Return a kernel parameter, or `default` if it is unknown."""
        return self.sysctls.get(name, default)

    def sysctl_number(self, name: str, default: int = 0) -> int:
        """Return a kernel parameter as a number, or `default` if it is unknown or not a number."""
        try:
            return int(self.sysctls[name])
        except (KeyError, ValueError):
            return default

    def interface_sysctl(self, family: int, interface: str, name: str, default: int = 0) -> int:
        """Return an interface's parameter: net.ipv4.conf.INTERFACE.NAME (net.ipv6 for family 6)."""
        return self.sysctl_number(interface_parameter(family, interface, name), default)

    def greater_sysctl(self, interface: str, name: str, default: int = 0) -> int:
        """Return an IPv4 parameter of which that of an interface or that of all counts, the greater one.

        Source: IN_DEV_MAXCONF (include/linux/inetdevice.h).
        """
        return max(
            self.interface_sysctl(4, "all", name, default), self.interface_sysctl(4, interface, name, default)
        )

    def ports(self, bridge: str) -> list[Interface]:
        """Return the ports of a bridge."""
        by_bridge = self.once("ports", lambda: grouped(self.interfaces.values(), lambda one: one.master))
        return by_bridge.get(bridge, [])

    def has_uplink(self, bridge: str) -> bool:
        """Return whether a network card is a port of a bridge, which therefore also connects external machines."""
        return any(port.kind in ("physical", "bond", "vlan") for port in self.ports(bridge))

    def learnt(self, mac: str | None, bridge: str | None = None) -> str | None:
        """Return the bridge port on which a MAC address was learnt, on one bridge or any; None if unknown."""
        learnt = self.once(
            "learnt", lambda: grouped((one for one in self.forwarding if not one.local), lambda one: one.mac)
        )
        return next((one.port for one in learnt.get(mac or "", []) if bridge in (None, one.bridge)), None)

    def port_towards(self, family: int, address: int, bridge: str) -> str | None:
        """Return the bridge port behind which the neighbour table and the bridge have an address, None if unknown."""
        macs: dict[tuple[int, int, str], str] = self.once(
            "MAC addresses",
            lambda: {
                (one.family, one.address, one.device): one.mac for one in reversed(self.neighbours) if one.mac
            },
        )
        return self.learnt(macs.get((family, address, bridge)), bridge)

    def nameservers(self) -> list[str]:
        """Return the resolvers of resolv.conf, in order."""
        lines = (line.split() for line in (self.resolv_conf or "").splitlines())
        return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]

    def forwarders(self) -> tuple[list[str], list[str]]:
        """Return the servers that Docker's resolver asks for this namespace: those of the host's file, and the others.

        dockerd notes them in resolv.conf since 26.0: `# ExtServers: [host(10.0.0.53)]`. It asks the former from the
        host, the latter, which are set with `dns`, from this namespace (libnetwork/internal/resolvconf).
        """
        noted = re.search(r"^# ExtServers: \[(.*)\]$", self.resolv_conf or "", re.MULTILINE)
        servers = noted[1].split() if noted is not None else []
        hosts = [one.removeprefix("host(").removesuffix(")") for one in servers if one.startswith("host(")]
        return hosts, [one for one in servers if not one.startswith("host(")]

    def nameservers_of(self, family: Family) -> Iterator[tuple[str, int]]:
        """Yield the resolvers that are addresses of a family, as written and as numbers."""
        for text in self.nameservers():
            try:
                own, address = parse_address(text)
            except ValueError:
                continue
            if own == family:
                yield text, address
