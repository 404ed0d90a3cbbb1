"""The way of a packet as HTML tables, a leg each: what mattered in full, every step on a click."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from iptsim.explanation.explanation import delivered_text
from iptsim.netfilter.trace import Leg, Step
from iptsim.render.explanation import brief, leg_name
from iptsim.render.html import Html, Piece, badge, code, element, folded, row, table
from iptsim.render.steps import Visit, backend_of, changed_text, has_worth, spec, visits

_HEADS = ("hook", "chain and rule", "what happens", "the rule")
_FINAL = frozenset({"ACCEPT", "DROP", "REJECT"})


def legs_html(legs: list[Leg]) -> Html:
    """Return the legs of a trace."""
    return Html("".join(_leg(legs, number) for number in range(1, len(legs) + 1)))


def _leg(legs: list[Leg], number: int) -> str:
    leg = legs[number - 1]
    title = leg_name(legs, number)
    caption = [f"{number} {title} ", badge(leg.verdict)] if len(legs) > 1 else "The packet's way"
    if leg.inside and leg.verdict == "ACCEPT" and not has_worth(leg.own_steps):
        told: Piece = f"stays inside {leg.sender}: no rule of the host sees it"
    elif not leg.all_steps:
        told = "no rule sees it"
    elif number > 1 and leg.verdict == "ACCEPT":
        told = "; ".join(brief(leg.steps))
    else:
        return str(element("div", table(caption, _HEADS, _rows(leg)), _all(leg)))
    return str(element("div", element("p", element("b", caption), " ", told), _all(leg)))


def _all(leg: Leg) -> Html | None:
    steps = _whole(leg)
    if not steps:
        return None
    rows = (_row(step, leg, place, hook=step.hook) for place, step in steps)
    what = f"all {len(steps)} steps" if len(steps) > 1 else "the one step"
    return folded(what, table(None, _HEADS, rows))


def _whole(leg: Leg) -> list[tuple[str, Step]]:
    """Return all steps of a leg with the container in which they happen; empty for the host."""
    receiver = leg.delivered.name if leg.delivered is not None else "the receiver"
    return [
        *((leg.sender, step) for step in leg.own_steps),
        *(("", step) for step in leg.steps),
        *((receiver, step) for step in leg.arrival_steps),
    ]


def _rows(leg: Leg) -> Iterator[Html]:
    """Yield the rows of a leg, without what was visited in vain."""
    for place, group in groupby(_whole(leg), key=lambda pair: pair[0]):
        steps = [step for _, step in group]
        if place and not has_worth(steps):
            continue
        for hook, part in groupby(steps, key=lambda step: step.hook):
            shown = hook
            for _, same in groupby(part, key=lambda step: (step.table, step.backend)):
                found = visits(list(same))
                if all(visit.in_vain for visit in found):
                    continue
                for made in _level(found, leg, place):
                    yield _row(*made, hook=shown)
                    shown = ""
            if shown:
                yield row(shown, element("td", "nothing applies", class_="dim", colspan=3))
    if leg.delivered is not None:
        yield row("arrives", element("td", f"at {delivered_text(leg.delivered)}", colspan=3))


def _level(found: list[Visit], leg: Leg, place: str) -> Iterator[tuple[Step, Leg, str, bool]]:
    for visit in found:
        if visit.in_vain and not visit.step.verdict.startswith(("JUMP:", "GOTO:")):
            continue
        yield visit.step, leg, place, visit.in_vain
        if not visit.in_vain:
            yield from _level(visit.inside, leg, place)


def _row(step: Step, leg: Leg, place: str, in_vain: bool = False, *, hook: str) -> Html:
    where = f"{step.table} {step.chain}" if step.table is not None else ""
    if step.rule is not None:
        where += f" {step.rule.position}"
    inside = f" inside {place}" if place else ""
    deciding = leg.verdict in ("DROP", "REJECT") and step is leg.deciding
    return row(
        hook,
        element(
            "td", f"{where}{backend_of(step)}{inside}", class_="name", style=f"padding-left:{step.depth}em"
        ),
        [what_html(step), element("span", "  nothing applies", class_="dim") if in_vain else None],
        code(spec(step.rule)) if step.rule is not None else "policy" if step.policy else None,
        class_="decides" if deciding else None,
    )


def what_html(step: Step) -> list[Piece]:
    """Return what a step did: its verdict, the chain that it led to, what it changed in the packet."""
    if step.table is None:
        return [badge("DROP") if step.verdict == "DROP" else None, f" {step.note}"]
    jump, _, chain = step.verdict.partition(":")
    verdict: Piece = step.verdict
    if jump in ("JUMP", "GOTO"):
        verdict = f"→ {chain}"
    elif step.verdict in _FINAL:
        verdict = badge(step.verdict)
    changes = [
        element("div", f"{name} {changed_text(name, before)} → {changed_text(name, after)}")
        for name, (before, after) in step.changes.items()
    ]
    return ["(maybe) " if step.maybe else None, verdict, changes]
