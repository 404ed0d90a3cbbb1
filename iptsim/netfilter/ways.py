"""All the ways that a question can go: one for each outcome of the matches that nothing decides."""

from __future__ import annotations

from dataclasses import replace

from iptsim.languages import say
from iptsim.netfilter import answers
from iptsim.netfilter.chains import Budget
from iptsim.netfilter.journey import Journey
from iptsim.netfilter.legs import legs_of
from iptsim.netfilter.merge import merge
from iptsim.netfilter.namespaces import Namespaces
from iptsim.netfilter.outside import watch_of
from iptsim.netfilter.packet_before import open_connection, pass_before
from iptsim.netfilter.run import Run
from iptsim.netfilter.surroundings import World
from iptsim.netfilter.trace import Leg, Trace
from iptsim.packet import address_text, is_icmp_error
from iptsim.question.model import Question
from iptsim.question.start import Start
from iptsim.question.tracking import quote_of, tell

#: How many ways an undecided ruleset may branch into before the answer stops counting them.
WAY_LIMIT = 256


class Ways:
    """All the ways that a question can go, by running it once for each; `before` starts the packet before."""

    def __init__(
        self, namespaces: Namespaces, question: Question, start: Start, before: Start | None = None
    ) -> None:
        self.namespaces = namespaces
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
        host = self.namespaces.host
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
            self.namespaces.programs_of(host.namespace),
            plan=plan,
            budget=self.budget,
            verbose=self.question.verbose,
        )
        run = Run(
            self.namespaces, self.question, start, self.budget, journey, {}, self.assumptions_used, self.watch
        )
        if earlier is not None and self.before is not None:
            journey.notes += pass_before(replace(run, question=earlier, start=self.before), told.state)
            run.ask(self.question)
            if is_icmp_error(start.packet):
                quote_of(start.packet, journey.connections)
        elif self.question.state == "established" and self.question.ct is None:
            open_connection(run)
        elif told.state is not None:
            world.force(told.state)
        if told.note:
            journey.notes.append(told.note)
        legs = legs_of(run)
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
