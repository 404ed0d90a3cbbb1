"""What happens to all packets on a host at once: sets of packets that have the same fate.

The public function is :func:`fates`, also available as `iptsim.fates`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from operator import and_
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from iptsim.asking import ask
from iptsim.dump.ruleset import Rule
from iptsim.errors import UsageError
from iptsim.explanation import Explanation
from iptsim.explanation.reason import Reason
from iptsim.extensions.constraints import Ranges
from iptsim.extensions.parameters import parse_protocol
from iptsim.host.address_regions import public_addresses
from iptsim.host.model import Host
from iptsim.host.namespace import BITS
from iptsim.languages import Text, message
from iptsim.netfilter.trace import FinalVerdict
from iptsim.netfilter.walk import Simulator
from iptsim.packet import ICMP, ICMPV6, PORT_PROTOCOLS, Family, address_text
from iptsim.question.endpoints import Address, Prefix, parse_endpoint
from iptsim.question.model import Question
from iptsim.question.places import InContainer, place_of
from iptsim.sets.class_walk import Part
from iptsim.sets.landscape import Landscape
from iptsim.sets.packets import PacketSet, union
from iptsim.sets.senders import Class, Classes, Sender, senders_of
from iptsim.sets.space import Space
from iptsim.shown import made
from iptsim.sources import load_host

if TYPE_CHECKING:
    import pandas

Certain = Literal["must", "may"]
STATES = ("new", "established", "related", "invalid", "untracked")


@dataclass(frozen=True, eq=False)
class Fate:
    """Packets with the same fate.

    Attributes:
        packets: which, as they set out; for a container's, as they leave it.
        sender: "internet", "host", a container; None for other networks behind an interface.
        iif: the interface that they arrive by; "" where the host or a container sends them.
        verdict: ACCEPT, DROP, REJECT; DEPENDS where something undecided makes a difference.
        certain: "may" where what is undecided could change the fate of some of the packets, else "must".
        hinges: what is undecided.
        delivered: where the request arrives: the kind ("container", "host", "outside") and the name; None where it
            does not arrive, or at one of several places.
        oif: the interface by which they leave the host; None where they do not.
        parts: the packets that nat changes, by what it makes of them, as fields and texts: {"dst": "172.17.0.2"}.
        reply: the verdict on the reply; None where there is none.
        listening: whether a program listens where they arrive; None where the capture does not tell.
        witness: one of them, as a batch line.
    """

    packets: PacketSet
    sender: str | None
    iif: str
    verdict: FinalVerdict
    certain: Certain
    hinges: tuple[Text, ...]
    delivered: tuple[str, str] | None
    oif: str | None
    parts: tuple[tuple[PacketSet, Mapping[str, str]], ...]
    reply: FinalVerdict | None
    listening: bool | None
    witness: dict[str, Any]
    _fates: Fates = field(repr=False)
    _sender: Sender = field(repr=False)

    @property
    def translated(self) -> tuple[Mapping[str, str], ...]:
        """What nat makes of them, each once: {"dst": "172.17.0.2", "dport": "80"}."""
        return tuple(made for _, made in self.parts)

    @cached_property
    def explanation(self) -> Explanation:
        """The answer of the packet walker to the witness."""
        return ask(self._fates.simulator, Question(**self.witness))

    @property
    def confirmed(self) -> bool:
        """Whether the packet walker comes to the same verdict for the witness.

        It may know more than a set can say, such as who has connected lately: a fate that depends errs on the side
        of what is not known.
        """
        return self.verdict in (self.explanation.verdict, "DEPENDS")

    @property
    def reason(self) -> Reason:
        """Why, in words: for the witness."""
        return self.explanation.reason

    @property
    def code(self) -> str:
        """The code of the reason."""
        return str(self.reason.code)

    @property
    def decides(self) -> Rule | tuple[str, str] | None:
        """The rule that decides, or table and chain of the policy; None where no rule or policy does."""
        step = self.reason.step
        if step is None or step.table is None or step.chain is None:
            return None
        return step.rule if step.rule is not None else (step.table, step.chain)

    @property
    def passes_through(self) -> bool:
        """Whether the packets leave the host again for the outside."""
        return self.delivered is not None and self.delivered[0] == "outside"

    def within(self, packets: PacketSet) -> Fate | None:
        """Return the fate of those of the packets that are in another set, with a witness of its own."""
        inside = self.packets & packets
        if not inside:
            return None
        return replace(
            self,
            packets=inside,
            parts=tuple((part, made) for own, made in self.parts if (part := own & inside)),
            witness=self._fates.classes.one(self._sender, inside.function)[0],
        )

    def by_translation(self) -> list[tuple[PacketSet, Mapping[str, str]]]:
        """Return the packets by what nat makes of them; those that it does not change come last, without fields."""
        rest = self.packets - union([self._fates.space.nothing, *(part for part, _ in self.parts)])
        return [*self.parts, (rest, {})] if rest else [*self.parts]


class Fates(Sequence[Fate]):
    """The fates of all packets in question; each packet has one of them.

    Attributes:
        host: the host.
        family: 4 or 6.
        space: of the sets.
        asked: the packets, by where they set out.
        state: their state in conntrack.
    """

    def __init__(
        self, land: Landscape, asked: Sequence[tuple[Sender, PacketSet]], *, state: str = "new"
    ) -> None:
        self.host, self.family, self.space = land.host, land.family, land.space
        self.asked, self.state = tuple(asked), state
        self.land, self.classes = land, Classes(land, state=state)
        self.simulator = Simulator(land.host)
        #: by sender: the ways that its packets go, with what is undecided
        self.ways: dict[tuple[str | None, str], list[Class]] = {}
        found: list[Fate] = []
        for sender, packets in asked:
            classes = list(self.classes.of(sender, packets.function))
            self.ways.setdefault((sender.name, sender.interface), []).extend(classes)
            found += self._of(sender, classes)
        self._all = tuple(found)

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, place: Any) -> Any:
        return self._all[place]

    def __repr__(self) -> str:
        return f"<Fates of {len(self)} sets of packets on {self.host!r}>"

    # -- some of them ---------------------------------------------------------------------------------

    def frame(self) -> pandas.DataFrame:
        """Return a table with a row for each line that describes the packets of a fate.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        frame: pandas.DataFrame = made("frame", self)
        return frame

    def open(self) -> list[Fate]:
        """Return what gets in from the internet: to the host, or to what is behind it."""
        return [
            fate
            for fate in self._all
            if fate.sender == "internet" and fate.verdict in ("ACCEPT", "DEPENDS") and not fate.passes_through
        ]

    def between(self, sender: str, receiver: str) -> list[Fate]:
        """Return the fates of the packets of a sender to a receiver's addresses, and of those that it gets by nat.

        Args:
            sender: "internet", "host", or a container.
            receiver: the same, or a network such as "10.0.0.0/8".
        """
        to = self.addressed(receiver)
        found = []
        for fate in self._all:
            if fate.sender != sender:
                continue
            if fate.delivered is not None and fate.delivered[1] == receiver:
                found.append(fate)
            elif (part := fate.within(to)) is not None:
                found.append(part)
        return found

    def matrix(self) -> dict[tuple[str, str], list[Fate]]:
        """Return for each sender and each receiver what happens between them, as :meth:`between`.

        Both are "internet", "host" and the containers.
        """
        names = list(dict.fromkeys(sender.name for sender, _ in self.asked if sender.name is not None))
        return {(one, other): self.between(one, other) for one in names for other in names}

    def addressed(self, receiver: str) -> PacketSet:
        """Return the packets to a receiver's addresses."""
        return addressed(self.space, self.host, receiver, "dst")

    def of(self, packet: Mapping[str, Any]) -> Fate | None:
        """Return the fate of a packet, given by its fields; None if it is not in question."""
        return next((fate for fate in self._all if packet in fate.packets), None)

    # -- from classes to fates ----------------------------------------------------------------------------

    def _of(self, sender: Sender, classes: list[Class]) -> Iterator[Fate]:
        groups: dict[Any, list[tuple[Class, PacketSet]]] = {}
        open_: list[tuple[Class, PacketSet]] = []
        for one in classes:
            packets = PacketSet(self.space.layout, one.packets)
            if packets.may == packets:
                groups.setdefault(_kind(one), []).append((one, packets))
            else:
                open_.append((one, packets.may))
        by_verdict: dict[FinalVerdict, PacketSet] = {}
        for one, packets in open_:
            verdict = one.trace.verdict
            by_verdict[verdict] = by_verdict.get(verdict, self.space.nothing) | packets
        left = union([self.space.nothing, *by_verdict.values()])
        for verdict, packets in by_verdict.items():
            others = union(
                [self.space.nothing, *(one for name, one in by_verdict.items() if name != verdict)]
            )
            sure = (packets - others) & left
            for one, own in open_:
                inside = own & sure
                if one.trace.verdict == verdict and inside:
                    groups.setdefault(_kind(one), []).append((one, inside))
                    sure -= inside
            left -= packets - others
        for group in groups.values():
            yield self._fate(sender, group, group[0][0].trace.verdict)
        depending: dict[Any, list[tuple[Class, PacketSet]]] = {}
        while left:
            point = self.space.point(_header(left.one(), self.space))
            here = [(one, own) for one, own in open_ if own & point]
            inside = reduce(and_, (own for _, own in here), left)
            inside -= union([self.space.nothing, *(own for one, own in open_ if not own & point)])
            left -= inside
            alike = frozenset(
                (_kind(one), PacketSet(self.space.layout, one.packets).hinges) for one, _ in here
            )
            depending.setdefault(alike, []).extend((one, inside) for one, _ in here)
        for group in depending.values():
            yield self._fate(sender, group, "DEPENDS")

    def _fate(self, sender: Sender, group: list[tuple[Class, PacketSet]], verdict: FinalVerdict) -> Fate:
        packets = union([own for _, own in group])
        traces = [one.trace for one, _ in group]
        arrivals = {one.arrival for one, _ in group}
        arrival = arrivals.pop() if len(arrivals) == 1 else None
        replies = {trace.legs[1].verdict if len(trace.legs) > 1 else None for trace in traces}
        hinges: dict[str, Text] = {}
        for one, _ in group if verdict == "DEPENDS" else ():
            for hinge in PacketSet(self.space.layout, one.packets).hinges:
                hinges.setdefault(str(hinge), hinge)
        return Fate(
            packets,
            sender.name,
            sender.interface,
            verdict,
            "may" if verdict == "DEPENDS" else "must",
            tuple(hinges.values()),
            arrival[:2] if arrival is not None else None,
            arrival[2] if arrival is not None and arrival[0] != "host" else None,
            tuple(self._translated(group)),
            replies.pop() if len(replies) == 1 else None,
            traces[0].listening,
            self.classes.one(sender, packets.function)[0],
            self,
            sender,
        )

    def _translated(self, group: list[tuple[Class, PacketSet]]) -> list[tuple[PacketSet, dict[str, str]]]:
        """Return the packets that nat changes, by what it makes of them."""
        found: dict[tuple[tuple[str, str], ...], PacketSet] = {}
        for one, own in group:
            for part in one.parts:
                packets = own & PacketSet(self.space.layout, part.packets).may
                if (made := self.made(part)) and packets:
                    found[made] = found.get(made, self.space.nothing) | packets
        return [(packets, dict(made)) for made, packets in found.items()]

    def made(self, part: Part) -> tuple[tuple[str, str], ...]:
        """Return what nat makes of some packets: fields and texts, `*` for one that is not the same for all."""
        found = []
        for key in ("src", "sport", "dst", "dport"):
            if key in part.header:
                number = self.land.bits.number(part.header[key])
                is_address = key in ("src", "dst")
                text = address_text(self.family, number) if is_address and number is not None else str(number)
                found.append((key, "*" if number is None else text))
        return tuple(found)


def _kind(one: Class) -> tuple[Any, ...]:
    """Return what classes have in common to be one fate."""
    trace = one.trace
    last = trace.deciding_leg.all_steps[-1:] if trace.verdict != "ACCEPT" else []
    end = [(step.hook, step.table, step.code) for step in last]
    fields = frozenset(
        key for part in one.parts for key in part.header if key in ("src", "dst", "sport", "dport")
    )
    verdicts = tuple(leg.verdict for leg in trace.legs)
    return trace.verdict, verdicts, one.arrival, tuple(end), fields, trace.listening


def _header(values: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Return the fields of the header among some values."""
    return {key: values[key] for key in ("src", "dst", "proto", "sport", "dport", "tcp_flags", "icmp_type")}


# -- asking ----------------------------------------------------------------------------------------------


def fates(
    host: Host | str | Path,
    family: Family = 4,
    *,
    space: Space | None = None,
    senders: Iterable[str] | None = None,
    targets: Iterable[str] | None = None,
    proto: str | int | None = None,
    dport: int | Ranges | None = None,
    state: str = "new",
    apart: bool = False,
) -> Fates:
    """Return the fates of all packets on a host.

    Args:
        host: the host; or a capture, a dump or another source that :func:`iptsim.load_host` reads.
        family: 4 or 6.
        space: the space of the sets, to compare them with those of another host; by default a new one.
        senders: "internet", "host", names of containers, interfaces (the networks behind them), or networks such as
            "10.0.0.0/8", whose packets arrive by the interface of the route to them; None for all.
        targets: destinations: the same, without interfaces; None for all.
        proto: a protocol's name or number; None for all.
        dport: a destination port, or ranges of them.
        state: "new", "established", "related", "invalid" or "untracked". New packets are those that may open a
            connection: of TCP those with SYN alone, of ICMP requests.
        apart: keep apart what different rules drop or reject.

    Raises:
        UsageError: there is no such endpoint, protocol or state.
        TooManyNodesError: the rules need larger sets than the space allows.
    """
    if state not in STATES:
        raise UsageError(
            message(
                "unknown state {state}; choose from: {choices}", state=repr(state), choices=", ".join(STATES)
            )
        )
    host = host if isinstance(host, Host) else load_host(host)
    space = space or Space(family)
    land = Landscape(host, space, apart=apart)
    asked = Classes(land, state=state).packets()
    if proto is not None:
        number = parse_protocol(str(proto))
        if family == 6 and number == ICMP:
            number = ICMPV6
        asked &= space.where("proto", ((number, number),))
    if dport is not None:
        ports = ((dport, dport),) if isinstance(dport, int) else tuple(dport)
        ported = space.where("proto", tuple((one, one) for one in sorted(PORT_PROTOCOLS)))
        asked &= ported & space.where("dport", ports)
    if targets is not None:
        asked &= union([space.nothing, *(addressed(space, host, one, "dst") for one in targets)])
    everyone = list(senders_of(land))
    if senders is None:
        return Fates(land, [(one, asked) for one in everyone], state=state)
    chosen: list[tuple[Sender, PacketSet]] = []
    for name in senders:
        known = [one for one in everyone if name in (one.name, one.name or one.interface)]
        if known:
            chosen += [(one, asked) for one in known]
            continue
        packets = asked & addressed(space, host, name, "src")
        chosen += [(one, packets) for one in everyone if one.name != "host"]
    return Fates(land, chosen, state=state)


def addressed(space: Space, host: Host, endpoint: str, field: str) -> PacketSet:
    """Return the packets with an address of an endpoint.

    Args:
        space: of the set.
        host: that knows the endpoint.
        endpoint: "internet", "host", a container, a network or an address.
        field: "src" or "dst".

    Raises:
        UsageError: the host does not know it.
    """
    family = space.family
    if endpoint == "internet":
        return space.where(field, public_addresses(host, family).spans)
    parsed = parse_endpoint(endpoint)
    if isinstance(parsed, Prefix | Address):
        length = parsed.length if isinstance(parsed, Prefix) else BITS[parsed.family]
        if parsed.family != family:
            return space.nothing
        first = parsed.value
        return space.where(field, ((first, first + (1 << BITS[family] - length) - 1),))
    place = place_of(host, parsed)
    if isinstance(place, InContainer):
        own = {one.address(family) for one in place.container.endpoints.values()} | {place.address(family)}
    else:
        own = {one.address for _, one in host.namespace.addresses(family)}
    return space.where(field, tuple(sorted((one, one) for one in own if one is not None)))
