"""`-m connlabel`: the labels of the packet's connection (net/netfilter/xt_connlabel.c).

Fact: `connlabels`, a mapping of label names to their numbers, as /etc/xtables/connlabel.conf has it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, Status, Value, fact_predicate, in_quotes
from iptsim.extensions.checks import demand
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import integer
from iptsim.languages import later, say, say_if
from iptsim.packet import Context, Truth, Unknown


def _parse(text: str) -> int | str:
    if text[:1].isdigit():
        return integer(text, 0, 127)
    if not text:
        raise ValueError("the label's name is empty")
    return text


def _quoted(label: int | str) -> str:
    """Print a label, always in quotes."""
    return f'"{label}"' if isinstance(label, int) else in_quotes(label)


class Connlabel(Match):
    """One label of the connection, by number or by name; with `--set` it is set, and the match holds."""

    name: ClassVar[str] = "connlabel"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--label", "label", Value("a label from 0 to 127, or its name", _parse, _quoted), True),
        Option("--set", "set"),
    )
    status: ClassVar[Status] = "given"

    label: int | str | None = None
    set: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Connlabel:
        demand(self, "label")
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the label."""
        plain = fact_predicate(self.save(), self._test, self._got, negated="label" in self.negated)
        return (replace(plain, effect=self._set_label) if self.set else plain,)

    def _set_label(self, context: Context) -> None:
        number = self._number(context)
        if context.connection is not None and number is not None:
            context.connection.labels |= {number}

    def _number(self, context: Context) -> int | None:
        if isinstance(self.label, int):
            return self.label
        names = context.surroundings.fact("connlabels") or {}
        number: int | None = names.get(self.label)
        return number

    def _test(self, context: Context) -> Truth:
        connection = context.connection
        if connection is None:
            return False
        if self.set:
            return True
        number = self._number(context)
        if number is None:
            return Unknown(
                later("the number of connection label {label}", label=self.label),
                "--assume connlabel=yes",
                ("connlabel", self.label),
            )
        return number in connection.labels

    def _got(self, context: Context) -> str:
        if context.connection is None:
            return say("it belongs to no tracked connection")
        labels = ", ".join(map(str, sorted(context.connection.labels)))
        return (
            say("its connection has labels {labels}", labels=labels)
            if labels
            else say("its connection has no label")
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        label = f"'{self.label}'" if isinstance(self.label, str) else self.label
        return f" connlabel{self.bang('label', ' !')} {label}{' set' if self.set else ''}"

    def says(self) -> str:
        """Return the label in words."""
        if not self.set:
            return say_if(
                self.negated,
                "whose connection does not have label {label}",
                "whose connection has label {label}",
                label=self.label,
            )
        return say_if(
            self.negated,
            "whose connection does not have or can be given label {label}",
            "whose connection has or can be given label {label}",
            label=self.label,
        )


EXTENSIONS = (Connlabel,)
