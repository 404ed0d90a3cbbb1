"""Follow a question to its end: the request, its reply, docker-proxy's second connection, all the ways.

The public entrance is :func:`walk`; :class:`Simulator` keeps what is prepared between questions.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from iptsim.dump import loads
from iptsim.dump.ruleset import Ruleset
from iptsim.errors import IptsimError
from iptsim.host import fib
from iptsim.host.containers import Container, Endpoint
from iptsim.host.model import Host
from iptsim.host.namespace import Namespace, NftChain
from iptsim.languages import later, say, say_many
from iptsim.netfilter import answers, conntrack, published
from iptsim.netfilter.assumed import check_assumption
from iptsim.netfilter.chains import Budget, Fate
from iptsim.netfilter.conntrack import State
from iptsim.netfilter.journey import Journey
from iptsim.netfilter.listening import note_listener, unsaved
from iptsim.netfilter.outside import Watch, watch_of
from iptsim.netfilter.program import Program
from iptsim.netfilter.question import Question
from iptsim.netfilter.resolve import Start, resolve
from iptsim.netfilter.surroundings import World
from iptsim.netfilter.told import ESTABLISHED, quote_of, tell
from iptsim.netfilter.trace import Decision, Delivery, Leg, Step, Trace
from iptsim.netfilter.unseen import unseen_note
from iptsim.packet import (
    SYN,
    TCP,
    Connection,
    Family,
    Packet,
    address_text,
    endpoint_text,
)

#: How many ways an undecided ruleset may branch into before the answer stops counting them.
WAY_LIMIT = 256
#: How many rules that the kernel refuses an answer names.
_REFUSED_SHOWN = 5
#: Drivers whose containers reach each other and the outside without the host's rules.
BYPASSING_DRIVERS = frozenset({"macvlan", "ipvlan", "overlay"})


def walk(host: Host, question: Question) -> Trace:
    """Answer one question.

    Raises:
        UsageError: the question can't be understood.
        RulesetError: the rules loop or jump to a chain that is not there.
        WalkLimitError: the rules are built to explode.
    """
    return Simulator(host).walk(question)


class Simulator:
    """A host made ready for many questions."""

    def __init__(self, host: Host) -> None:
        self.host = host
        tracked = bool(host.conntrack)
        self._programs: dict[int, list[Program]] = {}
        self._refused: dict[int, list[str]] = {}
        #: assumption -> why it has no effect
        self._idle: dict[str, str] = {}
        for rulesets in (host.rulesets, host.extra_rulesets):
            for family, ruleset in rulesets.items():
                self._programs.setdefault(family, []).append(Program(ruleset, conntrack_on=tracked))
        self._container_programs: dict[str, dict[int, list[Program]]] = {}

    def programs_of(self, namespace: Namespace) -> dict[int, list[Program]]:
        """Return the rules of a namespace, ready to run."""
        if namespace is self.host.namespace:
            return self._programs
        found = self._container_programs.get(namespace.name)
        if found is None:
            found = {}
            families: tuple[tuple[Family, str | None], ...] = (
                (4, namespace.iptables),
                (6, namespace.ip6tables),
            )
            for family, text in families:
                if text and text.strip():
                    source = f"iptables-save of {namespace.name}"
                    found[family] = [Program(loads(text, source=source, family=family))]
            self._container_programs[namespace.name] = found
        return found

    def walk(self, question: Question) -> Trace:
        """Answer one question; see :func:`walk`."""
        start = resolve(self.host, question)
        before = resolve(self.host, question.after) if question.after is not None else None
        ways = _Ways(self, question, start, before)
        trace = ways.explore(())
        if ways.watch is not None and (note := ways.watch.note(self.host, trace.legs[0].packet)):
            ways.notes.append(note)
        trace.id = None if question.id is None else str(question.id)
        family = start.packet.family
        missing = [
            *self._missing_rules(family),
            *self._refused_rules(family),
            *self._idle_assumptions(question.assume, ways.assumptions_used),
            *self._idle_assumptions(question.after.assume if question.after else (), ways.assumptions_used),
        ]
        missing += unsaved(self.host, trace)
        trace.assumptions = list(dict.fromkeys([*self.host.assumptions, *missing, *start.notes, *ways.notes]))
        return trace

    def _idle_assumptions(self, assume: Iterable[str], used: set[str]) -> list[str]:
        """Return why assumptions of a question have no effect.

        Raises:
            UsageError: one can't have any.
        """
        unused = [what for what in assume if what not in used]
        for what in unused:
            if what not in self._idle:
                self._idle[what] = check_assumption(what, self._all_rulesets(), self._nft_chains())
        return [self._idle[what] for what in unused if self._idle[what]]

    def _all_rulesets(self) -> list[Ruleset]:
        """Return the rules of all namespaces; those that can't be read are told of where a packet meets them."""
        found: list[Ruleset] = []
        for namespace in (self.host.namespace, *(one.namespace for one in self.host.containers.values())):
            with suppress(IptsimError):
                for programs in self.programs_of(namespace).values():
                    found += [program.ruleset for program in programs]
        return found

    def _nft_chains(self) -> list[NftChain]:
        """Return the base chains of nftables of all namespaces."""
        namespaces = (self.host.namespace, *(one.namespace for one in self.host.containers.values()))
        return [chain for one in namespaces if one.nftables for chain in one.nftables.chains]

    def _missing_rules(self, family: Family) -> list[str]:
        """Return what is taken for granted where the source shows no rules of a family."""
        both = (self.host.rulesets.get(family), self.host.extra_rulesets.get(family))
        rulesets = [ruleset for ruleset in both if ruleset is not None]
        if not rulesets:
            name = "iptables-save.txt" if family == 4 else "ip6tables-save.txt"
            return [
                say(
                    "The source has no IPv{family} rules ({name}); the host is taken to have none.",
                    family=family,
                    name=name,
                )
            ]
        shown = any(found.tables for found in rulesets)
        daemon = self.host.daemon
        if not shown and (daemon is None or daemon.iptables is not False):
            return [
                say(
                    "The dump of the IPv{family} rules is empty; the host is taken to have none.",
                    family=family,
                )
            ]
        note = unseen_note(rulesets)
        return [note] if note else []

    def _refused_rules(self, family: Family) -> list[str]:
        """Return which rules are passed by because the kernel would not take them."""
        if family not in self._refused:
            self._refused[family] = [
                later(
                    "{table} {chain} rule {position} (line {line}) is passed by, as the kernel refuses it: "
                    "{refused}.",
                    table=rule.table,
                    chain=rule.chain,
                    position=rule.position,
                    line=rule.line,
                    refused=rule.refused,
                )
                for program in self._programs.get(family, ())
                for rule in program.ruleset.rules()
                if rule.refused
            ]
        told = self._refused[family]
        more = [
            say_many(
                "{count} more rule is passed by as well.",
                "{count} more rules are passed by as well.",
                len(told) - _REFUSED_SHOWN,
            )
        ]
        return told if len(told) <= _REFUSED_SHOWN else told[:_REFUSED_SHOWN] + more


@dataclass(slots=True)
class _Run:
    """The namespaces of one run, each with its journey, so that replies meet the same connections."""

    simulator: Simulator
    question: Question
    start: Start
    budget: Budget
    host_journey: Journey
    containers: dict[str, Journey]
    assumptions_used: set[str]
    watch: Watch | None = None

    def ask(self, question: Question) -> None:
        """Let the rules look at what a question says of the world."""
        for journey in (self.host_journey, *self.containers.values()):
            journey.world.question = question

    def journey_of(self, container: Container) -> Journey:
        found = self.containers.get(container.name)
        if found is None:
            namespace = container.namespace
            world = World(
                self.simulator.host, self.question, namespace, assumptions_used=self.assumptions_used
            )
            found = Journey(world, namespace, self.simulator.programs_of(namespace), budget=self.budget)
            self.containers[container.name] = found
        return found


class _Ways:
    """All the ways that a question can go, by running it once for each; `before` starts the packet before."""

    def __init__(
        self, simulator: Simulator, question: Question, start: Start, before: Start | None = None
    ) -> None:
        self.simulator = simulator
        self.question = question
        self.start = start
        self.before = before
        self.budget = Budget()
        self.runs = 0
        self.assumptions_used: set[str] = set()
        self.watch = watch_of(question)
        self.notes: list[str] = []

    def explore(self, plan: tuple[bool, ...]) -> Trace:
        """Run a plan and every way that parts from it later, and merge what ends alike."""
        trace = self._run(plan)
        taken = trace.decisions
        for index in range(len(taken) - 1, len(plan) - 1, -1):
            if self.runs >= WAY_LIMIT:
                note = say(
                    "The rules branch into more than {limit} ways; only the first ones were followed.",
                    limit=WAY_LIMIT,
                )
                if note not in self.notes:
                    self.notes.append(note)
                # nobody knows how the others end
                return replace(trace, verdict="DEPENDS", hinges=trace.hinges or [taken[index]])
            other = self.explore((*(decision.value for decision in taken[:index]), not taken[index].value))
            trace = merge(trace, other, taken[index], index)
        return trace

    def _run(self, plan: tuple[bool, ...]) -> Trace:
        self.runs += 1
        host = self.simulator.host
        earlier = self.question.after
        start = replace(self.start, packet=self.start.packet.copy())
        if earlier is None or self.before is None:
            told = tell(self.question, start.packet, host)
        else:
            told = tell(earlier, self.before.packet, host)
        world = World(host, self.question, host.namespace, told.connections, self.assumptions_used)
        journey = Journey(
            world,
            host.namespace,
            self.simulator.programs_of(host.namespace),
            plan=plan,
            budget=self.budget,
            verbose=self.question.verbose,
        )
        run = _Run(
            self.simulator, self.question, start, self.budget, journey, {}, self.assumptions_used, self.watch
        )
        if earlier is not None and self.before is not None:
            journey.notes += _pass_before(replace(run, question=earlier, start=self.before), told.state)
            run.ask(self.question)
            if conntrack.is_icmp_error(start.packet):
                quote_of(start.packet, journey.connections)
        elif self.question.state == "established" and self.question.ct is None:
            _open_connection(run)
        elif told.state is not None:
            world.force(told.state)
        if told.note:
            journey.notes.append(told.note)
        legs = _legs(run)
        broken = next((leg for leg in legs if leg.verdict != "ACCEPT"), None)
        if legs[0].verdict == "REJECT":
            broken = legs[0]
        verdict = broken.verdict if broken else "ACCEPT"
        if verdict == "ACCEPT" and len(legs) > 1 and answers.is_sent_bare(host, legs[0]):
            journey.notes.append(_way_back(start, legs[0]))
        for note in journey.notes:
            if note not in self.notes:
                self.notes.append(note)
        return Trace(verdict, legs, decisions=journey.decisions, consulted=frozenset(journey.consulted))


def _way_back(start: Start, request: Leg) -> str:
    """Say what is taken for granted where a packet leaves with an address that only this host knows."""
    source = address_text(request.packet.family, request.packet.src)
    return say(
        "{target} has a route back to {source}, as no rule changes the source of the request.",
        target=start.target_name,
        source=source,
    )


def _open_connection(run: _Run) -> None:
    """Let the first packet of an established connection pass before, so that it is translated as that was.

    Where the rules would not let it begin, it is an established connection without translation.
    """
    packet = run.start.packet.copy()
    if packet.proto == TCP:
        packet.tcp_flags = SYN
    journey = run.host_journey
    before = len(journey.connections)
    leg, _ = _send(run, run.start.sender, run.start.sender_name, packet, first=True)
    made = journey.connections[before:]
    if leg.verdict == "ACCEPT" and made:
        for connection in made:
            connection.status |= {"SEEN_REPLY", "ASSURED"}
        return
    flow = leg.packet.flow
    connection = Connection(packet.family, flow, flow.reversed(), status=ESTABLISHED)
    connection.nat_done = frozenset({"src", "dst"})
    run.host_journey.world.force(State("ESTABLISHED", connection))


def _pass_before(run: _Run, stated: State | None) -> list[str]:
    """Let the packet before pass, and what it sets off; return what is to be said of it."""
    run.ask(run.question)
    if run.question.state == "established" and run.question.ct is None:
        _open_connection(run)
    elif stated is not None:
        run.host_journey.world.force(stated)
    broken = next((leg for leg in _legs(run) if leg.verdict != "ACCEPT"), None)
    run.host_journey.world.forced_state()
    if broken is None:
        return []
    return [
        say(
            "The packet before did not pass, or its answer did not: {verdict}.",
            verdict=broken.verdict,
        )
    ]


# -- legs ------------------------------------------------------------------------------------------


def _legs(run: _Run) -> list[Leg]:
    """Follow the request, and what it sets off."""
    start, question = run.start, run.question
    run.host_journey.watch = run.watch
    request, fate = _send(run, start.sender, start.sender_name, start.packet.copy(), first=True)
    run.host_journey.watch = None
    note_listener(run.simulator.host, question, request)
    legs = [request]
    if not question.reply:
        return legs
    if request.verdict == "REJECT":
        answer = _reject_answer(run, request, fate)
        return [request, answer] if answer else legs
    if question.state not in (None, "new") or question.after is not None:
        return legs
    if request.verdict != "ACCEPT" or request.delivered is None:
        return legs
    reply = answers.reply_to(request.delivered.packet, listening=request.listening)
    if reply is None:
        return legs
    behind = None
    if request.listening is not False:
        behind = published.answered_by_proxy(run.simulator.host, request.delivered, request.program)
    if behind is None:
        legs.append(_reply(run, request, reply))
        return legs
    second = _second_connection(run, behind)
    if reply.proto == 17:
        # docker-proxy answers a datagram only after the container has
        if all(leg.verdict == "ACCEPT" for leg in second):
            reply_leg = _reply(run, request, reply, pick_source=behind.answers_from_any)
            return [request, *second, reply_leg]
        return [request, *second]
    return [request, _reply(run, request, reply), *second]


def _second_connection(run: _Run, behind: published.Behind) -> list[Leg]:
    packet = Packet(
        behind.family,
        0,
        behind.address,
        behind.proto,
        sport=run.start.packet.sport,
        dport=behind.port,
        tcp_flags=run.start.packet.tcp_flags,
        defaults=frozenset({"sport"}),
    )
    leg, _ = _send(run, "host", "docker-proxy", packet, pick_source=True)
    leg.proxy = True
    note_listener(run.simulator.host, run.question, leg)
    legs = [leg]
    if leg.verdict == "ACCEPT" and leg.delivered is not None:
        reply = answers.reply_to(leg.delivered.packet, listening=leg.listening)
        if reply is not None:
            reply_leg = _reply(run, leg, reply)
            reply_leg.proxy = True
            legs.append(reply_leg)
    return legs


def _reply(run: _Run, request: Leg, packet: Packet, *, pick_source: bool = False) -> Leg:
    """Follow the answer to a delivered packet, back to who sent that."""
    delivered = request.delivered
    assert delivered is not None
    leg, _ = _send_from(run, delivered, packet, pick_source)
    leg.direction = "reply"
    if leg.verdict == "ACCEPT" and leg.delivered is not None:
        _check_recognised(request, leg)
    return leg


def _check_recognised(request: Leg, reply: Leg) -> None:
    """Drop an answer that does not come from where its receiver asked: its socket does not know it."""
    got = reply.delivered.packet if reply.delivered else reply.packet
    asked = request.packet
    if asked.src == 0 or (got.src, got.dst) != (asked.dst, asked.src) or got.sport != asked.dport:
        if got.src == asked.dst and got.dst == asked.src and None in (got.sport, asked.dport):
            return
        note = say(
            "the reply comes from {came}, but the request went to {wanted}: the sender does not recognise it",
            came=endpoint_text(got.family, got.src, got.sport),
            wanted=endpoint_text(asked.family, asked.dst, asked.dport),
        )
        reply.steps.append(Step("SOCKET", "DROP", note=note, code="reply-not-recognised"))
        reply.verdict, reply.delivered = "DROP", None


def _send_from(run: _Run, place: Delivery, packet: Packet, pick_source: bool = False) -> tuple[Leg, Fate]:
    """Send a packet from where another one was delivered."""
    host = run.simulator.host
    if place.kind == "host":
        return _send(run, "host", "host", packet, pick_source=pick_source)
    if place.kind == "container":
        return _send(run, host.containers[place.name], place.name, packet)
    return _send(run, "outside", place.name, packet, interface=place.interface)


def _send(
    run: _Run,
    sender: Container | str,
    name: str,
    packet: Packet,
    *,
    first: bool = False,
    interface: str | None = None,
    pick_source: bool | None = None,
) -> tuple[Leg, Fate]:
    """Send one packet and follow it to its end."""
    start, journey = run.start, run.host_journey
    pick = start.pick_source if first and pick_source is None else bool(pick_source)
    leg = Leg("original", name, packet.copy())
    journey.begin()
    if isinstance(sender, Container):
        fate = _out_of_container(run, leg, sender, packet, pick)
    elif sender == "host":
        fate = journey.send(packet, keep_source=not pick)
        leg.packet = journey.sent or leg.packet
    elif (driver := _bypassing_driver(run.simulator.host, packet)) in ("macvlan", "ipvlan"):
        fate = _bypass(run, packet, driver, packet.dst)
    else:
        arrival = start.interface if first else interface
        if "pkttype" in packet.defaults:
            packet.pkttype = frame_kind(run.simulator.host.namespace, packet)
        fate = journey.receive_from_outside(packet, arrival or "")
    if (step := _out_of_reach(run.simulator.host, fate, journey)) is not None:
        journey.steps.append(step)
        fate = Fate("DROP")
    leg.steps, leg.skipped = journey.steps, journey.skipped
    leg.verdict, leg.delivered = fate.verdict, fate.delivered
    if fate.delivered is not None and fate.delivered.kind == "container" and not leg.inside:
        _into_container(run, leg, fate.delivered)
    return leg, fate


def _out_of_container(run: _Run, leg: Leg, container: Container, packet: Packet, pick: bool) -> Fate:
    """Follow a packet out of a container: its own routes and rules, then the host's side of the link."""
    host, own = run.simulator.host, run.journey_of(container)
    own.begin()
    fate = own.send(packet, keep_source=not pick)
    leg.packet = own.sent or leg.packet
    leg.own_steps = own.steps
    if fate.delivered is None or fate.delivered.kind != "outside":
        leg.inside = True
        return fate
    device = fate.delivered.interface or ""
    endpoint = next((one for one in container.endpoints.values() if one.interface == device), None)
    if endpoint is None and len(container.endpoints) == 1:
        only = next(iter(container.endpoints.values()))
        endpoint = only if only.interface is None else None
    packet.local_socket, packet.uid, packet.gid, packet.mark = False, None, None, 0
    if "pkttype" in packet.defaults:
        packet.pkttype = frame_kind(container.namespace, packet)
    network = host.networks.get(endpoint.network) if endpoint else None
    if network is not None and network.driver in BYPASSING_DRIVERS:
        return _bypass(run, packet, network.driver, fate.next_hop or packet.dst)
    if endpoint is not None and endpoint.mac and "src_mac" in packet.defaults:
        packet.src_mac = endpoint.mac
    port = _host_side(host, container, device, endpoint)
    if port is None:
        return Fate("ACCEPT", Delivery("outside", address_text(packet.family, packet.dst), packet, device))
    return run.host_journey.receive(packet, port, fate.next_hop)


def frame_kind(namespace: Namespace, packet: Packet) -> str:
    """Return how a sender addresses the frame of a packet: by the packet's destination."""
    kind = fib.address_type(namespace, packet.family, packet.dst).lower()
    return kind if kind in ("broadcast", "multicast") else "unicast"


def _host_side(host: Host, container: Container, device: str, endpoint: Endpoint | None) -> str | None:
    """Return the host's interface at the other end of a container's interface."""
    if endpoint is not None and endpoint.bridge_port is not None:
        return endpoint.bridge_port
    inside = container.namespace.interfaces.get(device)
    if inside is not None and inside.peer_index is not None:
        for interface in host.namespace.interfaces.values():
            if interface.kind == "veth" and interface.index == inside.peer_index:
                return interface.name
    network = host.networks.get(endpoint.network) if endpoint else None
    return network.bridge if network is not None else None


def _bypassing_driver(host: Host, packet: Packet) -> str | None:
    """Return the driver of the destination's network, where packets from outside do not pass the host."""
    owner = host.owner_of(packet.family, packet.dst)
    if not isinstance(owner, tuple):
        return None
    container, endpoint = owner
    found = endpoint or next(
        (one for one in container.endpoints.values() if one.address(packet.family) == packet.dst), None
    )
    network = host.networks.get(found.network) if found else None
    return network.driver if network is not None and network.driver in BYPASSING_DRIVERS else None


def _out_of_reach(host: Host, fate: Fate, journey: Journey) -> Step | None:
    """Return why a packet that the host itself sent on does not get into a network that passes it by."""
    delivered = fate.delivered
    if delivered is None or any(step.code == "bypasses-iptables" for step in journey.steps):
        return None
    driver = _bypassing_driver(host, delivered.packet)
    if driver == "overlay":
        note = say("only its own containers can reach an overlay network")
        return Step("BRIDGE", "DROP", note=note, code="no-route")
    if driver is None or delivered.kind != "container":
        return None
    way_out = host.namespace.interfaces.get(delivered.interface or "")
    if way_out is not None and way_out.kind == driver:
        return None
    note = say("a {driver} interface can't talk to the host that carries it", driver=driver)
    return Step("BRIDGE", "DROP", note=note, code="macvlan-host")


def _bypass(run: _Run, packet: Packet, driver: str, next_hop: int) -> Fate:
    """Deliver a packet of a network whose traffic the host's rules never see."""
    host, journey = run.simulator.host, run.host_journey
    journey.steps.append(
        Step(
            "BRIDGE",
            "ACCEPT",
            note=say("{driver} traffic does not pass the host's iptables", driver=driver),
            code="bypasses-iptables",
        )
    )
    owner = host.owner_of(packet.family, next_hop)
    if isinstance(owner, tuple):
        return Fate("ACCEPT", Delivery("container", owner[0].name, packet.copy()))
    if owner == "host" and driver != "overlay":
        note = say("a {driver} interface can't talk to the host that carries it", driver=driver)
        journey.steps.append(Step("BRIDGE", "DROP", note=note, code="macvlan-host"))
        return Fate("DROP")
    return Fate("ACCEPT", Delivery("outside", address_text(packet.family, packet.dst), packet.copy()))


def _into_container(run: _Run, leg: Leg, delivered: Delivery) -> None:
    """Let the rules of a container's own namespace judge what reaches it."""
    container = run.simulator.host.containers[delivered.name]
    if not run.simulator.programs_of(container.namespace).get(delivered.packet.family):
        return
    own = run.journey_of(container)
    own.begin()
    packet = delivered.packet
    device = next((name for name in container.namespace.interfaces if name != "lo"), "eth0")
    found = container.namespace.interface_of(packet.family, packet.dst)
    fate = own.receive(packet, found.name if found else device)
    leg.arrival_steps = own.steps
    if fate.verdict != "ACCEPT":
        leg.verdict, leg.delivered = fate.verdict, None


def _reject_answer(run: _Run, request: Leg, fate: Fate) -> Leg | None:
    """Follow what REJECT sends back."""
    context = fate.context
    if context is None:
        return None
    packet = answers.reject_answer(context, fate.reject, run.simulator.host)
    if packet is None:
        return None
    journey = run.host_journey
    journey.begin()
    leg = Leg("reply", "host", packet.copy())
    if packet.proto == 6 and context.physical_in is not None:
        # br_netfilter sends the RST straight back out of the port: no hook sees it
        leg.delivered = Delivery("outside", request.sender, packet)
        return leg
    answer = journey.answer_reject(packet, context)
    leg.steps, leg.skipped = journey.steps, journey.skipped
    leg.verdict, leg.delivered = answer.verdict, answer.delivered
    return leg


# -- ways ------------------------------------------------------------------------------------------


def alike(one: Trace, other: Trace) -> bool:
    """Tell whether two ways end alike: the same verdict for the whole and for each leg."""
    return (
        one.verdict == other.verdict != "DEPENDS"
        and len(one.legs) == len(other.legs)
        and all(left.verdict == right.verdict for left, right in zip(one.legs, other.legs, strict=True))
    )


def _same_delivery(one: Trace, other: Trace) -> bool:
    def places(trace: Trace) -> list[Any]:
        # outside, the name is the next hop's
        return [
            (
                leg.delivered.name if leg.delivered.kind != "outside" else "",
                leg.delivered.packet.dst,
                leg.delivered.packet.dport,
                leg.delivered.packet.src,
                leg.delivered.packet.sport,
            )
            if leg.delivered
            else None
            for leg in trace.legs
        ]

    return places(one) == places(other)


def merge(yes: Trace, no: Trace, decision: Decision, depth: int) -> Trace:
    """Make one answer of two ways that part at a decision."""
    legs = [_merge_legs(left, right) for left, right in zip(yes.legs, no.legs, strict=False)]
    longer = yes.legs if len(yes.legs) > len(no.legs) else no.legs
    legs += [replace(leg, verdict="DEPENDS") for leg in longer[len(legs) :]]
    consulted = yes.consulted | no.consulted
    if alike(yes, no) and _same_delivery(yes, no):
        hinges = [*yes.hinges, *(hinge for hinge in no.hinges if hinge not in yes.hinges)]
        return Trace(
            yes.verdict,
            legs,
            branches=_merge_branches(yes.branches, no.branches),
            decisions=yes.decisions[:depth],
            hinges=hinges,
            consulted=consulted,
        )
    branches = [*_ways(yes, decision, True), *_ways(no, decision, False)]
    verdict = yes.verdict if yes.verdict == no.verdict else "DEPENDS"
    hinges = [decision]
    for trace in (yes, no):
        known = {one.place for one in hinges}
        hinges.extend(hinge for hinge in trace.hinges if hinge.place not in known)
    return Trace(
        verdict, legs, branches=branches, decisions=yes.decisions[:depth], hinges=hinges, consulted=consulted
    )


def _merge_branches(yes: list[Trace], no: list[Trace]) -> list[Trace]:
    """Make one list of the ways on both sides of a decision that makes no difference."""
    if len(yes) != len(no) or not all(alike(left, right) for left, right in zip(yes, no, strict=True)):
        return [*yes, *no]
    return [
        replace(left, legs=[_merge_legs(*pair) for pair in zip(left.legs, right.legs, strict=True)])
        for left, right in zip(yes, no, strict=True)
    ]


def _ways(trace: Trace, decision: Decision, value: bool) -> list[Trace]:
    """Return the ways within a trace, each told to begin with this decision."""
    taken = replace(decision, value=value)
    if trace.branches:
        return [
            way
            if any(known.same(taken) for known in way.decisions)
            else replace(way, decisions=[taken, *way.decisions])
            for way in trace.branches
        ]
    return [replace(trace, decisions=[taken], branches=[])]


def _either_maybe(yes: list[Step], no: list[Step]) -> list[Step]:
    """Return the same steps of two legs; what is "maybe" in one of them is so in both."""
    return [
        replace(one, maybe=True) if other.maybe and not one.maybe else one
        for one, other in zip(yes, no, strict=True)
    ]


def _merge_legs(yes: Leg, no: Leg) -> Leg:
    """Make one leg of two: steps that only one of them has are "maybe"."""
    left, right = [step.key() for step in yes.steps], [step.key() for step in no.steps]
    if left == right:
        steps = _either_maybe(yes.steps, no.steps)
    else:
        steps = []
        for tag, a, b, c, d in difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
            if tag == "equal":
                steps.extend(_either_maybe(yes.steps[a:b], no.steps[c:d]))
            else:
                steps.extend(replace(step, maybe=True) for step in (*yes.steps[a:b], *no.steps[c:d]))
    verdict = yes.verdict if yes.verdict == no.verdict else "DEPENDS"
    delivered = yes.delivered or no.delivered
    return replace(
        yes, steps=steps, verdict=verdict, delivered=delivered if verdict in ("ACCEPT", "DEPENDS") else None
    )
