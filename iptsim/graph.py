"""A ruleset as a directed graph: hooks, chains and verdicts as nodes, the ways between them as edges.

An edge's key is the position of its rule in the chain that it leaves; what happens at the end of a chain
(fall-through, policy) has the position behind the last rule, as in the kernel's own trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

import networkx as nx

from iptsim.dump.loops import refuse_loops
from iptsim.dump.owners import chain_owner
from iptsim.dump.ruleset import Chain, Jump, Rule, Ruleset, Table
from iptsim.extensions.base import Target

NodeKind = Literal["hook", "base", "user", "verdict", "missing"]
EdgeKind = Literal["hook", "jump", "goto", "return", "fall-through", "policy", "verdict", "continue"]


class Node(NamedTuple):
    """A node's identity.

    Attributes:
        place: "hook", "verdict", or the table of a chain.
        name: of the hook, the chain or the verdict (a target's name).
    """

    place: str
    name: str

    def __str__(self) -> str:
        return self.name if self.place in ("hook", "verdict") else f"{self.place}:{self.name}"


#: An edge: from, to, and its key: the position of its rule, or a hook's table.
Edge: TypeAlias = tuple[Node, Node, str | int]


if TYPE_CHECKING:
    # the class of the stubs takes the type of its nodes, networkx' own does not
    _Graph = nx.MultiDiGraph[Node]
else:
    _Graph = nx.MultiDiGraph


class ChainGraph(_Graph):
    """The graph of a ruleset: a networkx graph that a notebook draws, where it has a ruleset.

    The ruleset is the graph's attribute `ruleset`, so copies and parts have it as well.
    """

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return what a notebook shows: the picture of the ruleset."""
        ruleset: Ruleset | None = self.graph.get("ruleset")
        return ruleset.picture()._repr_mimebundle_() if ruleset is not None else {"text/plain": str(self)}


def ruleset_graph(ruleset: Ruleset, *, returns: bool = True) -> ChainGraph:
    """Return the graph of a ruleset.

    Args:
        ruleset: the rules.
        returns: with the edges that lead back from a chain to every chain that calls it. There are as many
            as callers times rules with RETURN, and who only draws what leads where needs none of them.

    Nodes have the attribute `kind` (see :data:`NodeKind`), and chains also `table`, `policy`, `counters`,
    `rules` (how many), `line` and `owner`. Edges have `kind` (see :data:`EdgeKind`) and `rule`, which is
    None for hooks, fall-through and policies. A rule that lets the packet go on in its chain is an edge
    from the chain to itself.
    """
    graph = ChainGraph(family=ruleset.family, source=ruleset.source, ruleset=ruleset)
    for table in ruleset.tables.values():
        for chain in table.chains.values():
            _add_chain(graph, chain)
        for chain in table.chains.values():
            for rule in chain.rules:
                _add_rule(graph, rule)
        if returns:
            _add_returns(graph, table)
    return graph


def _add_chain(graph: ChainGraph, chain: Chain) -> None:
    node = Node(chain.table, chain.name)
    graph.add_node(
        node,
        kind="base" if chain.builtin else "user",
        table=chain.table,
        policy=chain.policy,
        counters=chain.counters,
        rules=len(chain.rules),
        line=chain.line,
        owner=chain_owner(chain.name),
    )
    if chain.builtin:
        hook = Node("hook", chain.name)
        graph.add_node(hook, kind="hook")
        graph.add_edge(hook, node, key=chain.table, kind="hook", rule=None)
        _add_verdict(graph, node, chain.policy or "ACCEPT", len(chain.rules) + 1, "policy", None)


def _add_verdict(
    graph: ChainGraph, source: Node, name: str, position: int, kind: EdgeKind, rule: Rule | None
) -> None:
    verdict = Node("verdict", name)
    graph.add_node(verdict, kind="verdict")
    graph.add_edge(source, verdict, key=position, kind=kind, rule=rule)


def _add_rule(graph: ChainGraph, rule: Rule) -> None:
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
    """Tell whether a target that usually lets the packet go on may also take it."""
    return target is not None and target.status == "unknown"


def _add_returns(graph: ChainGraph, table: Table) -> None:
    """Add what leads out of chains: RETURN, and the end of a user chain."""
    destinations = _return_destinations(table)
    for chain in table.chains.values():
        node = Node(table.name, chain.name)
        returns = [
            rule for rule in chain.rules if rule.target_name == "RETURN" and not isinstance(rule.target, Jump)
        ]
        if chain.builtin:
            for rule in returns:
                _add_verdict(graph, node, chain.policy or "ACCEPT", rule.position, "return", rule)
        for name in destinations[chain.name]:
            caller = Node(table.name, name)
            for rule in returns:
                graph.add_edge(node, caller, key=rule.position, kind="return", rule=rule)
            graph.add_edge(node, caller, key=len(chain.rules) + 1, kind="fall-through", rule=None)


def _return_destinations(table: Table) -> dict[str, list[str]]:
    """Return for each user chain the chains in which a packet goes on when it leaves it.

    A goto leaves no return point: the packet goes on where the chain with the goto would have returned to,
    or at the policy of a built-in chain.
    """
    jumps: dict[str, dict[str, None]] = {name: {} for name in table.chains}
    gotos: dict[str, dict[str, None]] = {name: {} for name in table.chains}
    for rule in table.rules():
        if isinstance(rule.target, Jump) and rule.target.chain in table.chains:
            (gotos if rule.target.goto else jumps)[rule.target.chain][rule.chain] = None
    found: dict[str, list[str]] = {}
    for name, chain in table.chains.items():
        if chain.builtin:
            found[name] = []
            continue
        places, todo, seen = dict(jumps[name]), [name], {name}
        while todo:
            for by in gotos[todo.pop()]:
                if by in seen:
                    continue
                seen.add(by)
                if table.chains[by].builtin:
                    places[by] = None
                else:
                    places.update(jumps[by])
                    todo.append(by)
        found[name] = list(places)
    return found


# -- questions to a graph --------------------------------------------------------------------------


def chains(graph: ChainGraph) -> Iterator[tuple[Node, dict[str, Any]]]:
    """Yield the chains with their attributes."""
    for node, attributes in graph.nodes(data=True):
        if attributes["kind"] in ("base", "user"):
            yield node, attributes


def callers(graph: ChainGraph, node: Node) -> list[Rule]:
    """Return the rules that lead to a chain."""
    return [rule for _, _, kind, rule in _in_edges(graph, node) if kind in ("jump", "goto")]


def _in_edges(graph: ChainGraph, node: Node) -> Iterator[tuple[Node, Node, EdgeKind, Rule]]:
    for source, target, attributes in graph.in_edges(node, data=True):
        yield source, target, attributes["kind"], attributes["rule"]


def unreferenced_chains(graph: ChainGraph) -> list[Node]:
    """Return the user chains that no rule leads to: their rules see no packet."""
    return [
        node
        for node, attributes in chains(graph)
        if attributes["kind"] == "user" and not callers(graph, node)
    ]


def dangling_jumps(graph: ChainGraph) -> list[Rule]:
    """Return the rules that lead to a chain that is not there."""
    missing = [node for node, attributes in graph.nodes(data=True) if attributes["kind"] == "missing"]
    return [rule for node in missing for rule in callers(graph, node)]


def loops(ruleset: Ruleset) -> list[list[Node]]:
    """Return the groups of chains that lead to each other and that no packet can reach.

    The kernel loads such rules, and they do no harm until a rule leads to them.

    Raises:
        RulesetError: a packet can come to one of them, which no kernel allows.
    """
    refuse_loops(ruleset)
    calls: nx.DiGraph[Node] = nx.DiGraph()
    calls.add_edges_from(
        (Node(rule.table, rule.chain), Node(rule.table, rule.target.chain))
        for rule in ruleset.rules()
        if isinstance(rule.target, Jump)
    )
    groups = nx.strongly_connected_components(calls)
    return [sorted(group) for group in groups if len(group) > 1 or calls.has_edge(*(2 * tuple(group)))]


class Walked(Protocol):
    """What a step of a walk (:class:`iptsim.netfilter.trace.Step`) tells about its place."""

    @property
    def hook(self) -> str:
        """The hook, or what else happened."""

    @property
    def table(self) -> str | None:
        """The table; None outside iptables."""

    @property
    def chain(self) -> str | None:
        """The chain."""

    @property
    def rule(self) -> Rule | None:
        """The rule that matched."""

    @property
    def policy(self) -> bool:
        """Whether the policy decided."""

    @property
    def verdict(self) -> str:
        """JUMP:chain, GOTO:chain, RETURN, CONTINUE, or what ended the chain."""


def path_of(graph: ChainGraph, steps: Iterable[Walked]) -> list[list[Edge]]:
    """Return the way of a walk as paths of the graph, one for each built-in chain that it passes.

    Args:
        graph: of the ruleset that was walked.
        steps: of one leg of a trace whose undecided matches, if any, make no difference.

    Raises:
        ValueError: the steps are no path of this graph.
    """
    found = []
    run: _Replay | None = None
    for step in steps:
        if step.table is None:
            continue
        if run is None:
            run = _Replay(graph, step.hook, step.table)
        run.follow(step)
        if run.ended:
            found.append(run.edges)
            run = None
    if run is not None:
        raise ValueError(f"the way ends in the middle of {run.node}")
    return found


class _Replay:
    """One pass through a built-in chain, made again on the graph."""

    def __init__(self, graph: ChainGraph, hook: str, table: str) -> None:
        self.graph = graph
        self.base = Node(table, hook)
        self.node = Node("hook", hook)
        self.stack: list[Node] = []
        self.edges: list[Edge] = []
        self.ended = False
        #: position of a RETURN in the built-in chain: the policy follows
        self.returned = 0
        self._go(self.base, table, "hook")

    def follow(self, step: Walked) -> None:
        here = Node(step.table or "", step.chain or "")
        while self.node != here:
            self._leave(self._end(), "fall-through")
        if step.policy:
            kind: EdgeKind = "return" if self.returned else "policy"
            self._finish(Node("verdict", step.verdict), self.returned or self._end(), kind)
            return
        if step.rule is None:
            raise ValueError(f"a step in {here} has neither a rule nor a policy")
        position = step.rule.position
        verdict, _, chain = step.verdict.partition(":")
        if verdict == "JUMP":
            self.stack.append(here)
            self._go(Node(here.place, chain), position, "jump")
        elif verdict == "GOTO":
            self._go(Node(here.place, chain), position, "goto")
        elif verdict == "CONTINUE":
            self._go(here, position, "continue")
        elif verdict == "RETURN" and here == self.base:
            self.returned = position
        elif verdict == "RETURN":
            self._leave(position, "return")
        else:
            self._finish(Node("verdict", step.rule.target_name), position, "verdict")

    def _end(self) -> int:
        """Return the position behind the last rule of the chain."""
        rules: int = self.graph.nodes[self.node]["rules"]
        return rules + 1

    def _leave(self, key: int, kind: EdgeKind) -> None:
        """Go back to the caller; without one, a goto of the built-in chain led here."""
        self._go(self.stack.pop() if self.stack else self.base, key, kind)

    def _finish(self, verdict: Node, key: int, kind: EdgeKind) -> None:
        self._go(verdict, key, kind)
        self.ended = True

    def _go(self, target: Node, key: str | int, kind: EdgeKind) -> None:
        edge = (self.node, target, key)
        if not self.graph.has_edge(*edge) or self.graph.edges[edge]["kind"] != kind:
            raise ValueError(f"there is no edge {kind} {key} from {self.node} to {target}")
        self.edges.append(edge)
        self.node = target
