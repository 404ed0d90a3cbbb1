"""What a walk did in a ruleset's chains: what led to its end, and what it visited in vain."""

from __future__ import annotations

from dataclasses import dataclass, field

from iptsim.dump.chains import Node
from iptsim.dump.ruleset import Ruleset
from iptsim.explanation import Explanation
from iptsim.explanation.story import Effect, LegVisit
from iptsim.netfilter.steps import Step

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
    """Return what an answer's packets did in the rules: the packet's own, docker-proxy's, a lost reply."""
    found = Passes()
    for leg in explanation.story.legs:
        if leg.drawn is not None:
            _add_visits(found, ruleset, leg)
            _add_ends(found, ruleset, leg, explanation)
    found.vain -= found.walked
    return found


def _add_visits(found: Passes, ruleset: Ruleset, leg: LegVisit) -> None:
    for visit in leg.host.visits:
        move = visit.move
        if move is None or not _is_of(ruleset, visit.step):
            continue
        found.hooks.add(Node(visit.step.table or "", visit.step.hook))
        returned = move.kind == "return"
        taken = move.at, Node("verdict", "RETURN") if returned else move.to, move.position
        (found.walked if visit.effect & (Effect.ACTED | Effect.POLICY) else found.vain).add(taken)


def _add_ends(found: Passes, ruleset: Ruleset, leg: LegVisit, explanation: Explanation) -> None:
    step = leg.decided_by
    if step is None or step.table is None or not _is_of(ruleset, step):
        return
    if not any(step is one for one in leg.host.steps):
        return
    if leg.end == "open":
        for hinge in (one for one in explanation.trace.hinges if one.rule is not None):
            found.ends[Node(*hinge.step[:2]), hinge.step[2]] = "open"
    else:
        found.ends[Node(step.table, step.chain or ""), step.rule.position if step.rule else 0] = leg.end


def _is_of(ruleset: Ruleset, step: Step) -> bool:
    """Tell whether a step is one of this ruleset, not of another family's or backend's."""
    chain = ruleset.chain(step.table or "", step.chain or "")
    if chain is None:
        return False
    rule = step.rule
    return rule is None or (rule.position <= len(chain.rules) and chain.rules[rule.position - 1] is rule)
