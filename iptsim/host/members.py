"""The addresses that rules treat as containers', and the parts of rules that name them."""

from __future__ import annotations

from typing import NamedTuple

from iptsim.addresses import BITS, Family, address_text
from iptsim.dump.rule import Rule
from iptsim.extensions.matches.tcp import Tcp
from iptsim.extensions.matches.udp import Udp
from iptsim.extensions.parameters import Parameters
from iptsim.extensions.targets.dnat import Dnat
from iptsim.extensions.values import Network, prefix_length
from iptsim.host.containers import PublishedPort
from iptsim.host.namespace import prefix_mask


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


class Members:
    """The addresses that the rules treat as containers'.

    Most hosts with many rules forward to addresses of other hosts, so such rules are read on demand.

    Attributes:
        placed: whether a rule may name the bridge of such an address.
        bridges, published, exposed: as :attr:`Evidence.members` and so on; see :meth:`all`.
    """

    def __init__(self) -> None:
        self.placed = False
        self.bridges: dict[Member, str | None] = {}
        self.published: dict[Member, list[PublishedPort]] = {}
        self.exposed: dict[Member, list[tuple[int, int]]] = {}
        self._found: list[Rule | tuple[Member, str | None, tuple[int, int] | None]] = []

    def add_forwarding(self, rule: Rule) -> None:
        """Add the address that a rule forwards to."""
        if not self.placed:
            plan = rule.plan
            named = (
                rule.parameters.in_interface is not None if plan is None else "in_interface" in plan.fields
            )
            self.placed = named
        self._found.append(rule)

    def add(self, member: Member, bridge: str | None, exposed: tuple[int, int] | None) -> None:
        """Add an address on a bridge, and perhaps the protocol and port that a rule accepts."""
        self.placed = True
        self._found.append((member, bridge, exposed))

    def all(self) -> Members:
        """Read what has been added, in the order of the rules."""
        found, self._found = self._found, []
        for one in found:
            if isinstance(one, Rule):
                self._forwarding(one)
                continue
            member, bridge, exposed = one
            self._place(member, bridge)
            if exposed is not None:
                known = self.exposed.setdefault(member, [])
                if exposed not in known:
                    known.append(exposed)
        return self

    def _forwarding(self, rule: Rule) -> None:
        """Docker: -A DOCKER ! -i docker0 -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80."""
        member = forwarded_to(rule)
        if member is None:
            return
        parameters = rule.parameters
        self._place(member, parameters.in_interface if "in_interface" in parameters.negated else None)
        port = destination_port(rule)
        if port is not None and parameters.protocol:
            assert isinstance(rule.target, Dnat)
            asked, ports = asked_prefix(rule), rule.target.to_destination.ports
            self.published.setdefault(member, []).append(
                PublishedPort(
                    proto=parameters.protocol,
                    container_port=ports[0] if ports else port,
                    host_address=None if asked is None else address_text(member.family, asked.address),
                    host_port=port,
                    family=member.family,
                )
            )

    def _place(self, member: Member, bridge: str | None) -> None:
        self.bridges[member] = self.bridges.get(member) or bridge


def forwarded_to(rule: Rule) -> Member | None:
    """Return the single address that a rule translates destinations to."""
    if not isinstance(rule.target, Dnat):
        return None
    wanted = rule.target.to_destination
    if wanted.addresses is None or wanted.addresses[0] != wanted.addresses[1]:
        return None
    return Member(family_of(wanted.family), wanted.addresses[0])


def asked_prefix(rule: Rule) -> Prefix | None:
    """Return the single destination address that a rule matches."""
    prefix = prefix_of(rule.parameters, "destination")
    return prefix if prefix is not None and prefix.length == BITS[prefix.family] else None


def family_of(number: int) -> Family:
    """Return an address family as such."""
    return 4 if number == 4 else 6


def as_prefix(network: Network) -> Prefix | None:
    """Return a network as a prefix; None if its mask has gaps."""
    family = family_of(network.family)
    length = prefix_length(network.mask, BITS[family])
    return None if length is None else Prefix(family, network.address & network.mask, length)


def prefix_of(parameters: Parameters, side: str) -> Prefix | None:
    """Return the prefix of `-s` or `-d`, or None if the option is missing or negated."""
    network: Network | None = getattr(parameters, side)
    return None if network is None or side in parameters.negated else as_prefix(network)


def destination_port(rule: Rule) -> int | None:
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
