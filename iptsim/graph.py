"""A ruleset as a directed graph: hooks, chains and verdicts as nodes, rules and policies as edges.

An edge's key is the position of its rule in the chain that it leaves; the end of a chain (fall-through,
policy) has the position after the last rule, as in the kernel's own trace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import networkx as nx

from iptsim.dump.chain_graph import ChainGraph, Node
from iptsim.dump.checks import legal_graph
from iptsim.dump.rule import Jump, Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.extensions.base import Target
from iptsim.owners.chain_owners import chain_owners

NodeKind = Literal["hook", "base", "user", "verdict", "missing"]
EdgeKind = Literal["hook", "jump", "goto", "return", "fall-through", "policy", "verdict", "continue"]

if TYPE_CHECKING:
    # only the class in the stubs is generic in the type of its nodes
    _Graph = nx.MultiDiGraph[Node]
else:
    _Graph = nx.MultiDiGraph


class RuleGraph(_Graph):
    """The graph of a ruleset with every rule as an edge, a richer view of its :class:`ChainGraph`; notebooks draw it.

    The graph's attribute `ruleset` is the ruleset, so copies and subgraphs have it too.
    """

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return the picture of the ruleset, for notebooks."""
        ruleset: Ruleset | None = self.graph.get("ruleset")
        return ruleset.picture()._repr_mimebundle_() if ruleset is not None else {"text/plain": str(self)}


def ruleset_graph(ruleset: Ruleset, *, returns: bool = True) -> RuleGraph:
    """Return the graph of a ruleset.

    Args:
        ruleset: the rules.
        returns: include the edges from a chain back to every calling chain. Their number is the number of
            callers times that of rules with RETURN; a picture of the calls does not need them.

    Nodes have the attribute `kind` (see :data:`NodeKind`), and chains also `table`, `policy`, `counters`,
    `rules` (their number), `line` and `owner`. Edges have `kind` (see :data:`EdgeKind`) and `rule`, which is
    None for hooks, fall-through and policies. A rule after which the packet continues in its chain is
    an edge from the chain to itself.
    """
    graph = RuleGraph(family=ruleset.family, source=ruleset.source, ruleset=ruleset)
    for table in ruleset.tables.values():
        for chain in table.chains.values():
            _add_chain(graph, chain)
        for chain in table.chains.values():
            for rule in chain.rules:
                _add_rule(graph, rule)
    if returns:
        calls = ChainGraph(ruleset.tables.values())
        for table in ruleset.tables.values():
            _add_returns(graph, table, calls)
    return graph


def _add_chain(graph: RuleGraph, chain: Chain) -> None:
    node = Node(chain.table, chain.name)
    graph.add_node(
        node,
        kind="base" if chain.builtin else "user",
        table=chain.table,
        policy=chain.policy,
        counters=chain.counters,
        rules=len(chain.rules),
        line=chain.line,
        owner=chain_owners(graph.graph["ruleset"]).chain(chain.name),
    )
    if chain.builtin:
        hook = Node("hook", chain.hook)
        graph.add_node(hook, kind="hook")
        graph.add_edge(hook, node, key=chain.table, kind="hook", rule=None)
        _add_verdict(graph, node, chain.policy or "ACCEPT", len(chain.rules) + 1, "policy", None)


def _add_verdict(
    graph: RuleGraph, source: Node, name: str, position: int, kind: EdgeKind, rule: Rule | None
) -> None:
    verdict = Node("verdict", name)
    graph.add_node(verdict, kind="verdict")
    graph.add_edge(source, verdict, key=position, kind=kind, rule=rule)


def _add_rule(graph: RuleGraph, rule: Rule) -> None:
    source, target = Node(rule.table, rule.chain), rule.target
    if isinstance(target, Jump):
        called = Node(rule.table, target.chain)
        if called not in graph:
            graph.add_node(called, kind="missing", table=rule.table)
        graph.add_edge(source, called, key=rule.position, kind="goto" if target.goto else "jump", rule=rule)
        return
    terminal = target is not None and target.terminal
    if target is not None and target.name == "RETURN":
        return
    if terminal or _may_end(target):
        _add_verdict(graph, source, rule.target_name, rule.position, "verdict", rule)
    if not terminal:
        graph.add_edge(source, source, key=rule.position, kind="continue", rule=rule)


def _may_end(target: Target | None) -> bool:
    """Return whether a target after which the packet usually continues may also end its path."""
    return target is not None and target.status == "unknown"


def _add_returns(graph: RuleGraph, table: Table, calls: ChainGraph) -> None:
    """Add the edges that leave chains: RETURN, and the end of a user chain."""
    for chain in table.chains.values():
        node = Node(table.name, chain.name)
        returns = [
            rule for rule in chain.rules if rule.target_name == "RETURN" and not isinstance(rule.target, Jump)
        ]
        if chain.builtin:
            for rule in returns:
                _add_verdict(graph, node, chain.policy or "ACCEPT", rule.position, "return", rule)
        for caller in [] if chain.builtin else _return_destinations(calls, node):
            for rule in returns:
                graph.add_edge(node, caller, key=rule.position, kind="return", rule=rule)
            graph.add_edge(node, caller, key=len(chain.rules) + 1, kind="fall-through", rule=None)


def _return_destinations(calls: ChainGraph, left: Node) -> list[Node]:
    """Return the chains in which a packet continues when it leaves a user chain.

    A goto leaves no return point: the packet continues where the chain with the goto would have returned,
    or at the policy of a built-in chain.
    """
    places: dict[Node, None] = {}
    todo, seen = [left], {left}
    for node in todo:
        for rule in calls.callers(node):
            caller = Node(rule.table, rule.chain)
            goto = isinstance(rule.target, Jump) and rule.target.goto
            if not goto or calls.network.nodes[caller]["kind"] == "base":
                places[caller] = None
            elif caller not in seen:
                seen.add(caller)
                todo.append(caller)
    return list(places)


# -- queries of a graph ----------------------------------------------------------------------------


def chains_of(graph: _Graph) -> ChainGraph:
    """Return the graph of chains on which a graph is based."""
    return ChainGraph(graph.graph["ruleset"].tables.values())


def unreferenced_chains(graph: _Graph) -> list[Node]:
    """Return the user chains that no rule jumps to: their rules see no packets."""
    return chains_of(graph).unreferenced()


def dangling_jumps(graph: _Graph) -> list[Rule]:
    """Return the rules that jump to a missing chain."""
    return chains_of(graph).dangling()


def loops(ruleset: Ruleset) -> list[list[Node]]:
    """Return the groups of chains that call each other and that no packet can reach.

    The kernel accepts such rules; they are harmless until a rule jumps to them.

    Raises:
        RulesetError: a packet can reach one of them, which the kernel does not allow.
    """
    return legal_graph(ruleset.tables.values(), ruleset.backend).idle_loops()
