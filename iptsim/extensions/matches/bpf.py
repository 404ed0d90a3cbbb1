"""`-m bpf`: a program that looks at the packet (net/netfilter/xt_bpf.c).

Bytecode of the classic packet filter is run here as the kernel runs it, on the packet from its IP
header on. What an eBPF object pinned in a file system does, no dump tells.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, Value
from iptsim.extensions.cbpf import Instruction, check_program, parse_program, program_text, run_program
from iptsim.extensions.checks import demand_one
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import word_value
from iptsim.languages import later, say, say_if
from iptsim.packet import Context, Truth, Unknown


class Bpf(Match):
    """A program in bytecode, or in a file."""

    name: ClassVar[str] = "bpf"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--bytecode",
            "bytecode",
            Value(
                "a program as nfbpf_compile prints it",
                parse_program,
                lambda program: f'"{program_text(program)}"',
            ),
        ),
        Option(
            "--object-pinned",
            "object_pinned",
            word_value("the path of a pinned program"),
            aliases=("--pinned",),
        ),
    )

    bytecode: tuple[Instruction, ...] | None = None
    object_pinned: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Bpf:
        demand_one(self, "bytecode", "object_pinned")
        if self.bytecode is not None:
            check_program(self.bytecode)
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition that the program returns another number than 0."""
        return (Predicate(self.save(), self._test, self._got),)

    def _test(self, context: Context) -> Truth:
        if self.bytecode is None:
            return Unknown(
                later("what the program {object_pinned} returns", object_pinned=self.object_pinned),
                "--assume bpf=yes",
                ("bpf", self.object_pinned),
            )
        result = run_program(self.bytecode, context)
        return result if isinstance(result, Unknown) else result != 0

    def _got(self, context: Context) -> str:
        result = self._test(context)
        if isinstance(result, Unknown):
            return say("what the program returns for it is not known")
        return say_if(
            result, "the program returns a number other than 0 for it", "the program returns 0 for it"
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        if self.bytecode is None:
            return f"match bpf pinned {self.object_pinned}"
        # iptables prints the string's end as well
        return f"match bpf {program_text(self.bytecode).partition(',')[2]}\0"

    def says(self) -> str:
        """Return what decides in words."""
        if self.bytecode is None:
            return say("that the program {object_pinned} takes", object_pinned=self.object_pinned)
        return say("that a packet filter program of length {bytecode} takes", bytecode=len(self.bytecode))


EXTENSIONS = (Bpf,)
