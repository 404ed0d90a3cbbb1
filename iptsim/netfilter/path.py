"""The path of a packet through chains, as a sequence of calls and returns: a path of the chain graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.chain_graph import Node
from iptsim.netfilter.steps import Step

MoveKind = Literal["enter", "call", "goto", "return", "done"]


class Move(NamedTuple):
    """One move of a packet.

    Attributes:
        kind: "enter" for a base chain at its hook, "call" and "goto" for another chain, "return" for the return to the
            caller, "done" for a rule that calls no chain, or a policy.
        at: where the packet was: a hook or a chain.
        to: the chain to which it went; for "done", the target as a verdict.
        depth: how many calls deep `at` is.
        step: the step of the trace; None at a hook, and at the end of a chain without a RETURN rule.
    """

    kind: MoveKind
    at: Node
    to: Node
    depth: int
    step: Step | None

    @property
    def position(self) -> int:
        """The position of the rule in its chain; 0 without one."""
        return self.step.rule.position if self.step is not None and self.step.rule is not None else 0


def moves(steps: Iterable[Step]) -> Iterator[Move]:
    """Yield the calls and returns in the steps of one leg."""
    callers: list[Node] = []
    last: Step | None = None
    here = base = Node("", "")
    for step in steps:
        if step.table is None:
            continue
        if last is None or last.policy or (last.hook, last.table, last.backend) != (
            step.hook, step.table, step.backend,
        ):  # fmt: skip
            # a base chain of nftables has a name of its own
            base = Node(step.table, step.hook if step.table in BUILTIN_CHAINS else step.chain or "")
            callers, here = [], base
            yield Move("enter", Node("hook", step.hook), here, 0, None)
        while len(callers) > step.depth:
            caller = callers.pop()
            yield Move("return", here, caller, len(callers) + 1, None)
            here = caller
        there = Node(step.table, step.chain or "")
        if here != there:  # the end of a chain that the base chain entered by a goto
            yield Move("return", here, there, step.depth, None)
            here = there
        verdict, _, chain = step.verdict.partition(":")
        last = step
        if verdict == "JUMP":
            callers.append(here)
            yield Move("call", here, Node(step.table, chain), step.depth, step)
            here = Node(step.table, chain)
        elif verdict == "GOTO":
            yield Move("goto", here, Node(step.table, chain), step.depth, step)
            here = Node(step.table, chain)
        elif verdict == "RETURN":
            caller = callers.pop() if callers else base
            yield Move("return", here, caller, step.depth, step)
            here = caller
        else:
            name = step.rule.target_name if step.rule is not None else step.verdict
            yield Move("done", here, Node("verdict", name), step.depth, step)
