"""What happens to all packets on a host at once: sets of packets that have the same fate.

The public function is :func:`fates`, also available as `iptsim.fates`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from iptsim.addresses import Family
from iptsim.asking import ask
from iptsim.dump.rule import Rule
from iptsim.errors import UsageError
from iptsim.explanation import Explanation
from iptsim.explanation.reason import Reason
from iptsim.extensions.constraints import Ranges
from iptsim.extensions.parameters import parse_protocol
from iptsim.host.model import Host
from iptsim.languages import Text, message
from iptsim.netfilter.trace import FinalVerdict, Trace
from iptsim.netfilter.walk import simulator_of
from iptsim.protocols import ICMP, ICMPV6, PORT_PROTOCOLS
from iptsim.question.model import STATES, Question
from iptsim.sets.addressed import addressed
from iptsim.sets.arrivals import Arrivals
from iptsim.sets.landscape import Landscape
from iptsim.sets.limits import MOST_WAYS
from iptsim.sets.memberships import crossed
from iptsim.sets.packets import PacketSet, TooManyNodesError, union
from iptsim.sets.senders import Class, Classes, Sender, no_machines_behind, senders_of
from iptsim.sets.space import Space
from iptsim.sets.summaries import Among
from iptsim.shown import made
from iptsim.sources import load_host

if TYPE_CHECKING:
    import pandas

Certain = Literal["must", "may"]
BlockedAt = tuple[str | int | None, ...]


@dataclass(frozen=True, eq=False)
class Fate:
    """Packets with the same fate.

    Attributes:
        packets: the packets as they are sent; those of a container as they leave it.
        sender: "internet", "host", a container; None for other networks behind an interface.
        iif: the interface on which they arrive; "" if the host or a container sends them.
        verdict: ACCEPT, DROP, REJECT; DEPENDS if something undecided makes a difference.
        certain: "may" if something undecided could change the fate of some of the packets, else "must".
        hinges: what is undecided.
        delivered: where the request arrives: the kind ("container", "host", "outside") and the name; None if it does
            not arrive, or arrives at one of several places.
        reaches: the places where it may finally arrive: behind docker-proxy, the container.
        oif: the interface by which they leave the host; None if they do not.
        reply: the verdict on the reply; None without a reply.
        listening: whether a program listens where they arrive; None if the capture does not show it.
        blocked_at: where they are blocked: hook, table, chain, the rule's position if rules are kept apart, and the
            code of a decision of the kernel itself; empty if they are not blocked.
    """

    packets: PacketSet
    sender: str | None
    iif: str
    verdict: FinalVerdict
    certain: Certain
    hinges: tuple[Text, ...]
    delivered: tuple[str, str] | None
    reaches: tuple[tuple[str, str], ...]
    oif: str | None
    reply: FinalVerdict | None
    listening: bool | None
    blocked_at: BlockedAt
    _fates: Fates = field(repr=False)
    _sender: Sender = field(repr=False)
    #: the classes that it was made from, with those of their packets that it has, or once had
    _classes: tuple[tuple[Class, PacketSet], ...] = field(repr=False)
    _traces: tuple[Trace, ...] = field(default=(), repr=False)

    @property
    def walks(self) -> frozenset[int]:
        """Which walks found it; one walk represents several containers that differ only in their addresses.

        Empty if the path depends on something undecided, as the explanation then has all branches.
        """
        return frozenset(map(id, self._traces))

    @property
    def groups(self) -> Mapping[str, int]:
        """The groups of containers; see :attr:`Fates.groups`."""
        return self._fates.groups

    @cached_property
    def parts(self) -> tuple[tuple[PacketSet, Mapping[str, str]], ...]:
        """The packets by their translation, as fields and texts ({"dst": "172.17.0.2"}); untranslated ones come last.

        If something is undecided, a packet may be in several of them.
        """
        return self._fates.arrivals.translated(self._own)

    @cached_property
    def passed_on(self) -> tuple[tuple[PacketSet, Mapping[str, str]], ...]:
        """The packets that docker-proxy receives, by what it connects to; empty if it receives none."""
        return self._fates.arrivals.passed_on(self._own) if len(self.reaches) == 1 else ()

    @property
    def _own(self) -> Iterator[tuple[Class, PacketSet]]:
        """The classes that it was made from, with its packets."""
        for one, own in self._classes:
            yield one, own & self.packets

    @cached_property
    def translated(self) -> tuple[Mapping[str, str], ...]:
        """Their translations, each once: {"dst": "172.17.0.2", "dport": "80"}."""
        return self._fates.arrivals.names(self._own)

    @property
    def proxied(self) -> Mapping[str, str]:
        """What docker-proxy, which receives them, connects to; `*` for a port that is not the same for all."""
        made = [one for _, one in self.passed_on]
        return {} if not made else made[0] if len(made) == 1 else {**made[0], "dport": "*"}

    @cached_property
    def witness(self) -> dict[str, Any]:
        """One of the packets, as a batch line."""
        return self._fates.classes.witness(self._sender, self.packets.function)

    @cached_property
    def explanation(self) -> Explanation:
        """The explanation of the packet walk for the witness."""
        return ask(self._fates.simulator, Question(**self.witness, verbose=self._fates.verbose))

    @property
    def confirmed(self) -> bool:
        """Whether the packet walk gives the same verdict for the witness.

        The walk may know more than a set can express, such as recent connections; a fate that depends is then not
        wrong.
        """
        return self.verdict in (self.explanation.verdict, "DEPENDS")

    @property
    def reason(self) -> Reason:
        """Why the witness gets its verdict, in words."""
        return self.explanation.reason

    @property
    def code(self) -> str:
        """The code of the reason."""
        return str(self.reason.code)

    @property
    def decides(self) -> Rule | tuple[str, str] | None:
        """The rule that decides, or table and chain of the policy; None if no rule or policy does."""
        step = self.reason.step
        if step is None or step.table is None or step.chain is None:
            return None
        return step.rule if step.rule is not None else (step.table, step.chain)

    @property
    def passes_through(self) -> bool:
        """Whether the packets leave the host again for the outside."""
        return bool(self.reaches) and all(kind == "outside" for kind, _ in self.reaches)

    @cached_property
    def is_forwarded(self) -> bool:
        """Whether some of them reach another address than the one that they were sent to."""
        return self._fates.arrivals.are_forwarded(self._own, proxied=len(self.reaches) == 1)

    @cached_property
    def has_several_targets(self) -> bool:
        """Whether nat forwards some of them to one address or port, and some to another, as for several services."""
        return self._fates.arrivals.are_several(self._own)

    def within(self, packets: PacketSet) -> Fate | None:
        """Return the fate of those of the packets that are in another set."""
        inside = self.packets & packets
        if not inside:
            return None
        if inside == self.packets:
            return self
        return replace(self, packets=inside)

    def by_arrival(self) -> list[tuple[PacketSet, Mapping[str, str]]]:
        """Return the packets by their translated fields where they finally arrive, as in :attr:`parts`."""
        return list(self.passed_on or self.parts)


class Fates(Sequence[Fate]):
    """The fates of all packets in question; each packet has one of them.

    Attributes:
        host: the host.
        family: 4 or 6.
        space: of the sets.
        asked: the packets in question, by sender.
        state: their state in conntrack.
        verbose: whether explanations of witnesses keep the rules that did not match.
    """

    def __init__(
        self,
        land: Landscape,
        asked: Sequence[tuple[Sender, PacketSet]],
        *,
        state: str = "new",
        verbose: bool = False,
        most_ways: int = MOST_WAYS,
    ) -> None:
        self.host, self.family, self.space = land.host, land.family, land.space
        self.asked, self.state, self.verbose = tuple(asked), state, verbose
        self.land, self.classes = land, Classes(land, state=state, most_ways=most_ways)
        self.simulator = simulator_of(land.host)
        self.arrivals = Arrivals(land)
        #: by sender: the ways that its packets go, with what is undecided
        self.ways: dict[tuple[str | None, str], list[Class]] = {}
        self._undecided: dict[Any, tuple[Text, ...]] = {}
        try:
            found = [fate for sender, packets in asked for fate in self._from(sender, packets)]
        except (MemoryError, TooManyNodesError):
            raise land.too_many() from None
        self._all = tuple(found)

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, place: Any) -> Any:
        return self._all[place]

    def __repr__(self) -> str:
        return f"<Fates of {len(self)} sets of packets on {self.host!r}>"

    @cached_property
    def groups(self) -> dict[str, int]:
        """The group number of each container; to packets, containers of a group differ only in their addresses."""
        return {member.name: number for number, group in enumerate(self.land.groups) for member in group}

    # -- some of them ---------------------------------------------------------------------------------

    def frame(self) -> pandas.DataFrame:
        """Return a table with a row for each line that describes the packets of a fate.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        frame: pandas.DataFrame = made("frame", self)
        return frame

    def open(self) -> list[Fate]:
        """Return the fates of the packets that get in from the internet: to the host, or to what is behind it."""
        return [
            fate
            for fate in self._all
            if fate.sender == "internet" and fate.verdict in ("ACCEPT", "DEPENDS") and not fate.passes_through
        ]

    def between(self, sender: str, receiver: str) -> list[Fate]:
        """Return the fates of the packets from a sender to a receiver's addresses, or that nat forwards to it.

        Args:
            sender: "internet", "host", or a container.
            receiver: the same, or a network such as "10.0.0.0/8".
        """
        to = self.addressed(receiver)
        found = []
        for fate in self._all:
            if fate.sender != sender:
                continue
            if any(name == receiver for _, name in fate.reaches):
                found.append(fate)
            elif (part := fate.within(to)) is not None:
                found.append(part)
        return found

    def matrix(self) -> dict[tuple[str, str], list[Fate]]:
        """Return the result of :meth:`between` for each sender and each receiver.

        Both are "internet", "host" and the containers.
        """
        names = list(dict.fromkeys(sender.name for sender, _ in self.asked if sender.name is not None))
        return {(one, other): self.between(one, other) for one in names for other in names}

    def addressed(self, receiver: str) -> PacketSet:
        """Return the packets to a receiver's addresses."""
        return addressed(self.space, self.host, receiver, "dst")

    def of(self, packet: Mapping[str, Any]) -> Fate | None:
        """Return the fate of a packet, given by its fields; None if the packet is not in question."""
        return next((fate for fate in self._all if packet in fate.packets), None)

    def _from(self, sender: Sender, packets: PacketSet) -> list[Fate]:
        """Return the fates of packets that set out at one place."""
        classes = list(self.classes.of(sender, packets.function))
        self.ways.setdefault((sender.name, sender.interface), []).extend(classes)
        return list(self._of(sender, classes))

    # -- from classes to fates ----------------------------------------------------------------------------

    def _of(self, sender: Sender, classes: list[Class]) -> Iterator[Fate]:
        groups: dict[Any, list[tuple[Class, PacketSet]]] = {}
        # what is undecided takes the packets of these one way or another
        ways: dict[Any, list[tuple[Class, PacketSet]]] = {}
        for one in classes:
            packets = PacketSet(self.space.layout, one.packets)
            may = packets.may
            if may == packets:
                groups.setdefault((_kind(one), _blocked_at(one.trace)), []).append((one, packets))
            else:
                ways.setdefault((_kind(one), self._hinges(one)), []).append((one, may))
        for group in groups.values():
            traces = tuple(one.trace for one, _ in group)
            yield self._fate(sender, group, traces[0].verdict, traces)
        # whatever happens to these, their verdict is the same, but not what blocks them
        firm: dict[Any, list[tuple[Class, PacketSet]]] = {}
        for here, inside in crossed(self.space, ways):
            group = [(one, part) for key in here for one, may in ways[key] if (part := may & inside)]
            verdicts = {kind[0] for kind, _ in here}
            if len(verdicts) > 1:
                yield self._fate(sender, group, "DEPENDS")
            else:
                for one, part in group:
                    firm.setdefault((_kind(one), _blocked_at(one.trace)), []).append((one, part))
        for here, inside in crossed(self.space, firm):
            group = [(one, part) for key in here for one, own in firm[key] if (part := own & inside)]
            yield self._fate(sender, group, group[0][0].trace.verdict)

    def _hinges(self, one: Class) -> tuple[Text, ...]:
        """Return what is undecided about the packets of a class."""
        found = self._undecided.get(one.packets)
        if found is None:
            found = self._undecided[one.packets] = PacketSet(self.space.layout, one.packets).hinges
        return found

    def _fate(
        self,
        sender: Sender,
        group: list[tuple[Class, PacketSet]],
        verdict: FinalVerdict,
        certain: tuple[Trace, ...] = (),
    ) -> Fate:
        """Return the fate of a group of classes; `certain` are their traces if nothing undecided matters."""
        packets = union([own for _, own in group])
        traces = [one.trace for one, _ in group]
        arrivals = {one.arrival for one, _ in group}
        arrival = arrivals.pop() if len(arrivals) == 1 else None
        ends = {one.end for one, _ in group if one.end is not None}
        replies = {trace.legs[1].verdict if len(trace.legs) > 1 else None for trace in traces}
        listening = {trace.listening for trace in traces}
        hinges: dict[str, Text] = {}
        for one, _ in group if verdict == "DEPENDS" else ():
            for hinge in self._hinges(one):
                hinges.setdefault(str(hinge), hinge)
        return Fate(
            packets,
            sender.name,
            sender.interface,
            verdict,
            "may" if verdict == "DEPENDS" else "must",
            tuple(hinges.values()),
            arrival[:2] if arrival is not None else None,
            tuple(sorted(ends)),
            arrival[2] if arrival is not None and arrival[0] != "host" else None,
            replies.pop() if len(replies) == 1 else None,
            listening.pop() if len(listening) == 1 else None,
            _blocked_at(traces[0]) if verdict != "DEPENDS" else (),
            self,
            sender,
            tuple(group),
            certain,
        )


def _kind(one: Class) -> tuple[Any, ...]:
    """Return what classes have in common to be one fate, apart from where they are blocked."""
    trace = one.trace
    fields = frozenset(
        key for part in one.parts for key in part.header if key in ("src", "dst", "sport", "dport")
    )
    verdicts = tuple(leg.verdict for leg in trace.legs)
    return trace.verdict, verdicts, one.arrival, one.end, one.proxied, fields, trace.listening


def _blocked_at(trace: Trace) -> BlockedAt:
    """Return where a packet that is blocked ends."""
    steps = trace.deciding_leg.all_steps
    if trace.verdict == "ACCEPT" or not steps:
        return ()
    last = steps[-1]
    return last.hook, last.table, last.chain, last.rule.position if last.rule is not None else None, last.code


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
    among: Among | None = None,
    verbose: bool = False,
    most_ways: int = MOST_WAYS,
) -> Fates:
    """Return the fates of all packets on a host.

    Args:
        host: the host; or a capture, a dump or another source that :func:`iptsim.load_host` reads.
        family: 4 or 6.
        space: the space of the sets, for comparisons with those of another host; by default a new one.
        senders: "internet", "host", names of containers, interfaces (all machines behind them), or networks such as
            "10.0.0.0/8", whose packets arrive by the interface of the route to them; None for all.
        targets: destinations: the same, without interfaces; None for all.
        proto: a protocol's name or number; None for all.
        dport: a destination port, or ranges of them.
        state: "new", "established", "related", "invalid" or "untracked". New packets are those that may open a
            connection: for TCP those with only SYN set, for ICMP requests.
        apart: keep apart what different rules drop or reject.
        among: only these packets, sets of `space`; rules are evaluated for no others.
        verbose: keep rules that did not match in the explanations of witnesses.
        most_ways: the limit on ways that depend on something undecided.

    Raises:
        UsageError: there is no such endpoint, protocol or state.
        TooManyNodesError, TooManyWaysError: the rules need larger sets, or more ways, than allowed.
        OutsideError: a packet that is not in `among` comes to a rule.
    """
    if state not in STATES:
        raise UsageError(
            message(
                "unknown state {state}; choose from: {choices}", state=repr(state), choices=", ".join(STATES)
            )
        )
    host = host if isinstance(host, Host) else load_host(host)
    space = space or Space(family)
    land = Landscape(host, space, apart=apart, among=among)
    asked = Classes(land, state=state).packets()
    if among is not None:
        asked &= among.asked
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
    chosen = [(one, asked) for one in everyone] if senders is None else []
    for name in senders or ():
        known = [one for one in everyone if name in (one.name, one.interface)]
        if known:
            already = [one for one, _ in chosen]
            chosen += [(one, asked) for one in known if one not in already]
            continue
        if name in host.namespace.interfaces and host.container(name) is None:
            raise UsageError(no_machines_behind(host, name))
        packets = asked & addressed(space, host, name, "src")
        chosen += [(one, packets) for one in everyone if one.name != "host"]
    return Fates(land, chosen, state=state, verbose=verbose, most_ways=most_ways)
