"""One packet's way through the host's kernel: hooks, chains, conntrack, nat, routing, bridges.

A :class:`Journey` is one run of one question. Where a rule's match can't be decided, the run takes the
next value of its `plan` (True when the plan is used up) and notes it; :mod:`iptsim.netfilter.walk` runs
all the ways. Sources: net/ipv4/ip_{input,forward,output}.c, net/bridge/br_netfilter_hooks.c,
net/netfilter/nf_nat_core.c, and measurements.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from iptsim.dump.ruleset import Chain, Rule
from iptsim.errors import RulesetError, WalkLimitError
from iptsim.extensions.base import Target, Translation, Verdict
from iptsim.host import fib
from iptsim.host.model import Container, Host, Interface, Namespace
from iptsim.host.source import select_source
from iptsim.netfilter import conntrack, hooks, nat, routing
from iptsim.netfilter.program import Condition, Prepared, Program
from iptsim.netfilter.surroundings import World
from iptsim.netfilter.trace import Decision, Delivery, FinalVerdict, Skipped, Step
from iptsim.packet import ICMPV6, Connection, Context, Packet, Unknown, address_text

#: Rules that one question may look at, all ways together.
RULE_LIMIT = 5_000_000
#: Steps that one packet may take: a real way takes tens to hundreds.
STEP_LIMIT = 20_000
#: Jumps may nest this deep (NFT_JUMP_STACK_SIZE; the legacy backend allows one more).
JUMP_LIMIT = 16

#: Packet fields that a target may change and that are worth showing, with how they are shown.
_SHOWN = ("src", "sport", "dst", "dport", "mark", "tos", "ttl", "priority", "secmark")


@dataclass(slots=True)
class Fate:
    """What became of one packet."""

    verdict: FinalVerdict
    delivered: Delivery | None = None
    #: the REJECT target's answer, when one is due ("tcp-reset", "icmp-port-unreachable" ...)
    reject: str = ""
    #: the context in which the packet ended
    context: Context | None = None
    #: the next hop of a packet that leaves a container
    next_hop: int | None = None


class Budget:
    """How many rules the ways of one question may still look at, together."""

    def __init__(self, limit: int = RULE_LIMIT) -> None:
        self.left = limit

    def spend(self, count: int) -> None:
        """Take from the budget.

        Raises:
            WalkLimitError: it is used up.
        """
        self.left -= count
        if self.left < 0:
            raise WalkLimitError(
                f"the walk looked at more than {RULE_LIMIT:,} rules: the ruleset is built to explode"
            )


class Journey:
    """One run of a question through a network namespace, the host's or a container's."""

    def __init__(
        self,
        world: World,
        namespace: Namespace,
        programs: dict[int, list[Program]],
        *,
        plan: tuple[bool, ...] = (),
        budget: Budget | None = None,
        verbose: bool = False,
    ) -> None:
        self.world = world
        self.host: Host = world.host
        self.namespace = namespace
        self.programs = programs
        self.plan = plan
        self.budget = budget or Budget()
        self.verbose = verbose
        self.connections: list[Connection] = list(world.known_connections)
        self.decisions: list[Decision] = []
        self.settled: dict[Any, bool] = {}
        self.consulted: set[str] = set()
        #: what was taken for granted on the way, in sentences
        self.notes: list[str] = []
        #: what the packet that is under way has met so far
        self.steps: list[Step] = []
        self.skipped: list[Skipped] = []
        #: the packet that :meth:`send` sent, as it set out
        self.sent: Packet | None = None

    # -- entrances ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start a new packet: forget the steps of the one before."""
        self.steps, self.skipped = [], []

    def receive(
        self, packet: Packet, interface: str, next_hop: int | None = None, *, discovered: bool = False
    ) -> Fate:
        """Follow a packet that arrives on an interface of the namespace.

        Args:
            packet: is changed on the way.
            interface: on which it arrives; a bridge port counts as such.
            next_hop: the address whose MAC the sender put in the frame, when it arrives on a bridge
                port; None: the bridge's own.
            discovered: the sender knows that MAC address already (IPv6).
        """
        context = self._context(packet)
        port = self.namespace.interfaces.get(interface)
        if port is not None and port.master is not None and self._is_bridge(port.master):
            return self._receive_from_port(context, port, next_hop, discovered)
        context.in_interface = interface
        if self._is_for_others(packet, port):
            return self._kernel_drop(
                "not-for-host", "the frame's destination MAC address is not the host's", "LINK"
            )
        if packet.family == 6 and (refused := self._refused_before_rules(packet)):
            return refused
        fate = self._hook(context, hooks.PREROUTING)
        return fate or self._route(context)

    def _is_for_others(self, packet: Packet, interface: Interface | None) -> bool:
        """Tell whether a frame is addressed to another machine (PACKET_OTHERHOST: no hook sees it)."""
        if packet.dst_mac is None or interface is None or interface.mac is None:
            return False
        return packet.pkttype == "unicast" and packet.dst_mac.lower() != interface.mac.lower()

    def send(self, packet: Packet, *, keep_source: bool = True) -> Fate:
        """Follow a packet that a program of this namespace sends.

        Args:
            packet: is changed on the way.
            keep_source: the source address is settled; else the kernel picks it by the route.
        """
        context = self._context(packet)
        packet.local_socket = True
        self.sent = packet.copy()
        found = self._lookup_output(packet, source=packet.src if keep_source else None)
        if found is None or found.type not in ("unicast", "local", "broadcast", "multicast", "anycast"):
            why = "there is no route to the destination"
            if found is not None and found.type != "none":
                why = f"the route says {found.type}"
            return self._kernel_drop("no-route", f"nothing is sent: {why}")
        if not keep_source:
            source = fib.source_address(self.namespace, packet.family, found, packet.dst)
            if source is None:
                return self._kernel_drop("no-source", "nothing is sent: there is no address to send from")
            packet.src = source
        self.sent = packet.copy()
        if (bad := self._bad_output(packet, found.device)) is not None:
            return bad
        return self._output(context, found)

    def answer_reject(self, packet: Packet, connection: Connection | None) -> Fate:
        """Follow the packet that REJECT sends back; it belongs to the rejected packet's connection."""
        context = self._context(packet)
        found = self._lookup_output(packet, source=None)
        if found is None or found.device is None:
            return self._kernel_drop("no-route", "the answer has no way back")
        if connection is not None:
            context.connection, context.state, context.direction = connection, "RELATED", "reply"
        return self._output(context, found)

    # -- input path --------------------------------------------------------------------------------

    def _route(self, context: Context) -> Fate:
        interface = context.in_interface or "lo"
        joined = self._is_joined(context.packet)
        decision = routing.route_input(self.namespace, context.packet, interface, joined=joined)
        if decision.kind == "drop":
            return self._kernel_drop(decision.code, decision.note)
        if decision.kind == "local":
            return self._deliver(context)
        return self._forward(context, decision)

    def _deliver(self, context: Context) -> Fate:
        context.out_interface = None
        context.bridged = False
        fate = self._hook(context, hooks.INPUT)
        if fate is not None:
            return fate
        self._confirm(context)
        name = self.namespace.name
        kind: Literal["container", "host"] = "host" if self.namespace is self.host.namespace else "container"
        return Fate("ACCEPT", Delivery(kind, name, context.packet.copy(), context.in_interface))

    def _forward(self, context: Context, decision: routing.Decision) -> Fate:
        packet = context.packet
        if packet.pkttype != "unicast":
            return self._kernel_drop("not-for-host", f"a {packet.pkttype} frame is not forwarded")
        if packet.ttl <= 1:
            return self._kernel_drop(
                "ttl-exceeded", "the TTL has run out; the host answers with time exceeded"
            )
        packet.ttl -= 1
        context.out_interface = decision.device
        fate = self._hook(context, hooks.FORWARD)
        if fate is not None:
            return fate
        fate = self._hook(context, hooks.POSTROUTING)
        if fate is not None:
            return fate
        self._confirm(context)
        return self._transmit(context, decision.gateway)

    def _refused_before_rules(self, packet: Packet) -> Fate | None:
        """Drop what ip6_rcv refuses before any hook: multicast or loopback sources, loopback targets."""
        if packet.src >> 120 == 0xFF or packet.src == 1 or packet.dst == 1:
            return self._kernel_drop(
                "martian", "IPv6 drops it before any rule: a loopback or multicast address"
            )
        return None

    # -- output path -------------------------------------------------------------------------------

    def _lookup_output(self, packet: Packet, source: int | None) -> fib.RouteResult | None:
        found = fib.lookup(
            self.namespace, packet.family, packet.dst, source=source, mark=packet.mark, proto=packet.proto,
            sport=packet.sport, dport=packet.dport, tos=packet.tos, uid=packet.uid,
        )  # fmt: skip
        return found if found.type else None

    def _bad_output(self, packet: Packet, device: str | None) -> Fate | None:
        if packet.family == 4 and packet.src in routing.LOOPBACK4 and device not in (None, "lo"):
            local = fib.address_type(self.namespace, 4, packet.dst) == "LOCAL"
            if not local and not routing.route_localnet(self.namespace, device or ""):
                return self._kernel_drop(
                    "martian", f"a packet from 127.0.0.0/8 may not leave: route_localnet is 0 on {device}"
                )
        return None

    def _output(self, context: Context, found: fib.RouteResult) -> Fate:
        self._way_out = found
        context.out_interface = self._device(found)
        fate = self._hook(context, hooks.OUTPUT)
        if fate is not None:
            return fate
        found = self._way_out
        context.out_interface = self._device(found)
        if found.type == "broadcast" or (found.type == "multicast" and self._is_joined(context.packet)):
            self._hear_oneself(context)
        fate = self._hook(context, hooks.POSTROUTING)
        if fate is not None:
            return fate
        self._confirm(context)
        if context.out_interface == "lo":
            return self._loop_back(context)
        gateway = found.gateway if found.type == "unicast" else None
        return self._transmit(context, gateway)

    def _device(self, found: fib.RouteResult) -> str | None:
        return "lo" if found.type in ("local", "anycast") else found.device

    def _reroute(self, context: Context, before: tuple[int, int, int, int], dnat: bool) -> Fate | None:
        """Route a local packet again when OUTPUT changed what routing looks at."""
        packet = context.packet
        after = (packet.src, packet.dst, packet.mark, packet.tos)
        if before == after or (dnat and before[1] == packet.dst):
            return None
        own = fib.address_type(self.namespace, packet.family, packet.src) == "LOCAL"
        found = self._lookup_output(packet, source=packet.src if own else None)
        if found is None or found.type in ("unreachable", "prohibit", "blackhole"):
            return self._kernel_drop("no-route", "the changed packet has no route")
        if (bad := self._bad_output(packet, found.device)) is not None:
            return bad
        self._way_out = found
        return None

    def _loop_back(self, context: Context) -> Fate:
        """Follow a packet from the host to itself: it comes in again on lo, with the same connection."""
        context.in_interface, context.out_interface = "lo", None
        fate = self._hook(context, hooks.PREROUTING)
        return fate or self._deliver(context)

    def _is_joined(self, packet: Packet) -> bool:
        """Tell whether the host is in the multicast group that a packet goes to."""
        return packet.dst == routing.ALL_HOSTS4 or bool(self.world.fact("joined"))

    def _hear_oneself(self, context: Context) -> None:
        """Let a copy of the host's own broadcast come back to it, before the packet itself leaves.

        What becomes of the copy does not stop the packet (ip_mc_output).
        """
        copy = replace(context, packet=context.packet.copy())
        if self._hook(copy, hooks.POSTROUTING) is not None:
            return
        self._confirm(copy)
        copy.in_interface, copy.out_interface = context.out_interface, None
        copy.packet.local_socket, copy.packet.pkttype = False, "broadcast"
        if self._hook(copy, hooks.PREROUTING) is None:
            self._hook(copy, hooks.INPUT)

    # -- bridges -----------------------------------------------------------------------------------

    def _is_bridge(self, name: str) -> bool:
        interface = self.namespace.interfaces.get(name)
        return interface is not None and interface.kind == "bridge"

    def bridge_netfilter(self, family: int) -> bool:
        """Tell whether iptables sees packets that a bridge switches."""
        name = "net.bridge.bridge-nf-call-iptables" if family == 4 else "net.bridge.bridge-nf-call-ip6tables"
        return self.namespace.sysctl_number(name, 1 if not self.namespace.sysctls else 0) != 0

    def _receive_from_port(
        self, context: Context, port: Interface, next_hop: int | None, discovered: bool
    ) -> Fate:
        packet, bridge = context.packet, port.master or ""
        context.in_interface = bridge
        up = next_hop is None or self.namespace.has_address(packet.family, next_hop)
        if self.bridge_netfilter(packet.family):
            if packet.family == 6 and not up and not discovered:
                fate = self._discover_neighbour(packet, port, next_hop or 0)
                if fate is not None:
                    return fate
            context.physical_in = port.name
            before = packet.dst
            fate = self._hook(context, hooks.PREROUTING)
            if fate is not None:
                return fate
            if packet.dst != before:
                return self._after_bridged_dnat(context, port)
        if packet.pkttype != "unicast":
            return self._flood(context, port)
        if up and not self.bridge_netfilter(packet.family):
            fate = self._hook(context, hooks.PREROUTING)
            if fate is not None:
                return fate
        if up:
            if packet.family == 6 and (refused := self._refused_before_rules(packet)):
                return refused
            return self._route(context)
        return self._switch(context, port, next_hop or 0)

    def _discover_neighbour(self, packet: Packet, port: Interface, next_hop: int) -> Fate | None:
        """Pass the question and the answer of IPv6 neighbour discovery, which the rules see as well.

        Without it the sender never learns the MAC address and sends nothing. Returns None when both pass.
        """
        bridge = port.master or ""
        target = self.world.neighbour(6, next_hop, bridge)
        group = 0xFF0200000000000000000001FF000000 | next_hop & 0xFFFFFF
        question = Packet(6, packet.src, group, ICMPV6, tcp_flags=0, icmp_type=135, icmp_code=0, ttl=255)
        answer = Packet(6, next_hop, packet.src, ICMPV6, tcp_flags=0, icmp_type=136, icmp_code=0, ttl=255)
        question.pkttype = "multicast"
        other = target.port if target is not None else None
        for message, came, goes in ((question, port.name, other), (answer, other, port.name)):
            context = self._context(message)
            context.in_interface, context.physical_in = bridge, came
            context.state = "UNTRACKED"
            fate = self._hook(context, hooks.PREROUTING)
            if fate is None:
                context.bridged, context.out_interface, context.physical_out = True, bridge, goes
                fate = self._hook(context, hooks.FORWARD)
            if fate is None:
                fate = self._hook(context, hooks.POSTROUTING)
            if fate is not None:
                self.steps[-1].note = "neighbour discovery dies here, so nothing can be sent"
                return Fate("DROP", context=context)
        self.begin()
        return None

    def _after_bridged_dnat(self, context: Context, port: Interface) -> Fate:
        """Go on with a frame whose destination PREROUTING rewrote (br_nf_pre_routing_finish)."""
        packet, bridge = context.packet, port.master or ""
        decision = routing.route_input(self.namespace, packet, bridge)
        if decision.kind == "drop":
            found = self._lookup_output(packet, source=None)
            if decision.code == "ip-forward-off" and found is not None and found.device == bridge:
                return self._switch(context, port, found.gateway or packet.dst)
            return self._kernel_drop(decision.code, decision.note)
        if decision.kind == "forward" and decision.device == bridge:
            return self._switch(context, port, decision.gateway or packet.dst)
        return self._route(context)

    def _flood(self, context: Context, port: Interface) -> Fate:
        """Send a broadcast or multicast frame out of all other ports of the bridge, and to the host."""
        packet, bridge = context.packet, port.master or ""
        seen = self.bridge_netfilter(packet.family)
        reached = False
        for other in self.namespace.ports(bridge):
            if (other.name == port.name and not port.hairpin) or (port.isolated and other.isolated):
                continue
            if seen:
                copy = replace(context, packet=packet.copy(), out_interface=bridge, bridged=True)
                copy.physical_out = other.name
                if self._hook(copy, hooks.FORWARD) is not None:
                    continue
                copy.in_interface = None
                if self._hook(copy, hooks.POSTROUTING) is not None:
                    continue
                self._confirm(copy)
            reached = True
        fate = None if seen else self._hook(context, hooks.PREROUTING)
        fate = fate or self._route(context)
        if fate.verdict == "ACCEPT" or not reached:
            return fate
        return Fate("ACCEPT", Delivery("outside", f"the other ports of {bridge}", packet.copy(), bridge))

    def _switch(self, context: Context, port: Interface, next_hop: int) -> Fate:
        """Switch a frame from one port of a bridge to another."""
        packet, bridge = context.packet, port.master or ""
        target = self.world.neighbour(packet.family, next_hop, bridge)
        if target is None:
            who = address_text(packet.family, next_hop)
            return self._kernel_drop("no-neighbour", f"nobody on {bridge} answers for {who}", "BRIDGE")
        if target.port is not None:
            if target.port == port.name and not port.hairpin:
                return self._kernel_drop(
                    "hairpin-off",
                    f"the way goes back out of port {port.name}, which has no hairpin mode",
                    "BRIDGE",
                )
            out = self.namespace.interfaces.get(target.port)
            if port.isolated and out is not None and out.isolated:
                return self._kernel_drop("isolated-ports", "both bridge ports are isolated", "BRIDGE")
        if self.bridge_netfilter(packet.family):
            context.bridged = True
            context.out_interface = bridge
            context.physical_in, context.physical_out = port.name, target.port
            fate = self._hook(context, hooks.FORWARD)
            if fate is not None:
                return fate
            context.in_interface = None
            fate = self._hook(context, hooks.POSTROUTING)
            if fate is not None:
                return fate
            self._confirm(context)
        else:
            switch = f"bridge-nf-call-ip{'6' if packet.family == 6 else ''}tables"
            note = f"it is switched by {bridge}; {switch} is off, so iptables never sees it"
            self._note("BRIDGE", "ACCEPT", note, "bypasses-iptables")
        return self._hand_over(packet, target.container, target.name, bridge)

    # -- the way out -------------------------------------------------------------------------------

    def _transmit(self, context: Context, gateway: int | None) -> Fate:
        packet, device = context.packet, context.out_interface or ""
        next_hop = gateway if gateway is not None else packet.dst
        if self.namespace is not self.host.namespace:
            link = Delivery("outside", address_text(packet.family, next_hop), packet.copy(), device)
            return Fate("ACCEPT", link, next_hop=next_hop)
        target = self.world.neighbour(packet.family, next_hop, device)
        if target is None:
            who = address_text(packet.family, next_hop)
            return self._kernel_drop("no-neighbour", f"nobody on {device} answers for {who}", "ROUTING")
        return self._hand_over(packet, target.container, target.name, device)

    def _hand_over(self, packet: Packet, container: Container | None, name: str, device: str) -> Fate:
        if container is None:
            return Fate("ACCEPT", Delivery("outside", name, packet.copy(), device))
        return Fate("ACCEPT", Delivery("container", container.name, packet.copy(), device))

    # -- hooks and chains --------------------------------------------------------------------------

    def _context(self, packet: Packet) -> Context:
        return Context(packet, "", "", self.world, consulted=self.consulted)

    def _hook(self, context: Context, hook: str) -> Fate | None:
        """Pass a hook. Returns None when the packet goes on, else its fate."""
        context.hook = hook
        programs = self.programs.get(context.packet.family, [])
        backend = programs[0].backend if programs else "nf_tables"
        packet = context.packet
        tracks = any(program.tracks for program in programs)
        if packet.fragment is not None and self._defragments(hook, tracks, packet.family):
            packet.fragment = None
            self._note(
                hook,
                "CONTINUE",
                "the kernel puts the fragments together first; rules see the whole packet",
                "defragmented",
            )
        for table in hooks.tables_at(hook, backend):
            before = (packet.src, packet.dst, packet.mark, packet.tos)
            if table == hooks.CONNTRACK:
                if tracks:
                    self._track(context)
                continue
            if table == "nat":
                fate = self._nat(context, programs)
            else:
                fate = None
                for program in programs:
                    fate = self._table(context, program, table)
                    if fate is not None:
                        break
            if fate is not None:
                return fate
            if hook == hooks.OUTPUT and table in ("mangle", "nat"):
                fate = self._reroute(context, before, table == "nat")
                if fate is not None:
                    return fate
        return None

    def _defragments(self, hook: str, tracks: bool, family: int) -> bool:
        """Tell whether fragments are joined before a hook: by conntrack, in IPv4 also for local delivery."""
        if tracks:
            return hook in (hooks.PREROUTING, hooks.OUTPUT)
        return family == 4 and hook == hooks.INPUT

    def _table(self, context: Context, program: Program, table: str) -> Fate | None:
        chain = program.chain(table, context.hook)
        if chain is None:
            return None
        context.table, context.backend = table, program.backend
        begun = len(self.steps)
        verdict = self._run(context, program, table)
        if len(self.programs[context.packet.family]) > 1:
            for step in self.steps[begun:]:
                step.backend = program.backend
        return self._fate(context, verdict)

    def _fate(self, context: Context, verdict: Verdict | Translation) -> Fate | None:
        if isinstance(verdict, Translation) or verdict.kind == "ACCEPT":
            return None
        if verdict.kind == "REJECT":
            return Fate("REJECT", reject=verdict.detail, context=context)
        return Fate("DROP", context=context)

    def _run(self, context: Context, program: Program, table: str) -> Verdict | Translation:
        """Run a base chain to its end. Returns ACCEPT, DROP, REJECT, QUEUE, STOLEN or a translation."""
        hook = context.hook
        base = program.chain(table, hook)
        assert base is not None
        chain, rules, index = base, program.rules(base), 0
        stack: list[tuple[Chain, list[Rule | Prepared], int]] = []
        while True:
            if index >= len(rules):
                if not stack:
                    break
                chain, rules, index = stack.pop()
                continue
            prepared = program.prepare(rules, index)
            index += 1
            matched = self._matches(context, prepared)
            if matched is False:
                continue
            self.budget.spend(1)
            maybe = matched is None
            if prepared.jump is not None:
                jump = prepared.jump
                self._step(
                    context, prepared, ("GOTO:" if jump.goto else "JUMP:") + jump.chain, depth=len(stack)
                )
                target_chain = program.chain(table, jump.chain)
                if target_chain is None:
                    raise RulesetError(
                        f"{prepared.rule.span}: there is no chain {jump.chain} in table {table}"
                    )
                if not jump.goto:
                    stack.append((chain, rules, index))
                    if len(stack) > JUMP_LIMIT:
                        names = " → ".join([entry[0].name for entry in stack[-4:]] + [jump.chain])
                        raise RulesetError(
                            f"{prepared.rule.span}: jumps nest deeper than {JUMP_LIMIT}, or go round in a loop: {names}"
                        )
                chain, rules, index = target_chain, program.rules(target_chain), 0
                continue
            outcome = self._apply(context, prepared, maybe, len(stack))
            if isinstance(outcome, Translation):
                return outcome
            if outcome.kind == "RETURN":
                if not stack:
                    break
                chain, rules, index = stack.pop()
            elif outcome.kind != "CONTINUE":
                return outcome
        policy = base.policy or "ACCEPT"
        self._append(
            Step(
                hook,
                policy,
                table,
                hook,
                policy=True,
                interfaces=(context.in_interface, context.out_interface),
            )
        )
        return Verdict("ACCEPT" if policy == "ACCEPT" else "DROP")

    def _matches(self, context: Context, prepared: Prepared) -> bool | None:
        """Tell whether a rule matches; None: undecided, and it makes no difference."""
        undecided: list[tuple[Unknown, Condition]] = []
        for condition in prepared.conditions:
            truth = condition.test(context)
            if condition.predicate.effect is not None:
                condition.predicate.effect(context)
            if truth is True:
                continue
            if truth is False:
                self._skip(context, prepared, condition)
                return False
            assumed = self.world.assumed(condition.match, prepared.rule)
            if assumed is None:
                undecided.append((truth, condition))
            elif assumed is False:
                self._skip(context, prepared, condition)
                return False
        if not undecided:
            return True
        if prepared.quiet:
            return None
        for unknown, condition in undecided:
            if not self._decide(unknown, condition, prepared):
                self._skip(context, prepared, condition)
                return False
        return True

    def _decide(self, unknown: Unknown, condition: Condition | None, prepared: Prepared) -> bool:
        match = condition.match if condition else prepared.rule.target_name
        negated = condition is not None and condition.predicate.negated
        key = (match, unknown.key) if unknown.key else None
        if key is not None and key in self.settled:
            return self.settled[key] is not negated
        index = len(self.decisions)
        value = self.plan[index] if index < len(self.plan) else True
        rule = prepared.rule
        self.decisions.append(Decision(unknown, match, (rule.table, rule.chain, rule.position), rule, value))
        if key is not None:
            self.settled[key] = value is not negated
        return value

    def _apply(self, context: Context, prepared: Prepared, maybe: bool, depth: int) -> Verdict | Translation:
        target = prepared.target
        if target is None:
            self._step(context, prepared, "CONTINUE", maybe=maybe, depth=depth)
            return Verdict("CONTINUE")
        before = _fields(context) if target.changes else None
        outcome = target.apply(context)
        if isinstance(outcome, Verdict) and outcome.kind == "QUEUE":
            outcome = Unknown(
                f"what the program that reads {outcome.detail} decides", f"--assume {target.name}=yes"
            )
        if isinstance(outcome, Unknown):
            outcome = self._undecided_target(target, outcome, prepared)
        if isinstance(outcome, Translation):
            if not self._translate(context, outcome):
                self._step(context, prepared, "DROP", depth=depth, note="there is no address to translate to")
                return Verdict("DROP")
            shown, note = outcome.target, ""
        else:
            shown = "ACCEPT" if outcome.kind == "ACCEPT" else outcome.kind
            note = outcome.detail
        changes = _changes(before, _fields(context), context.packet.family) if before is not None else {}
        self._step(context, prepared, shown, maybe=maybe, depth=depth, note=note, changes=changes)
        return outcome

    def _undecided_target(self, target: Target, unknown: Unknown, prepared: Prepared) -> Verdict:
        """Go on after a target whose effect nobody can tell: it lets the packet go on, or it does not."""
        passes = self.world.assumed(target.name, prepared.rule)
        if passes is None and not target.terminal and target.status != "unknown":
            # only a value is unknown (a mark that is not saved): the packet goes on in any case
            self.notes.append(f"{unknown.reason} is not known; the packet is taken to keep what it has")
            return Verdict("CONTINUE", detail=unknown.reason)
        if passes is None:
            passes = self._decide(unknown, None, prepared)
        if passes:
            return Verdict("ACCEPT" if target.terminal else "CONTINUE", detail=unknown.reason)
        return Verdict("DROP", detail=unknown.reason)

    # -- conntrack and nat -------------------------------------------------------------------------

    def _track(self, context: Context) -> None:
        if context.state is not None:
            return
        if context.notrack:
            context.state = "UNTRACKED"
            return
        packet = context.packet
        forced = self.world.forced_state()
        found = forced or conntrack.find(packet, self.connections, context.zone)
        if found is None:
            loose = self.namespace.sysctl_number("net.netfilter.nf_conntrack_tcp_loose", 1) != 0
            found = conntrack.first_state(packet, zone=context.zone, tcp_loose=loose)
        context.state, context.connection, context.direction = found
        if found.connection is None:
            return
        if found.direction == "reply":
            found.connection.status |= {"SEEN_REPLY"}
        if context.helper and found.state == "NEW":
            found.connection.helper = context.helper

    def _confirm(self, context: Context) -> None:
        connection = context.connection
        if connection is not None and "CONFIRMED" not in connection.status:
            connection.status |= {"CONFIRMED"}
            self.connections.append(connection)

    def _nat(self, context: Context, programs: list[Program]) -> Fate | None:
        connection = context.connection
        if connection is None or context.state in (None, "INVALID", "UNTRACKED"):
            return None
        side = hooks.NAT_SIDE[context.hook]
        asks = context.state in ("NEW", "RELATED") and not conntrack.is_icmp_error(context.packet)
        if asks and side not in connection.nat_done:
            for program in programs:
                if program.chain("nat", context.hook) is None:
                    continue
                fate = self._table(context, program, "nat")
                if fate is not None:
                    return fate
                if side in connection.nat_done:
                    break
            connection.nat_done |= {side}
        if not nat.translate(context.packet, connection, side, context.direction):
            return self._kernel_drop("nat-failed", "its GRE header can't be translated", context.hook)
        return None

    def _translate(self, context: Context, wanted: Translation) -> bool:
        """Carry out what a nat target asks for. Returns False when there is no address to use."""
        connection = context.connection
        if connection is None:
            return True
        addresses = wanted.addresses
        if addresses is None and wanted.target in ("MASQUERADE", "REDIRECT"):
            own = self._own_address(context, wanted.target)
            if own is None:
                return False
            addresses = (own, own)
        nat.set_up(connection, wanted, addresses)
        connection.nat_done |= {wanted.side}
        nat.translate(context.packet, connection, wanted.side, context.direction)
        return True

    def _own_address(self, context: Context, target: str) -> int | None:
        packet = context.packet
        if target == "MASQUERADE":
            device = context.out_interface or ""
            found = self._lookup_output(packet, source=None)
            gateway = found.gateway if found is not None and found.device == device else None
            next_hop = gateway if gateway is not None else packet.dst
            return select_source(self.namespace, packet.family, device, packet.dst, gateway=next_hop)
        if context.hook == hooks.OUTPUT:
            return 0x7F000001 if packet.family == 4 else 1
        interface = self.namespace.interfaces.get(context.in_interface or "")
        addresses = [own for own in interface.addresses if own.family == packet.family] if interface else []
        addresses.sort(key=lambda own: own.scope == "link")
        return addresses[0].address if addresses else None

    # -- notes -------------------------------------------------------------------------------------

    def _step(
        self,
        context: Context,
        prepared: Prepared,
        verdict: str,
        *,
        maybe: bool = False,
        depth: int = 0,
        note: str = "",
        changes: dict[str, tuple[Any, Any]] | None = None,
    ) -> None:
        rule = prepared.rule
        self._append(
            Step(
                context.hook,
                verdict,
                rule.table,
                rule.chain,
                rule,
                maybe=maybe,
                changes=changes or {},
                note=note,
                depth=depth,
                interfaces=(context.in_interface, context.out_interface),
            )
        )

    def _append(self, step: Step) -> None:
        if self.verbose:
            step.skipped, self.skipped = self.skipped, []
        self.steps.append(step)
        if len(self.steps) > STEP_LIMIT:
            raise WalkLimitError(
                f"one packet takes more than {STEP_LIMIT:,} steps: the ruleset is built to explode"
            )

    def _skip(self, context: Context, prepared: Prepared, condition: Condition) -> None:
        self.budget.spend(1)
        if self.verbose:
            rule, predicate = prepared.rule, condition.predicate
            self.skipped.append(Skipped(rule.table, rule.chain, rule, predicate.text, predicate.got(context)))

    def _note(self, hook: str, verdict: str, note: str, code: str) -> None:
        self._append(Step(hook, verdict, note=note, code=code))

    def _kernel_drop(self, code: str, note: str, hook: str = "ROUTING") -> Fate:
        self._note(hook, "DROP", note, code)
        return Fate("DROP")


def _fields(context: Context) -> tuple[Any, ...]:
    packet, connection = context.packet, context.connection
    return (*(getattr(packet, name) for name in _SHOWN), connection.mark if connection else None)


def _changes(before: tuple[Any, ...], after: tuple[Any, ...], family: int) -> dict[str, tuple[Any, Any]]:
    changes = {}
    for name, old, new in zip((*_SHOWN, "ctmark"), before, after, strict=True):
        if old != new:
            if name in ("src", "dst"):
                old, new = address_text(family, old), address_text(family, new)
            changes[name] = (old, new)
    return changes
