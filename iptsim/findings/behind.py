"""The networks behind a host that are not Docker's: bridges of guests, tunnels of VPNs, routed subnets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from iptsim.addresses import BITS, Family, address_text, is_private, parse_address
from iptsim.dump.rule import Rule
from iptsim.explanation import Explanation
from iptsim.extensions.values import Network
from iptsim.extensions.verdicts import TRANSLATING_SOURCE
from iptsim.findings.native_chains import chains_of
from iptsim.findings.scene import Scene
from iptsim.host import fib
from iptsim.host.namespace import Interface, InterfaceAddress
from iptsim.owners.docker import is_dockers

#: Names of interfaces that lead to guests or through a tunnel: of libvirt, LXD, LXC, Incus, Proxmox, OpenVPN,
#: WireGuard, Tailscale, ZeroTier, pppd, and of bridges in general.
NAMES = re.compile(r"(virbr|lxdbr|lxcbr|incusbr|vmbr|br|tun|tap|wg|tailscale|zt|ppp)[0-9]\w*")
#: An address behind an interface of which only the name is known.
SOME_GUEST: dict[Family, str] = {4: "10.254.254.2", 6: "fd00:fefe::2"}


#: The address that Docker usually gives the first container.
SOME_CONTAINER = "172.17.0.2"
#: Kinds of interfaces that lead to a LAN; "other" if a paste of `ip addr` does not show the kind.
_CARDS = ("physical", "vlan", "bond", "other")


class Behind(NamedTuple):
    """A network behind the host.

    Attributes:
        interface: the interface that leads there.
        address: the address of a machine there.
        rule: a rule that names the network, if no interface's address shows it.
        subnet: the subnet, if only this is known; the interface is then a placeholder.
        port: the port of the uplink's bridge, for guests that are in the network of the uplink itself.
    """

    interface: str
    address: str
    rule: Rule | None = None
    subnet: str = ""
    port: str = ""

    @property
    def name(self) -> str:
        """Its name in texts: the interface, or the subnet if the interface is unknown."""
        return self.subnet or self.interface

    @property
    def arriving(self) -> str:
        """The condition of a rule that matches packets coming from there."""
        return f"-s {self.subnet}" if self.subnet else f"-i {self.interface}"

    @property
    def leaving(self) -> str:
        """The condition of a rule that matches packets going there."""
        return f"-d {self.subnet}" if self.subnet else f"-o {self.interface}"

    @property
    def is_guess(self) -> bool:
        """Whether the address is a placeholder."""
        return self.address in SOME_GUEST.values()


#: Some machine behind a tunnel that nothing names.
SOMEBODY: dict[Family, Behind] = {family: Behind("tun0", guest) for family, guest in SOME_GUEST.items()}


def networks_behind(scene: Scene, family: Family) -> Iterator[Behind]:
    """Yield the networks behind the host that are not Docker's and not those of its uplink."""
    found: set[str] = set()
    for interface in scene.host.namespace.interfaces.values():
        address = _guest(scene, family, interface)
        if address is not None:
            found.add(interface.name)
            yield Behind(interface.name, address)
    for rule in scene.table(family, "filter").rules():
        for name in (rule.parameters.in_interface, rule.parameters.out_interface):
            if name and name not in found and NAMES.fullmatch(name) and not _is_known(scene, family, name):
                found.add(name)
                yield Behind(name, _member(scene, family, name) or SOME_GUEST[family], rule)
    if scene.host.inferred and not found and not _names_others(scene, family):
        yield from _masqueraded(scene, family)


def accepted_by_nftables(scene: Scene, family: Family) -> Iterator[Behind]:
    """Yield the bridges and tunnels whose packets a base chain of nftables accepts in forward, as those of LXD do."""
    found = {behind.interface for behind in networks_behind(scene, family)}
    for _, rules in chains_of(scene, family, "forward"):
        for rule in rules:
            name, negated = rule.parameters.in_interface, rule.parameters.negated
            if rule.target_name != "ACCEPT" or name is None or name in found or not NAMES.fullmatch(name):
                continue
            if not rule.matches and not negated and not _is_known(scene, family, name):
                found.add(name)
                yield Behind(name, SOME_GUEST[family], rule)


def _masqueraded(scene: Scene, family: Family) -> Iterator[Behind]:
    """Yield the private subnets that rules masquerade and no interface of the source shows."""
    seen: set[str] = set()
    for rule in scene.rules(family, "nat", "POSTROUTING"):
        source = rule.parameters.source
        if source is None or rule.target_name not in TRANSLATING_SOURCE or is_dockers(rule):
            continue
        if "source" in rule.parameters.negated or rule.parameters.destination is not None:
            continue
        address = second_address(source)
        number = parse_address(address)[1]
        is_dockers_own = any(one.covers(family, number) for one in scene.host.networks.values())
        if str(source) in seen or is_dockers_own or not is_private(family, address):
            continue
        if rule.parameters.out_interface is not None and "out_interface" in rule.parameters.negated:
            continue  # for a bridge, as programs that run guests write it
        seen.add(str(source))
        yield Behind("tun0", address, rule, str(source))


def _names_others(scene: Scene, family: Family) -> bool:
    """Return whether rules accept packets from an interface about which nothing else is known."""
    outside = scene.outside_interface(family)
    return any(
        rule.target_name == "ACCEPT"
        and name is not None
        and scene.host.network_of_bridge(name) is None
        and (outside is None or name != outside.name)
        for rule in scene.rules_below(family, "filter", "FORWARD")
        for name in (rule.parameters.in_interface, rule.parameters.out_interface)
    )


def _is_known(scene: Scene, family: Family, name: str) -> bool:
    """Return whether an interface is Docker's, leads outside, or has known addresses."""
    interface = scene.host.namespace.interfaces.get(name)
    if _is_of_engine(scene, name) or scene.outside_interface(family) is interface is not None:
        return True
    return not scene.host.inferred and (interface is None or bool(interface.addresses))


def _is_of_engine(scene: Scene, bridge: str) -> bool:
    """Return whether a bridge belongs to a network of a container engine."""
    network = scene.host.network_of_bridge(bridge)
    return network is not None and bool(network.daemon)


def _member(scene: Scene, family: Family, name: str) -> str | None:
    """Return an address that a rule of FORWARD accepts from or to an interface, if there is one."""
    for rule in scene.table(family, "filter").rules():
        source = rule.parameters.source
        if (
            rule.parameters.in_interface == name
            and source is not None
            and "source" not in rule.parameters.negated
        ):
            return second_address(source)
    return None


def second_address(network: Network) -> str:
    """Return an address of a network: the second one, if it has more than one."""
    family: Family = 6 if network.family == 6 else 4
    whole = (1 << BITS[family]) - 1
    address = network.address & network.mask
    return address_text(family, address if network.mask == whole else address + 2)


def _guest(scene: Scene, family: Family, interface: Interface) -> str | None:
    """Return a machine behind a bridge or tunnel that is not Docker's, by name or address; else None."""
    if interface.kind not in ("bridge", "wireguard", "tun") or not interface.up:
        return None
    if _is_of_engine(scene, interface.name) or scene.outside_interface(family) is interface:
        return None
    for address in interface.addresses:
        if address.family != family or address.scope != "global" or address.peer is not None:
            continue
        for container in scene.host.containers.values():
            own = container.address(family)
            if container.running and own is not None and address.covers(own):
                return container.name
        candidate = other_machine(address)
        if candidate is not None:
            return address_text(family, candidate)
    return _routed(scene, family, interface)


def _routed(scene: Scene, family: Family, interface: Interface) -> str | None:
    """Return a machine of a private subnet to which a route leads by an interface; else None."""
    for route in scene.host.namespace.routes:
        if route.family == family and route.device == interface.name and route.type == "unicast":
            whole = route.prefix_length == BITS[family]  # a peer of WireGuard
            address = address_text(family, route.destination + (0 if whole else 2))
            if (whole or 0 < route.prefix_length <= BITS[family] - 2) and is_private(family, address):
                return address
    return None


def subnet_of(scene: Scene, family: Family, address: str) -> str:
    """Return the subnet of a machine behind the host, according to the host's routes; "" if none leads to a subnet."""
    route = fib.lookup(scene.host.namespace, family, parse_address(address)[1]).route
    if route is None or route.type != "unicast" or route.prefix_length in (0, BITS[family]):
        return ""
    return f"{address_text(family, route.destination)}/{route.prefix_length}"


def guests_beside(scene: Scene, family: Family) -> Iterator[Behind]:
    """Yield a guest on the bridge that is the uplink, which switches its packets between the guest and the outside."""
    uplink = scene.outside_interface(family)
    if uplink is None or not scene.host.namespace.has_uplink(uplink.name):
        return
    own = (end.bridge_port for one in scene.host.containers.values() for end in one.endpoints.values())
    taken = set(own)
    ports = scene.host.namespace.ports(uplink.name)
    guests = [one.name for one in ports if one.kind in ("veth", "tun") and one.name not in taken]
    addresses = (one for one in uplink.addresses if one.family == family and one.scope == "global")
    candidates = filter(None, map(other_machine, addresses))
    if guests and (candidate := next(candidates, None)) is not None:
        yield Behind(uplink.name, address_text(family, candidate), port=guests[0])


def other_machine(address: InterfaceAddress) -> int | None:
    """Return the address of another machine in the subnet of an interface; None if there is no room for any."""
    if address.prefix_length > BITS[address.family] - 2:
        return None
    return address.network + 2 + (address.address == address.network + 2)


def lans_behind(scene: Scene, family: Family) -> Iterator[Behind]:
    """Yield the LANs of further network cards for which the host is the router."""
    if scene.host.inferred:
        return  # addresses and interfaces are guesses
    for interface in scene.host.namespace.interfaces.values():
        address = _neighbour(scene, family, interface)
        if address is not None:
            yield Behind(interface.name, address)


def _neighbour(scene: Scene, family: Family, interface: Interface) -> str | None:
    """Return a machine of a LAN for which the host is the router; else None.

    A private subnet on an interface does not make the host its router: it may be a storage or backup network. Rules
    other than Docker's must masquerade the subnet or name the interface.
    """
    uplink = scene.outside_interface(family)
    if interface.kind not in _CARDS or not interface.up or uplink is None or interface is uplink:
        return None
    for address in interface.addresses:
        candidate = other_machine(address)
        if address.family != family or address.scope != "global" or candidate is None:
            continue
        other = address_text(family, candidate)
        if is_private(family, other) and _is_router(scene, family, interface.name, candidate, uplink.name):
            return other
    return None


def _is_router(scene: Scene, family: Family, name: str, member: int, uplink: str) -> bool:
    """Return whether rules that are not Docker's masquerade a member of a LAN, or name the LAN's interface."""
    masquerades = any(
        rule.target_name in TRANSLATING_SOURCE
        and not is_dockers(rule)
        and not rule.parameters.negated
        and rule.parameters.out_interface in (None, uplink)
        and (rule.parameters.source is None or member in rule.parameters.source)
        and rule.parameters.destination is None
        for rule in scene.table(family, "nat").rules()
    )
    return masquerades or any(
        name in (rule.parameters.in_interface, rule.parameters.out_interface) and not is_dockers(rule)
        for rule in scene.rules_below(family, "filter", "FORWARD")
    )


def ask_outside(scene: Scene, family: Family, behind: Behind) -> Explanation | None:
    """Walk a packet from a network behind the host to the internet."""
    return ask_from(scene, family, behind, "internet", proto="tcp", dport=443)


def ask_from(scene: Scene, family: Family, behind: Behind, to: str, **fields: Any) -> Explanation | None:
    """Walk a packet from a network behind the host."""
    arriving = {} if behind.address in scene.host.containers else {"in": behind.port or behind.interface}
    return scene.ask(behind.address, to, family, **arriving, **fields)
