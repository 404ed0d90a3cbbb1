"""What a walk did in a ruleset's chains: what led to its end, and what it visited in vain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from iptsim.dump.chains import Node
from iptsim.dump.ruleset import Ruleset
from iptsim.explanation import Explanation
from iptsim.netfilter.path import Move, moves
from iptsim.netfilter.trace import Leg, Step

#: A jump, a policy or a rule that decided: chain, where it leads, position of its rule (0 for a policy).
Taken = tuple[Node, Node, int]


@dataclass(slots=True)
class Passes:
    """The walk on the chains.

    Attributes:
        walked: what led to where the packet was decided about, or where something was done to it.
        vain: what was visited besides.
        ends: where the whole way ended: the chain and the position, and "stop", "arrived" or "open".
        hooks: the built-in chains that were entered.
    """

    walked: set[Taken] = field(default_factory=set)
    vain: set[Taken] = field(default_factory=set)
    ends: dict[tuple[Node, int], str] = field(default_factory=dict)
    hooks: set[Node] = field(default_factory=set)

    def chains(self, taken: set[Taken]) -> set[Node]:
        """Return the chains at both ends of what was taken."""
        return {node for source, target, _ in taken for node in (source, target)}


def passes_of(ruleset: Ruleset, explanation: Explanation) -> Passes:
    """Return what an answer's packets did in the rules: the packet's own, docker-proxy's, a lost answer."""
    found = Passes()
    legs = explanation.trace.legs
    for leg in legs:
        lost = leg.verdict in ("DROP", "REJECT") and legs[0].verdict == "ACCEPT"
        if leg.direction == "original" or lost:
            _add_leg(found, ruleset, leg, explanation)
    found.vain -= found.walked
    return found


def _add_leg(found: Passes, ruleset: Ruleset, leg: Leg, explanation: Explanation) -> None:
    steps = [step for step in leg.steps if step.table is not None and _is_of(ruleset, step)]
    _add_moves(found, moves(steps))
    accepted = leg is explanation.trace.legs[0] and leg.verdict == "ACCEPT"
    deciding = explanation.reason.step if accepted else leg.deciding
    if deciding is None or deciding.table is None or not any(step is deciding for step in steps):
        return
    place = (Node(deciding.table, deciding.chain or ""), deciding.rule.position if deciding.rule else 0)
    if leg.verdict in ("DROP", "REJECT"):
        found.ends[place] = "stop"
    elif leg.verdict == "DEPENDS":
        for hinge in (one for one in explanation.trace.hinges if one.rule is not None):
            found.ends[Node(*hinge.step[:2]), hinge.step[2]] = "open"
    else:
        found.ends[place] = "arrived"


def _is_of(ruleset: Ruleset, step: Step) -> bool:
    """Tell whether a step is one of this ruleset, not of another family's or backend's."""
    chain = ruleset.chain(step.table or "", step.chain or "")
    if chain is None:
        return False
    rule = step.rule
    return rule is None or (rule.position <= len(chain.rules) and chain.rules[rule.position - 1] is rule)


def _add_moves(found: Passes, moves: Iterable[Move]) -> None:
    """Fold over a way: what led to something that was done, and what was visited besides."""
    led: dict[int, list[Taken]] = {}
    for move in moves:
        taken = (move.at, move.to, move.position)
        if move.kind == "enter":
            found.hooks.add(move.to)
            led = {0: []}
        elif move.kind == "call":
            led[move.depth + 1] = [taken]
            found.vain.add(taken)
        elif move.kind == "goto":
            led.setdefault(move.depth, []).append(taken)
            found.vain.add(taken)
        elif move.kind == "done":
            way = [one for depth in range(move.depth + 1) for one in led.get(depth, [])]
            found.walked.update([taken, *way])
        elif move.step is not None:
            found.vain.add((move.at, Node("verdict", "RETURN"), move.position))
