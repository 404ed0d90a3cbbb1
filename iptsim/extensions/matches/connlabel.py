"""`-m connlabel`: the labels of the packet's connection (net/netfilter/xt_connlabel.c).

Fact: `connlabels`, a mapping of label names to their numbers, as in /etc/xtables/connlabel.conf.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import NOT_TRACKED, Constraint, Field, named, one_member
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value, in_quotes
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.values import integer
from iptsim.languages import Text, message, message_if
from iptsim.truth import Unknown


def _parse(text: str) -> int | str:
    if text[:1].isdigit():
        return integer(text, 0, 127)
    if not text:
        raise ValueError(message("the label name is empty"))
    return text


def _quoted(label: int | str) -> str:
    """Print a label, always in quotes."""
    return f'"{label}"' if isinstance(label, int) else in_quotes(label)


def _number(context: Context, label: int | str) -> int | None:
    if isinstance(label, int):
        return label
    names = context.surroundings.fact("connlabels") or {}
    number: int | None = names.get(label)
    return number


def _labels(context: Context, label: int | str) -> frozenset[Any] | Unknown | None:
    """Return the labels of the connection, by number and by name; Unknown if the number of `label` is not stated."""
    if context.connection is None:
        return None
    if _number(context, label) is None:
        return Unknown(
            message("the number of connection label {label}", label=label), "--assume connlabel=yes"
        )
    labels, names = context.connection.labels, context.surroundings.fact("connlabels") or {}
    return labels | {name for name, number in names.items() if number in labels}


def _got(context: Context) -> Text:
    if context.connection is None:
        return NOT_TRACKED
    labels = ", ".join(map(str, sorted(context.connection.labels)))
    if not labels:
        return message("its connection has no label")
    return message("its connection has labels {labels}", labels=labels)


#: Whether conntrack has an entry for the packet, which can take a label.
_TRACKED = Field("ct", lambda context: context.connection is not None, _got)


class Connlabel(Match):
    """One label of the connection, by number or by name; with `--set`, the label is set and the packet matches."""

    name: ClassVar[str] = "connlabel"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--label", "label", Value("a label from 0 to 127, or its name", _parse, _quoted), True),
        Option("--set", "set"),
    )
    status: ClassVar[Status] = "given"

    label: int | str
    set: bool = False

    def predicates(self) -> tuple[Predicate, ...]:
        negated = bool(self.negated)
        if self.set:
            (tracked,) = self.one(Constraint(_TRACKED, named(True), negated))
            return (replace(tracked, effect=self._set_label),)
        field = Field("ct.labels", partial(_labels, label=self.label), _got)
        return self.one(Constraint(field, one_member(self.label), negated, absent=negated))

    def _set_label(self, context: Context) -> None:
        number = _number(context, self.label)
        if context.connection is not None and number is not None:
            context.connection.labels |= {number}

    def lists(self, form: ListingForm) -> str:
        label = f"'{self.label}'" if isinstance(self.label, str) else self.label
        return f" connlabel{self.bang('label', ' !')} {label}{' set' if self.set else ''}"

    def says(self) -> Text:
        if not self.set:
            return message_if(
                self.negated,
                "whose connection does not have label {label}",
                "whose connection has label {label}",
                label=self.label,
            )
        return message_if(
            self.negated,
            "whose connection cannot get label {label}",
            "whose connection has label {label} or can get it",
            label=self.label,
        )


EXTENSIONS = (Connlabel,)
