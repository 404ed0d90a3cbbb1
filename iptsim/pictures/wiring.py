"""The wiring of a host: outer interfaces, switches, and the containers behind them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from iptsim.addresses import Family, address_text
from iptsim.host.containers import Container, Endpoint
from iptsim.host.model import Host
from iptsim.host.namespace import Interface, Namespace
from iptsim.host.routing_tables import hops
from iptsim.languages import say
from iptsim.netfilter.bypass import BYPASSING_DRIVERS
from iptsim.protocols import protocol_name

#: How many plugs and outer interfaces are drawn one by one; the others are counted.
MOST_PLUGS, MOST_OUTER = 150, 12

SwitchKind = Literal["bridge", "macvlan", "ipvlan", "overlay", "routed", "none"]


@dataclass(slots=True, eq=False)
class Guest:
    """A network namespace of containers.

    Attributes:
        names: of the containers in it; more than one with `--network container:NAME`.
        published: its ports on the host: "8080→80/tcp".
    """

    names: list[str]
    published: list[str] = field(default_factory=list)
    plugs: list[Plug] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The first container's name."""
        return self.names[0]


@dataclass(slots=True, eq=False)
class Plug:
    """An interface of a guest, or a port of a bridge without a known guest.

    Attributes:
        guest: the guest that owns it; None if unknown.
        interface: its name inside, "" if it has none.
        addresses: of the family that is drawn, as integers, and as texts with their prefix length.
        port: the host's end; None if there is none (macvlan) or it is unknown.
        more: the number of further plugs that it represents.
    """

    guest: Guest | None
    interface: str = ""
    addresses: dict[int, str] = field(default_factory=dict)
    family: Family = 4
    port: Interface | None = None
    more: int = 0

    @property
    def key(self) -> str:
        """Name of its node."""
        owner = self.guest.name if self.guest else "-"
        return f"plug {owner} {self.interface or (self.port.name if self.port else '')}"

    @property
    def port_key(self) -> str:
        """Name of the node of the host's end, "" if it has none."""
        return f"port {self.port.name}" if self.port else ""


@dataclass(slots=True, eq=False)
class Switch:
    """What plugs are connected to: a bridge, the parent of macvlan interfaces, or nothing.

    Attributes:
        name: of the bridge, or of the parent interface.
        lines: its description, line by line.
        uplinks: outer interfaces that are its ports, or that carry it.
    """

    kind: SwitchKind
    name: str
    lines: list[str]
    plugs: list[Plug] = field(default_factory=list)
    uplinks: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Name of its node."""
        return f"{self.kind} {self.name}"


@dataclass(slots=True, eq=False)
class Outer:
    """An interface to the outside.

    Attributes:
        world: what is behind it: "Internet" if it has the default route, else its subnet; "" if unknown.
        gateway: the router on the default route, "" for none.
        switch: the bridge that it is a port of.
        more: the number of further interfaces that it represents.
    """

    interface: Interface
    lines: list[str]
    world: str = ""
    gateway: str = ""
    switch: str = ""
    more: int = 0

    @property
    def key(self) -> str:
        """Name of its node."""
        return f"interface {self.interface.name}"


@dataclass(slots=True, eq=False)
class Wiring:
    """The wiring of a host.

    Attributes:
        resident: containers in the host's own namespace (`--network host`).
        stopped: containers that are not running.
    """

    family: Family
    outer: list[Outer]
    switches: list[Switch]
    guests: list[Guest]
    resident: list[str]
    stopped: list[str]

    def plugs(self) -> list[Plug]:
        """Return all plugs in the order in which they are drawn."""
        return [plug for switch in self.switches for plug in switch.plugs]


def wiring_of(host: Host, family: Family, keep: set[str] | None = None) -> Wiring:
    """Return the wiring of a host.

    Args:
        host: the host.
        family: the address family that is shown.
        keep: containers that are never left out.
    """
    switches: dict[str, Switch] = {}
    for interface in host.namespace.interfaces.values():
        if interface.kind == "bridge":
            switch = Switch("bridge", interface.name, _bridge_lines(host, interface, family))
            switches[switch.key] = switch
    guests, resident, stopped = _guests(host)
    taken: set[str] = set()
    for guest, container in guests:
        _plug_in(host, family, guest, container, switches, taken)
    outer = _outer(host, family, switches, taken)
    order = _in_order([switch for switch in switches.values() if switch.kind != "none"])
    order += [switch for switch in switches.values() if switch.kind == "none"]
    for before, switch, after in zip([None, *order], order, [*order[1:], None], strict=False):
        _arrange(switch, before, after)
    _shorten(order, keep or set())
    return Wiring(family, outer, order, [guest for guest, _ in guests], resident, stopped)


# -- guests ----------------------------------------------------------------------------------------


def _guests(host: Host) -> tuple[list[tuple[Guest, Container]], list[str], list[str]]:
    """Return the namespaces of containers, the containers in the host's own, and those not running."""
    guests: dict[int, tuple[Guest, Container]] = {}
    resident, stopped = [], []
    for container in sorted(host.containers.values(), key=lambda one: _natural(one.name)):
        if not container.running:
            stopped.append(container.name)
        elif container.namespace is host.namespace or container.network_mode == "host":
            resident.append(container.name)
        elif (known := guests.get(id(container.namespace))) is not None:
            known[0].names.append(container.name)
            known[0].published += [text for text in _published(container) if text not in known[0].published]
        else:
            guests[id(container.namespace)] = Guest([container.name], _published(container)), container
    return list(guests.values()), resident, stopped


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts c2 before c10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d{1,9})", name)]


def _published(container: Container) -> list[str]:
    texts: dict[str, None] = {}
    for port in container.published:
        where = f"{port.host_address}:{port.host_port}" if port.host_address else str(port.host_port)
        texts[f"{where}→{port.container_port}/{protocol_name(port.proto)}"] = None
    return list(texts)


def _plug_in(
    host: Host,
    family: Family,
    guest: Guest,
    container: Container,
    switches: dict[str, Switch],
    taken: set[str],
) -> None:
    """Find a guest's plugs and their switches."""
    ends = {
        interface.index: interface
        for interface in host.namespace.interfaces.values()
        if interface.kind == "veth"
    }
    endpoints = {
        endpoint.interface or endpoint.network: endpoint for endpoint in container.endpoints.values()
    }
    for interface in container.namespace.interfaces.values():
        if interface.kind == "loopback":
            continue
        endpoint = endpoints.pop(interface.name, None)
        if endpoint is None and len(endpoints) == 1 and not next(iter(endpoints.values())).interface:
            endpoint = endpoints.popitem()[1]
        port = _host_end(host, interface, endpoint, ends)
        plug = Plug(guest, interface.name, _addresses(interface, family), family, port)
        _hang(host, plug, interface.kind, interface.parent, endpoint, switches)
        if port is not None:
            taken.add(port.name)
    for endpoint in endpoints.values():
        addresses = endpoint.addresses
        texts = {addresses[family]: address_text(family, addresses[family])} if family in addresses else {}
        plug = Plug(guest, endpoint.interface or endpoint.network, texts, family)
        _hang(host, plug, "other", None, endpoint, switches)
    if not guest.plugs:
        _hang(host, Plug(guest), "other", None, None, switches)


def _host_end(
    host: Host, interface: Interface, endpoint: Endpoint | None, ends: dict[int, Interface]
) -> Interface | None:
    """Return the other end of a container's interface; `ends` are the host's, by interface index."""
    interfaces = host.namespace.interfaces
    if endpoint is not None and endpoint.bridge_port in interfaces:
        return interfaces[endpoint.bridge_port]
    if interface.kind != "veth" or interface.peer_index is None:
        return None
    return ends.get(interface.peer_index)


def _addresses(interface: Interface, family: Family) -> dict[int, str]:
    """Return an interface's addresses as integers and texts, link-local ones only if there are no others."""
    own = [address for address in interface.addresses if address.family == family]
    own = [address for address in own if address.scope != "link"] or own
    return {one.address: f"{address_text(family, one.address)}/{one.prefix_length}" for one in own}


def _hang(
    host: Host,
    plug: Plug,
    kind: str,
    parent: str | None,
    endpoint: Endpoint | None,
    switches: dict[str, Switch],
) -> None:
    """Connect a plug to its switch."""
    network = host.networks.get(endpoint.network) if endpoint else None
    if plug.port is not None and plug.port.master is not None:
        switch = switches.get(f"bridge {plug.port.master}")
    elif network is not None and network.bridge is not None:
        switch = switches.get(f"bridge {network.bridge}")
    else:
        switch = None
    if switch is None:
        driver = network.driver if network is not None and network.driver in BYPASSING_DRIVERS else kind
        if driver in ("macvlan", "ipvlan"):
            carrier = parent or (network.options.get("parent") if network else None) or ""
            if carrier not in host.namespace.interfaces:
                carrier = _beside(host, plug)
            lines = [_on(driver, carrier), say("bypasses the host's iptables")]
            switch = Switch("macvlan" if driver == "macvlan" else "ipvlan", carrier, lines)
            switch.uplinks = [carrier] if carrier else []
        elif driver == "overlay" and network is not None:
            switch = Switch(
                "overlay",
                network.name,
                [say("overlay network {name}", name=network.name), say("bypasses iptables")],
            )
        elif plug.port is not None:
            switch = Switch("routed", "", [say("no bridge"), say("the host routes to each container")])
        else:
            switch = Switch("none", "", [say("no network")])
        switch = switches.setdefault(switch.key, switch)
        if (
            network is not None
            and driver != "overlay"
            and (line := say("network: {name}", name=network.name)) not in switch.lines
        ):
            switch.lines.append(line)
    switch.plugs.append(plug)
    if plug.guest is not None:
        plug.guest.plugs.append(plug)


def _on(kind: str, parent: str) -> str:
    """Return the kind of an interface and its parent: "macvlan on eth0"."""
    return say("{kind} on {interface}", kind=kind, interface=parent) if parent else kind


def _beside(host: Host, plug: Plug) -> str:
    """Return the host's interface with the subnet of a plug's address: the parent of a macvlan interface."""
    for interface in host.namespace.interfaces.values():
        if interface.kind not in ("loopback", "bridge"):
            for own in interface.addresses:
                if any(own.family == plug.family and own.covers(address) for address in plug.addresses):
                    return interface.name
    return ""


# -- switches --------------------------------------------------------------------------------------


def _bridge_lines(host: Host, bridge: Interface, family: Family) -> list[str]:
    lines = [bridge.name, say("bridge: a virtual switch"), *_addresses(bridge, family).values()]
    network = host.network_of_bridge(bridge.name)
    if network is None:
        return lines
    if network.name != bridge.name:
        lines.append(say("network: {name}", name=network.name))
    said = {
        say("icc off"): not network.icc,
        say("internal: no access to the outside"): network.internal,
        say("gateway mode {mode}", mode=network.gateway_mode.get(family)): network.gateway_mode.get(
            family, "nat"
        )
        != "nat",
    }
    return lines + [text for text, holds in said.items() if holds]


def _in_order(switches: list[Switch]) -> list[Switch]:
    """Order switches so that those with common guests are neighbours; bridges come first."""
    order: list[Switch] = []
    left = sorted(switches, key=lambda switch: switch.kind in BYPASSING_DRIVERS)
    common = {id(switch): {id(plug.guest) for plug in switch.plugs if plug.guest} for switch in switches}
    while left:
        last = common[id(order[-1])] if order else set()
        bypassing = left[0].kind in BYPASSING_DRIVERS
        fitting = [switch for switch in left if (switch.kind in BYPASSING_DRIVERS) == bypassing]
        best = max(fitting, key=lambda switch: len(common[id(switch)] & last))
        left.remove(best)
        order.append(best)
    return order


def _arrange(switch: Switch, before: Switch | None, after: Switch | None) -> None:
    """Put guests that are also on a neighbouring switch on that side, one of them at the edge."""

    def also_on(other: Switch | None) -> list[Guest]:
        return [plug.guest for plug in other.plugs if plug.guest] if other else []

    above, below = also_on(before), also_on(after)

    def place(plug: Plug) -> int:
        if plug.guest is None:
            return 1
        if plug.guest in above:
            return 0
        return 2 if plug.guest in below else 1

    switch.plugs.sort(key=place)
    if before is not None and before.plugs and (last := before.plugs[-1].guest) is not None:
        switch.plugs.sort(key=lambda plug: plug.guest is not last)


def _shorten(switches: list[Switch], keep: set[str]) -> None:
    """Leave out plugs if there are too many: each switch keeps its share and shows how many are missing."""
    total = sum(len(switch.plugs) for switch in switches)
    if total <= MOST_PLUGS:
        return
    for switch in switches:
        share = max(3, MOST_PLUGS * len(switch.plugs) // total)
        kept = [
            plug
            for number, plug in enumerate(switch.plugs)
            if number < share or (plug.guest is not None and keep.intersection(plug.guest.names))
        ]
        lost = len(switch.plugs) - len(kept)
        if lost:
            switch.plugs = [*kept, Plug(None, interface=say("and {count} more", count=lost), more=lost)]


# -- the outside -----------------------------------------------------------------------------------


def _outer(host: Host, family: Family, switches: dict[str, Switch], taken: set[str]) -> list[Outer]:
    """Return the interfaces to the outside; ports of bridges without a known guest are plugs."""
    namespace = host.namespace
    gateways = _default_gateways(namespace, family)
    outers: list[Outer] = []
    for interface in namespace.interfaces.values():
        if interface.kind in ("loopback", "bridge") or interface.name in taken:
            continue
        bridge = switches.get(f"bridge {interface.master}") if interface.master else None
        if bridge is not None and interface.kind in ("veth", "tun", "other"):
            bridge.plugs.append(Plug(None, port=interface))
            continue
        if bridge is not None:
            bridge.uplinks.append(interface.name)
        addresses = list(_addresses(interface, family).values())
        kind: list[str] = [] if interface.kind in ("physical", "veth", "other") else [interface.kind]
        if interface.parent and interface.kind not in ("macvlan", "ipvlan"):
            kind = [_on(interface.kind, interface.parent or "")]
        state = [] if interface.up else ["down"]
        outer = Outer(interface, [interface.name, *addresses, *kind, *state])
        outer.switch = bridge.key if bridge else ""
        if interface.name in gateways or (bridge is not None and bridge.name in gateways):
            outer.world = "Internet"
            outer.gateway = gateways.get(interface.name) or gateways.get(bridge.name if bridge else "", "")
        elif addresses:
            own = next(address for address in interface.addresses if address.family == family)
            outer.world = f"{address_text(family, own.network)}/{own.prefix_length}"
        outers.append(outer)
    if len(outers) > MOST_OUTER:
        outers.sort(key=lambda one: (one.world != "Internet", not one.world, not one.switch))
        lost = outers[MOST_OUTER:]
        text = say("and {count} more", count=len(lost))
        rest = Outer(Interface(name=text), [text], more=len(lost))
        outers = [*outers[:MOST_OUTER], rest]
    return outers


def _default_gateways(namespace: Namespace, family: Family) -> dict[str, str]:
    """Return the gateways of the default routes by device, "" for a route without one."""
    found: dict[str, str] = {}
    for route in namespace.routes:
        if route.family != family or route.prefix_length or route.type != "unicast" or route.destination:
            continue
        for hop in hops(route):
            if hop.device is not None:
                known = hop.gateway is not None
                text = address_text(hop.gateway_family or family, hop.gateway) if known else ""
                found.setdefault(hop.device, text)
    return found
