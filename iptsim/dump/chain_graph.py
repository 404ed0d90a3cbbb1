"""Which chain leads where: the graph of chains, on which all other analyses of chains are built.

Its nodes are hooks and chains, its edges are calls. The part that packets can reach from a hook has no loops, because
the kernel rejects such rules; unreferenced chains may have loops.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Table

if TYPE_CHECKING:
    import networkx as nx

ChainKind = Literal["hook", "base", "user", "missing"]

#: The attributes of nodes and edges; as there may be 100,000 of them, they share these.
_KINDS: dict[ChainKind, Mapping[str, Any]] = {
    kind: MappingProxyType({"kind": kind}) for kind in get_args(ChainKind)
}
_CALL: Mapping[str, Any] = MappingProxyType({})


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


class ChainGraph:
    """The hooks, chains and calls of some tables of a ruleset.

    Every dump that is read needs :meth:`reached`, and every one that is run :meth:`nesting`, so no networkx graph is
    made for these: with 100,000 rules, reading would take a quarter longer, and networkx is slow to load. All other
    questions are answered by networkx.

    Args:
        tables: the tables; their chains must not change any more.
    """

    def __init__(self, tables: Iterable[Table]) -> None:
        self._tables = {table.name: table for table in tables}
        #: the rules of a chain that call, by the called chain
        self._calling: dict[Node, dict[str, list[Rule]]] = {}

    def chain(self, node: Node) -> Chain | None:
        """Return a node's chain; None for a hook, and for a missing chain."""
        table = self._tables.get(node.place)
        return table.chains.get(node.name) if table is not None else None

    def rules(self, caller: Node, callee: Node) -> list[Rule]:
        """Return the rules of a call, in the order of the calling chain; none for the edge from a hook."""
        calling = self._calling.get(caller)
        if calling is None:
            calling = self._calling[caller] = {}
            chain = self.chain(caller)
            for rule in chain.rules if chain is not None else ():
                if rule.callee:
                    calling.setdefault(rule.callee, []).append(rule)
        return calling.get(callee.name, [])

    def reached(self, table: str, *starts: str) -> list[str]:
        """Return some chains and all that packets can reach from them, nearest first."""
        home = self._tables.get(table)
        return _reached(home, starts) if home is not None else []

    def reaching_hooks(self, table: str) -> dict[str, tuple[str, ...]]:
        """Return the hooks from which packets reach each chain of a table, in the order in which they traverse them."""
        found: dict[str, tuple[str, ...]] = {}
        for hook in BUILTIN_CHAINS.get(table, ()):
            if self.chain(Node(table, hook)) is not None:
                for name in self.reached(table, hook):
                    found[name] = _and(found.get(name, ()), hook)
        return found

    def nesting(self) -> int | None:
        """Return the maximum nesting of calls on a packet's path from a base chain; None if there is a loop."""
        found = [_nesting(table) for table in self._tables.values()]
        return None if None in found else max((one for one in found if one is not None), default=0)

    # -- by networkx -------------------------------------------------------------------------------

    @cached_property
    def network(self) -> nx.DiGraph[Node]:
        """All hooks, chains and calls. Nodes have the attribute `kind`, see :data:`ChainKind`."""
        return self._network(lambda chain: True)

    @cached_property
    def passed(self) -> nx.DiGraph[Node]:
        """The part of the network that packets can reach."""
        return self._network(lambda chain: chain.builtin)

    def _network(self, starts: Callable[[Chain], bool]) -> nx.DiGraph[Node]:
        """Return the graph of some chains, and of those that they call."""
        import networkx as nx

        # its dictionaries are filled here, as networkx takes twice as long to add edges
        graph: Any = nx.DiGraph()
        attributes, succ, pred = graph._node, graph._succ, graph._pred

        def add(node: Node, kind: ChainKind) -> Node:
            attributes[node], succ[node], pred[node] = _KINDS[kind], {}, {}
            return node

        for table in self._tables.values():
            nodes: dict[str, Node] = {}
            for name, chain in table.chains.items():
                if starts(chain):
                    node = nodes[name] = add(Node(table.name, name), "base" if chain.builtin else "user")
                    if chain.builtin:
                        hook = Node("hook", chain.hook)
                        if hook not in graph:
                            add(hook, "hook")
                        succ[hook][node] = pred[node][hook] = _CALL
            todo = [*nodes.values()]
            for caller in todo:
                callees = succ[caller]
                for callee in _calls(table, caller.name):
                    if callee not in nodes:
                        kind: ChainKind = "user" if callee in table.chains else "missing"
                        nodes[callee] = add(Node(table.name, callee), kind)
                        todo.append(nodes[callee])
                    node = nodes[callee]
                    callees[node] = pred[node][caller] = _CALL
        whole: nx.DiGraph[Node] = graph
        return whole

    def callers(self, node: Node) -> list[Rule]:
        """Return the rules that jump to a chain, in the order of the dump."""
        if node not in self.network:
            return []
        return [rule for caller in self.network.predecessors(node) for rule in self.rules(caller, node)]

    def unreferenced(self) -> list[Node]:
        """Return the user chains that no rule jumps to: their rules see no packets."""
        return [node for node in self._of_kind("user") if not self.network.in_degree(node)]

    def dangling(self) -> list[Rule]:
        """Return the rules that jump to a missing chain."""
        return [rule for node in self._of_kind("missing") for rule in self.callers(node)]

    def _of_kind(self, kind: ChainKind) -> list[Node]:
        return [node for node in self.network if self.network.nodes[node]["kind"] == kind]

    def idle_loops(self) -> list[list[Node]]:
        """Return the groups of chains that call each other."""
        import networkx as nx

        groups = nx.strongly_connected_components(self.network)
        return [
            sorted(group)
            for group in groups
            if len(group) > 1 or any(self.network.has_edge(one, one) for one in group)
        ]

    def loop(self) -> list[Rule]:
        """Return the rules of one loop that a packet can reach, in order; empty if there is none."""
        import networkx as nx

        try:
            edges = nx.find_cycle(self.passed)
        except nx.NetworkXNoCycle:
            return []
        return [self.rules(*edge[:2])[0] for edge in edges]

    def deepest(self) -> list[Rule]:
        """Return the rules of the path with the deepest nesting of calls; there must be no loop."""
        import networkx as nx

        path = nx.dag_longest_path(self.passed)
        return [rule for pair in pairwise(path) for rule in self.rules(*pair)[:1]]


def _reached(table: Table, starts: Iterable[str]) -> list[str]:
    """Return some chains and all that packets can reach from them, nearest first."""
    todo = [*starts]
    found = {"", *todo}  # a rule that calls none has an empty name
    for name in todo:
        chain = table.chains.get(name)
        for rule in chain.rules if chain is not None else ():
            if rule.callee not in found:
                found.add(rule.callee)
                todo.append(rule.callee)
    return todo


def _nesting(table: Table) -> int | None:
    """Return the maximum nesting of calls on a packet's path in a table; None if there is a loop."""
    bases = [name for name, chain in table.chains.items() if chain.builtin]
    calls = {name: _calls(table, name) for name in _reached(table, bases)}
    #: the calls of a chain from others whose level is not known yet
    waiting = Counter(itertools.chain.from_iterable(calls.values()))
    level = [name for name in calls if name not in waiting]
    levels = done = 0
    while level:
        levels += 1
        done += len(level)
        following = []
        for name in level:
            for callee in calls[name]:
                waiting[callee] -= 1
                if not waiting[callee]:
                    following.append(callee)
        level = following
    return max(levels - 1, 0) if done == len(calls) else None


def _calls(table: Table, name: str) -> list[str]:
    """Return the names of the chains that a chain calls."""
    chain = table.chains.get(name)
    return [rule.callee for rule in chain.rules if rule.callee] if chain is not None else []


@cache
def _and(hooks: tuple[str, ...], hook: str) -> tuple[str, ...]:
    """Return the hooks plus one more; cached, so that chains share the tuples."""
    return (*hooks, hook)
