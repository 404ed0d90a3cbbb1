"""The state of the kernel in one network namespace, while one branch of a question is followed.

Every part of the walk receives it: the hooks and their rules, the connections that conntrack knows, and what has
happened to the packet so far.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from iptsim.connection import Connection, State
from iptsim.dump.ruleset import Chain
from iptsim.errors import WalkLimitError
from iptsim.extensions.context import Context
from iptsim.extensions.verdicts import Translation
from iptsim.host.fib import RouteResult
from iptsim.host.model import Host
from iptsim.host.namespace import RoutingRule
from iptsim.languages import Text, message
from iptsim.netfilter.chain_rules import ChainRules
from iptsim.netfilter.choices import Choices
from iptsim.netfilter.connection_table import Captured, ConnectionTable
from iptsim.netfilter.hooks import Hooks
from iptsim.netfilter.outcome import Outcome
from iptsim.netfilter.prepared import Prepared
from iptsim.netfilter.program import Program
from iptsim.netfilter.steps import Skipped, Step
from iptsim.netfilter.surroundings import World
from iptsim.netfilter.trace import Leg
from iptsim.netfilter.watch import Watch
from iptsim.packet import Packet

#: The maximum number of rules evaluated for one question, over all branches.
RULE_LIMIT = 5_000_000
#: The maximum number of steps of one packet; a real path has tens to hundreds.
STEP_LIMIT = 20_000


class Budget:
    """How many rules are evaluated for a question, on all of its branches.

    Attributes:
        spent: how many have been.
    """

    def __init__(self) -> None:
        self.spent = 0

    def spend(self) -> None:
        """Count a rule that is evaluated.

        Raises:
            WalkLimitError: there are too many.
        """
        self.spent += 1
        if self.spent > RULE_LIMIT:
            raise WalkLimitError(
                message(
                    "the walk evaluated more than {rule_limit:,} rules: the ruleset has too many paths",
                    rule_limit=RULE_LIMIT,
                )
            )


class Observer(Protocol):
    """Observes which rules a walk evaluates, and selects those that may match."""

    def begins(self, packet: Packet) -> None:
        """Take note of the packet that the walk follows, before it starts."""

    def following(self, rules: ChainRules, context: Context, start: int) -> int:
        """Return the first rule of a chain from a position on that may match; the number of rules if none may."""

    def evaluates(self, rule: Prepared, context: Context) -> None:
        """Take note that a rule is evaluated next."""


class Company(Protocol):
    """The packets that accompany the one being walked: the rules are evaluated for all of them at once."""

    def leads(self, packet: Packet) -> bool:
        """Return whether a packet is accompanied by others."""

    def evaluate(self, kernel: Kernel, context: Context, program: Program, base: Chain) -> Outcome | None:
        """Evaluate the base chain of a table at the packet's hook. Return None if the packet continues."""

    def opening(self, packet: Packet) -> Packet:
        """Return the packet that opens a connection, accompanied by those that open the connections of the others."""

    def compared(self, packet: Packet, services: Collection[tuple[int, int]]) -> None:
        """Take note that the protocol and port of the packet are compared with those of services."""

    def translated(self, context: Context, wanted: Translation) -> None:
        """Take note that rules that are not shown translate the connection of the packet."""

    def verified(self, packet: Packet) -> None:
        """Take note that conntrack verifies the checksum of the packet, which it does wrongly for UDP-Lite."""

    def zoned(self, packet: Packet) -> None:
        """Take note that the mark of the packet names the zone in which conntrack looks it up."""

    def begins(self, packet: Packet, *, tcp_loose: bool) -> None:
        """Take note that conntrack decides whether the packet, which belongs to no connection, may open one."""

    def rewritten(self, context: Context, side: str) -> None:
        """Take note that nat has rewritten one side ("src" or "dst") of the packet according to its connection."""

    def routed(self, packet: Packet, rules: Sequence[RoutingRule]) -> None:
        """Take note that policy rules decide how the packet is routed."""

    def forwarded(self, packet: Packet) -> None:
        """Take note that FORWARD has accepted the packet: its address, not only its route, counts from here on."""

    def arrived(self, host: Host, leg: Leg) -> None:
        """Take note that the walk of the first packet of a connection has ended, whether or not it arrived."""

    def answering(self, request: Packet, reply: Packet) -> Packet:
        """Return the reply to a delivered packet, accompanied by the replies to the others."""

    def passed_on(self, request: Packet, packet: Packet) -> Packet:
        """Return the first packet of docker-proxy's connection, accompanied by those that it sends for the others."""

    def recognised(self, request: Packet, reply: Packet) -> None:
        """Take note that the sender of a request checks whether a reply comes from where the request went."""


@dataclass(slots=True)
class Passage:
    """The passage of one packet through the namespace.

    Attributes:
        steps: what happened to it so far.
        skipped: the rules that have not matched since the last step; only in a verbose answer.
        sent: the packet as a local program sent it.
        route: the route of a local packet (skb_dst); OUTPUT may change it.
        translated: whether nat has changed its destination, at the last hook.
        elsewhere: rules that are not shown, or not evaluated, have sent it to another destination, where it arrives.
        gateway: the next hop that its route names, None for a neighbour on the link.
    """

    steps: list[Step] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    sent: Packet | None = None
    route: RouteResult | None = None
    translated: bool = False
    elsewhere: bool = False
    gateway: int | None = None


class Kernel:
    """The state of the kernel in one network namespace.

    Attributes:
        world: the host, and what the question states about it.
        hooks: the base chains at each hook.
        choices: decides what is undecided.
        budget: how many more rules may be evaluated.
        verbose: whether rules that did not match are recorded.
        watches: record the rules that packets traverse, to find the addresses that they treat alike.
        observer: observes the evaluation of the rules, if any.
        connections: those that the question gives, and those of the walk.
        tracked: all that conntrack knows, with those of a capture.
        consulted: packet fields that a rule checked while they held a default.
        notes: the assumptions made, as sentences.
        stated: the state that the question gave the packet that conntrack looked up last, if any.
        passage: what has happened to the current packet so far.
        company: the packets that accompany the current one; None for none.
    """

    def __init__(
        self,
        world: World,
        hooks: Hooks,
        *,
        choices: Choices | None = None,
        budget: Budget | None = None,
        verbose: bool = False,
        watches: tuple[Watch, ...] = (),
        observer: Observer | None = None,
        captured: Captured | None = None,
    ) -> None:
        self.world = world
        self.host = world.host
        self.namespace = world.namespace
        self.hooks = hooks
        self.choices = choices or Choices()
        self.budget = budget or Budget()
        self.verbose = verbose
        self.watches = watches
        self.observer = observer
        self.connections: list[Connection] = list(world.known_connections)
        self.tracked = ConnectionTable(self.connections, captured or Captured())
        self.consulted: set[str] = set()
        self.notes: list[Text] = []
        self.stated: State | None = None
        self.passage = Passage()
        self.company: Company | None = None

    @property
    def is_host(self) -> bool:
        """Whether this is the host's own namespace, not that of a container."""
        return self.namespace is self.host.namespace

    def begin(self) -> None:
        """Start the passage of a new packet."""
        self.passage = Passage()

    def context(self, packet: Packet) -> Context:
        """Return the context of a packet before its first hook."""
        return Context(packet, "", "", self.world, consulted=self.consulted)

    def add(self, step: Step) -> None:
        """Record a step of the current packet.

        Raises:
            WalkLimitError: there are too many.
        """
        passage = self.passage
        if self.verbose:
            step.skipped, passage.skipped = passage.skipped, []
        passage.steps.append(step)
        if len(passage.steps) > STEP_LIMIT:
            raise WalkLimitError(
                message(
                    "one packet takes more than {step_limit:,} steps: the chains call each other too often",
                    step_limit=STEP_LIMIT,
                )
            )

    def note(self, hook: str, verdict: str, note: Text, code: str) -> None:
        """Record a step outside iptables."""
        self.add(Step(hook, verdict, note=note, code=code))

    def drop(self, code: str, note: Text, hook: str = "ROUTING") -> Outcome:
        """Record that the kernel itself drops the packet."""
        self.note(hook, "DROP", note, code)
        return Outcome("DROP")
