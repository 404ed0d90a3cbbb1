"""What is open to the internet, most serious first, each with its deciding rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from iptsim.extensions.constraints import Ranges
from iptsim.host.address_regions import are_private
from iptsim.protocols import PORT_PROTOCOLS
from iptsim.reaching.answer import Reaching
from iptsim.reaching.classes import ReachClass
from iptsim.reaching.traffic import Traffic
from iptsim.sets.packets import union

INTERNET = "internet"
#: The ports of a range up to this length are examined one by one.
_SHORT = 16
#: A class of more ports and ranges is not divided.
_PARTS = 64
#: Traffic with more ports is all that nothing names.
_NAMED = 1000


class Opening(NamedTuple):
    """Packets from the internet that get in, or may get in, to the host or to what is behind it."""

    answer: Reaching
    one: ReachClass

    @property
    def names_ports(self) -> bool:
        """Whether they go to particular ports, not to all that nothing names."""
        return self.one.traffic.size <= _NAMED

    @property
    def is_for_few(self) -> bool:
        """Whether they come only from a small part of all addresses."""
        return self.answer.other_sources(self.one).size > self.one.sources.size

    @property
    def needs_route(self) -> bool:
        """Whether they are sent to private addresses behind the host, to which other machines need a route."""
        sent = self.one.destinations
        return not sent & self.answer.addresses["host"] and are_private(sent)

    @property
    def has_ports(self) -> bool:
        """Whether a client can reach any ports from a usual source port."""
        return any(number in PORT_PROTOCOLS for number in self.one.usual.ports)

    @property
    def order(self) -> tuple[bool, ...]:
        """The sort key: most serious first."""
        return (
            self.one.is_refused,
            self.one.verdict == "DEPENDS",
            self.is_for_few,
            self.needs_route,
            not self.has_ports,
            not self.names_ports,
            not self.one.listens,
        )


def exposed(*answers: Reaching) -> list[Opening]:
    """Return what gets in from the internet on a host, from its answers for each address family.

    A class whose ports are decided by different rules is divided. First comes what is open to most sources, named ports
    before all others; then what is sent to private addresses behind the host, what is open to few sources, what
    depends, and where nothing listens.
    """
    found = [
        Opening(answer, part)
        for answer in answers
        for one in answer.opened.classes
        if one.sender == INTERNET and one.receiver != INTERNET
        for part in by_decision(one)
    ]
    return sorted(found, key=lambda one: one.order)


def by_decision(one: ReachClass) -> list[ReachClass]:
    """Divide a class into parts, each with the ports that one rule decides about."""
    pieces = list(_pieces(one.traffic))
    if not 1 < len(pieces) <= _PARTS:
        return [one]
    groups: dict[Any, list[ReachClass]] = {}
    for proto, ports in pieces:
        part = one.within(proto, ports)
        groups.setdefault((str(part.decides), part.fate.code), []).append(part)
    if len(groups) == 1:
        return [one]
    return [one.narrowed(union([part.packets for part in group])) for group in groups.values()]


def _pieces(traffic: Traffic) -> Iterator[tuple[int, Ranges]]:
    """Yield protocols and ports: single ports, long ranges as they are, and protocols without ports."""
    for proto, spans in traffic.ports.items():
        if proto not in PORT_PROTOCOLS:
            yield proto, ()
            continue
        for first, last in spans:
            if last - first < _SHORT:
                yield from ((proto, ((port, port),)) for port in range(first, last + 1))
            else:
                yield proto, ((first, last),)
