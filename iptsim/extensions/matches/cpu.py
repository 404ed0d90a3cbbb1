"""`-m cpu`: the processor that handles the packet (net/netfilter/xt_cpu.c).

Fact: `cpu`, the processor's number.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, Status, constrained
from iptsim.extensions.checks import demand
from iptsim.extensions.constraints import Constraint, fact_field, named
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import integer_value
from iptsim.languages import later, say, say_if
from iptsim.packet import Unknown


class Cpu(Match):
    """The processor that handles the packet."""

    name: ClassVar[str] = "cpu"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--cpu", "cpu", integer_value("a processor's number, from 0"), True),
    )
    status: ClassVar[Status] = "given"

    cpu: int | None = None

    @model_validator(mode="after")
    def _complete(self) -> Cpu:
        demand(self, "cpu")
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the processor."""
        return (constrained(self.save(), Constraint(_CPU, named(self.cpu), "cpu" in self.negated)),)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" cpu {self.bang('cpu', '! ')}{self.cpu}"

    def says(self) -> str:
        """Return the processor in words."""
        return say_if(
            "cpu" in self.negated,
            "not handled by processor {cpu}",
            "handled by processor {cpu}",
            cpu=self.cpu,
        )


def _got(cpu: int | None) -> str:
    return say("its processor was not stated") if cpu is None else say("processor {cpu} handles it", cpu=cpu)


_CPU = fact_field(
    "cpu", Unknown(later("the processor that handles the packet"), "--set cpu=N"), _got, lambda cpu: cpu
)

EXTENSIONS = (Cpu,)
