"""The world around the rules, as matches and the walk ask about it: host facts, the question's facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from iptsim.dump.ruleset import Rule
from iptsim.host import fib, ipsets
from iptsim.host.model import Container, Host, Namespace
from iptsim.netfilter.conntrack import State
from iptsim.netfilter.question import Question
from iptsim.packet import Connection, Context, Family, Truth, Unknown, address_text


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Who answers for an address on a link.

    Attributes:
        container: the container, None for somebody outside.
        name: its name, or the address.
        port: the bridge port behind which it is, None where there is no bridge or nobody knows.
    """

    container: Container | None
    name: str
    port: str | None


class World:
    """What one namespace's rules may ask about; implements :class:`iptsim.packet.Surroundings`."""

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
        self._recent: dict[str, dict[int, list[float]]] = {}
        self._set_changes: dict[tuple[str, Any], bool] = {}

    # -- what the walk asks ------------------------------------------------------------------------

    def assumed(self, match: str, rule: Rule) -> bool | None:
        """Return how the question wants an undecided match to go, None where it says nothing."""
        assume = self.question.assume
        if not assume:
            return None
        place = f"{rule.table}:{rule.chain}:{rule.position}"
        for what in (place, match):
            if what in assume:
                self.assumptions_used.add(what)
                return assume[what]
        return None

    def force(self, state: State) -> None:
        """Give the next packet a state that conntrack would not find by itself."""
        self._forced = state

    def forced_state(self) -> State | None:
        """Return the state that the next packet was given; only that packet has it."""
        forced, self._forced = self._forced, None
        return forced

    def neighbour(
        self, family: Family, address: int, device: str, *, behind_ports: bool = False
    ) -> Neighbour | None:
        """Return who gets a packet for `address` on a link, None when nobody answers for it.

        Args:
            behind_ports: whoever it is must be behind a port of the bridge; where all ports are known to
                lead to containers, nobody else can be.
        """
        interface = self.namespace.interfaces.get(device)
        owner = self.host.owner_of(family, address)
        if isinstance(owner, tuple):
            container, endpoint = owner
            port = endpoint.bridge_port if endpoint else None
            return Neighbour(container, container.name, port)
        network = self.host.network_of_bridge(device)
        if network is not None and network.covers(family, address) and self.host.containers:
            return None
        port = None
        if interface is not None and interface.kind == "bridge":
            taken = {
                endpoint.bridge_port
                for container in self.host.containers.values()
                for endpoint in container.endpoints.values()
            }
            free = [port.name for port in self.namespace.ports(device) if port.name not in taken]
            port = free[0] if len(free) == 1 else None
            if behind_ports and taken and not free:
                return None
        return Neighbour(None, address_text(family, address), port)

    # -- what matches ask --------------------------------------------------------------------------

    def address_type(self, family: Family, address: int, interface: str | None) -> str | Unknown:
        """Return addrtype's name of an address."""
        return fib.address_type(self.namespace, family, address, interface)

    def reverse_path(self, context: Context, *, loose: bool, validmark: bool, accept_local: bool) -> Truth:
        """Tell whether the reverse path to the packet's source is good (`-m rpfilter`)."""
        packet, interface = context.packet, context.in_interface or "lo"
        if interface == "lo" or packet.pkttype == "loopback":
            return True
        return fib.reverse_path(
            self.namespace,
            packet.family,
            packet.src,
            interface,
            strict=not loose,
            destination=packet.dst,
            mark=packet.mark if validmark else 0,
            accept_local=accept_local,
        )

    def set_contains(
        self, name: str, directions: tuple[str, ...], context: Context, options: dict[str, Any]
    ) -> Truth:
        """Tell whether the packet is in an ipset."""
        return ipsets.contains(
            self.host.ipsets, name, directions, context, options,
            changed=lambda changed: self._set_changes.get(self._element(changed, directions, context)),
        )  # fmt: skip

    def change_set(self, name: str, directions: tuple[str, ...], action: str, context: Context) -> None:
        """Note that the packet's entry was added to or deleted from an ipset."""
        name, element = self._element(name, directions, context)
        if element is not None:
            self._set_changes[name, element] = action == "add"

    def _element(self, name: str, directions: tuple[str, ...], context: Context) -> tuple[str, Any]:
        """Return a set's name and the element that it makes of a packet; all it could be, if it is not known."""
        known = (self.host.ipsets or {}).get(name)
        if known is not None and known.type != "list:set":
            return name, ipsets.element_of(known, directions, context)
        packet = context.packet
        return name, tuple(
            (packet.src, packet.sport) if side == "src" else (packet.dst, packet.dport) for side in directions
        )

    def fact(self, name: str) -> Any:
        """Return what the question says about `name`, else None."""
        if name in self.question.facts:
            return self.question.facts[name]
        if name == "time":
            return self.question.at
        if name == "interface_groups":
            return {interface.name: interface.group for interface in self.namespace.interfaces.values()}
        return None

    def recent(self, name: str) -> dict[int, list[float]] | None:
        """Return the entries of a `-m recent` list, None if nobody saved them."""
        if self.host.recent is None:
            return None
        if name not in self._recent:
            saved = self.host.recent.get(name, {})
            self._recent[name] = {address: list(ages) for address, ages in saved.items()}
        return self._recent[name]
