"""The boundaries between addresses and ports that a host and its rules distinguish.

Numbers in the same ranges are alike. Outside the rules, the walk compares an address with routes, interfaces,
containers and sockets of the host, and with addresses that the kernel treats specially: their ranges form the coarse
kinds. The fine kinds are formed by these ranges, all ranges in the conditions of rules, and the elements of the sets
that rules look up.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from random import Random
from typing import NamedTuple

from iptsim.addresses import BITS, FAMILIES, Family, parse_address
from iptsim.dump.ruleset import Ruleset
from iptsim.errors import IptsimError
from iptsim.extensions.base import Match, Target
from iptsim.extensions.constraints import Constraint, Masked, Several
from iptsim.extensions.matches.conntrack import FLOW_PORTS
from iptsim.extensions.nat import NatRange
from iptsim.host.address_regions import known_spans, public_addresses
from iptsim.host.model import Host
from iptsim.host.namespace import Namespace, prefix_mask
from iptsim.host.routing_tables import hops
from iptsim.netfilter.chain_index import WIDTHS, ranges_of
from iptsim.question.header import DEFAULT_SPORT
from iptsim.question.internet import outside_address

#: Fields of a packet whose values differ from record to record.
COLUMNS = ("src", "dst", "sport", "dport")
#: Addresses that the kernel treats specially (include/linux/in.h, include/net/ipv6.h, RFC 6724).
_SPECIAL: dict[Family, tuple[str, ...]] = {
    4: ("0.0.0.0/32", "0.0.0.0/8", "127.0.0.0/8", "127.0.0.1/32", "127.0.0.11/32", "169.254.0.0/16", "224.0.0.0/4",
        "224.0.0.1/32", "224.0.0.0/24", "240.0.0.0/4", "255.255.255.255/32"),
    6: ("::/128", "::1/128", "::/96", "::ffff:0:0/96", "2001::/32", "2001:10::/28", "2002::/16", "3ffe::/16",
        "64:ff9b::/96", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
        "ff02::1:ff00:0/104", *(f"ff{kind:02x}::{node}" for kind in range(256) for node in ("0/16", "1", "2")),
        "ff05::2"),
}  # fmt: skip
#: The first 104 bits of the groups to which neighbours are solicited (RFC 4291, section 2.7.1).
SOLICITED = 0xFF0200000000000000000001FF
#: Ports that a packet gets by default, and those of services inside containers.
_PORTS = (0, 53, 80, DEFAULT_SPORT)
_PORT = re.compile(r"^(?:\w+:)?(\d+)(?:-(\d+))?$")


class Kinds:
    """Divides numbers into kinds: numbers in the same ranges are of one kind.

    Args:
        ranges: first and last number of each range.
        width: the width of the numbers in bits.
        scattered: sets of numbers that are several ranges; numbers in any range of a set are alike.

    Attributes:
        starts: the first numbers of the intervals between all ends of ranges, in order.
        kinds: the kind of each interval.
        examples: the first number of each kind, in order.
    """

    def __init__(
        self, ranges: set[tuple[int, int]], width: int, scattered: Iterable[tuple[tuple[int, int], ...]] = ()
    ) -> None:
        random = Random(0)  # noqa: S311 -- marks that differ, nothing secret
        changes: dict[int, int] = {0: 0}
        for spans in [*(((first, last),) for first, last in sorted(ranges)), *scattered]:
            mark = random.getrandbits(128)
            for first, last in spans:
                for edge in (first, last + 1):
                    if edge < 1 << width:
                        changes[edge] = changes.get(edge, 0) ^ mark
        self.starts = sorted(changes)
        self.kinds: list[int] = []
        self.examples: list[int] = []
        known: dict[int, int] = {}
        marks = 0
        for start in self.starts:
            # equal for intervals in the same ranges
            marks ^= changes[start]
            if marks not in known:
                known[marks] = len(known)
                self.examples.append(start)
            self.kinds.append(known[marks])

    def of(self, number: int) -> int:
        """Return the kind of a number."""
        return self.kinds[bisect_right(self.starts, number) - 1]


class Cuts(NamedTuple):
    """The kinds of addresses, by family, and of ports."""

    addresses: dict[Family, Kinds]
    ports: Kinds

    def named(self, name: str, family: Family) -> Kinds:
        """Return the kinds of a field of a packet: "src", "dst", "sport" or "dport"."""
        return self.ports if name.endswith("port") else self.addresses[family]


class _Marks:
    """Collects ranges."""

    def __init__(self) -> None:
        self.addresses: dict[Family, set[tuple[int, int]]] = {4: set(), 6: set()}
        self.ports: set[tuple[int, int]] = set()
        self.scattered: dict[Family, list[tuple[tuple[int, int], ...]]] = {4: [], 6: []}

    def address(self, family: Family, first: int | None, last: int | None = None) -> None:
        """Distinguish the addresses from a first to a last from all others."""
        if first is not None:
            self.addresses[family].add((first, first if last is None else last))

    def prefix(self, family: Family, address: int | None, length: int) -> None:
        """Distinguish the addresses of a prefix from all others."""
        if address is not None:
            first = address & prefix_mask(family, length)
            self.address(family, first, first | (1 << BITS[family] - length) - 1)

    def network(self, text: str) -> None:
        """Distinguish the addresses of a network from all others; a text that is not a network is ignored."""
        try:
            network = ip_network(text.partition("%")[0], strict=False)
        except ValueError:
            return
        family: Family = 4 if network.version == 4 else 6
        self.address(family, int(network.network_address), int(network.broadcast_address))

    def port(self, first: int | None, last: int | None = None) -> None:
        """Distinguish the ports from a first to a last from all others."""
        if first is not None:
            self.ports.add((first, first if last is None else last))

    def cuts(self) -> Cuts:
        """Return what was collected."""
        return Cuts(
            {
                family: Kinds(self.addresses[family], BITS[family], self.scattered[family])
                for family in FAMILIES
            },
            Kinds(self.ports, 16),
        )


def cuts_of(host: Host, rulesets: list[Ruleset]) -> tuple[Cuts, Cuts]:
    """Return the coarse and the fine kinds on a host.

    Args:
        rulesets: the rules in all its namespaces.
    """
    marks = _Marks()
    for family in FAMILIES:
        for text in _SPECIAL[family]:
            marks.network(text)
    for port in _PORTS:
        marks.port(port)
    _mark_host(marks, host)
    for ruleset in rulesets:
        for rule in ruleset.rules():
            if isinstance(rule.target, Target):
                _mark_target(marks, rule.target)
    coarse = marks.cuts()
    for ruleset in rulesets:
        seen: set[int] = set()
        for rule in ruleset.rules():
            for match in (rule.parameters, *rule.matches):
                if id(match) not in seen:
                    seen.add(id(match))
                    _mark_match(marks, ruleset.family, match)
    for ipset in (host.ipsets or {}).values():
        for text, _ in ipset.entries:
            for part in text.split(","):
                _mark_member(marks, part)
    return coarse, marks.cuts()


def public_edges(host: Host) -> list[int]:
    """Return where public IPv4 addresses begin and end, in order; empty if no answer depends on it.

    On a host that rules alone describe, the route back to a sender behind the interface of a record depends on it; see
    :mod:`iptsim.netfilter.way_back`. Only these records are divided by it; IPv6 addresses always are.
    """
    if not host.inferred:
        return []
    return [edge for first, last in public_addresses(host, 4).spans for edge in (first, last + 1)]


def _mark_host(marks: _Marks, host: Host) -> None:
    for family in FAMILIES:
        for first, last in known_spans(host, family):
            marks.address(family, first, last)
        if family == 6 and host.inferred:
            # see public_edges
            marks.scattered[family].append(public_addresses(host, family).spans)
        # a record may happen to have this address as its destination
        marks.address(family, outside_address(host, family))
    containers = list(host.containers.values())
    for namespace in (host.namespace, *(one.namespace for one in containers)):
        _mark_namespace(marks, namespace)
    for container in containers:
        for endpoint in container.endpoints.values():
            for family, address in endpoint.gateways.items():
                marks.address(family, address)
        for published in (*container.published, *container.opened):
            marks.port(published.host_port)
            marks.port(published.container_port)
            marks.network(published.host_address or "")
        for exposed in container.exposed:
            marks.port(exposed.port)
        for text in container.dns:
            marks.network(text)
    for network in host.networks.values():
        for subnet in network.subnets:
            marks.address(subnet.family, subnet.gateway)
        marks.network(network.host_binding or "")


def _mark_namespace(marks: _Marks, namespace: Namespace) -> None:
    """Distinguish the addresses and ports that a namespace knows besides its prefixes."""
    for interface in namespace.interfaces.values():
        for own in interface.addresses:
            # for IPv6, the kernel prefers the source that shares the longest prefix with the destination
            for length in range(BITS[6] + 1) if own.family == 6 else (own.prefix_length,):
                marks.prefix(own.family, own.address, length)
            if own.family == 6:
                marks.address(6, SOLICITED << 24 | own.address & 0xFFFFFF)
            marks.address(own.family, own.network)
            marks.prefix(own.family, own.peer, own.prefix_length)
            marks.address(own.family, own.peer)
            marks.address(own.family, own.broadcast)
    for route in namespace.routes:
        marks.address(route.family, route.source)
        for hop in hops(route):
            marks.address(hop.gateway_family or route.family, hop.gateway)
    for rule in namespace.rules:
        for span in (rule.sport, rule.dport):
            if span is not None:
                marks.port(*span)
    for neighbour in namespace.neighbours:
        marks.address(neighbour.family, neighbour.address)
    for listener in namespace.listeners:
        marks.port(listener.port)
        for family in FAMILIES:
            if listener.address is not None and listener.address < 1 << BITS[family]:
                marks.address(family, listener.address)
    for text in namespace.nameservers():
        marks.network(text)


def _mark_target(marks: _Marks, target: Target) -> None:
    """Distinguish the values that a target may write into a packet."""
    for _, value in target.given():
        if isinstance(value, NatRange):
            if value.addresses:
                marks.address(_family(value.family), *value.addresses)
                for one in value.addresses:
                    marks.address(_family(value.family), one)
            if value.ports:
                marks.port(*value.ports)
                for port in value.ports:
                    marks.port(port)
        elif isinstance(value, tuple) and len(value) == 2 and all(isinstance(one, int) for one in value):
            marks.port(min(value), max(value))
            for port in value:
                marks.port(port)


def _family(number: int) -> Family:
    return 4 if number == 4 else 6


def _mark_match(marks: _Marks, family: Family, match: Match) -> None:
    try:
        predicates = match.predicates()
    except IptsimError:
        return
    for predicate in predicates:
        for constraint in _parts(predicate.constraint):
            key = constraint.field.key
            width = 16 if key in FLOW_PORTS else WIDTHS[family].get(key)
            if width is not None:
                _mark_constraint(marks, family, constraint, width)


def _parts(constraint: Constraint | Several | None) -> Iterator[Constraint]:
    if isinstance(constraint, Constraint):
        yield constraint
    elif constraint is not None:
        for part in constraint.parts:
            yield from _parts(part)


def _mark_constraint(marks: _Marks, family: Family, constraint: Constraint, width: int) -> None:
    ranges = ranges_of(constraint, width)
    for low, high in ranges or ():
        if width == 16:
            marks.port(low, high)
        else:
            marks.address(family, low, high)


def has_gaps(constraint: Constraint, family: int) -> bool:
    """Return whether the numbers that satisfy a condition do not form ranges, so that kinds cannot express it."""
    width = WIDTHS[family].get(constraint.field.key)
    return (
        width is not None and isinstance(constraint.allowed, Masked) and ranges_of(constraint, width) is None
    )


def _mark_member(marks: _Marks, text: str) -> None:
    """Distinguish the address, the network, the range or the ports in an element of a set."""
    found = _PORT.match(text)
    if found:
        marks.port(int(found[1]) & 0xFFFF, int(found[2] or found[1]) & 0xFFFF)
        return
    first, dash, last = text.partition("-")
    if not dash:
        marks.network(text)
        return
    try:
        (family, low), (_, high) = parse_address(first), parse_address(last)
    except ValueError:
        return
    marks.address(family, low, high)
