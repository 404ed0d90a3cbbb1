"""What the rules of a dump reveal about their host: bridges and their subnets, containers, ports.

Docker, Podman, libvirt and similar software write rules of well-known forms, quoted at each place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from iptsim.dump.ruleset import Jump, Rule, Ruleset
from iptsim.extensions.matches.tcp import Tcp
from iptsim.extensions.matches.udp import Udp
from iptsim.extensions.parameters import Parameters
from iptsim.extensions.targets.dnat import Dnat, Snat
from iptsim.extensions.values import Network, prefix_length
from iptsim.host.containers import PublishedPort
from iptsim.host.namespace import BITS, prefix_mask
from iptsim.packet import Family, address_text

#: Chains that dockerd creates, and the names it gives bridges.
_DOCKER_CHAIN = re.compile(r"DOCKER(?!-USER$).*")
_DOCKERS = re.compile(r"docker0|br-[0-9a-f]{12}")
#: Conventional names of bridges.
_BRIDGE = re.compile(r"(docker|br|virbr|podman|cni|lxcbr|lxdbr|vmbr|cbr)[-_0-9a-z]*")
#: Conventional names of external interfaces.
_OUTSIDE = re.compile(r"(eth|en|wl|ww|bond|team|venet)[0-9a-z]+")
#: Conventional names of tunnels.
_TUNNEL = re.compile(r"(tun|tap|ppp|wg)[-_0-9a-z]*")
_LOOPBACK: dict[int, tuple[int, int]] = {4: (0x7F << 24, 8), 6: (1, 128)}


class Prefix(NamedTuple):
    """A subnet."""

    family: Family
    address: int
    length: int

    def covers(self, family: int, address: int) -> bool:
        """Return whether the prefix contains an address."""
        return family == self.family and address & prefix_mask(family, self.length) == self.address

    def __str__(self) -> str:
        return f"{address_text(self.family, self.address)}/{self.length}"


class Member(NamedTuple):
    """An address that the rules treat as a container's."""

    family: Family
    address: int


class Evidence:
    """What the rules reveal.

    Attributes:
        subnets: by bridge, in the order of the rules.
        links: the subnets behind each other interface.
        tunnels: likewise, but guessed: masqueraded subnets are assigned to the only tunnel.
        members: containers' addresses, and their bridge if a rule names it.
        published: the ports forwarded to each container.
        exposed: the (protocol, port) pairs that rules accept for each container.
        host_addresses: addresses of the host itself.
        interfaces: names of all interfaces, in the order of the rules.
        internal / isolated / masqueraded: bridges without external access; bridges whose members may not
            talk to each other; bridges whose members are masqueraded.
        chains: names of all chains.
        ruled_by_docker: interfaces named in Docker's own chains, or in jumps to those.
        userland_proxy: whether Docker's rules leave loopback to docker-proxy; None if there are no such rules.
    """

    def __init__(self, rulesets: Iterable[Ruleset]) -> None:
        self.subnets: dict[str, list[Prefix]] = {}
        self.links: dict[str, list[Prefix]] = {}
        self.tunnels: dict[str, list[Prefix]] = {}
        self.members: dict[Member, str | None] = {}
        self.published: dict[Member, list[PublishedPort]] = {}
        self.exposed: dict[Member, list[tuple[int, int]]] = {}
        self.host_addresses: list[Member] = []
        self.interfaces: dict[str, None] = {}
        self.internal: set[str] = set()
        self.isolated: set[str] = set()
        self.masqueraded: set[str] = set()
        self.chains: set[str] = set()
        #: the rules are those of listings, which may not show interfaces
        self.listed = False
        self.ruled_by_docker: set[str] = set()
        self.userland_proxy: bool | None = None
        self._translated: dict[str, None] = {}
        self._weak: dict[str, list[Prefix]] = {}
        self._hidden: list[Prefix] = []
        for ruleset in rulesets:
            self.listed |= ruleset.listed
            self.chains |= {name for table in ruleset.tables.values() for name in table.chains}
            for rule in ruleset.rules():
                self._look(rule)
        for name, prefixes in self._weak.items():
            if not _BRIDGE.fullmatch(name):
                self.links[name] = prefixes
            elif name not in self.subnets:
                self.subnets[name] = prefixes
        self._guess_tunnel()

    def _guess_tunnel(self) -> None:
        """Assign the masqueraded subnets that no rule ties to an interface to the only tunnel."""
        outside = {*self._translated, self.outside}
        tunnels = [
            name
            for name in self.interfaces
            if _TUNNEL.fullmatch(name) and name not in self.links and name not in outside
        ]
        placed = {
            prefix for prefixes in (*self.subnets.values(), *self.links.values()) for prefix in prefixes
        }
        free = [prefix for prefix in dict.fromkeys(self._hidden) if prefix not in placed]
        if len(tunnels) == 1 and free:
            self.tunnels[tunnels[0]] = free

    @property
    def docker(self) -> bool:
        """Whether Docker wrote some of the rules."""
        return "DOCKER" in self.chains

    def is_dockers(self, bridge: str) -> bool:
        """Return whether a bridge is Docker's: by its name, or because Docker's own chains name it."""
        return bridge in self.ruled_by_docker or _DOCKERS.fullmatch(bridge) is not None

    @property
    def bridges(self) -> list[str]:
        """Names of the bridges."""
        named = (name for name in self.interfaces if _BRIDGE.fullmatch(name))
        placed = (bridge for bridge in self.members.values() if bridge is not None)
        found = list(dict.fromkeys([*self.subnets, *placed, *named]))
        # iptables -L shows no interfaces without -v; Docker always has docker0
        return found or (["docker0"] if self.docker and self.listed and not self.interfaces else [])

    @property
    def outside(self) -> str | None:
        """Name of the external interface: rules translate packets leaving there, or it has a conventional name."""
        fitting = [name for name in self.interfaces if _OUTSIDE.fullmatch(name)]
        named = "eth0" if "eth0" in fitting else next(iter(fitting), None)
        return next(iter(self._translated), named)

    def _look(self, rule: Rule) -> None:
        parameters = rule.parameters
        for name in (parameters.in_interface, parameters.out_interface):
            if name and not name.endswith("+"):
                self.interfaces[name] = None
                target = rule.target.chain if isinstance(rule.target, Jump) else ""
                if any(_DOCKER_CHAIN.fullmatch(chain) for chain in (rule.chain, target)):
                    self.ruled_by_docker.add(name)
        if isinstance(rule.target, Jump):
            if rule.table == "nat" and rule.chain == "OUTPUT" and rule.target.chain == "DOCKER":
                # With docker-proxy: -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
                self.userland_proxy = "destination" in parameters.negated
            return
        if parameters.in_interface is None is parameters.out_interface and not isinstance(
            rule.target, Dnat | Snat
        ):
            # most rules of large dumps: nothing below is about them
            return
        if isinstance(rule.target, Dnat):
            self._port_forwarding(rule, rule.target)
        elif isinstance(rule.target, Snat) and rule.target.to_source.addresses:
            family = _family(rule.target.to_source.family)
            self._host_address(Member(family, rule.target.to_source.addresses[0]))
        self._masquerade(rule)
        self._drop(rule)
        self._subnet(rule)
        self._member(rule)

    def _masquerade(self, rule: Rule) -> None:
        """Docker: -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE."""
        parameters = rule.parameters
        name = parameters.out_interface
        if rule.target_name not in ("MASQUERADE", "SNAT") or not name or name.endswith("+"):
            return
        prefix = _prefix(parameters, "source")
        if "out_interface" in parameters.negated:
            if prefix is not None:
                self._add_subnet(self.subnets, name, prefix)
                self.masqueraded.add(name)
        elif not _BRIDGE.fullmatch(name):
            self._translated[name] = None
            if prefix is not None and 0 < prefix.length < BITS[prefix.family]:
                self._hidden.append(prefix)

    def _drop(self, rule: Rule) -> None:
        """Docker: ! -s 172.18.0.0/16 -o br-x -j DROP (internal); -i br-x -o br-x -j DROP (icc=false)."""
        if rule.target_name != "DROP":
            return
        parameters = rule.parameters
        for side, interface in (
            ("source", parameters.out_interface),
            ("destination", parameters.in_interface),
        ):
            network = getattr(parameters, side)
            if network is not None and interface and side in parameters.negated:
                prefix = _as_prefix(network)
                if prefix is not None:
                    self._add_subnet(self.subnets, interface, prefix)
                    self.internal.add(interface)
        both = parameters.in_interface
        if both and both == parameters.out_interface and not parameters.negated:
            self.isolated.add(both)

    def _subnet(self, rule: Rule) -> None:
        """libvirt: -A LIBVIRT_FWO -s 192.168.122.0/24 -i virbr0 -j ACCEPT."""
        if rule.target_name != "ACCEPT":
            return
        parameters = rule.parameters
        for side, interface in (("source", "in_interface"), ("destination", "out_interface")):
            prefix, name = _prefix(parameters, side), getattr(parameters, interface)
            if prefix and name and interface not in parameters.negated:
                self._add_subnet(self._weak, name, prefix)

    def _member(self, rule: Rule) -> None:
        """Docker: -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp --dport 80 -j ACCEPT.

        Its raw table: -A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP.
        """
        if rule.target_name not in ("ACCEPT", "DROP", "MASQUERADE"):
            return
        parameters = rule.parameters
        for side, interface in (("destination", "out_interface"), ("source", "in_interface")):
            prefix = _prefix(parameters, side)
            if prefix is None or prefix.length != BITS[prefix.family] or _is_loopback(prefix):
                continue
            bridge = getattr(parameters, interface) if interface not in parameters.negated else None
            if bridge is None and side == "destination" and "in_interface" in parameters.negated:
                bridge = parameters.in_interface
            if bridge is None or not (_BRIDGE.fullmatch(bridge) or bridge in self.subnets):
                continue
            member = Member(prefix.family, prefix.address)
            self._add_member(member, bridge)
            port = _destination_port(rule)
            if side == "destination" and port is not None and rule.target_name == "ACCEPT":
                exposed = self.exposed.setdefault(member, [])
                if (parameters.protocol or 0, port) not in exposed:
                    exposed.append((parameters.protocol or 0, port))

    def _port_forwarding(self, rule: Rule, target: Dnat) -> None:
        """Docker: -A DOCKER ! -i docker0 -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80."""
        wanted, parameters = target.to_destination, rule.parameters
        if wanted.addresses is None or wanted.addresses[0] != wanted.addresses[1]:
            return
        family = _family(wanted.family)
        member = Member(family, wanted.addresses[0])
        bridge = parameters.in_interface if "in_interface" in parameters.negated else None
        self._add_member(member, bridge)
        port = _destination_port(rule)
        asked = _prefix(parameters, "destination")
        whole = asked is not None and asked.length == BITS[family]
        if asked is not None and whole and not _is_loopback(asked):
            self._host_address(Member(family, asked.address))
        if port is not None and parameters.protocol:
            self.published.setdefault(member, []).append(
                PublishedPort(
                    proto=parameters.protocol,
                    container_port=wanted.ports[0] if wanted.ports else port,
                    host_address=address_text(family, asked.address) if asked is not None and whole else None,
                    host_port=port,
                    family=family,
                )
            )

    def _add_member(self, member: Member, bridge: str | None) -> None:
        self.members[member] = self.members.get(member) or bridge

    def _host_address(self, address: Member) -> None:
        if address not in self.host_addresses:
            self.host_addresses.append(address)

    @staticmethod
    def _add_subnet(subnets: dict[str, list[Prefix]], bridge: str, prefix: Prefix) -> None:
        if 0 < prefix.length < BITS[prefix.family] and not bridge.endswith("+"):
            known = subnets.setdefault(bridge, [])
            if prefix not in known:
                known.append(prefix)


def _family(number: int) -> Family:
    return 4 if number == 4 else 6


def _as_prefix(network: Network) -> Prefix | None:
    family = _family(network.family)
    length = prefix_length(network.mask, BITS[family])
    return None if length is None else Prefix(family, network.address & network.mask, length)


def _prefix(parameters: Parameters, side: str) -> Prefix | None:
    """Return the prefix of `-s` or `-d`, or None if the option is missing or negated."""
    network: Network | None = getattr(parameters, side)
    return None if network is None or side in parameters.negated else _as_prefix(network)


def _is_loopback(prefix: Prefix) -> bool:
    base, length = _LOOPBACK[prefix.family]
    return prefix.address & prefix_mask(prefix.family, length) == base


def _destination_port(rule: Rule) -> int | None:
    """Return the single destination port that a rule matches."""
    for match in rule.matches:
        if (
            isinstance(match, (Tcp, Udp))
            and match.destination_port
            and "destination_port" not in match.negated
        ):
            first, last = match.destination_port
            return first if first == last else None
    return None
