"""The chains of a ruleset that a packet traversed: those that led to the verdict, and those without effect."""

from __future__ import annotations

from dataclasses import dataclass, field

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.chain_graph import Node
from iptsim.dump.ruleset import Ruleset
from iptsim.explanation import Explanation
from iptsim.explanation.story import Effect, LegVisit
from iptsim.netfilter.steps import Step
from iptsim.pictures.captions import change_text

#: A jump, a policy or a rule that decided: chain, where it leads, position of its rule (0 for a policy).
Taken = tuple[Node, Node, int]


@dataclass(slots=True)
class VisitedChains:
    """The path of a packet on the chains.

    Attributes:
        walked: what led to a verdict, or to an action on the packet.
        idle: what had no effect.
        ends: how the path ended, by chain and position: "stop", "arrived" or "open".
        hooks: the built-in chains that were entered.
        changes: how the packets' addresses were translated, by chain and position.
    """

    walked: set[Taken] = field(default_factory=set)
    idle: set[Taken] = field(default_factory=set)
    ends: dict[tuple[Node, int], str] = field(default_factory=dict)
    hooks: set[Node] = field(default_factory=set)
    changes: dict[tuple[Node, int], list[str]] = field(default_factory=dict)

    def chains(self, taken: set[Taken]) -> set[Node]:
        """Return the chains at both ends of jumps."""
        return {node for source, target, _ in taken for node in (source, target)}


def visited_chains(ruleset: Ruleset, explanation: Explanation) -> VisitedChains:
    """Return the chains that the packets of an answer traversed: its own, docker-proxy's, a lost reply."""
    chains = VisitedChains()
    for leg in explanation.story.legs:
        if leg.drawn is not None:
            _add_visits(chains, ruleset, leg)
            _add_ends(chains, ruleset, leg, explanation)
    chains.idle -= chains.walked
    return chains


def _add_visits(chains: VisitedChains, ruleset: Ruleset, leg: LegVisit) -> None:
    for visit in leg.host.visits:
        move = visit.move
        if move is None or not _is_of(ruleset, visit.step):
            continue
        table, hook = visit.step.table or "", visit.step.hook
        if table in BUILTIN_CHAINS:
            chains.hooks.add(Node(table, hook))
        elif visit.step.depth == 0:
            # a base chain of nftables has a name of its own
            chains.hooks.add(Node(table, visit.step.chain or ""))
        returned = move.kind == "return"
        taken = move.at, Node("verdict", "RETURN") if returned else move.to, move.position
        if change := change_text(visit.step):
            chains.changes.setdefault((move.at, move.position), []).append(change)
        (chains.walked if visit.effect & (Effect.ACTED | Effect.POLICY) else chains.idle).add(taken)


def _add_ends(chains: VisitedChains, ruleset: Ruleset, leg: LegVisit, explanation: Explanation) -> None:
    step = leg.decided_by
    if step is None or step.table is None or not _is_of(ruleset, step):
        return
    if not any(step is one for one in leg.host.steps):
        return
    if leg.end == "open":
        for hinge in explanation.trace.hinges:
            if hinge.rule is not None:
                chains.ends[Node(*hinge.step[:2]), hinge.step[2]] = "open"
    else:
        chains.ends[Node(step.table, step.chain or ""), step.rule.position if step.rule else 0] = leg.end


def _is_of(ruleset: Ruleset, step: Step) -> bool:
    """Return whether a step belongs to this ruleset, not to another family's or backend's."""
    chain = ruleset.chain(step.table or "", step.chain or "")
    if chain is None:
        return False
    rule = step.rule
    # of a chain that several base chains of nftables call, each has its own rules
    return rule is None or any(one is rule for one in chain.rules) or rule.table not in BUILTIN_CHAINS
