"""One run of a question, in which every undecided match has gone one way."""

from __future__ import annotations

from dataclasses import dataclass

from iptsim.host.containers import Container
from iptsim.host.model import Host
from iptsim.netfilter.chains import Budget
from iptsim.netfilter.journey import Journey
from iptsim.netfilter.namespaces import Namespaces
from iptsim.netfilter.outside import Watch
from iptsim.netfilter.surroundings import World
from iptsim.question.model import Question
from iptsim.question.start import Start


@dataclass(slots=True)
class Run:
    """The namespaces of one run, each with its journey, so that replies meet the same connections."""

    namespaces: Namespaces
    question: Question
    start: Start
    budget: Budget
    host_journey: Journey
    containers: dict[str, Journey]
    assumptions_used: set[str]
    watch: Watch | None = None

    @property
    def host(self) -> Host:
        """The host that the question is about."""
        return self.namespaces.host

    def ask(self, question: Question) -> None:
        """Let the rules look at what a question says of the world."""
        for journey in (self.host_journey, *self.containers.values()):
            journey.world.question = question

    def journey_of(self, container: Container) -> Journey:
        """Return the journey through a container's own network namespace."""
        found = self.containers.get(container.name)
        if found is None:
            namespace = container.namespace
            world = World(self.host, self.question, namespace, assumptions_used=self.assumptions_used)
            found = Journey(world, namespace, self.namespaces.programs_of(namespace), budget=self.budget)
            self.containers[container.name] = found
        return found
