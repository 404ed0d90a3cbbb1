"""What a walk found: legs, steps, verdict; and their JSON form, schema `iptsim.trace/1`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from iptsim.addresses import address_text
from iptsim.dump.rule import Rule
from iptsim.errors import printable
from iptsim.extensions.verdicts import BLOCKING
from iptsim.host.nft_chains import NftChain
from iptsim.languages import Text, message
from iptsim.netfilter.path import Move, moves
from iptsim.netfilter.steps import Delivery, Skipped, Step
from iptsim.packet import Packet
from iptsim.partly_known import known_mark
from iptsim.protocols import PORT_PROTOCOLS, TCP, TCP_FLAGS, protocol_name, usual_protocol_name
from iptsim.shown import Framed
from iptsim.truth import Unknown

SCHEMA = "iptsim.trace/1"
FinalVerdict = Literal["ACCEPT", "DROP", "REJECT", "DEPENDS"]


@dataclass(slots=True)
class Leg:
    """The path of one packet: a request, its reply, or those of docker-proxy's second connection.

    Attributes:
        direction: "original" or "reply", within its connection.
        sender: who sends it: a container, "host", or an address outside.
        packet: as it was sent.
        steps: what the host's kernel did, in order.
        own_steps: what the sender's own network namespace did before (rules of a container).
        arrival_steps: what the receiver's own network namespace did after.
        verdict: what happened to it.
        delivered: where it arrived, None when it did not.
        proxy: the leg belongs to docker-proxy's own connection to the container.
        inside: the packet never left its sender's network namespace.
        listening: whether a program listens where a connection's first packet is delivered; None if the capture does
            not show it, and for all other packets.
        program: the name of that program; "" if it was not saved.
    """

    direction: Literal["original", "reply"]
    sender: str
    packet: Packet
    steps: list[Step] = field(default_factory=list)
    own_steps: list[Step] = field(default_factory=list)
    arrival_steps: list[Step] = field(default_factory=list)
    verdict: FinalVerdict = "ACCEPT"
    delivered: Delivery | None = None
    proxy: bool = False
    inside: bool = False
    listening: bool | None = None
    program: str = ""
    #: rules that did not match after the last step
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def all_steps(self) -> list[Step]:
        """All steps in order, those inside containers as well."""
        return [*self.own_steps, *self.steps, *self.arrival_steps]

    @property
    def ends(self) -> list[Step]:
        """The steps that blocked the packet: several if its branches end alike, but at different steps."""
        if self.verdict not in BLOCKING:
            return []
        found = [step for step in self.all_steps if step.verdict in ("DROP", "REJECT", "QUEUE", "STOLEN")]
        if self.verdict == "REJECT":
            # for a flooded frame, the step that rejects a copy; the host may drop its own copy afterwards
            found = [step for step in found if step.verdict == "REJECT"] or found
        firm = [step for step in found if not step.maybe]
        return firm[-1:] or found

    @property
    def deciding(self) -> Step | None:
        """The step that blocked the packet; None if its branches end at several; its last step if it arrived."""
        if self.verdict in BLOCKING:
            return self.ends[0] if len(self.ends) == 1 else None
        whole = [step for step in self.all_steps if step.code != "policy-routing"]
        firm = [step for step in whole if not step.maybe] or whole
        return firm[-1] if firm else None

    def as_json(self, verbose: bool = False) -> dict[str, Any]:
        """Return the leg in the trace schema."""
        out: dict[str, Any] = {
            "direction": self.direction,
            "from": self.sender,
            "verdict": self.verdict,
            "packet": packet_json(self.packet),
            "delivered": None,
            "steps": [step.as_json(verbose) for step in self.steps],
        }
        if self.delivered is not None:
            out["delivered"] = {
                "kind": self.delivered.kind,
                "name": self.delivered.name,
                "packet": packet_json(self.delivered.packet),
            }
            out["listening"] = self.listening
            if self.delivered.kind == "outside" and self.delivered.interface:
                out["delivered"]["interface"] = self.delivered.interface
            if self.program:
                out["delivered"]["program"] = self.program
        for name, steps in (("own_steps", self.own_steps), ("arrival_steps", self.arrival_steps)):
            if steps:
                out[name] = [step.as_json(verbose) for step in steps]
        if self.proxy:
            out["proxy"] = True
        return out


#: What an undecided match of a rule does if it is True, and what an undecided target does.
MATCHES = message("matches")
CONTINUES = message("lets it continue")
ACCEPTS = message("accepts it")
KEEPS = message("keeps its source")


@dataclass(frozen=True, slots=True)
class Sent:
    """Which packet of a question it is: the request or the reply, on docker-proxy's own connection if `proxy`."""

    direction: Literal["original", "reply"] = "original"
    proxy: bool = False


@dataclass(slots=True)
class Decision:
    """How one branch of the walk decided an unknown match, or a choice that cannot be predicted.

    Attributes:
        match: the match or target; for a choice outside the rules what it is about, such as "next_hop" or "nftables".
        step: table, chain and position of the rule; empty for a choice outside the rules.
        rule: None for a choice outside the rules.
        words: what holds if the value is true, as a predicate of the match or target; a whole clause if there is no
            rule.
        otherwise: what holds if it is false, as a whole clause; "" for the negation of `words`.
        nftables: the base chain whose verdict it is about.
        sent: the packet for which it was decided; None if it holds for all packets of the question.
    """

    unknown: Unknown
    match: str
    step: tuple[str, str, int]
    rule: Rule | None
    value: bool
    words: Text = MATCHES
    otherwise: Text = ""
    nftables: NftChain | None = None
    sent: Sent | None = None

    @property
    def place(self) -> tuple[str, ...]:
        """What was decided: the rule's table, chain and position, or what is chosen outside the rules."""
        if self.nftables is not None:
            return (self.match, self.nftables.family, self.nftables.table, self.nftables.name or "")
        return tuple(map(str, self.step)) if self.rule is not None else (self.match,)

    def same(self, other: Decision) -> bool:
        """Return whether both decide the same thing, whatever the value."""
        return self.subject == other.subject

    @property
    def subject(self) -> tuple[Any, ...]:
        """What was decided, and for which packet."""
        return self.step, self.match, self.words, self.sent


@dataclass(slots=True)
class Trace(Framed):
    """The result of one walk, as data.

    Attributes:
        verdict: the overall verdict: DROP or REJECT also if only the reply is lost.
        legs: in the order in which the packets are sent.
        branches: one trace for each combination of results of the undecided matches, if they end differently.
        decisions: how the undecided matches were decided on this branch.
        hinges: the undecided matches on which the verdict depends.
        consulted: packet fields that a rule checked while they held a default.
        assumptions: what was assumed, as sentences.
        evaluated: how many rules were evaluated for it, on all branches.
    """

    verdict: FinalVerdict
    legs: list[Leg]
    id: str | None = None
    branches: list[Trace] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    hinges: list[Decision] = field(default_factory=list)
    consulted: frozenset[str] = frozenset()
    assumptions: list[Text] = field(default_factory=list)
    evaluated: int = 0

    def __repr__(self) -> str:
        leg = self.legs[0]
        packet = leg.packet
        target = address_text(packet.family, packet.dst)
        ways = f", {len(self.branches)} ways" if self.branches else f", {len(self.legs)} legs"
        return printable(
            f"<Trace {self.verdict}: {leg.sender} → {target} {protocol_name(packet.proto)}{ways}>"
        )

    def path(self) -> list[Move]:
        """Return the calls and returns of all legs in the rules of the host; see :mod:`iptsim.netfilter.path`."""
        return [move for leg in self.legs for move in moves(leg.steps)]

    @property
    def opening(self) -> Leg:
        """The leg that opens the connection at its far end: the request, or docker-proxy's own."""
        return [leg for leg in self.legs if leg.direction == "original"][-1]

    @property
    def listening(self) -> bool | None:
        """Whether a program listens where the connection ends, behind docker-proxy too; None: unknown."""
        return self.opening.listening

    @property
    def deciding_leg(self) -> Leg:
        """The leg that decides the verdict: the first one that did not arrive, else the first."""
        return next((leg for leg in self.legs if leg.verdict != "ACCEPT"), self.legs[0])


def packet_json(packet: Packet) -> dict[str, Any]:
    """Return the fields of a packet that matter, under the names of the trace schema."""
    out: dict[str, Any] = {
        "src": address_text(packet.family, packet.src),
        "dst": address_text(packet.family, packet.dst),
        "proto": usual_protocol_name(packet.proto),
    }
    if packet.proto in PORT_PROTOCOLS:
        out.update(sport=packet.sport, dport=packet.dport)
    if packet.proto == TCP:
        out["tcp_flags"] = ",".join(name for name, bit in TCP_FLAGS.items() if packet.tcp_flags & bit)
    if packet.icmp_type is not None:
        out.update(icmp_type=packet.icmp_type, icmp_code=packet.icmp_code)
    if packet.mark != 0:
        out["mark"] = known_mark(packet.mark)
    if packet.fragment:
        out["fragment"] = packet.fragment
    return out
