"""`-m bpf`: a program that reads the packet (net/netfilter/xt_bpf.c).

Bytecode of the classic packet filter is run here as the kernel runs it, on the packet from its IP
header on. A dump does not say what an eBPF object pinned in a file system does.
"""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.cbpf import Instruction, check_program, parse_program, program_text, run_program
from iptsim.extensions.checks import demand_one
from iptsim.extensions.constraints import undecided
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.values import word_value
from iptsim.languages import Text, message, message_if
from iptsim.truth import Truth, Unknown


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

    def check(self) -> None:
        demand_one(self, "bytecode", "object_pinned")
        if self.bytecode is not None:
            check_program(self.bytecode)

    def predicates(self) -> tuple[Predicate, ...]:
        if self.bytecode is not None:
            return (Predicate(self.save(), self._test, self._got, same=("bpf", self.bytecode)),)
        unknown = Unknown(
            message("what the program {program} returns", program=self.object_pinned or ""),
            "--assume bpf=yes",
            ("bpf", self.object_pinned),
        )
        return self.one(undecided(f"bpf.{self.object_pinned}", unknown, _NOT_KNOWN))

    def _test(self, context: Context) -> Truth:
        result = run_program(self.bytecode or (), context)
        return result if isinstance(result, Unknown) else result != 0

    def _got(self, context: Context) -> Text:
        result = self._test(context)
        if isinstance(result, Unknown):
            return _NOT_KNOWN
        return message_if(
            result, "the program returns a number other than 0 for it", "the program returns 0 for it"
        )

    def lists(self, form: ListingForm) -> str:
        if self.bytecode is None:
            return f"match bpf pinned {self.object_pinned}"
        # iptables prints the string's terminating NUL as well
        return f"match bpf {program_text(self.bytecode).partition(',')[2]}\0"

    def says(self) -> Text:
        if self.bytecode is None:
            return message("that the program {program} accepts", program=self.object_pinned or "")
        return message("that a packet filter program of length {length} accepts", length=len(self.bytecode))


_NOT_KNOWN = message("what the program returns for it is not known")

EXTENSIONS = (Bpf,)
