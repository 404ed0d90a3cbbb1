"""The story of a trace as one tree of visits: legs, namespaces, hooks, base chains, rules; what decided, what mattered.

It folds the calls and returns of :mod:`iptsim.netfilter.path`. The terminal, HTML, reports and pictures show this tree,
each in its own form; only this module decides which visits mattered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Flag, auto
from functools import cache
from itertools import groupby
from typing import Literal

from iptsim.extensions.verdicts import BLOCKING
from iptsim.languages import Message, message
from iptsim.netfilter.path import Move, moves
from iptsim.netfilter.steps import Step
from iptsim.netfilter.trace import Leg, Trace

#: How the path of a packet ends: it arrived, was stopped, or depends on an undecided match.
End = Literal["arrived", "stop", "open"]


class Effect(Flag):
    """What a visit did.

    Attributes:
        NONE: nothing; without it the packet's path would be the same.
        RETURNED: a rule with conditions left its chain early.
        POLICY: a policy accepted the packet.
        ACTED: a verdict, a change to the packet, a log entry, a decision of the kernel.
    """

    NONE = 0
    RETURNED = auto()
    POLICY = auto()
    ACTED = auto()


@dataclass(slots=True, eq=False)
class Visit:
    """A step, and below it the visits of the chain that it led to.

    Attributes:
        move: the call, goto, return or end that the step is; None for what happened outside iptables.
        effect: what it did, and what the visits below it did.
    """

    step: Step
    move: Move | None = None
    parent: Visit | None = None
    inside: list[Visit] = field(default_factory=list)
    effect: Effect = Effect.NONE

    @property
    def matters(self) -> bool:
        """Whether the packet's path would be different without it. An accepting policy changes nothing."""
        return self.effect not in (Effect.NONE, Effect.POLICY)

    @property
    def is_call(self) -> bool:
        """Whether it is a jump, from whose chain the packet comes back."""
        return self.move is not None and self.move.kind == "call"

    @property
    def chain(self) -> str:
        """The chain that it led to; "" for all but a jump or a goto."""
        return self.step.called

    def walk(self) -> Iterator[Visit]:
        """Yield the visit and those below it, in their order."""
        todo = [self]
        while todo:
            visit = todo.pop()
            yield visit
            todo.extend(reversed(visit.inside))


@dataclass(slots=True, eq=False)
class ChainVisit:
    """The traversal of a base chain; or what happened at a hook outside iptables.

    Attributes:
        table: the table; None outside iptables.
    """

    table: str | None
    visits: list[Visit]

    @property
    def matters(self) -> bool:
        """Whether any visit mattered."""
        return any(visit.matters for visit in self.visits)


@dataclass(slots=True, eq=False)
class HookVisit:
    """What happened at a hook: the base chains in the order in which the kernel calls them."""

    hook: str
    chains: list[ChainVisit]

    @property
    def roots(self) -> Iterator[Visit]:
        """The visits of the base chains."""
        return (visit for chain in self.chains for visit in chain.visits)

    @property
    def visits(self) -> Iterator[Visit]:
        """All visits in the order of their steps."""
        return (visit for root in self.roots for visit in root.walk())


@dataclass(slots=True, eq=False)
class NamespaceVisit:
    """What happened in one network namespace.

    Attributes:
        name: the container; "" for the host.
        steps: all steps in order.
    """

    name: str
    steps: list[Step]
    hooks: list[HookVisit]

    @property
    def visits(self) -> Iterator[Visit]:
        """All visits in the order of their steps."""
        return (visit for hook in self.hooks for visit in hook.visits)

    @property
    def matters(self) -> bool:
        """Whether any visit mattered."""
        return any(chain.matters for hook in self.hooks for chain in hook.chains)


@dataclass(slots=True, eq=False)
class LegVisit:
    """One packet's path.

    Attributes:
        number: counted from 1.
        own / host / arrival: what happened in the sender's namespace, on the host, and in the receiver's.
        blocked_by: the step that blocked the packet; None if it arrived, or if its branches end at different steps.
        decided_by: the same, or the step by which the packet got through.
        end: how the path ends.
        is_of_reject: it is what a REJECT rule sends back.
        drawn: how pictures draw it: a request, or a reply that is lost; other legs are not drawn.
    """

    leg: Leg
    number: int
    own: NamespaceVisit
    host: NamespaceVisit
    arrival: NamespaceVisit
    blocked_by: Step | None
    decided_by: Step | None
    end: End
    is_of_reject: bool
    drawn: Literal["request", "lost reply"] | None

    @property
    def title(self) -> Message:
        """What the leg is: "reply"."""
        if self.leg.proxy:
            if self.leg.direction == "original":
                return message("docker-proxy → container")
            return message("container → docker-proxy")
        if self.is_of_reject:
            return message("response of the REJECT rule")
        if self.number == 1:
            return message("request")
        return message("reply") if self.leg.direction == "reply" else message("second connection")

    @property
    def namespaces(self) -> tuple[NamespaceVisit, NamespaceVisit, NamespaceVisit]:
        """The namespaces in the order in which the packet passes them."""
        return self.own, self.host, self.arrival

    @property
    def is_later(self) -> bool:
        """Whether one sentence is enough for it: a packet that got through, and not the first one."""
        return self.number > 1 and self.leg.verdict == "ACCEPT"

    @property
    def stays_inside(self) -> bool:
        """Whether the packet never left its sender's namespace, and got through."""
        return self.leg.inside and self.leg.verdict == "ACCEPT"


@dataclass(slots=True, eq=False)
class Story:
    """A trace as a tree of visits."""

    legs: list[LegVisit]


def story_of(trace: Trace, decided: Step | None = None) -> Story:
    """Return the story of a trace.

    Args:
        trace: the trace.
        decided: the step that a reason names, if the packet got through.
    """
    return Story([_leg(trace, number, decided) for number in range(1, len(trace.legs) + 1)])


def _leg(trace: Trace, number: int, decided: Step | None) -> LegVisit:
    legs = trace.legs
    leg = legs[number - 1]
    blocked = leg.verdict in BLOCKING
    is_lost = blocked and legs[0].verdict == "ACCEPT"
    end: End = "open" if leg.verdict == "DEPENDS" else "stop" if blocked else "arrived"
    return LegVisit(
        leg,
        number,
        own=_namespace(leg.sender, leg.own_steps),
        host=_namespace("", leg.steps),
        arrival=_namespace(leg.delivered.name if leg.delivered else "", leg.arrival_steps),
        blocked_by=leg.deciding if blocked else None,
        decided_by=decided if number == 1 and leg.verdict == "ACCEPT" else leg.deciding,
        end=end,
        is_of_reject=number == 2 and legs[0].verdict == "REJECT",
        drawn="request" if leg.direction == "original" else "lost reply" if is_lost else None,
    )


def _namespace(name: str, steps: list[Step]) -> NamespaceVisit:
    hooks = [
        HookVisit(
            hook,
            [
                ChainVisit(table, _visits(list(run)))
                for (table, _), run in groupby(group, key=lambda step: (step.table, step.backend))
            ],
        )
        for hook, group in groupby(steps, key=lambda step: step.hook)
    ]
    return NamespaceVisit(name, steps, hooks)


def _visits(steps: list[Step]) -> list[Visit]:
    """Return the visits of one base chain, or of the kernel outside iptables, as trees."""
    if steps[0].table is None:
        return [Visit(step, effect=Effect.NONE if _is_idle(step) else Effect.ACTED) for step in steps]
    roots: list[Visit] = []
    #: The visits that enclose the next one, by depth: a call, or the last goto after it.
    around: list[Visit | None] = [None]
    for move in moves(steps):
        step = move.step
        if step is None:
            if move.kind == "enter":
                around = [None]
            continue
        del around[move.depth + 1 :]
        parent = around[-1]
        visit = Visit(step, move, parent)
        (roots if parent is None else parent.inside).append(visit)
        if move.kind == "call":
            around.append(visit)
        elif move.kind == "goto":
            around[-1] = visit
        _spread(visit, _effect(step))
    return roots


def _spread(visit: Visit | None, effect: Effect) -> None:
    """Add an effect to a visit and to all visits above it."""
    while visit is not None and (both := _joined(visit.effect, effect)) is not visit.effect:
        visit.effect, visit = both, visit.parent


@cache
def _joined(one: Effect, other: Effect) -> Effect:
    """Combine two effects; cached, because operations on flags are slow."""
    return one | other


def _is_idle(step: Step) -> bool:
    """Return whether a step is a chain of nftables that can only let packets continue."""
    return step.nftables is not None and not step.nftables.effects


def _effect(step: Step) -> Effect:
    if step.changes:
        return Effect.ACTED
    if step.policy:
        return Effect.POLICY if step.verdict == "ACCEPT" else Effect.ACTED
    if step.called:
        return Effect.NONE
    if step.verdict != "RETURN":
        return Effect.ACTED
    return Effect.RETURNED if step.rule is not None and not step.rule.is_unconditional else Effect.NONE
