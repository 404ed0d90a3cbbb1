"""Which chain leads where: the graph of chains, on which all other analyses of chains are built.

Its nodes are hooks and chains, its edges are calls with the rules that make them. The part that packets can reach
from a hook has no loops, because the kernel rejects such rules; unreferenced chains may have loops.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import compress, pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

import networkx as nx

from iptsim.dump.ruleset import BUILTIN_CHAINS, Chain, Rule, Table

_Start = TypeVar("_Start")

ChainKind = Literal["hook", "base", "user", "missing"]


class Node(NamedTuple):
    """A node's identity.

    Attributes:
        place: "hook", the table of a chain, or, in the graph of rules, "verdict".
        name: of the hook, the chain or the verdict (a target's name).
    """

    place: str
    name: str

    def __str__(self) -> str:
        return self.name if self.place in ("hook", "verdict") else f"{self.place}:{self.name}"


if TYPE_CHECKING:
    # only the class in the stubs is generic in the type of its nodes
    _Graph = nx.DiGraph[Node]
else:
    _Graph = nx.DiGraph


class ChainGraph(_Graph):
    """Hooks, chains and calls; make it by :func:`chain_graph`.

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
        return _reached([node for node in starts if node in self], self.successors)

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


def nesting(tables: Iterable[Table]) -> int | None:
    """Return the maximum nesting of calls on a packet's path from a base chain; None if there is a loop.

    It builds no graph, because it is asked about the rules of every host.
    """
    deepest = 0
    for table in tables:
        called = _callees(table)
        hooks = [hook for hook in BUILTIN_CHAINS.get(table.name, ()) if hook in table.chains]
        reached = _reached(hooks, called)
        #: the calls of each chain that have not been followed
        left = Counter(callee for name in reached for callee in called(name))
        depth = dict.fromkeys(hooks, 0)
        todo = [hook for hook in hooks if not left[hook]]
        for name in todo:
            for callee in called(name):
                depth[callee] = max(depth.get(callee, 0), depth[name] + 1)
                left[callee] -= 1
                if not left[callee]:
                    todo.append(callee)
        if len(todo) < len(reached):
            return None
        deepest = max(deepest, *depth.values(), 0)
    return deepest


def hooks_of(table: Table) -> dict[str, tuple[str, ...]]:
    """Return the hooks from which packets reach each chain of a table.

    It builds no graph, because every reading of a dump needs this for all chains.
    """
    hooks = BUILTIN_CHAINS.get(table.name, ())
    called = _callees(table)
    #: a bit for each hook
    found: dict[str, int] = {}
    for place, hook in enumerate(hooks):
        todo, bit = [hook] if hook in table.chains else [], 1 << place
        found |= dict.fromkeys(todo, bit)
        for name in todo:
            for callee in called(name):
                before = found.get(callee, 0)
                if not before & bit:
                    found[callee] = before | bit
                    todo.append(callee)
    names = {bits: tuple(compress(hooks, _bits(bits))) for bits in {*found.values()}}
    return {name: names[bits] for name, bits in found.items()}


def _callees(table: Table) -> Callable[[str], list[str]]:
    """Return a function that returns the names of the chains that a chain calls."""

    @cache
    def called(name: str) -> list[str]:
        chain = table.chains.get(name)
        return [rule.jump.chain for rule in chain.rules if rule.jump is not None] if chain else []

    return called


def _bits(number: int) -> Iterator[bool]:
    """Yield the bits of a number, lowest first."""
    while number:
        yield bool(number & 1)
        number >>= 1


def _reached(starts: Iterable[_Start], following: Callable[[_Start], Iterable[_Start]]) -> list[_Start]:
    """Return some items and all their successors, nearest first."""
    found = dict.fromkeys(starts)
    todo = list(found)
    for one in todo:
        for other in following(one):
            if other not in found:
                found[other] = None
                todo.append(other)
    return todo


def _calls(chain: Chain) -> dict[str, list[Rule]]:
    """Return the rules of a chain that jump to other chains, by the names of those."""
    found: dict[str, list[Rule]] = {}
    for rule in chain.rules:
        if rule.jump is not None:
            found.setdefault(rule.jump.chain, []).append(rule)
    return found
