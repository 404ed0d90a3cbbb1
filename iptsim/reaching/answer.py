"""All packets between two ends of a host, and what happens to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from iptsim import address_sets
from iptsim.address_sets import AddressSet
from iptsim.addresses import Family, parse_address
from iptsim.errors import UsageError, printable
from iptsim.host import Host, fib
from iptsim.host.address_regions import LINK_LOCAL, unicast_addresses
from iptsim.languages import Text, message, text_of
from iptsim.protocols import PORT_PROTOCOLS
from iptsim.question import values
from iptsim.question.header import DEFAULT_SPORT
from iptsim.reaching.classes import Names, ReachClass, merged, selected
from iptsim.reaching.ends import End, Target, family_of, read_source, read_target, running, usual_host_address
from iptsim.reaching.options import no_ports, read_ports, read_protocol, read_state
from iptsim.reaching.traffic import Traffic
from iptsim.sets.addressed import addressed
from iptsim.sets.fates import Fate, fates
from iptsim.sets.landscape import Landscape
from iptsim.sets.limits import MOST_WAYS
from iptsim.sets.lines import WIDENED
from iptsim.sets.nat_forms import Nat, forms
from iptsim.sets.packets import OutsideError, PacketSet, TooManyNodesError, union
from iptsim.sets.space import Space
from iptsim.sets.summaries import Among
from iptsim.shown import Framed
from iptsim.sources import load_host

SCHEMA = "iptsim.reach/1"
#: How many single-packet answers are examined to find the assumptions that all share.
_ASSUMING = 20
#: Senders and receivers that come first, in this order.
_FIRST = {"internet": 0, "host": 1}


@dataclass(frozen=True, slots=True)
class Cell:
    """What one endpoint can send to another, from the usual source ports of clients.

    Attributes:
        open: the protocols and ports that are accepted at the receiver's own addresses, and where a program may listen.
        published: the same at addresses of the host, which forwards them.
        refused: those that are accepted, but where no program listens.
        unsure: those that may be accepted, depending on something undecided.
    """

    open: Traffic
    published: Traffic
    refused: Traffic
    unsure: Traffic


@dataclass(frozen=True, repr=False)
class Reaching(Framed):
    """What happens to all packets between two ends.

    Attributes:
        host: the host.
        family: of the packets, 4 or 6.
        source / target: the ends as they were given; None for any.
        state: the state of the packets' connections.
        asked: the protocols and ports in question.
        addresses: the addresses of each endpoint.
        only_open: whether only open classes are left.
        classes: the classes of packets that are treated alike, by sender and receiver; the largest last.
    """

    host: Host
    family: Family
    source: End | None
    target: End | None
    state: str
    asked: Traffic
    addresses: Mapping[str, AddressSet]
    classes: tuple[ReachClass, ...]
    only_open: bool = False

    def __repr__(self) -> str:
        ends = (end.text if end is not None else "*" for end in (self.source, self.target))
        return printable(
            f"<Reaching of {len(self)} classes of packets, IPv{self.family}, {' → '.join(ends)}>"
        )

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[ReachClass]:
        return iter(self.classes)

    @property
    def opened(self) -> Reaching:
        """The answer reduced to what gets in, or may get in."""
        kept = tuple(one for one in self.classes if one.verdict in ("ACCEPT", "DEPENDS"))
        return replace(self, classes=kept, only_open=True)

    @property
    def senders(self) -> list[str]:
        """The endpoints that send: internet, host, then containers by name."""
        return _ordered({one.sender for one in self.classes if one.sender})

    @property
    def receivers(self) -> list[str]:
        """The endpoints that receive, in the same order."""
        return _ordered({one.receiver for one in self.classes if one.receiver})

    @cached_property
    def _by_ends(self) -> dict[tuple[str, str], list[ReachClass]]:
        found: dict[tuple[str, str], list[ReachClass]] = {}
        for one in self.classes:
            found.setdefault((one.sender, one.receiver), []).append(one)
        return found

    def between(self, sender: str, receiver: str) -> list[ReachClass]:
        """Return the classes of packets from one endpoint to another."""
        return self._by_ends.get((sender, receiver), [])

    def cell(self, sender: str, receiver: str) -> Cell:
        """Return what one endpoint can send to another."""
        here = self.between(sender, receiver)
        passes = [one for one in here if one.is_open]
        opened = _together(one for one in passes if not one.is_forwarded)
        published = _together(one for one in passes if one.is_forwarded)
        refused = _together(one for one in here if one.is_refused)
        unsure = _together(one for one in here if one.verdict == "DEPENDS")
        return Cell(opened, published, refused, unsure - opened - published)

    def part_of(self, one: ReachClass) -> AddressSet:
        """Return the destinations of a class, if packets of another class go to other addresses of the receiver."""
        own = self.addresses.get(one.receiver)
        if own is not None and own.size <= 1:
            return AddressSet(self.family)
        sent = one.destinations - self.forwarded_at(one)
        every = address_sets.union(
            self.family, (other.destinations for other in self.between(one.sender, one.receiver))
        )
        if own is not None:
            sent, every = sent & own, every & own
        return AddressSet(self.family) if every <= sent else sent

    def other_sources(self, one: ReachClass) -> AddressSet:
        """Return the addresses of the class's sender in question that are not among its sources, if it has many."""
        asked = self.source.addresses if self.source is not None and self.source.by_address else None
        if one.sender == "internet":
            every = self.addresses["internet"]
            return (every if asked is None else every & asked) - one.sources
        return AddressSet(self.family) if one.sender or asked is None else asked - one.sources

    def is_rest(self, one: ReachClass, others: Sequence[ReachClass]) -> bool:
        """Return whether a class is best described as all packets that are in no other class between two ends.

        Each packet is in one of them, so this is true of the last one, which has the most packets; unless it has few of
        the ports, or comes from few of the sources.
        """
        if len(others) < 2 or one is not others[-1] or self.only_open:
            return False
        left = self.asked - one.traffic
        return left.size < one.traffic.size and self.other_sources(one).size < one.sources.size

    def summed_up(self, classes: Sequence[ReachClass]) -> list[ReachClass]:
        """Return classes between two ends without those of which the last one, all other packets, says the same."""
        *others, last = classes
        left = [one for one in others if not one.is_treated_like(last)]
        return [*left, last] if left and self.is_rest(last, classes) else [*classes]

    def forwarded_at(self, one: ReachClass) -> AddressSet:
        """Return the addresses that packets of a class were sent to, if they are not their receiver's own."""
        own = self.addresses.get(one.receiver)
        if own is None or not one.is_forwarded:
            return AddressSet(self.family)
        return one.destinations - own

    def shortened(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """Return a batch line about the same packet with names for addresses, and without redundant fields."""
        short = {name: value for name, value in line.items() if (name, value) != ("sport", DEFAULT_SPORT)}
        if "in" in short and "src" in short:
            back = fib.lookup(self.host.namespace, self.family, parse_address(short["src"])[1])
            if back.type == "unicast" and back.device == short["in"] and not back.others:
                del short["in"]
        for name, end in (("src", "from"), ("dst", "to")):
            if name in short:
                short[end] = self._name_of(short.pop(name))
        return short

    def _name_of(self, address: str) -> str:
        """Return the endpoint that denotes an address in a question, if there is one; else the address."""
        number = parse_address(address)[1]
        if number == usual_host_address(self.host, self.family):
            return "host"
        for name, own in self.addresses.items():
            if name in self.host.containers and own.size == 1 and number in own:
                return name
        return address

    def assumed(self, classes: Iterable[ReachClass]) -> list[Text]:
        """Return what all answers about some classes assume, except assumptions about single packets."""
        classes = list(classes)
        found = [one.explanation.assumed for one in classes]
        if not found:
            return list(self.host.assumptions)
        widened = [WIDENED] if any(one.packets.layout.widened for one in classes) else []
        return [*(one for one in found[0] if all(one in others for others in found)), *widened]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data, schema `iptsim.reach/1`."""
        # only their lines show whether addresses are widened
        classes = [line for one in self.classes for line in one.as_json()]
        return {
            "schema": SCHEMA,
            "family": self.family,
            "state": self.state,
            "assumptions": list(map(str, self.assumed(self.classes[:_ASSUMING]))),
            "classes": classes,
        }


def reach(
    source: str | Path | Host,
    sender: str | None = None,
    to: str | None = None,
    *,
    proto: str | int | None = None,
    dport: str | int | None = None,
    state: str = "new",
    family: Family | None = None,
    apart: bool = False,
    verbose: bool = False,
    most_ways: int = MOST_WAYS,
) -> Reaching:
    """Return what happens to all packets between two ends.

    Args:
        source: a capture directory or archive, a dump file, or a loaded :class:`Host`.
        sender: the source: an endpoint, a network or an interface; None for any.
        to: the destination: the same, with or without a port; None for any single machine, without broadcast, multicast
            and link-local IPv6 addresses.
        proto: their protocol, by name or number; None for all.
        dport: their destination ports: 80, "http", "80,8000-8080"; None for all.
        state: the state of their connections.
        family: 4 or 6; None for that of the given addresses, else 4.
        apart: keep apart what different rules drop or reject; always done if an end is given.
        verbose: keep rules that did not match in the explanations.
        most_ways: the limit on ways that depend on something undecided.

    Raises:
        UsageError: the host has no such endpoint, network or interface.
        CaptureError, DumpSyntaxError, RulesetError, WalkLimitError: as for :func:`iptsim.explain`.
        TooManyNodesError, TooManyWaysError: the sets of packets, or the ways that they take, become too many.
    """
    host = source if isinstance(source, Host) else load_host(source)
    sender, to = (None if one is None else values.text(one) for one in (sender, to))
    if family not in (None, 4, 6):
        raise UsageError(
            message("{value} is not an address family; give 4 or 6", value=values.quoted(family))
        )
    family = family or family_of(sender, to)
    first = read_source(host, family, sender) if sender is not None else None
    target = read_target(host, family, to) if to is not None else None
    state = read_state(state)
    apart = apart or first is not None or target is not None
    space = Space(family)
    asked = _asked(space, proto, dport, target)
    targets = _places(host, family, target)
    follow = partial(
        fates,
        host,
        family,
        space=space,
        senders=_senders(host, family, first),
        targets=targets,
        state=state,
        apart=apart,
        verbose=verbose,
        most_ways=most_ways,
    )
    among = _followed(host, space, asked, first, None if target is None or target.end.names else targets)
    try:
        try:
            found = follow(among=among)
        except OutsideError:
            found = follow()
    except TooManyNodesError as error:
        if first is not None and target is not None:
            raise
        raise TooManyNodesError(
            message(
                "{error}, or ask about one source and one destination (--from, --to)", error=text_of(error)
            )
        ) from None
    end = target.end if target is not None else None
    return made(host, space, found, first, end, state, asked, apart=apart)


def _senders(host: Host, family: Family, source: End | None) -> list[str]:
    """Return the senders in question: all endpoints, or those that belong to one end."""
    if source is None:
        return [*_FIRST, *running(host, family)]
    return [source.interface] if source.interface else [*source.names, *source.addresses.prefixes()]


def _places(host: Host, family: Family, target: Target | None) -> list[str]:
    """Return where packets may be sent: to any single machine, or to the addresses of one that has no name here.

    Broadcast and multicast addresses are no machine's, and each machine has loopback addresses of its own. Those of
    fe80::/10 name a machine only together with a link.
    """
    if target is not None and not target.end.names and not target.end.interface:
        return list(target.end.addresses.prefixes())
    every = unicast_addresses(host, AddressSet.every(family))
    every = every - LINK_LOCAL[6] if family == 6 else every
    if target is not None and target.end.by_address:
        every |= target.end.addresses
    return list(every.prefixes())


def _asked(
    space: Space, proto: str | int | None, dport: str | int | None, target: Target | None
) -> PacketSet:
    """Return the packets of the protocol and the ports in question."""
    asked = space.everything
    if target is not None and target.proto is not None:
        proto = target.proto
    if proto is not None:
        number = read_protocol(str(proto), space.family)
        asked &= space.where("proto", ((number, number),))
    if target is not None and target.port is not None:
        dport = target.port
    if proto is not None and dport is not None and number not in PORT_PROTOCOLS:
        raise no_ports(number)
    if dport is not None:
        ports = ((number, number) for number in PORT_PROTOCOLS)
        asked &= space.where("dport", read_ports(str(dport))) & space.where("proto", tuple(sorted(ports)))
    return asked


def _followed(
    host: Host, space: Space, asked: PacketSet, source: End | None, targets: Sequence[str] | None
) -> Among | None:
    """Return the packets in question, in all forms that rules may see; None to follow all packets.

    Args:
        host: the host.
        space: of the sets.
        asked: the packets of the protocol and the ports in question.
        source: the source; None for any.
        targets: the addresses to which they are sent; None for any.
    """
    sends = source is not None and not source.names and not source.interface
    if host.containers or not (sends or targets):
        return None
    if targets is not None:
        asked &= union([space.nothing, *(addressed(space, host, one, "dst") for one in targets)])
    if source is not None and sends:
        asked &= space.where("src", source.addresses.spans)
    land = Landscape(host, space)
    programs = land.namespaces.hooks_of(host.namespace).programs(space.family)
    return forms([Nat(land, program) for program in programs], asked, space.everything)


def made(
    host: Host,
    space: Space,
    found: Iterable[Fate],
    source: End | None,
    target: End | None,
    state: str,
    asked: PacketSet,
    *,
    apart: bool,
) -> Reaching:
    """Return the answer from the fates of packets.

    Args:
        host: the host.
        space: the space of the fates' sets.
        found: the fates of all packets.
        source / target: the ends; None for any.
        state: the state of the connections.
        asked: the packets in question.
        apart: whether what different rules drop or reject is kept apart.
    """
    names = Names(host, space.family)
    kept = (selected(space, fate, source, target, asked) for fate in found)
    here = [
        (part.sender or "", receiver, part)
        for fate in kept
        if fate is not None
        for receiver, part in names.receivers(space, fate)
    ]
    usual = usual_host_address(host, space.family)
    preferred = space.where("dst", ((usual, usual),)) if usual is not None else space.nothing
    classes = list(merged(here, preferred, apart=apart))
    every = Traffic({})
    for traffic in {id(one.traffic): one.traffic for one in classes}.values():
        every |= traffic
    classes.sort(key=_order)

    return Reaching(host, space.family, source, target, state, every, names.owned, tuple(classes))


def _order(one: ReachClass) -> tuple[Any, ...]:
    """Return the place of a class: by sender and receiver, then those of few packets first."""
    ends = _rank(one.sender), _rank(one.receiver)
    # a container sends from the address that its kernel picks
    sources = one.sources.spans if one.sender in ("", "internet") else ()
    return *ends, one.extent, one.traffic.items, sources, one.verdict


def _rank(name: str) -> tuple[int, str]:
    return _FIRST.get(name, 2 if name else 3), name


def _ordered(names: Iterable[str]) -> list[str]:
    return sorted(names, key=_rank)


def _together(classes: Iterable[ReachClass]) -> Traffic:
    found = Traffic({})
    for traffic in {id(one.usual): one.usual for one in classes}.values():
        found = found | traffic if found else traffic
    return found
