"""Captions and labels that several pictures share."""

from __future__ import annotations

from collections.abc import Iterable

from iptsim.explanation import Explanation
from iptsim.explanation.delivery import delivered_text
from iptsim.explanation.places import decision_of
from iptsim.languages import say, say_many
from iptsim.pictures.drawing import Caption
from iptsim.render.visits_text import spec


def answer_captions(explanation: Explanation) -> list[Caption]:
    """Return the verdict and reason of an answer, for the top of a picture."""
    question, leg = explanation.question, explanation.trace.legs[0]
    what = question.what()
    if leg.packet.dport is not None and question.dport is None:
        what = f"{what}/{leg.packet.dport}"
    title = f"{explanation.verdict}: {explanation.sender} → {explanation.target}, {what}"
    captions = [Caption("title", title), Caption("reason", explanation.reason.text)]
    step = explanation.reason.step
    if step is not None and step.table is not None:
        rule = f": {spec(step.rule)}" if step.rule is not None else ""
        captions.append(Caption("rule", f"{decision_of(step)}{rule}"))
    elif leg.delivered is not None and explanation.verdict == "ACCEPT":
        captions.append(Caption("rule", say("arrives at {where}", where=delivered_text(leg.delivered))))
    return captions


def rules_text(count: int) -> str:
    """Return "1 rule", "3 rules"."""
    return say_many("{count} rule", "{count} rules", count)


def ranges(positions: Iterable[int], longest: int = 1000) -> str:
    """Return positions as ranges, cut if that is too long.

    >>> ranges([1, 3, 4, 5]), ranges(range(1, 100, 2), 12)
    ('1, 3-5', '1, 3, 5, 7 …')
    """
    parts: list[list[int]] = []
    for position in sorted(set(positions)):
        if parts and position == parts[-1][-1] + 1:
            parts[-1][1:] = [position]
        else:
            parts.append([position])
    text = ""
    for part in parts:
        longer = f"{text}{', ' if text else ''}{'-'.join(map(str, part))}"
        if len(longer) + 2 > longest and text:
            return f"{text} …"
        text = longer
    return text
