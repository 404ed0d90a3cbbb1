"""`-m length`: the length of the IP packet, header included (net/netfilter/xt_length.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, Value, field_predicate
from iptsim.extensions.checks import demand
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import number_range, range_text, range_words
from iptsim.languages import later, say_if


class Length(Match):
    """The IP packet's length in octets; for a fragment, that of the fragment."""

    name: ClassVar[str] = "length"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--length",
            "length",
            Value(
                "a length in octets, or a range (100, 40:100, 1000:)",
                lambda text: number_range(text, 0xFFFF),
                range_text,
            ),
            True,
        ),
    )

    length: tuple[int, int] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Length:
        demand(self, "length")
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the length."""
        allowed = (self.length,) if self.length else ()
        return (
            field_predicate(
                self.save(),
                "length",
                allowed,
                negated="length" in self.negated,
                name=later("length in octets"),
            ),
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" length {self.bang('length')}{range_text(self.length or (0, 0))}"

    def says(self) -> str:
        """Return the length in words."""
        low, high = self.length or (0, 0xFFFF)
        if high == 0xFFFF:
            return say_if(
                "length" in self.negated, "not of {low} or more octets", "of {low} or more octets", low=low
            )
        return say_if(
            "length" in self.negated,
            "not of {range_text} octets",
            "of {range_text} octets",
            range_text=range_words((low, high)),
        )


EXTENSIONS = (Length,)
