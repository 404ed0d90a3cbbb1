"""Merges two branches that split at a decision into one trace."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from iptsim.netfilter.steps import Step
from iptsim.netfilter.trace import Decision, Leg, Trace


def alike(one: Trace, other: Trace) -> bool:
    """Return whether two branches end alike: with the same verdict for the whole and for each leg."""
    return (
        one.verdict == other.verdict != "DEPENDS"
        and len(one.legs) == len(other.legs)
        and all(left.verdict == right.verdict for left, right in zip(one.legs, other.legs, strict=True))
    )


def _same_delivery(one: Trace, other: Trace) -> bool:
    def places(trace: Trace) -> list[Any]:
        # outside, the name is the next hop's
        return [
            (
                leg.delivered.name if leg.delivered.kind != "outside" else "",
                leg.delivered.packet.dst,
                leg.delivered.packet.dport,
                leg.delivered.packet.src,
                leg.delivered.packet.sport,
                # two REJECT rules may send different replies
                leg.delivered.packet.proto,
                leg.delivered.packet.icmp_type,
                leg.delivered.packet.icmp_code,
            )
            if leg.delivered
            else None
            for leg in trace.legs
        ]

    return places(one) == places(other)


def merge(yes: Trace, no: Trace, decision: Decision, depth: int) -> Trace:
    """Merge two branches that split at a decision into one answer."""
    legs = [_merge_legs(left, right) for left, right in zip(yes.legs, no.legs, strict=False)]
    longer = yes.legs if len(yes.legs) > len(no.legs) else no.legs
    legs += [replace(leg, verdict="DEPENDS") for leg in longer[len(legs) :]]
    consulted = yes.consulted | no.consulted
    if alike(yes, no) and _same_delivery(yes, no):
        hinges = [*yes.hinges, *(hinge for hinge in no.hinges if hinge not in yes.hinges)]
        if bool(yes.branches) is bool(no.branches):
            branches = _merge_branches(yes.branches, no.branches)
        elif no.branches:
            branches = _with_way(_ways(yes, decision, True)[0], no.branches)
        else:
            branches = _with_way(_ways(no, decision, False)[0], yes.branches)
        return Trace(
            yes.verdict,
            legs,
            branches=branches,
            decisions=yes.decisions[:depth],
            hinges=hinges,
            consulted=consulted,
        )
    if yes.verdict == no.verdict and _same_branches(yes, no):
        return Trace(
            yes.verdict,
            legs,
            branches=_merge_branches(yes.branches, no.branches),
            decisions=yes.decisions[:depth],
            hinges=yes.hinges,
            consulted=consulted,
        )
    branches = [*_ways(yes, decision, True), *_ways(no, decision, False)]
    verdict = yes.verdict if yes.verdict == no.verdict else "DEPENDS"
    hinges = [decision]
    for trace in (yes, no):
        known = {one.place for one in hinges}
        hinges.extend(hinge for hinge in trace.hinges if hinge.place not in known)
    return Trace(
        verdict, legs, branches=branches, decisions=yes.decisions[:depth], hinges=hinges, consulted=consulted
    )


def _same_branches(yes: Trace, no: Trace) -> bool:
    """Return whether both sides of a decision have the same branches, so that it makes no difference."""
    return (
        bool(yes.branches)
        and len(yes.branches) == len(no.branches)
        and all(
            _decided_alike(left, right) and alike(left, right) and _same_delivery(left, right)
            for left, right in zip(yes.branches, no.branches, strict=True)
        )
    )


def _decided_alike(one: Trace, other: Trace) -> bool:
    return len(one.decisions) == len(other.decisions) and all(
        left.value is right.value and left.same(right)
        for left, right in zip(one.decisions, other.decisions, strict=True)
    )


def _merge_branches(yes: list[Trace], no: list[Trace]) -> list[Trace]:
    """Combine the branches on both sides of a decision that makes no difference."""
    if len(yes) != len(no) or not all(alike(left, right) for left, right in zip(yes, no, strict=True)):
        return [*yes, *no]
    return [
        replace(left, legs=[_merge_legs(*pair) for pair in zip(left.legs, right.legs, strict=True)])
        for left, right in zip(yes, no, strict=True)
    ]


def _with_way(way: Trace, ways: list[Trace]) -> list[Trace]:
    """Merge a branch with the one of some others that ends like it; add it if none does."""
    for place, one in enumerate(ways):
        if alike(one, way) and _same_delivery(one, way):
            legs = [_merge_legs(*pair) for pair in zip(one.legs, way.legs, strict=True)]
            return [*ways[:place], replace(one, legs=legs), *ways[place + 1 :]]
    return [*ways, way]


def _ways(trace: Trace, decision: Decision, value: bool) -> list[Trace]:
    """Return the branches within a trace, each beginning with this decision."""
    taken = replace(decision, value=value)
    if trace.branches:
        return [
            way
            if any(known.step == taken.step and known.same(taken) for known in way.decisions)
            else replace(way, decisions=[taken, *way.decisions])
            for way in trace.branches
        ]
    return [replace(trace, decisions=[taken], branches=[])]


def _either_maybe(yes: list[Step], no: list[Step]) -> list[Step]:
    """Return the same steps of two legs; a step that is "maybe" in one of them is "maybe" in the result."""
    return [
        replace(one, maybe=True) if other.maybe and not one.maybe else one
        for one, other in zip(yes, no, strict=True)
    ]


def _merge_legs(yes: Leg, no: Leg) -> Leg:
    """Make one leg of two: steps that only one of them has are "maybe"."""
    numbers: dict[Any, int] = {}
    left, right = _numbered(yes.steps, numbers), _numbered(no.steps, numbers)
    if left == right:
        steps = _either_maybe(yes.steps, no.steps)
    else:
        from difflib import SequenceMatcher

        steps = []
        for tag, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
            if tag == "equal":
                steps.extend(_either_maybe(yes.steps[a:b], no.steps[c:d]))
            else:
                steps.extend(replace(step, maybe=True) for step in (*yes.steps[a:b], *no.steps[c:d]))
    verdict = yes.verdict if yes.verdict == no.verdict else "DEPENDS"
    delivered = yes.delivered or no.delivered
    return replace(
        yes, steps=steps, verdict=verdict, delivered=delivered if verdict in ("ACCEPT", "DEPENDS") else None
    )


def _numbered(steps: list[Step], numbers: dict[Any, int]) -> list[int]:
    """Return a number for each step: equal ones are the same step, reached by the same calls.

    Args:
        numbers: the numbers given so far, which are extended.
    """
    found: list[int] = []
    #: by depth, the number of the step that called the chain
    callers: dict[int, int] = {}
    for step in steps:
        key = step.key(), callers.get(step.depth)
        found.append(numbers.setdefault(key, len(numbers)))
        if step.called:
            callers[step.depth + 1] = found[-1]
    return found
