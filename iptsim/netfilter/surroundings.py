"""The world around the rules, as the host and the question describe it, for matches and the walk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iptsim.addresses import Family, address_text
from iptsim.connection import Connection, State
from iptsim.dump.rule import Rule
from iptsim.extensions.context import Context
from iptsim.host import fib
from iptsim.host.containers import Container
from iptsim.host.model import Host, IpSet
from iptsim.host.namespace import Namespace
from iptsim.host.routing_policy import own_rules
from iptsim.packet import Packet
from iptsim.partly_known import Bits, some_mark
from iptsim.question.model import Question
from iptsim.truth import Truth, Unknown

if TYPE_CHECKING:
    from iptsim.host.ipset_members import Members


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The neighbour that an address on a link belongs to.

    Attributes:
        container: the container, None for a machine outside.
        name: its name, or the address.
        port: the bridge port that it is behind, None if there is no bridge or the port is unknown.
        candidates: the ports that it may be behind, if the port is unknown.
        sends: it has sent a packet from this link, so it is there even if no port is known for it.
    """

    container: Container | None
    name: str
    port: str | None
    candidates: tuple[str, ...] = ()
    sends: bool = False

    @property
    def ports(self) -> tuple[str, ...]:
        """The port if it is known, else all candidates."""
        return self.candidates if self.port is None else (self.port,)


class World:
    """What the rules of one namespace depend on; implements :class:`iptsim.extensions.context.Surroundings`."""

    def __init__(
        self,
        host: Host,
        question: Question,
        namespace: Namespace,
        known: tuple[Connection, ...] = (),
        assumptions_used: set[str] | None = None,
    ) -> None:
        self.host = host
        self.question = question
        self.namespace = namespace
        self.known_connections = known
        #: the assumptions of the question that have decided something
        self.assumptions_used = set() if assumptions_used is None else assumptions_used
        self._forced: State | None = None
        self._heard: dict[tuple[Family, int, str], str | None] = {}
        self._recent: dict[str, dict[int, list[float]]] = {}
        #: the sets that rules have changed
        self._changed_sets: dict[str, Members] = {}
        #: what rules have added or deleted if the set, or the packet's entry, is unknown
        self._set_changes: dict[tuple[str, Any], bool] = {}

    # -- for the walk ------------------------------------------------------------------------

    def assumed(self, match: str, rule: Rule) -> bool | None:
        """Return what the question assumes about an undecided match, None if nothing."""
        if not self.question.assume:
            return None
        # the table of a rule of nftables is "FAMILY TABLE"
        return self.assumed_of(f"{rule.table.replace(' ', ':')}:{rule.chain}:{rule.position}", match)

    def assumed_of(self, *names: str) -> bool | None:
        """Return what the question assumes under one of these names, None if nothing."""
        assume = self.question.assume
        for what in names:
            if what in assume:
                self.assumptions_used.add(what)
                return assume[what]
        return None

    def force(self, state: State) -> None:
        """Give the next packet a state that conntrack would not find on its own."""
        self._forced = state

    def forced_state(self) -> State | None:
        """Return the state that was forced on the next packet, and forget it."""
        forced, self._forced = self._forced, None
        return forced

    def hear(self, packet: Packet, device: str, port: str | None) -> None:
        """Record that a packet's source address is on a link, behind a port if the link is a bridge."""
        self._heard[packet.family, packet.src, device] = port

    def without_others(self, packet: Packet, ports: tuple[str, ...], bridge: str) -> tuple[str, ...]:
        """Return the ports of a bridge behind which no other sender than the packet's has been heard."""
        others = {
            port
            for (family, address, device), port in self._heard.items()
            if device == bridge and (family, address) != (packet.family, packet.src)
        }
        return tuple(port for port in ports if port not in others)

    def neighbour(
        self, family: Family, address: int, device: str, *, behind_ports: bool = False
    ) -> Neighbour | None:
        """Return the neighbour that gets a packet for `address` on a link, None if there is none.

        Args:
            behind_ports: the neighbour must be behind a port of the bridge; if all ports are known to lead to
                containers, no other machine can be.
        """
        name = address_text(family, address)
        owner = self.host.owner_of(family, address)
        if isinstance(owner, tuple):
            container, endpoint = owner
            # for a further address of its own, it answers on each of its interfaces
            network = self.host.network_of_bridge(device)
            endpoint = endpoint or (container.endpoints.get(network.name) if network is not None else None)
            port = endpoint.bridge_port if endpoint else None
            port = port or self.namespace.port_towards(family, address, device)
            return Neighbour(
                container, container.name, port, self._free_ports(device) if port is None else ()
            )
        interface = self.namespace.interfaces.get(device)
        if interface is None or interface.kind != "bridge":
            return Neighbour(None, name, None)
        port = self.namespace.port_towards(family, address, device)
        if port is None and (family, address, device) in self._heard:
            # the kernel uses the neighbour table; a sender missing from it is behind the port it sends from
            return Neighbour(None, name, self._heard[family, address, device], sends=True)
        return self._behind(device, name, port, family, address, behind_ports)

    def neighbour_of_mac(self, family: Family, mac: str, address: int, bridge: str) -> Neighbour:
        """Return the neighbour on a bridge with a MAC address; `address` is the destination of its packet."""
        for container in self.host.containers.values():
            for endpoint in container.endpoints.values():
                if endpoint.mac == mac and endpoint.bridge_port is not None:
                    return Neighbour(container, container.name, endpoint.bridge_port)
        # a frame to an address that the bridge does not know goes out of all ports
        ports = tuple(port.name for port in self.namespace.ports(bridge))
        port = self.namespace.learnt(mac, bridge)
        return Neighbour(None, address_text(family, address), port, () if port else ports)

    def _behind(
        self, bridge: str, name: str, port: str | None, family: Family, address: int, behind_ports: bool
    ) -> Neighbour | None:
        """Return a machine outside behind a known port, or behind one that leads to no container."""
        if port is not None:
            return Neighbour(None, name, port)
        free = self._free_ports(bridge)
        if free:
            return Neighbour(None, name, free[0] if len(free) == 1 else None, free)
        if self.host.inferred:
            return Neighbour(None, name, None, sends=True)  # there may be containers that no rule mentions
        network = self.host.network_of_bridge(bridge)
        inside = network is not None and network.covers(family, address) and self.host.containers
        if inside or (behind_ports and self.namespace.ports(bridge)):
            return None
        return Neighbour(None, name, None)

    def _free_ports(self, bridge: str) -> tuple[str, ...]:
        """Return the ports of a bridge that lead to no known container."""
        taken = self.namespace.once(
            "ports of containers",
            lambda: {
                endpoint.bridge_port
                for container in self.host.containers.values()
                for endpoint in container.endpoints.values()
            },
        )
        return self.namespace.once(
            ("free ports", bridge),
            lambda: tuple(port.name for port in self.namespace.ports(bridge) if port.name not in taken),
        )

    # -- for matches --------------------------------------------------------------------------

    def address_type(self, family: Family, address: int, interface: str | None) -> str | Unknown:
        """Return addrtype's name of an address."""
        return fib.address_type(self.namespace, family, address, interface)

    def reverse_path(self, context: Context, *, loose: bool, validmark: bool, accept_local: bool) -> Truth:
        """Return whether the reverse path to the packet's source is good (`-m rpfilter`)."""
        packet, interface = context.packet, context.in_interface or "lo"
        if interface == "lo" or packet.pkttype == "loopback":
            return True
        mark = packet.mark if validmark else 0
        if not isinstance(mark, int):
            for rule in own_rules(self.namespace, packet.family) or ():
                marks = Bits(rule.fwmark or 0, rule.fwmask)
                if rule.fwmark is not None and not isinstance(mark.test([marks]), bool):
                    return Unknown(mark.reason.reason, mark.reason.decide)
        headers = packet.extension_headers
        return fib.reverse_path(
            self.namespace,
            packet.family,
            packet.src,
            interface,
            strict=not loose,
            destination=packet.dst,
            mark=some_mark(mark),
            tos=packet.tos,
            # the protocol that the IPv6 header itself names (rpfilter_lookup_reverse6)
            proto=headers[0][0] if headers else packet.proto,
            accept_local=accept_local,
        )

    def set_contains(
        self, name: str, directions: tuple[str, ...], context: Context, options: dict[str, Any]
    ) -> Truth:
        """Return whether the packet is in an ipset."""
        from iptsim.host import ipsets

        truth = ipsets.contains(self.host.ipsets, name, directions, context, options, members=self._members)
        if isinstance(truth, Unknown):
            return self._set_changes.get((name, truth.key), truth)
        return truth

    def _members(self, ipset: IpSet) -> Members:
        from iptsim.host import ipsets

        return self._changed_sets.get(ipset.name) or ipsets.members_of(ipset)

    def change_set(
        self,
        name: str,
        directions: tuple[str, ...],
        action: str,
        context: Context,
        *,
        overwrite: bool = False,
    ) -> bool:
        """Add the packet's entry to an ipset, or delete it; return whether the set has accepted it.

        In a list of sets, the first that accepts it counts (list_set_kadd).
        """
        from iptsim.host import ipsets

        ipset = (self.host.ipsets or {}).get(name)
        if ipset is None:
            unknown = ipsets.contains(self.host.ipsets, name, directions, context, {})
            assert isinstance(unknown, Unknown)
            self._set_changes[name, unknown.key] = action == "add"
            return True
        members = self._members(ipset)
        if members.lists:
            return any(
                self.change_set(member, directions, action, context, overwrite=overwrite)
                for member in members.lists
            )
        element = ipsets.element_of(ipset, directions, context)
        if isinstance(element, Unknown):
            self._set_changes[name, element.key] = action == "add"
            return True
        if element is None or members.parts == ("set",):
            return False
        changed = members.changed(element, action, overwrite=overwrite)
        if changed is not None:
            self._changed_sets[name] = changed
        return changed is not None

    def fact(self, name: str) -> Any:
        """Return what the question states about `name`, else None."""
        if name in self.question.facts:
            return self.question.facts[name]
        if name == "time":
            return self.question.at
        if name == "tproxy_listener" and self.host.pasted is not None:
            # assumed, as for other programs of a text that does not list the sockets
            return None if self.question.protocol in self.namespace.listed else True
        if name == "interface_groups":
            return {interface.name: interface.group for interface in self.namespace.interfaces.values()}
        return None

    def path_mtu(self, context: Context) -> int | None:
        """Return the smaller MTU of the routes to both ends (tcpmss_mangle_packet), None if unknown.

        The question may state it, as the kernel may have learnt a smaller one on the way.
        """
        stated = self.fact("path_mtu")
        if stated is not None:
            return int(stated)
        packet = context.packet
        there = self._mtu(context, packet.dst, context.out_interface)
        back = self._mtu(context, packet.src)
        return there if there is None or back is None else min(there, back)

    def _mtu(self, context: Context, address: int, device: str | None = None) -> int | None:
        """Return the MTU of the route to an address, or of the device that is used instead of its own."""
        found = fib.lookup(self.namespace, context.packet.family, address)
        own = found.mtu if device in (None, found.device) else None
        interface = self.namespace.interfaces.get(device or found.device or "")
        return own or (interface.mtu if interface is not None else None)

    def recent(self, name: str) -> dict[int, list[float]] | None:
        """Return the entries of a `-m recent` list, None if they were not saved."""
        if self.host.recent is None:
            return None
        if name not in self._recent:
            saved = self.host.recent.get(name, {})
            self._recent[name] = {address: list(ages) for address, ages in saved.items()}
        return self._recent[name]
