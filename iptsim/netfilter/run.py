"""One run of a question: one decision on everything that is undecided."""

from __future__ import annotations

from dataclasses import dataclass, field

from iptsim.host.containers import Container
from iptsim.host.model import Host
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.namespaces import Namespaces
from iptsim.netfilter.surroundings import World
from iptsim.question.model import Question
from iptsim.question.start import Start


@dataclass(slots=True)
class Run:
    """The kernel's state in each namespace, kept so that replies find the same connections.

    Attributes:
        namespaces: the host and its containers, with their rules.
        question: the facts that rules may check besides the packet.
        start: where the packet is sent from, and how.
        kernel: the state in the host's namespace.
        containers: the state in the containers that a packet has entered.
    """

    namespaces: Namespaces
    question: Question
    start: Start
    kernel: Kernel
    containers: dict[str, Kernel] = field(default_factory=dict)

    @property
    def host(self) -> Host:
        """The host that the question is about."""
        return self.namespaces.host

    def ask(self, question: Question) -> None:
        """From now on, let the rules check the facts of this question."""
        for kernel in (self.kernel, *self.containers.values()):
            kernel.world.question = question

    def kernel_of(self, container: Container) -> Kernel:
        """Return the state in a container's own network namespace; what is undecided there branches the run as well."""
        found = self.containers.get(container.name)
        if found is None:
            host, namespace = self.kernel, container.namespace
            used = host.world.assumptions_used
            world = World(self.host, self.question, namespace, assumptions_used=used)
            hooks = self.namespaces.hooks_of(namespace)
            found = Kernel(
                world,
                hooks,
                choices=host.choices,
                budget=host.budget,
                watches=host.watches,
                observer=host.observer,
            )
            found.consulted, found.notes, found.company = host.consulted, host.notes, host.company
            self.containers[container.name] = found
        return found
