"""The rules that call each chain, and what they have in common."""

from __future__ import annotations

from typing import Any, NamedTuple

from iptsim.dump.chain_graph import Node
from iptsim.extensions.constraints import Constraint
from iptsim.netfilter.chain_rules import ChainRules
from iptsim.netfilter.prepared import Condition
from iptsim.netfilter.program import Program

#: The usual fields of services, which few rules but those of nat change.
_LASTING = frozenset({"src", "dst", "proto", "sport", "dport", "in_interface", "out_interface"})


class Lasting(NamedTuple):
    """A condition that still holds in a called chain, unless a rule changes its field.

    Attributes:
        key: of the field.
        reading: the identity of the field: matches may read the ports of later fragments differently.
        meaning: of the condition; see :attr:`iptsim.extensions.constraints.Constraint.meaning`.
    """

    key: str
    reading: int
    meaning: tuple[Any, ...]


class Caller(NamedTuple):
    """A rule that calls a chain: its chain, the rules of that chain, and its place among them."""

    node: Node
    rules: ChainRules
    place: int


class Callers:
    """The rules of a program that call each chain."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._by_table: dict[str, dict[str, list[Caller]]] = {}
        self._implied: dict[Node, frozenset[Lasting]] = {}

    def of(self, node: Node) -> list[Caller]:
        """Return the rules that call a chain, in the order of the dump."""
        found = self._by_table.get(node.place)
        if found is None:
            found = self._by_table[node.place] = {}
            table = self._program.ruleset.tables.get(node.place)
            for name, chain in table.chains.items() if table is not None else ():
                rules = self._program.rules(chain)
                for place, rule in enumerate(chain.rules):
                    if rule.jump is not None:
                        caller = Caller(Node(node.place, name), rules, place)
                        found.setdefault(rule.jump.chain, []).append(caller)
        return found.get(node.name, [])

    def implied(self, node: Node) -> frozenset[Lasting]:
        """Return conditions that every packet satisfies which enters a chain."""
        found = self._implied.get(node)
        if found is None:
            # a chain that calls itself is not entered that way first
            self._implied[node] = frozenset()
            chain = self._program.chain(*node)
            for caller in self.of(node) if chain is not None and not chain.builtin else ():
                behind = self._behind(caller)
                found = behind if found is None else found & behind
                if not found:
                    break
            found = self._implied[node] = found or frozenset()
        return found

    def _behind(self, caller: Caller) -> frozenset[Lasting]:
        """Return conditions that the packets satisfy which a rule takes."""
        own = map(lasting, caller.rules[caller.place].conditions)
        return self.implied(caller.node).union(one for one in own if one is not None)


def lasting(condition: Condition) -> Lasting | None:
    """Return what equal conditions have in common if a condition holds in called chains too; else None."""
    constraint = condition.predicate.constraint
    if not isinstance(constraint, Constraint):
        return None
    field = constraint.field
    lasts = field.key in _LASTING and field.steady and field.unknown is None
    if not lasts or not isinstance(constraint.absent, bool):
        return None
    return Lasting(field.key, id(field), constraint.meaning)
