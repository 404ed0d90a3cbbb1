"""All branches of a question: one for each combination of results of the undecided matches."""

from __future__ import annotations

from dataclasses import replace

from iptsim.addresses import address_text
from iptsim.connection import Connection
from iptsim.languages import Text, message
from iptsim.netfilter import replies
from iptsim.netfilter.choices import Choices
from iptsim.netfilter.kernel import Budget, Kernel, Observer
from iptsim.netfilter.legs import legs_of
from iptsim.netfilter.merge import merge
from iptsim.netfilter.namespaces import Namespaces
from iptsim.netfilter.packet_before import open_connection, pass_before
from iptsim.netfilter.run import Run
from iptsim.netfilter.surroundings import World
from iptsim.netfilter.trace import FinalVerdict, Leg, Trace
from iptsim.netfilter.watch import Watch
from iptsim.packet import is_icmp_error
from iptsim.question.model import Question
from iptsim.question.start import Start
from iptsim.question.tracking import quote_of, tracking_of

#: The maximum number of branches that are followed.
WAY_LIMIT = 256
#: No further branch is followed once this many rules have been evaluated.
_MOST_EVALUATED = 200_000


class Branches:
    """All branches of a question, each followed in a run of its own.

    Attributes:
        before: the earlier packet that the question gives as `after`.
        watches: record the rules that the packets traverse.
    """

    def __init__(
        self,
        namespaces: Namespaces,
        question: Question,
        start: Start,
        before: Start | None = None,
        watches: tuple[Watch, ...] = (),
        observer: Observer | None = None,
    ) -> None:
        self.namespaces = namespaces
        self.question = question
        self.start = start
        self.before = before
        self.observer = observer
        self.budget = Budget()
        self.runs = 0
        self.assumptions_used: set[str] = set()
        self.watches = watches
        self.notes: list[Text] = []

    def explore(self, plan: tuple[bool, ...]) -> Trace:
        """Follow a plan and every branch that splits off it later, and merge branches that end alike."""
        trace = self.run(plan)
        taken = trace.decisions
        for index in range(len(taken) - 1, len(plan) - 1, -1):
            if self.runs >= WAY_LIMIT or self.budget.spent >= _MOST_EVALUATED:
                note = message(
                    "The rules branch into more than {limit} paths; only the first {limit} were followed.",
                    limit=self.runs,
                )
                if note not in self.notes:
                    self.notes.append(note)
                # how the other branches end is unknown
                return replace(trace, verdict="DEPENDS", hinges=trace.hinges or [taken[index]])
            other = self.explore((*(decision.value for decision in taken[:index]), not taken[index].value))
            trace = merge(trace, other, taken[index], index)
        return trace

    def run(self, plan: tuple[bool, ...]) -> Trace:
        """Follow one branch, on which everything undecided is decided by the plan."""
        self.runs += 1
        host, earlier, before = self.namespaces.host, self.question.after, self.before
        start = replace(self.start, packet=self.start.packet.copy())
        if earlier is None or before is None:
            tracking = tracking_of(self.question, start.packet, host)
        else:
            tracking = tracking_of(earlier, before.packet, host)
        kernel = self.kernel(plan, tracking.connections)
        run = Run(self.namespaces, self.question, start, kernel)
        if earlier is not None and before is not None:
            kernel.notes += pass_before(replace(run, question=earlier, start=before), tracking.state)
            run.ask(self.question)
            if is_icmp_error(start.packet):
                quote_of(start.packet, kernel.connections)
        elif self.question.state == "established" and self.question.ct is None:
            open_connection(run)
        elif tracking.state is not None:
            kernel.world.force(tracking.state)
        if tracking.note is not None:
            kernel.notes.append(tracking.note)
        legs = legs_of(run)
        verdict = verdict_of(legs)
        if verdict == "ACCEPT" and len(legs) > 1 and replies.is_sent_bare(host, legs[0]):
            kernel.notes.append(_way_back(start, legs[0]))
        self.notes += [note for note in dict.fromkeys(kernel.notes) if note not in self.notes]
        return Trace(verdict, legs, decisions=kernel.choices.decisions, consulted=frozenset(kernel.consulted))

    def kernel(self, plan: tuple[bool, ...], known: tuple[Connection, ...]) -> Kernel:
        """Return the state of the host's kernel before the first packet."""
        host = self.namespaces.host
        world = World(host, self.question, host.namespace, known, self.assumptions_used)
        return Kernel(
            world,
            self.namespaces.hooks_of(host.namespace),
            choices=Choices(plan),
            budget=self.budget,
            verbose=self.question.verbose,
            watches=self.watches,
            observer=self.observer,
            captured=self.namespaces.captured,
        )


def verdict_of(legs: list[Leg]) -> FinalVerdict:
    """Return the overall verdict: that of the first leg that did not arrive."""
    if legs[0].verdict == "REJECT":
        return "REJECT"
    return next((leg.verdict for leg in legs if leg.verdict != "ACCEPT"), "ACCEPT")


def _way_back(start: Start, request: Leg) -> Text:
    """Return the assumption that there is a route back, for a packet that leaves with an internal address."""
    source = address_text(request.packet.family, request.packet.src)
    return message(
        "{target} has a route back to {source}, as no rule changes the source of the request.",
        target=start.target_name,
        source=source,
    )
