"""Classes of packets with the same fate between the same ends: what `iptsim reach` shows."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter
from typing import Any

from iptsim import address_sets
from iptsim.address_sets import AddressSet
from iptsim.addresses import Family, parse_address
from iptsim.dump.rule import Rule
from iptsim.errors import printable
from iptsim.explanation import Explanation
from iptsim.explanation.places import decision_of
from iptsim.extensions.constraints import Ranges
from iptsim.host.address_regions import public_addresses
from iptsim.host.model import Host
from iptsim.languages import Text
from iptsim.question.header import DEFAULT_SPORT
from iptsim.reaching.ends import End, container_addresses, own_addresses
from iptsim.reaching.traffic import Traffic
from iptsim.sets.fates import Fate
from iptsim.sets.lines import PacketLine, addresses_of, packet_lines, widened
from iptsim.sets.numbering import Words
from iptsim.sets.packets import FieldValues, PacketSet, union
from iptsim.sets.space import Space


@dataclass(frozen=True, repr=False)
class ReachClass:
    """Packets from one sender to one receiver that are treated alike.

    Attributes:
        sender / receiver: "internet", "host", a container; "" for other machines. The receiver is where the packets
            arrive, or else where they were sent.
        packets: the packets, as they arrive at the host.
        traffic: their protocols and destination ports.
        usual: the packets among them from a usual source port of clients.
    """

    sender: str
    receiver: str
    packets: PacketSet
    traffic: Traffic
    usual: Traffic
    _fates: tuple[Fate, ...]
    _preferred: PacketSet

    def __repr__(self) -> str:
        ends = self.sender or "*", self.receiver or "*"
        return printable(f"<ReachClass {' → '.join(ends)}: {self.verdict}>")

    @cached_property
    def fate(self) -> Fate:
        """What happens to the packets; the reason in it is for one of them."""
        sample = self.packets & self._preferred or self.packets
        first = next(one for one in self._fates if one.packets & sample)
        found = first.within(sample)
        assert found is not None
        return found

    @property
    def kind(self) -> Hashable:
        """A key that is equal for classes whose packets take the same path, to or from another container of a group.

        If Docker's settings of the containers are alike, their explanations differ only in names and addresses.
        """
        walks = [fate.walks for fate in self._fates]
        if not all(walks):
            return id(self)
        groups = self._fates[0].groups
        return (
            groups.get(self.sender, self.sender),
            groups.get(self.receiver, self.receiver),
            frozenset.union(*walks),
            self.verdict,
            self.is_refused,
            self.is_forwarded,
            self.sources if self.sender in ("", "internet") else None,
            self.traffic.items,
        )

    @property
    def verdict(self) -> str:
        """ACCEPT, DROP, REJECT or DEPENDS."""
        return self._fates[0].verdict

    @property
    def is_refused(self) -> bool:
        """Whether no rule blocks them, but no program listens."""
        return self.verdict == "ACCEPT" and self.listens is False

    @property
    def is_open(self) -> bool:
        """Whether no rule blocks them, and a program listens or may listen."""
        return self.verdict == "ACCEPT" and not self.is_refused

    @property
    def listens(self) -> bool | None:
        """Whether a program listens where they arrive; None if the source does not show it."""
        return self._fates[0].listening

    @property
    def is_forwarded(self) -> bool:
        """Whether the host forwards them to another address than the one that they were sent to."""
        return self._fates[0].is_forwarded

    @property
    def is_of_several_ports(self) -> bool:
        """Whether they are forwarded for several published ports or services, of which the reason names only one."""
        if not self.is_forwarded:
            return False
        spans = [one for _, own in self.traffic.items for one in own]
        is_one = self.traffic.size == self.destinations.size == 1
        return len(spans) > 1 or (not is_one and self.fate.has_several_targets)

    @property
    def explanation(self) -> Explanation:
        """The answer of the packet walk for :attr:`witness`."""
        return self.fate.explanation

    @property
    def witness(self) -> dict[str, Any]:
        """One packet of the class, as a batch line."""
        return self.fate.witness

    @property
    def decides(self) -> Text:
        """The rule or policy that decides: "filter FORWARD rule 4"; "" if the kernel itself does."""
        step = self.explanation.reason.step
        return decision_of(step) if step is not None and step.table is not None else ""

    @property
    def rule(self) -> Rule | None:
        """The rule that decides, if one does."""
        step = self.explanation.reason.step
        return step.rule if step is not None else None

    @cached_property
    def sources(self) -> AddressSet:
        """The addresses that the packets come from."""
        return addresses_of(self.packets, "src")

    @cached_property
    def destinations(self) -> AddressSet:
        """The addresses that the packets are sent to, before any NAT."""
        return addresses_of(self.packets, "dst")

    @cached_property
    def extent(self) -> int:
        """How many combinations of port, source and destination its packets may have."""
        # a container sends from the address that its kernel picks, and mostly has one address
        sources = self.sources.size if self.sender in ("", "internet") else 1
        destinations = self.destinations.size if self.receiver in ("", "internet", "host") else 1
        return self.traffic.size * sources * destinations

    def is_treated_like(self, other: ReachClass) -> bool:
        """Return whether its packets differ from those of another class only in their sources."""
        return self._fates is other._fates

    def within(self, proto: int, ports: Ranges) -> ReachClass:
        """Return the packets of a protocol to these destination ports; without ports, all of the protocol."""
        part = self.packets.where("proto", ((proto, proto),))
        return self.narrowed(part.where("dport", ports) if ports else part)

    def narrowed(self, packets: PacketSet) -> ReachClass:
        """Return the class reduced to these packets."""
        traffic, usual = _traffics(packets)
        return replace(self, packets=packets, traffic=traffic, usual=usual)

    def joined(self, others: Sequence[ReachClass]) -> ReachClass:
        """Return the union of this class and others with the same fate."""
        fates = [fate for one in (self, *others) for fate in one._fates]
        return replace(self, _fates=tuple(fates)).narrowed(union([one.packets for one in (self, *others)]))

    def lines(self) -> list[PacketLine]:
        """Return the packets as lines of values, as few as can be found."""
        return packet_lines(self.packets, self.packets.layout.family)

    def as_json(self) -> Iterator[dict[str, Any]]:
        """Yield it as plain data, one object per line; see `iptsim.reach/1`."""
        reason = self.fate.reason.as_json()
        for line in self.lines():
            values = line.as_json()
            yield {
                "sender": self.sender or None,
                "receiver": self.receiver or None,
                "from": values.get("from", []),
                "in": [self.fate.iif] if self.fate.iif else [],
                "to": values.get("to", []),
                "out": [self.fate.oif] if self.fate.oif else [],
                "proto": values.get("proto", []),
                "sports": values.get("sports", []),
                "dports": values.get("dports", []),
                "state": values.get("state", []),
                "verdict": self.verdict,
                "listening": self.fate.listening,
                "certain": self.fate.certain,
                "hinges": list(map(str, self.fate.hinges)),
                "decides": reason["rule"],
                "reason": reason,
                "translated": [dict(one) for one in self.fate.translated],
                "witness": self.witness,
            }


class Names:
    """Finds the endpoints that have addresses.

    Attributes:
        owned: the addresses of each endpoint.
    """

    def __init__(self, host: Host, family: Family) -> None:
        named = (one.name for one in host.containers.values() if not one.shares_namespace)
        self.owned = {name: container_addresses(host, family, name) for name in named}
        self.owned |= {"host": own_addresses(host, family), "internet": public_addresses(host, family)}
        self._every = address_sets.union(family, self.owned.values())
        #: the ranges of all endpoints in order; of two with an address, the first one counts
        self._ranges: list[tuple[int, int, str]] = []
        taken = AddressSet(family)
        for name, own in self.owned.items():
            self._ranges += ((low, high, name) for low, high in (own - taken).spans)
            taken |= own
        self._ranges.sort()

    def receivers(self, space: Space, fate: Fate) -> Iterator[tuple[str, Fate]]:
        """Yield where packets arrive, or else where they were sent, each with its part; "" for other machines."""
        for kind, name in fate.reaches:
            if kind != "outside":
                yield name if kind == "container" else "host", fate
        if fate.reaches and not any(kind == "outside" for kind, _ in fate.reaches):
            return
        sent = addresses_of(fate.packets, "dst")
        for name, here in self._named(sent):
            # where addresses are widened, the fate may have no packets to these
            if (part := _sent_within(space, fate, here)) is not None:
                yield name, part
        left = sent - self._every
        if left and (part := _sent_within(space, fate, left)) is not None:
            yield "", part

    def _named(self, addresses: AddressSet) -> Iterator[tuple[str, AddressSet]]:
        """Yield the endpoints of some addresses, each with those that it has."""
        found: dict[str, list[tuple[int, int]]] = {}
        for low, high in addresses.spans:
            at = bisect_left(self._ranges, low, key=itemgetter(1))
            end = bisect_right(self._ranges, high, lo=at, key=itemgetter(0))
            for first, last, name in self._ranges[at:end]:
                found.setdefault(name, []).append((max(low, first), min(high, last)))
        for name, spans in found.items():
            yield name, AddressSet(addresses.family, tuple(spans))


def selected(
    space: Space, fate: Fate, source: End | None, target: End | None, asked: PacketSet
) -> Fate | None:
    """Return the part of a fate that lies between two ends and among the packets in question; None if it is empty."""
    found = fate if fate.packets <= asked else fate.within(asked)
    if source is not None and source.interface:
        found = found if fate.iif == source.interface else None
    elif source is not None and found is not None and fate.sender not in source.names:
        found = _within(space, found, "src", source.addresses) if fate.sender in (None, "internet") else None
    if target is not None and found is not None:
        arrives = any(name in target.names for _, name in fate.reaches)
        if target.interface:
            return found if fate.oif == target.interface else None
        if target.by_address or (fate.passes_through and fate.is_forwarded):
            found = _sent_to(space, found, target, arrives=arrives)
        elif not arrives:
            found = _within(space, found, "dst", target.addresses)
    return found


def _sent_to(space: Space, fate: Fate, target: End, *, arrives: bool) -> Fate | None:
    """Return the part of a fate that is sent to addresses, or forwarded to one of them."""
    packets = fate.packets & space.where("dst", target.addresses.spans)
    for part, made in (*fate.parts, *fate.passed_on):
        new = made.get("dst", "")
        if (new == "*" and arrives) or (new not in ("", "*") and parse_address(new)[1] in target.addresses):
            packets |= part
    return fate.within(packets)


def _sent_within(space: Space, fate: Fate, addresses: AddressSet) -> Fate | None:
    """Return the part of a fate that is sent to addresses."""
    return fate.within(space.where("dst", addresses.spans))


def _within(space: Space, fate: Fate, key: str, addresses: AddressSet) -> Fate | None:
    if addresses_of(fate.packets, key) <= addresses:
        return fate
    return fate.within(fate.packets & space.where(key, addresses.spans))


def merged(
    fates: Iterable[tuple[str, str, Fate]], preferred: PacketSet, *, apart: bool
) -> Iterator[ReachClass]:
    """Yield the classes of packets that are treated alike.

    Args:
        fates: the fates, with sender and receiver.
        preferred: packets that make better examples than others.
        apart: keep apart what is blocked for different reasons, and what docker-proxy answers.
    """
    known: dict[PacketSet, tuple[Traffic, Traffic]] = {}
    groups: dict[Any, list[tuple[str, str, Fate]]] = {}
    for sender, receiver, fate in fates:
        groups.setdefault((sender, receiver, *_treatment(fate, apart)), []).append((sender, receiver, fate))
    for group in groups.values():
        sender, receiver, fate = group[0]
        own = tuple(one for _, _, one in group)
        packets = union([one.packets for one in own])
        parts = _by_source(packets) if fate.sender in (None, "internet") else [packets]
        for part in parts:
            narrow = part.only("proto", "dport", "sport")
            if narrow not in known:
                known[narrow] = _traffics(narrow)
            yield ReachClass(sender, receiver, part, *known[narrow], own, preferred)


def _traffics(packets: PacketSet) -> tuple[Traffic, Traffic]:
    """Return the traffic of a class's packets, and that of those from a port that a client usually gets."""
    return Traffic.of(packets), Traffic.of(packets.at("sport", DEFAULT_SPORT))


def _by_source(packets: PacketSet) -> list[PacketSet]:
    """Return a set divided by protocol and port, so that the packets of each part come from the same addresses."""
    space_of: dict[Any, list[PacketSet]] = {}
    for line in widened(packets, lambda packets: packets.lines("proto", "dport", "src")):
        part = _limited(_limited(packets, "proto", line), "dport", line)
        space_of.setdefault(line.get("src"), []).append(part)
    if len(space_of) == 1:
        return [packets]
    return [
        _limited(union(parts), "src", {} if source is None else {"src": source})
        for source, parts in space_of.items()
    ]


def _limited(packets: PacketSet, key: str, line: Mapping[str, FieldValues]) -> PacketSet:
    """Return the packets with a line's value of a field, if it has one."""
    if key not in line:
        return packets
    allowed = line[key]
    assert not isinstance(allowed, Words)
    return packets.where(key, allowed)


def _treatment(fate: Fate, apart: bool) -> tuple[Any, ...]:
    return (
        fate.verdict,
        tuple(map(str, fate.hinges)),
        fate.blocked_at if apart else (),
        fate.iif,
        fate.oif,
        fate.reaches if not fate.passes_through else None,
        fate.is_forwarded,
        fate.listening,
    )
