"""Groups of similar chains: each becomes one node, so that a picture of many chains stays readable.

Chains are similar if they have similar names and lead to similar chains: the chains KUBE-SEP-* that each lead to DNAT
and to KUBE-MARK-MASQ. If there are still too many nodes, the rest of each table becomes one node with their number.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from iptsim.dump.chain_graph import Node
from iptsim.graph import RuleGraph
from iptsim.languages import say

#: Up to this many chains are drawn one by one; more are grouped, until there are at most this many nodes.
FREE, MOST = 70, 120
#: At most this many nodes are kept if grouping is not enough, besides those that are never grouped.
_KEPT = 60
#: The smallest group.
_FEWEST = 3
#: How many jumps ahead chains are compared.
_DEPTH = 3


@dataclass(slots=True)
class Folded:
    """Chains that are drawn as one node, or a single chain.

    Attributes:
        label: what their names have in common.
        members: the chains, at least one.
        rest: it represents the rest of a table, and its outgoing edges are not drawn.
    """

    label: str
    members: list[Node] = field(default_factory=list)
    rest: bool = False

    @property
    def alone(self) -> bool:
        """Whether it is one chain."""
        return len(self.members) == 1


def fold(graph: RuleGraph, keep: set[Node]) -> dict[Node, Folded]:
    """Return, for each chain of a graph, the node that represents it.

    Args:
        graph: the graph of a ruleset.
        keep: chains that are never grouped.
    """
    chains = [
        node
        for node, attributes in graph.nodes(data=True)
        if attributes["kind"] in ("base", "user", "missing")
    ]
    alone = {node for node in chains if graph.nodes[node]["kind"] != "user"} | keep
    if len(chains) <= FREE:
        return {node: Folded(node.name, [node]) for node in chains}
    for named, depth in ((pattern, _DEPTH), (pattern, 1), (pattern, 0), (family, 1), (family, 0)):
        groups = _grouped(chains, _shapes(graph, chains, depth, named), alone, named)
        if len(set(map(id, groups.values()))) <= MOST:
            return groups
    return _cut(graph, groups, alone)


def pattern(name: str) -> str:
    """Return a chain's name without its distinguishing part.

    >>> pattern("KUBE-SEP-4PZKQ7XH2ABCDEFG"), pattern("cali-tw-cali3f2a"), pattern("C17"), pattern("ufw-user-input")
    ('KUBE-SEP-*', 'cali-tw-*', 'C*', 'ufw-user-input')
    """
    head, last = re.fullmatch(r"(.*[-_:.])?([^-_:.]*)", name, re.DOTALL).groups("")  # type: ignore[union-attr]
    if head and last and (any(sign.isdigit() for sign in last) or (len(last) >= 8 and last.isupper())):
        return f"{head}*"
    return re.sub(r"\d+\Z", "*", name)


def family(name: str) -> str:
    """Return the first word of a chain's name.

    >>> family("PRE_internal_log"), family("ufw-user-input"), family("MINE")
    ('PRE_*', 'ufw-*', 'MINE')
    """
    head = re.match(r"[^-_:.]+[-_:.]", name)
    return f"{head[0]}*" if head else pattern(name)


def _shapes(graph: RuleGraph, chains: list[Node], depth: int, named: Callable[[str], str]) -> dict[Node, int]:
    """Return a number for each chain, the same for chains that are similar for a number of jumps ahead."""
    numbers: dict[object, int] = {}

    def number(shape: object) -> int:
        return numbers.setdefault(shape, len(numbers))

    own = {node: number((node.place, named(node.name))) for node in chains}
    shapes = dict(own)
    for _ in range(depth):
        shapes = {
            node: number(
                (
                    own[node],
                    frozenset(
                        (
                            attributes["kind"],
                            shapes.get(target, -1),
                            target.name if target.place == "verdict" else "",
                        )
                        for _, target, attributes in graph.out_edges(node, data=True)
                        if target != node
                    ),
                )
            )
            for node in chains
        }
    return shapes


def _grouped(
    chains: list[Node], shapes: dict[Node, int], alone: set[Node], named: Callable[[str], str]
) -> dict[Node, Folded]:
    sizes = Counter(shapes[node] for node in chains if node not in alone)
    groups: dict[int, Folded] = {}
    made: dict[Node, Folded] = {}
    for node in chains:
        if node in alone or sizes[shapes[node]] < _FEWEST:
            made[node] = Folded(node.name, [node])
            continue
        group = groups.setdefault(shapes[node], Folded(named(node.name)))
        group.members.append(node)
        made[node] = group
    return made


def _cut(graph: RuleGraph, groups: dict[Node, Folded], alone: set[Node]) -> dict[Node, Folded]:
    """Keep the nodes nearest to the built-in chains, and make one node of the rest of each table."""
    todo = deque(node for node in groups if node in alone)
    todo.extend(node for node in groups if node not in alone)
    ordered: dict[int, None] = {}
    near = deque(node for node in todo if graph.nodes[node]["kind"] == "base")
    seen = set(near)
    while near:
        node = near.popleft()
        ordered[id(groups[node])] = None
        for _, target in graph.out_edges(node):
            if target in groups and target not in seen:
                seen.add(target)
                near.append(target)
    for node in todo:
        ordered.setdefault(id(groups[node]))
    kept = set(list(ordered)[:_KEPT]) | {id(groups[node]) for node in list(alone)[:MOST]}
    rests: dict[str, Folded] = {}
    made = {}
    for node, group in groups.items():
        if id(group) in kept:
            made[node] = group
        else:
            rest = rests.setdefault(node.place, Folded(say("other chains"), rest=True))
            rest.members.append(node)
            made[node] = rest
    return made
