"""Which chain leads where: the graph of chains, on which all other analyses of chains are built.

Its nodes are hooks and chains, its edges are calls with the rules that make them. The part that packets can reach
from a hook has no loops, because the kernel rejects such rules; unreferenced chains may have loops.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import networkx as nx

from iptsim.dump.calls import Node, reached_from
from iptsim.dump.ruleset import Chain, Rule, Table

ChainKind = Literal["hook", "base", "user", "missing"]


if TYPE_CHECKING:
    # only the class in the stubs is generic in the type of its nodes
    _Graph = nx.DiGraph[Node]
else:
    _Graph = nx.DiGraph


class ChainGraph(_Graph):
    """Hooks, chains and calls; made by :func:`chain_graph`.

    A node has `kind` (see :data:`ChainKind`) and, if the chain exists, `chain`. An edge has `rules`, in the order
    of the calling chain; edges from hooks have none.
    """

    def chain(self, node: Node) -> Chain | None:
        """Return a node's chain; None for a hook, and for a missing chain."""
        found: Chain | None = self.nodes[node].get("chain") if node in self else None
        return found

    def hooks(self) -> list[Node]:
        """Return the hooks."""
        return [node for node in self if node.place == "hook"]

    def callers(self, node: Node) -> list[Rule]:
        """Return the rules that jump to a chain, in the order of the dump."""
        if node not in self:
            return []
        return [rule for caller, _ in self.in_edges(node) for rule in self.rules(caller, node)]

    def rules(self, caller: Node, callee: Node) -> list[Rule]:
        """Return the rules of a call, in the order of the calling chain."""
        rules: list[Rule] = self.edges[caller, callee]["rules"]
        return rules

    def reached(self, *starts: Node) -> list[Node]:
        """Return some nodes and all nodes that a packet can reach from them, nearest first."""
        return reached_from([node for node in starts if node in self], self.successors)

    def unreferenced(self) -> list[Node]:
        """Return the user chains that no rule jumps to: their rules see no packets."""
        return [node for node in self._of_kind("user") if not self.in_degree(node)]

    def dangling(self) -> list[Rule]:
        """Return the rules that jump to a missing chain."""
        return [rule for node in self._of_kind("missing") for rule in self.callers(node)]

    def _of_kind(self, kind: ChainKind) -> list[Node]:
        return [node for node in self if self.nodes[node]["kind"] == kind]

    def loop(self) -> list[Rule]:
        """Return the rules of one loop that a packet can reach, in order; empty if there is none."""
        try:
            edges = nx.find_cycle(self, self.hooks())
        except nx.NetworkXNoCycle:
            return []
        return [self.rules(*edge[:2])[0] for edge in edges]

    def idle_loops(self) -> list[list[Node]]:
        """Return the groups of chains that call each other."""
        groups = nx.strongly_connected_components(self)
        return [
            sorted(group)
            for group in groups
            if len(group) > 1 or any(self.has_edge(one, one) for one in group)
        ]

    def deepest(self) -> list[Rule]:
        """Return the rules of the path with the deepest nesting of calls; there must be no loop."""
        way = nx.dag_longest_path(self._passed())
        return [rule for pair in pairwise(way) for rule in self.rules(*pair)[:1]]

    def _passed(self) -> nx.DiGraph[Node]:
        """Return the part that packets can reach."""
        nodes = self.reached(*self.hooks())
        return self if len(nodes) == len(self) else nx.DiGraph(self.subgraph(nodes))

    def add_chain(self, node: Node, chain: Chain) -> None:
        """Add a chain, and its hook if it is built in."""
        self.add_node(node, kind="base" if chain.builtin else "user", chain=chain)
        if chain.builtin:
            hook = Node("hook", chain.name)
            self.add_node(hook, kind="hook")
            self.add_edge(hook, node, rules=[])

    def add_call(self, caller: Node, callee: Node, rule: Rule) -> None:
        """Add a rule that calls a chain."""
        if not self.has_edge(caller, callee):
            self.add_edge(caller, callee, rules=[])
        self.rules(caller, callee).append(rule)


def chain_graph(tables: Iterable[Table]) -> ChainGraph:
    """Return the graph of chains of some tables of a ruleset."""
    graph = ChainGraph()
    for table in tables:
        # all edges share one node object per chain: a dump may have 100,000 calls
        nodes = {name: Node(table.name, name) for name in table.chains}
        for name, chain in table.chains.items():
            graph.add_chain(nodes[name], chain)
        for name, chain in table.chains.items():
            for callee, rules in _calls(chain).items():
                if callee not in nodes:
                    nodes[callee] = Node(table.name, callee)
                    graph.add_node(nodes[callee], kind="missing")
                graph.add_edge(nodes[name], nodes[callee], rules=rules)
    return graph


def _calls(chain: Chain) -> dict[str, list[Rule]]:
    """Return the rules of a chain that jump to other chains, by the names of those."""
    found: dict[str, list[Rule]] = {}
    for rule in chain.rules:
        if rule.jump is not None:
            found.setdefault(rule.jump.chain, []).append(rule)
    return found
