"""Checks a host against a policy, for all packets at once.

Each expectation is a set of packets on each host. A packet counts as sent to an endpoint if it goes to one of its
addresses, or if it is delivered there after translation; its port is then the one on arrival. What must be closed must
be closed for every packet. What must be open must be open for every source and port, at least at one of the endpoint's
addresses.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_
from typing import NamedTuple

from iptsim.address_sets import AddressSet
from iptsim.addresses import Family, parse_address
from iptsim.dump.rule import Rule
from iptsim.extensions.constraints import Ranges
from iptsim.extensions.verdicts import BLOCKING
from iptsim.host.address_regions import LINK_LOCAL, public_addresses, unicast_addresses
from iptsim.host.model import Host
from iptsim.policy.model import ANY_SERVICE, Expectation, Policy, Service, Side
from iptsim.policy.sides import EVERYTHING, Ends, ends_of
from iptsim.progress import tracked
from iptsim.protocols import ICMP, ICMPV6
from iptsim.sets.fates import Fate, fates
from iptsim.sets.space import PacketSet, Space

#: Expectations that hold if they do for one address of the destination.
SOMEWHERE = frozenset({"open", "accept"})
#: Classes of offending packets that are walked for an expectation, and that are kept.
_MOST_ASKED, MOST = 400, 20
#: A space is shared until this part of it is filled: the next host may need as much as all before.
_SHARED = 8


@dataclass(frozen=True, slots=True)
class Offence:
    """Packets that a host does not treat as the policy expects.

    Attributes:
        family: of the packets.
        packets: all such packets that are treated alike; sources are left out if all of the sender's are affected.
        fate: what happens to the packets; its witness is one of them.
    """

    family: Family
    packets: PacketSet
    fate: Fate


@dataclass(slots=True)
class Result:
    """Whether an expectation holds on a host.

    Attributes:
        expectation: the expectation.
        offences: the packets that violate it: the first :data:`MOST` classes.
        left_out: the number of further classes.
        has_packets: whether it applies to any packets.
    """

    expectation: Expectation
    offences: list[Offence] = field(default_factory=list)
    left_out: int = 0
    has_packets: bool = False

    @property
    def passed(self) -> bool:
        """Whether it holds; an expectation of "open" must apply to at least one packet."""
        expects_some = self.expectation.expect in SOMEWHERE and not self.expectation.is_default
        return not self.offences and (self.has_packets or not expects_some)


def check(policy: Policy, host: Host, grounds: Grounds | None = None) -> list[Result]:
    """Check a host against a policy.

    Args:
        policy: the policy.
        host: the host.
        grounds: what is known about its packets from other policies.

    Raises:
        FileSyntaxError: the host has no such endpoint; the text says where in the policy.
    """
    results = [Result(one) for one in policy.expectations]
    senders = _senders(policy, host)
    grounds = grounds or Grounds(host)
    for family in families_of(host):
        ground = grounds.of(family, senders).under(policy)
        for result in tracked(results, "checking expectations"):
            ground.check(result)
    return results


class Spaces:
    """The spaces for the packets of hosts that are almost alike: what was computed for one is known for the next."""

    def __init__(self) -> None:
        self._spaces: dict[Family, Space] = {}

    def of(self, family: Family) -> Space:
        """Return the space of an address family; a new one if the last host has filled much of it."""
        space = self._spaces.get(family)
        if space is None or space.nodes > space.most_nodes // _SHARED:
            space = self._spaces[family] = Space(family)
        return space


class Grounds:
    """The packets of a host, computed once for each set of senders.

    Args:
        host: the host.
        spaces: for its packets.
    """

    def __init__(self, host: Host, spaces: Spaces | None = None) -> None:
        self.host, self.spaces = host, spaces or Spaces()
        self._known: dict[tuple[Family, frozenset[str] | None], Ground] = {}

    def of(self, family: Family, senders: Iterable[str] | None) -> Ground:
        """Return the packets of some senders in one address family; of all senders for None."""
        key = family, None if senders is None else frozenset(senders)
        if key not in self._known:
            names = key[1] if key[1] is None else sorted(key[1])
            self._known[key] = Ground(self.host, self.spaces.of(family), names)
        return self._known[key]


def families_of(host: Host) -> list[Family]:
    """Return the address families for which a host has rules."""
    return [family for family in (4, 6) if family in host.rulesets] or [4]


def _senders(policy: Policy, host: Host) -> set[str] | None:
    """Return the names of all senders of a policy; None if it is about addresses as well."""
    found = set()
    for member in (one for expectation in policy.expectations for one in expectation.senders):
        ends = [ends_of(policy, member, host, family) for family in families_of(host)]
        names = {one.sender for one in ends if one is not None}
        if None in names:
            return None
        found |= {name for name in names if name is not None}
    return found


class _Part(NamedTuple):
    """The packets of a class that an expectation is about.

    Attributes:
        fate: what happens to the class.
        packets: those of its packets.
        reached: the sources and ports that they represent, without the address that they are sent to.
    """

    fate: Fate
    packets: PacketSet
    reached: PacketSet


class Ground:
    """The packets of a host in one address family.

    Args:
        host: the host.
        space: for the packets, of their family.
        senders: only packets of these senders; None for all.
    """

    def __init__(self, host: Host, space: Space, senders: Iterable[str] | None = None) -> None:
        #: whose expectations are checked
        self.policy: Policy | None = None
        self.host, self.space, self.family = host, space, space.family
        self.fates = list(fates(host, space.family, space=space, senders=senders))
        #: addresses that one machine has, and to which routers forward
        self.routed_addresses = unicast_addresses(host, AddressSet.every(self.family))
        self.routed_addresses -= LINK_LOCAL[self.family]
        #: packets to such an address
        self.routed = self.space.where("dst", self.routed_addresses.spans)
        #: the packets that expectations other than defaults are about
        self.covered = self.space.nothing

    def under(self, policy: Policy) -> Ground:
        """Return the same packets, ready for the expectations of another policy."""
        found = copy(self)
        found.policy, found.covered = policy, self.space.nothing
        return found

    def check(self, result: Result) -> None:
        """Check an expectation in this address family, and add the outcome to its result."""
        expectation = result.expectation
        targets = list(self._ends(expectation.targets))
        # each endpoint must be open at one of its addresses, not one of several endpoints
        groups = [[one] for one in targets] if expectation.expect in SOMEWHERE else [targets]
        covered, failed = self.covered, list[Fate]()
        for group in groups:
            parts = list(self._parts(expectation, group))
            if expectation.is_default:
                parts = [part._replace(packets=part.packets - covered) for part in parts]
            else:
                self.covered = reduce(or_, (part.packets for part in parts), self.covered)
            result.has_packets |= any(part.packets for part in parts)
            failed += self._failing(expectation, parts)
        for fate in failed[:_MOST_ASKED]:
            self._add(result, fate)
        result.left_out += max(0, len(failed) - _MOST_ASKED)

    def _failing(self, expectation: Expectation, parts: Sequence[_Part]) -> list[Fate]:
        """Return the packets to one endpoint, or to several that must all be closed, that are not as expected."""
        wrong = (part for part in parts if not _is_as_expected(part.fate, expectation.expect))
        failed = [fate for part in wrong if (fate := part.fate.within(part.packets)) is not None]
        return list(self._nowhere(parts, failed)) if expectation.expect in SOMEWHERE else failed

    def _add(self, result: Result, fate: Fate) -> None:
        """Add packets that are not treated as expected to those that are treated like them."""
        packets = self._shown(fate)
        for number, known in enumerate(result.offences):
            if known.family == self.family and _alike(known.fate) == _alike(fate):
                result.offences[number] = replace(known, packets=known.packets | packets)
                return
        if len(result.offences) < MOST:
            result.offences.append(Offence(self.family, packets, fate))
        else:
            result.left_out += 1

    def _shown(self, fate: Fate) -> PacketSet:
        """Return the packets of a class; without their sources, if these are all that the sender has."""
        rest = fate.packets.without("src", "in_interface")
        if fate.sender == "internet":
            public = self.space.where("src", public_addresses(self.host, self.family).spans)
            return rest if rest & public == fate.packets.without("in_interface") else fate.packets
        return rest if fate.sender is not None else fate.packets

    # -- what an expectation is about ----------------------------------------------------------------

    def _parts(self, expectation: Expectation, targets: list[Ends]) -> Iterator[_Part]:
        senders = list(self._ends(expectation.senders))
        services = self._services(expectation.services) - self._services(expectation.excepted)
        among = self.space.where("sport", expectation.sports) if expectation.sports else self.space.everything
        for ends in self._ends(expectation.not_senders):
            among -= self._within("src", ends)
        addressed = self._sent_to(targets) & services
        are_several = EVERYTHING not in senders and (len(senders) > 1 or any(map(_is_wide, senders)))
        for fate in self.fates:
            # what members of a group may do among themselves is not about the packets of each to itself
            if are_several and fate.reaches == (("container", fate.sender),):
                continue
            sent = self._from(fate, senders) & among
            if not sent:
                continue
            for here, made in fate.by_arrival():
                there = sent & here & addressed
                other = self.space.nothing
                if _is_received_by(fate, made, targets):
                    other = (sent & here - there) & self._at_the_end(made, expectation)
                if there or other:
                    yield _Part(fate, there | other, there.without("dst") | _reached(self.space, other, made))

    def _ends(self, side: Side) -> Iterator[Ends]:
        assert self.policy is not None
        for member in side:
            ends = ends_of(self.policy, member, self.host, self.family)
            if ends is not None:
                yield ends

    def _from(self, fate: Fate, senders: Iterable[Ends]) -> PacketSet:
        found = self.space.nothing
        for ends in senders:
            if ends is EVERYTHING:
                return fate.packets
            if ends.sender is not None and fate.sender != ends.sender:
                continue
            packets = fate.packets
            if ends.sender is None or ends.routed:
                packets &= self._within("src", ends)
            if ends.routed:
                packets &= self.routed
            found |= packets
        return found

    def _sent_to(self, targets: Iterable[Ends]) -> PacketSet:
        allowed = self.space.nothing
        for ends in targets:
            allowed |= self.space.everything if ends is EVERYTHING else self._within("dst", ends)
        return allowed

    def _within(self, key: str, ends: Ends) -> PacketSet:
        return self.space.where(key, ends.spans or ())

    def _services(self, services: Iterable[Service]) -> PacketSet:
        found = self.space.nothing
        for service in services:
            if service == ANY_SERVICE:
                return self.space.everything
            proto = self.space.where("proto", ((service.proto or 0, service.proto or 0),))
            if service.low is not None:
                high = service.low if service.high is None else service.high
                if service.proto in (ICMP, ICMPV6):
                    proto &= self.space.where("icmp_type", ((service.low << 8, high << 8 | 0xFF),))
                else:
                    proto &= self.space.where("dport", ((service.low, high),))
            found |= proto
        return found

    def _at_the_end(self, made: Mapping[str, str], expectation: Expectation) -> PacketSet:
        """Return the packets that arrive at the ports of an expectation, by their destination after nat."""
        meant, excepted = (
            self._at_ports(made, services) for services in (expectation.services, expectation.excepted)
        )
        return meant - excepted

    def _at_ports(self, made: Mapping[str, str], services: Iterable[Service]) -> PacketSet:
        port = _port(made)
        if port is None:
            return self._services(services)
        found = self.space.nothing
        for service in services:
            high = service.low if service.high is None else service.high
            if service.low is None or service.low <= port <= (high or 0):
                found |= self._services([Service(service.proto)])
        return found

    def _nowhere(self, parts: Sequence[_Part], failed: Sequence[Fate]) -> Iterator[Fate]:
        """Yield the failing packets for which there is no other address of the destination where they do not fail."""
        failing = reduce(or_, (fate.packets for fate in failed), self.space.nothing)
        good = self.space.nothing
        for part in parts:
            if not part.packets & failing:
                good |= part.reached
        for fate in failed:
            for here, made in fate.by_arrival():
                elsewhere = good if _port(made) is None else self.space.nothing
                if (rest := fate.within(here - elsewhere)) is not None:
                    yield rest


def _is_as_expected(fate: Fate, expect: str) -> bool:
    """Return whether packets are treated as one of the words of `--expect` says."""
    if expect == "open":
        return fate.verdict == "ACCEPT" and fate.listening is not False
    refused = fate.verdict == "ACCEPT" and fate.listening is False
    if expect == "refused":
        return refused
    if expect == "closed":
        return refused or fate.verdict in BLOCKING
    return fate.verdict == expect.upper()


def _alike(fate: Fate) -> Hashable:
    """Return what packets must have in common to be shown together."""
    decides = fate.decides
    place = (decides.table, decides.chain, decides.position) if isinstance(decides, Rule) else decides
    return fate.sender, fate.verdict, fate.certain, fate.reaches, fate.code, place


def _is_wide(ends: Ends) -> bool:
    """Return whether an endpoint is a network or a prefix, whatever sends from its addresses."""
    return ends.sender is None and any(low != high for low, high in ends.spans or ())


def _is_received_by(fate: Fate, made: Mapping[str, str], targets: Iterable[Ends]) -> bool:
    """Return whether packets are delivered to one of these endpoints, or forwarded to one of its addresses."""
    places, to = frozenset(fate.reaches), made.get("dst", "")
    # several addresses are pods of a cluster, which are endpoints
    new = parse_address(to)[1] if fate.passes_through and to not in ("", "*") else None
    return any(
        ends.receivers is not None
        and (places & ends.receivers or (new is not None and _is_within(new, ends.spans or ())))
        for ends in targets
    )


def _is_within(number: int, spans: Ranges) -> bool:
    return any(low <= number <= high for low, high in spans)


def _reached(space: Space, packets: PacketSet, made: Mapping[str, str]) -> PacketSet:
    """Return packets by the port that they arrive at, without the address that they are sent to."""
    port = _port(made)
    if port is None:
        return packets.without("dst")
    return packets.without("dst", "dport") & space.where("dport", ((port, port),))


def _port(made: Mapping[str, str]) -> int | None:
    """Return the port that packets have on arrival, if nat changes it to one."""
    port = made.get("dport", "")
    return int(port) if port.isdecimal() else None
