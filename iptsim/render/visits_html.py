"""The path of a packet as HTML tables, one for each leg: the steps that mattered, all steps on a click."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.explanation.delivery import delivered_text
from iptsim.explanation.story import LegVisit, NamespaceVisit, Story, Visit
from iptsim.extensions.verdicts import DECIDING
from iptsim.languages import message, message_as, message_many, say
from iptsim.netfilter.steps import Step
from iptsim.render.explanation import brief
from iptsim.render.html import Html, Piece, badge, code, element, folded, row, table
from iptsim.render.visits_text import backend_of, changes_of, nothing_text, spec

_HEADS = (
    message_as("column", "hook"), message_as("column", "chain and rule"), message_as("column", "what happens"),
    message_as("column", "rule"),
)  # fmt: skip


def legs_html(story: Story) -> Html:
    """Return the legs of a trace."""
    return Html("".join(_leg(leg, alone=len(story.legs) == 1) for leg in story.legs))


def _leg(leg: LegVisit, *, alone: bool) -> str:
    caption: Piece = (
        message("Packet path") if alone else [f"{leg.number} {leg.title} ", badge(leg.leg.verdict)]
    )
    if leg.stays_inside and not leg.own.matters:
        summary: Piece = message("stays inside {sender}: no rule of the host sees it", sender=leg.leg.sender)
    elif not leg.leg.all_steps:
        summary = message("no rule sees it")
    elif leg.is_later:
        summary = "; ".join(brief(leg))
    else:
        return str(element("div", table(caption, _HEADS, _rows(leg)), _all(leg)))
    return str(element("div", element("p", element("b", caption), " ", summary), _all(leg)))


def _all(leg: LegVisit) -> Html | None:
    rows = [
        _row(visit, leg, place, hook=hook.hook)
        for place in leg.namespaces
        for hook in place.hooks
        for visit in hook.visits
    ]
    if not rows:
        return None
    return folded(message_many("the one step", "all {count} steps", len(rows)), table(None, _HEADS, rows))


def _rows(leg: LegVisit) -> Iterator[Html]:
    """Yield the rows of a leg, without the visits that did not matter."""
    for place in leg.namespaces:
        if place is not leg.host and not place.matters:
            continue
        for hook in place.hooks:
            shown = hook.hook
            for chain in hook.chains:
                if chain.matters:
                    for visit in _mattering(chain.visits):
                        yield _row(visit, leg, place, hook=shown, brief=True)
                        shown = ""
            if shown:
                yield row(shown, element("td", nothing_text(hook.roots), class_="dim", colspan=3))
    if leg.leg.delivered is not None:
        yield row(message("arrives at"), element("td", delivered_text(leg.leg.delivered), colspan=3))


def _mattering(visits: list[Visit]) -> Iterator[Visit]:
    for visit in visits:
        if visit.matters or visit.chain:
            yield visit
        if visit.matters:
            yield from _mattering(visit.inside)


def _row(visit: Visit, leg: LegVisit, place: NamespaceVisit, *, hook: str, brief: bool = False) -> Html:
    step = visit.step
    where = f"{step.table} {step.chain}" if step.table is not None else ""
    if step.rule is not None and step.rule.position:
        where += f" {step.rule.position}"
    receiver = say("the receiver")
    inside = "" if place is leg.host else " " + say("inside {name}", name=place.name or receiver)
    idle = brief and not visit.matters
    return row(
        hook,
        element(
            "td", f"{where}{backend_of(step)}{inside}", class_="name", style=f"padding-left:{step.depth}em"
        ),
        [
            result_html(step),
            element("span", f"  {nothing_text(visit.inside)}", class_="dim") if idle else None,
        ],
        code(spec(step.rule)) if step.rule is not None else message("policy") if step.policy else None,
        class_="decides" if step is leg.blocked_by else None,
    )


def result_html(step: Step) -> list[Piece]:
    """Return the effect of a step: the chain that it called, or its verdict; and its changes to the packet."""
    if step.table is None:
        return [badge("DROP") if step.verdict == "DROP" else None, " ", step.note]
    verdict: Piece = badge(step.verdict) if step.verdict in DECIDING else step.verdict
    return [
        say("(maybe)") + " " if step.maybe else None,
        f"→ {step.called}" if step.called else verdict,
        [element("div", change) for change in changes_of(step)],
    ]
