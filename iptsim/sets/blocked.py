"""Packets that different rules of a base chain block: they are walked together, and told apart afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from iptsim.netfilter.steps import Step
from iptsim.netfilter.trace import Leg, Trace


class Blocked:
    """Where the packets of a class are blocked by more than one rule.

    Args:
        nothing: the empty set.
    """

    def __init__(self, nothing: Any) -> None:
        self._nothing = nothing
        #: at each place: the step of the walk, and the packets that each step blocks in its stead, itself included
        self._places: list[tuple[Step, list[tuple[Any, Step]]]] = []

    def add(self, walked: Step, steps: list[tuple[Any, Step]]) -> None:
        """Note which packets each rule blocks at one place.

        Args:
            walked: the step that the walk records.
            steps: all steps that block packets there, this one included, each with its packets.
        """
        if len(steps) > 1:
            self._places.append((walked, steps))

    def divided(self, packets: Any, trace: Trace) -> Iterator[tuple[Any, Trace]]:
        """Yield the packets of a class by the rules that block them, each with their trace."""
        ways: list[tuple[Any, Mapping[int, Step]]] = [(packets, {})]
        for walked, steps in self._places:
            ways = [
                (inside, {**ends, id(walked): step})
                for here, ends in ways
                for own, step in steps
                if (inside := here & own) != self._nothing
            ]
        for inside, ends in ways:
            yield inside, replace(trace, legs=[_ending(leg, ends) for leg in trace.legs]) if ends else trace


def _ending(leg: Leg, ends: Mapping[int, Step]) -> Leg:
    """Return a leg with other steps in the place of some."""
    return replace(
        leg,
        steps=[ends.get(id(step), step) for step in leg.steps],
        own_steps=[ends.get(id(step), step) for step in leg.own_steps],
        arrival_steps=[ends.get(id(step), step) for step in leg.arrival_steps],
    )
