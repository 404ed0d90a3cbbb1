"""Chains that two rulesets have in common, which are summarised only once.

A summary covers all packets, whatever enters the chain. It therefore holds for an equal chain of another ruleset in the
same space too, if the chains that it calls are also equal.
"""

from __future__ import annotations

from iptsim.dump.chain_graph import Node
from iptsim.dump.rule import Rule
from iptsim.extensions.hidden import Hidden, HiddenTarget
from iptsim.netfilter.program import Program


class Alike:
    """Determines which chains of two programs do the same, whatever enters them.

    Args:
        one / other: the programs.
    """

    def __init__(self, one: Program, other: Program) -> None:
        self._one, self._other = one, other
        versions = {(program.version, program.backend) for program in (one, other)}
        self._by_lines = len(versions) == 1
        self._known: dict[Node, bool] = {}

    def __call__(self, node: Node) -> bool:
        """Return whether a chain, and those that it calls, have the same rules in both programs."""
        found = self._known.get(node)
        if found is None:
            found = self._known[node] = self._is_same(node)
        return found

    def _is_same(self, node: Node) -> bool:
        one, other = self._one.chain(*node), self._other.chain(*node)
        if one is None or other is None:
            return one is other
        if (one.builtin, one.policy) != (other.builtin, other.policy) or len(one.rules) != len(other.rules):
            return False
        # rules that the kernel refuses jump nowhere; without them, chains make no circle
        return all(map(self._is_same_rule, one.rules, other.rules)) and all(
            self(Node(node.place, name))
            for name in {rule.jump.chain for rule in one.rules if rule.jump is not None and not rule.refused}
        )

    def _is_same_rule(self, one: Rule, other: Rule) -> bool:
        """Return whether two rules match the same packets and do the same; what is not shown is never the same."""
        if bool(one.refused) != bool(other.refused):
            return False
        if self._by_lines and one.is_written_like(other):
            return True
        return (
            one.text == other.text
            and not isinstance(one.target, HiddenTarget)
            and not any(isinstance(match, Hidden) for match in one.matches)
        )
