"""Marks on a listing: the rules that a packet matched on its path, and the one that decided."""

from __future__ import annotations

from typing import NamedTuple

from rich.text import Text

from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain
from iptsim.errors import printable
from iptsim.explanation import Explanation
from iptsim.explanation.places import short_place_of
from iptsim.languages import joined, say
from iptsim.netfilter.steps import Step
from iptsim.render.visits_text import COLOURS, backend_of

DECIDES, MATCHED, NONE = ">", "+", " "


class Marks(NamedTuple):
    """The rules and policies that a packet and its replies matched.

    Attributes:
        decisive / matched: rules by identity, and policies by table and chain.
        legend: what the marks mean, and the verdict of the packet.
    """

    decisive: frozenset[int | tuple[str, str]]
    matched: frozenset[int | tuple[str, str]]
    legend: Text

    def of(self, place: Rule | Chain) -> str:
        """Return the mark of a rule, or of the policy of a chain."""
        key = id(place) if isinstance(place, Rule) else (place.table, place.name)
        return DECIDES if key in self.decisive else MATCHED if key in self.matched else NONE


def marks_of(explanation: Explanation) -> Marks:
    """Return the marks of an answer: of all its branches and classes, if they have different verdicts."""
    ways = [explanation]
    if explanation.classes:
        ways = [one.explanation for one in explanation.classes]
    elif explanation.verdict == "DEPENDS":
        ways = explanation.branches
    decisive = {_key(way.reason.step) for way in ways if way.reason.step is not None}
    matched = {_key(step) for way in ways for leg in way.trace.legs for step in leg.steps}
    legend = Text.assemble(
        (explanation.verdict, COLOURS[explanation.verdict]),
        f"   {printable(explanation.sender)} → {printable(explanation.target)}   ",
        printable(explanation.reason.text),
    )
    return Marks(frozenset(filter(None, decisive)), frozenset(filter(None, matched)), legend + _where(ways))


def _key(step: Step) -> int | tuple[str, str] | None:
    if step.rule is not None:
        return id(step.rule)
    return (step.table, step.chain) if step.policy and step.table and step.chain else None


def _where(ways: list[Explanation]) -> Text:
    steps = [way.reason.step for way in ways if way.reason.step is not None and way.reason.step.table]
    places = dict.fromkeys(f"{short_place_of(step)}{backend_of(step)}" for step in steps)
    if places:
        text = say("{mark} decides: {places}", mark=DECIDES, places=printable(joined(", ", places)))
    else:
        text = say("no rule decides")
    return Text(f"\n  {text}   " + say("{mark} matched on the path", mark=MATCHED))
