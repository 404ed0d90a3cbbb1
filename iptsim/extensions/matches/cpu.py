"""`-m cpu`: the processor that handles the packet (net/netfilter/xt_cpu.c).

Fact: `cpu`, the processor's number.
"""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import fact_field
from iptsim.extensions.options import Option
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import integer_value
from iptsim.languages import Text, message
from iptsim.truth import Unknown


def _got(cpu: int | None) -> Text:
    if cpu is None:
        return message("its processor was not stated")
    return message("processor {cpu} handles it", cpu=cpu)


_CPU = fact_field(
    "cpu", Unknown(message("the processor that handles the packet"), "--set cpu=N"), _got, lambda cpu: cpu
)


class Cpu(Match):
    """The processor that handles the packet."""

    name: ClassVar[str] = "cpu"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--cpu", "cpu", integer_value("a processor's number, from 0"), True, reads=_CPU,
            phrase=Phrase("handled by processor {value}", "not handled by processor {value}"),
            listed=" cpu [! ]{value}",
        ),
    )  # fmt: skip
    status: ClassVar[Status] = "given"

    cpu: int


EXTENSIONS = (Cpu,)
