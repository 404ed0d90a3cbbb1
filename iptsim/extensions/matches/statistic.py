"""`-m statistic`: by chance, or every nth packet (net/netfilter/xt_statistic.c).

Fact: `nth`, how many packets have come to this match since the rules were loaded.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import ClassVar, NamedTuple

from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import Constraint, Field, equal, named, undecided
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.stated import stated_number
from iptsim.extensions.values import choice, integer_value
from iptsim.languages import Text, message, message_if
from iptsim.truth import Unknown

#: The kernel draws a number of 31 bits.
_CERTAIN = 0x80000000


class Probability(NamedTuple):
    """A probability in the kernel's steps of 1/2**31, and as iptables printed it."""

    steps: int
    text: str

    def __str__(self) -> str:
        return self.text


def _probability(text: str) -> Probability:
    """Read a probability; digits as some version of iptables prints them (six, or eleven) are kept."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise ValueError(message("{text!r} is not a number from 0 to 1", text=text))
    steps = int(_CERTAIN * number + 0.5)
    return Probability(steps, text if re.fullmatch(r"[01]\.[0-9]{6}", text) else f"{steps / _CERTAIN:.11f}")


class Statistic(Match):
    """A share of the packets: random ones, or the nth of each n."""

    name: ClassVar[str] = "statistic"
    status: ClassVar[Status] = "given"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--mode", "mode", choice("random or nth", ("random", "nth"))),
        Option("--probability", "probability", Value("a number from 0 to 1", _probability), True),
        Option("--every", "every", integer_value("a number of packets", 1), True),
        Option("--packet", "packet", integer_value("a packet's number, below --every", 0)),
    )

    mode: str
    probability: Probability | None = None
    every: int | None = None
    packet: int | None = None

    def check(self) -> None:
        if self.mode == "random" and (self.probability is None or self.every or self.packet is not None):
            raise ValueError(
                message("--mode random needs --probability, and takes neither --every nor --packet")
            )
        if self.mode == "nth":
            if self.every is None or self.packet is None or self.probability is not None:
                raise ValueError(
                    message("--mode nth needs --every and --packet, and does not take --probability")
                )
            if self.packet >= self.every:
                raise ValueError(
                    message("--packet must be below {every}, the number after --every", every=self.every)
                )

    def predicates(self) -> tuple[Predicate, ...]:
        negated = bool(self.negated)
        if self.every:
            return self.one(
                Constraint(_packet_number(self.every, self.save()), equal(self.packet or 0), negated)
            )
        got = message("it is a matter of chance")
        if self._steps in (0, _CERTAIN):
            certain = Field("chance", lambda context: True, lambda context: got)
            return self.one(Constraint(certain, named(self._steps == _CERTAIN), negated))
        unknown = Unknown(
            message("chance: {share:.2%} of the packets match", share=self._steps / _CERTAIN),
            "--assume statistic=yes",
        )
        return self.one(replace(undecided("chance", unknown, got), negated=negated))

    @property
    def _steps(self) -> int:
        return self.probability.steps if self.probability else 0

    def lists(self, form: ListingForm) -> str:
        not_ = " !" if self.negated else ""
        if self.probability is not None:
            return f" statistic mode random{not_} probability {self._steps / _CERTAIN:.11f}"
        packet = f" packet {self.packet}" if self.packet else ""
        return f" statistic mode nth{not_} every {self.every}{packet}"

    def says(self) -> Text:
        if self.every:
            return message_if(
                self.negated,
                "that are not {shown} that arrive here",
                "that are {shown} that arrive here",
                shown=message(
                    "number {packet} of every {every}", packet=(self.packet or 0) + 1, every=self.every
                ),
            )
        share = (_CERTAIN - self._steps if self.negated else self._steps) / _CERTAIN
        return message("picked at random, {share:.2%} of them", share=share)


def _packet_number(every: int, text: str) -> Field:
    """Make the field of a packet's number, from 0, among each `every` that come to a match."""
    unknown = Unknown(
        message("how many packets came to {text} before", text=text), "--set nth=N, or --assume statistic=yes"
    )

    def read(context: Context) -> int | Unknown:
        before = 0 if every == 1 else stated_number("nth", context.surroundings.fact("nth"))
        return unknown if before is None else before % every

    def got(context: Context) -> Text:
        before = context.surroundings.fact("nth")
        if before is None:
            return message("how many came before is not known")
        return message("{before} packets came here before it", before=before)

    return Field(f"nth.{every}", read, got, steady=False)


EXTENSIONS = (Statistic,)
