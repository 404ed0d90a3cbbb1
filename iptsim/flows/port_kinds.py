"""Ports that a host and its rules treat alike: packets that differ only in them take the same path."""

from __future__ import annotations

from collections.abc import Iterable

from iptsim.dump.ruleset import Ruleset
from iptsim.errors import IptsimError
from iptsim.extensions.base import Match, Target
from iptsim.flows.cuts import cuts_of
from iptsim.flows.evenness import is_even, kind_of
from iptsim.netfilter.walk import Simulator


class PortKinds:
    """The kinds of ports of a host.

    Packets that are equal except for their ports, have ports of the same kinds, and are no part of a connection in the
    capture's conntrack table, pass the same rules; what the answers say about them differs only in the numbers.

    Attributes:
        are_certain: whether that is so. A rule may read the port in another way than by a range, such as `-m u32`, or
            shift it, and a pasted text may say something about a single port.
    """

    def __init__(self, simulator: Simulator) -> None:
        host, rulesets = simulator.host, simulator.rulesets()
        self.are_certain = host.pasted is None and all(map(_is_even, rulesets))
        self._ports = cuts_of(host, rulesets)[1].ports
        self._tracked = {
            port
            for entry in host.conntrack
            for flow in (entry.connection.original, entry.connection.reply)
            for port in (flow.sport, flow.dport)
        }

    def of(self, port: int) -> int | None:
        """Return the kind of a port; None if conntrack knows it, so that it is only like itself."""
        return None if port in self._tracked else self._ports.of(port)


def _is_even(ruleset: Ruleset) -> bool:
    """Return whether each rule has the same result and effect for all ports of a kind."""
    targets = {id(rule.target): rule.target for rule in ruleset.rules() if isinstance(rule.target, Target)}
    # the reader makes equal matches one object
    matches = {id(match): match for rule in ruleset.rules() for match in (rule.parameters, *rule.matches)}
    are_even = all(is_even(target, only_ports=True) for target in targets.values())
    return are_even and _are_even(matches.values(), ruleset.family)


def _are_even(matches: Iterable[Match], family: int) -> bool:
    try:
        # the lists of `-m recent` hold addresses, no ports
        return not any(
            kind_of(predicate, family, only_ports=True) == "uneven"
            for match in matches
            if match.name != "recent"
            for predicate in match.predicates()
        )
    except IptsimError:
        return False
