"""`-m statistic`: by chance, or every nth packet (net/netfilter/xt_statistic.c).

Fact: `nth`, how many packets have come to this match since the rules were loaded.
"""

from __future__ import annotations

import re
from typing import ClassVar, NamedTuple

from pydantic import InstanceOf, model_validator

from iptsim.extensions.base import Match, Option, Predicate, Status, Value
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.stated import stated_number
from iptsim.extensions.values import choice, integer_value
from iptsim.languages import later, say, say_if
from iptsim.packet import Context, Truth, Unknown

#: The kernel draws a number of 31 bits.
_CERTAIN = 0x80000000


class Probability(NamedTuple):
    """A probability in the kernel's steps of 1/2**31, and as iptables printed it."""

    steps: int
    text: str

    def __str__(self) -> str:
        return self.text


def _probability(text: str) -> Probability:
    """Read a probability; digits as some version of iptables prints them (six, or eleven) stay."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise ValueError(f"{text!r} is not a number from 0 to 1")
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
    probability: InstanceOf[Probability] | None = None
    every: int | None = None
    packet: int | None = None

    @model_validator(mode="after")
    def _check(self) -> Statistic:
        if self.mode == "random" and (self.probability is None or self.every or self.packet is not None):
            raise ValueError("--mode random needs --probability, without --every and --packet")
        if self.mode == "nth":
            if self.every is None or self.packet is None or self.probability is not None:
                raise ValueError("--mode nth needs --every and --packet, without --probability")
            if self.packet >= self.every:
                raise ValueError(f"--packet must be below {self.every}, the number after --every")
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition; where all packets or none match, it is no chance."""
        negated = bool(self.negated)
        text = self.save()
        return (
            _nth(text, self.every, self.packet or 0, negated) if self.every else self._random(text, negated),
        )

    def _random(self, text: str, negated: bool) -> Predicate:
        steps = self.probability.steps if self.probability else 0
        truth: Truth
        if steps in (0, _CERTAIN):
            truth = (steps == _CERTAIN) is not negated
        else:
            truth = Unknown(
                later("chance: {steps:.2%} of the packets match", steps=steps / _CERTAIN),
                "--assume statistic=yes",
            )
        return Predicate(
            text, lambda context: truth, lambda context: say("it is a matter of chance"), negated=negated
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        not_ = " !" if self.negated else ""
        if self.probability is not None:
            return f" statistic mode random{not_} probability {self.probability.steps / _CERTAIN:.11f}"
        packet = f" packet {self.packet}" if self.packet else ""
        return f" statistic mode nth{not_} every {self.every}{packet}"

    def says(self) -> str:
        """Return the share in words."""
        if self.every:
            shown = say("number {packet} of each {every}", packet=(self.packet or 0) + 1, every=self.every)
            return say_if(
                self.negated,
                "that are not {shown} that come here",
                "that are {shown} that come here",
                shown=shown,
            )
        steps = self.probability.steps if self.probability else 0
        share = (_CERTAIN - steps if self.negated else steps) / _CERTAIN
        return say("picked at random, {share:.2%} of them", share=share)


def _nth(text: str, every: int, packet: int, negated: bool) -> Predicate:
    unknown = Unknown(
        later("how many packets came to {text} before", text=text), "--set nth=N, or --assume statistic=yes"
    )

    def test(context: Context) -> Truth:
        before = 0 if every == 1 else stated_number("nth", context.surroundings.fact("nth"))
        return unknown if before is None else (before % every == packet) is not negated

    def got(context: Context) -> str:
        before = context.surroundings.fact("nth")
        return (
            say("how many came before is not known")
            if before is None
            else say("{before} packets came here before it", before=before)
        )

    return Predicate(text, test, got, negated=negated)


EXTENSIONS = (Statistic,)
