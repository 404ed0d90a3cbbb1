"""The chain picture: which chain leads where, hook by hook, and the path of a packet.

It shows the chain graph of :mod:`iptsim.graph`, with one edge for all rules of a chain that lead to the same place, and
the verdicts next to each chain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.chain_graph import Node
from iptsim.dump.ruleset import Ruleset
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.context import HOOKS
from iptsim.graph import RuleGraph, ruleset_graph
from iptsim.languages import say
from iptsim.pictures import drawing as draw
from iptsim.pictures.captions import answer_captions, ranges, rules_text
from iptsim.pictures.chain_groups import Folded, fold
from iptsim.pictures.chains_layout import place
from iptsim.pictures.chains_tree import tree
from iptsim.pictures.drawing import TONES, Caption, Drawing, Edge, Sample
from iptsim.pictures.picture import Picture
from iptsim.pictures.visited import VisitedChains, visited_chains

#: How many verdicts of one chain, and edges in all, are drawn; the number of the others is shown.
_ENDS, MOST_EDGES = 8, 500
#: Longest label of an edge, in characters.
_LABEL = 18


def chains_picture(
    ruleset: Ruleset,
    table: str | None = None,
    *,
    explanation: Explanation | None = None,
    counters: bool = False,
    only_path: bool = False,
) -> Picture:
    """Draw which chain leads where.

    Args:
        ruleset: the rules.
        table: only this table.
        explanation: an answer whose packet path is highlighted; chains off the path are dimmed.
        counters: scale line width by the packet counters of the dump.
        only_path: leave out what the explanation's packet did not traverse.
    """
    if table is not None:
        ruleset = replace(ruleset, tables={table: ruleset.tables[table]})
    visited = visited_chains(ruleset, explanation) if explanation is not None else None
    drawn: list[Drawing] = []

    def drawing() -> Drawing:
        if not drawn:
            drawn.append(_Draw(ruleset, visited, counters, explanation, only_path).drawing)
        return drawn[0]

    return Picture(
        drawing,
        lambda: place(drawing()),
        lambda: tree(ruleset, visited, explanation, counters=counters, only_path=only_path),
    )


@dataclass(slots=True)
class _Bundle:
    """The rules with the same source, destination and kind."""

    kind: str
    positions: list[int] = field(default_factory=list)
    packets: int = 0
    rules: int = 0
    marks: set[str] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)


class _Draw:
    """Makes the drawing."""

    def __init__(
        self,
        ruleset: Ruleset,
        visited: VisitedChains | None,
        counters: bool,
        explanation: Explanation | None,
        only_path: bool,
    ) -> None:
        self.ruleset, self.visited, self.counters = ruleset, visited, counters
        self.graph: RuleGraph = ruleset_graph(ruleset, returns=False)
        self.walked = visited.chains(visited.walked) | visited.hooks if visited else set()
        self.idle = visited.chains(visited.idle) - self.walked if visited else set()
        keep = sorted(
            node for node in self.walked | self.idle if node in self.graph and node.place in ruleset.tables
        )
        self.folds = fold(self.graph, set(keep[:60]))
        self.hooks = self._hooks()
        names = ", ".join(ruleset.tables)
        self.drawing = Drawing(say("Chains of {tool}, {tables}", tool=_tools(ruleset), tables=names))
        self.lost = 0
        self._nodes()
        self._edges()
        if visited is not None and only_path:
            self._keep_path()
        elif len(self.drawing.edges) > MOST_EDGES:
            self._cut()
        self._legend()
        self._describe(explanation)

    def _key(self, node: Node) -> str:
        group = self.folds.get(node)
        first = group.members[0] if group else node
        return f"{first.place} {first.name}"

    # -- nodes ------------------------------------------------------------------------------------------

    def _hooks(self) -> dict[str, list[Node]]:
        """Return the hooks that the rules use, those of IP first, each with its base chains by table."""
        tables = [*BUILTIN_CHAINS, *(table for table in self.ruleset.tables if table not in BUILTIN_CHAINS)]
        found: dict[str, list[Node]] = {hook: [] for hook in HOOKS}
        for name in tables:
            table = self.ruleset.tables.get(name)
            for chain in table.chains.values() if table is not None else ():
                if chain.builtin:
                    found.setdefault(chain.hook, []).append(Node(name, chain.name))
        return {hook: bases for hook, bases in found.items() if bases}

    def _nodes(self) -> None:
        bases = [base for hook in self.hooks for base in self.hooks[hook]]
        for hook, entered in self.hooks.items():
            node = self.drawing.add(draw.Node(f"hook {hook}", "entry", [hook]))
            self._mark(node, self.visited is not None and not self.visited.hooks.isdisjoint(entered))
        for member in (*bases, *self.folds):
            group = self.folds[member]
            if self._key(member) not in self.drawing.nodes:
                self._chain(group)

    def _mark(self, node: draw.Node, walked: bool, idle: bool = False) -> None:
        if self.visited is not None:
            node.classes.add("walked" if walked else "vain" if idle else "unseen")

    def _chain(self, group: Folded) -> None:
        first = group.members[0]
        attributes = self.graph.nodes[first]
        table = f"{first.place} " if len(self.ruleset.tables) > 1 or attributes["kind"] == "base" else ""
        if attributes["kind"] == "missing":
            node = draw.Node(
                self._key(first), "missing", [f"{table}{first.name}", say("this chain does not exist")]
            )
        elif group.alone:
            owner = attributes["owner"]
            texts = [rules_text(attributes["rules"])]
            if attributes["kind"] == "base":
                texts.insert(0, say("policy {policy}", policy=attributes["policy"] or "ACCEPT"))
            else:
                texts.insert(0, say("created by you") if owner == "user" else owner)
                if all(caller == first for caller, _ in self.graph.in_edges(first)):
                    texts.append(say("nothing jumps here"))
            kind = "base" if attributes["kind"] == "base" else "chain"
            node = draw.Node(self._key(first), kind, [f"{table}{first.name}", " · ".join(texts)])
            node.classes |= _owner_classes(owner)
            node.tip = (
                say(
                    "{table} {chain}, line {line}",
                    table=first.place,
                    chain=first.name,
                    line=attributes["line"],
                )
                if attributes["line"]
                else ""
            )
        else:
            rules = sum(self.graph.nodes[member].get("rules", 0) for member in group.members)
            owners = {self.graph.nodes[member].get("owner", "user") for member in group.members}
            label = f"{table}{group.label} × {len(group.members)}"
            owner = owners.pop() if len(owners) == 1 else say("various owners")
            texts = [
                say("created by you") if owner == "user" else owner,
                say("{rules} in total", rules=rules_text(rules)),
            ]
            node = draw.Node(self._key(first), "fold", [label, " · ".join(texts)])
            node.classes |= {"chain", *_owner_classes(owner)}
            names = [member.name for member in group.members[:20]]
            node.tip = ", ".join(names) + (" ..." if len(group.members) > len(names) else "")
        members = set(group.members)
        self._mark(node, not members.isdisjoint(self.walked), not members.isdisjoint(self.idle))
        self.drawing.add(node)

    # -- edges ------------------------------------------------------------------------------------------

    def _edges(self) -> None:
        for hook, bases in self.hooks.items():
            for base in bases:
                edge = Edge(f"hook {hook}", self._key(base), "hook")
                self._mark_edge(edge, bool(self.visited and base in self.visited.hooks), False)
                self.drawing.edges.append(edge)
        done: set[int] = set()
        for group in self.folds.values():
            if id(group) not in done:
                done.add(id(group))
                self._leaving(group)

    def _leaving(self, group: Folded) -> None:
        """Add the outgoing edges of a chain, or of a group of chains."""
        bundles: dict[tuple[str, str], _Bundle] = {}
        for member in group.members if not group.rest else ():
            for _, reached, key, attributes in self.graph.out_edges(member, keys=True, data=True):
                self._bundle(bundles, member, reached, key, attributes)
            chain = self.ruleset.chain(member.place, member.name)
            for rule in chain.rules if chain is not None else ():
                if rule.target_name == "RETURN":
                    self._bundle(
                        bundles,
                        member,
                        Node("verdict", "RETURN"),
                        rule.position,
                        {"kind": "action", "rule": rule},
                    )
        source = self._key(group.members[0])
        ends = [key for key in bundles if key[0].startswith("verdict ")]
        for key in ends[_ENDS:]:
            rest = bundles.setdefault(("verdict and more", "action"), _Bundle("action"))
            lost = bundles.pop(key)
            rest.rules += lost.rules
            rest.packets += lost.packets
            rest.marks |= lost.marks
        # in the order of the rules, the policy last: the picture reads from top to bottom
        for (target, _), bundle in sorted(bundles.items(), key=lambda item: _first(item[1])):
            if target == source:
                continue
            if target.startswith("verdict "):
                target = self._leaf(source, target.removeprefix("verdict "), bundle)
            label = say("policy") if bundle.kind == "policy" else ranges(bundle.positions, _LABEL)
            if not group.alone:
                label = f"× {bundle.rules}" if bundle.rules > 1 else ""
            width = 1.0
            if self.counters:
                label = f"{label} · {_short(bundle.packets)}" if label else _short(bundle.packets)
                width = round(1.2 + 1.1 * math.log10(1 + bundle.packets), 1)
            edge = Edge(source, target, bundle.kind, label, width=width)
            edge.tip = "\n".join(bundle.texts)
            self._mark_edge(edge, "walked" in bundle.marks, "vain" in bundle.marks)
            self.drawing.edges.append(edge)

    def _bundle(
        self,
        bundles: dict[tuple[str, str], _Bundle],
        member: Node,
        target: Node,
        key: Any,
        attributes: dict[str, Any],
    ) -> None:
        kind, rule = attributes["kind"], attributes["rule"]
        if target == member:
            if rule is None or not rule.target_name or kind != "continue":
                return
            if rule.target is not None and rule.target.status == "unknown":
                return  # drawn as a verdict as well
            kind, target = "action", Node("verdict", rule.target_name)
        name = f"verdict {target.name}" if target.place == "verdict" else self._key(target)
        bundle = bundles.setdefault((name, kind), _Bundle(kind))
        position = 0 if kind == "policy" else int(key)
        bundle.positions.append(position)
        bundle.rules += 1
        count = self.graph.nodes[member].get("counters") if rule is None else rule.counters
        bundle.packets += count.packets if count else 0
        if rule is not None and len(bundle.texts) < 6:
            bundle.texts.append(rule.shown)
        if self.visited is not None:
            taken = (member, target, position)
            bundle.marks |= {"walked"} if taken in self.visited.walked else set()
            bundle.marks |= {"vain"} if taken in self.visited.idle else set()
            bundle.changes += self.visited.changes.get((member, position), [])
            end = self.visited.ends.get((member, position))
            if end is not None:
                bundle.marks |= {"walked", end}

    def _leaf(self, source: str, verdict: str, bundle: _Bundle) -> str:
        """Add a chain's own box for a verdict, and return its name."""
        name = f"{source} → {'policy' if bundle.kind == 'policy' else verdict}"
        node = self.drawing.nodes.get(name)
        if node is None:
            tone = TONES.get(verdict)
            kind = "action" if bundle.kind == "action" and tone is None else "verdict"
            node = self.drawing.add(draw.Node(name, kind, [verdict], classes={tone} if tone else set()))
        if self.visited is not None:
            node.classes -= {"unseen"} if bundle.marks else set()
            if not node.classes & {"walked", "vain"}:
                self._mark(node, "walked" in bundle.marks, "vain" in bundle.marks)
            elif "walked" in bundle.marks:
                node.classes = (node.classes - {"vain"}) | {"walked"}
            node.classes |= bundle.marks & {"stop", "arrived", "open"}
            node.changes += [change for change in bundle.changes if change not in node.changes]
        return name

    def _mark_edge(self, edge: Edge, walked: bool, idle: bool) -> None:
        if self.visited is not None:
            edge.classes.add("walked" if walked else "vain" if idle else "unseen")

    def _keep_path(self) -> None:
        """Leave out what the packet did not traverse."""
        drawing = self.drawing
        drawing.nodes = {name: node for name, node in drawing.nodes.items() if "unseen" not in node.classes}
        drawing.edges = [edge for edge in drawing.edges if "unseen" not in edge.classes]

    def _cut(self) -> None:
        """Leave out edges if there are too many, but none that a packet took."""
        kept = [
            edge
            for number, edge in enumerate(self.drawing.edges)
            if number < MOST_EDGES or "walked" in edge.classes
        ]
        self.lost = len(self.drawing.edges) - len(kept)
        self.drawing.edges = kept
        ends = {edge.target for edge in kept} | {edge.source for edge in kept}
        for name in [name for name, node in self.drawing.nodes.items() if node.kind in ("verdict", "action")]:
            if name not in ends:
                del self.drawing.nodes[name]

    # -- words ------------------------------------------------------------------------------------------

    def _legend(self) -> None:
        legend = self.drawing.legend
        kinds = [(node.kind, node.classes) for node in self.drawing.nodes.values()]
        for owner, text in (
            ("docker", say("Docker's chain")),
            ("user", say("chain created by you")),
            ("other", say("another program's chain")),
        ):
            if any(owner in classes for _, classes in kinds):
                legend.append(Sample("chain", (owner,), text))
        if any(kind == "fold" for kind, _ in kinds):
            legend.append(Sample("fold", ("chain", "other"), say("similar chains")))
        tones = {tone for kind, classes in kinds if kind == "verdict" for tone in classes}
        for tone, text in (
            ("accept", say("accepts")),
            ("drop", say("drops")),
            ("reject", say("rejects")),
            ("translate", say("translates addresses")),
            ("return", say("returns to the calling chain")),
        ):
            if tone in tones:
                legend.append(Sample("verdict", (tone,), text))
        if any(edge.kind == "goto" for edge in self.drawing.edges):
            legend.append(Sample("goto", (), say("goto (does not return)"), True))
        if self.visited is not None:
            legend.append(Sample("jump", ("walked",), say("led to the verdict"), True))
            legend.append(Sample("jump", ("vain",), say("traversed, no effect"), True))
            if any("unseen" in edge.classes for edge in self.drawing.edges):
                legend.append(Sample("jump", ("unseen",), say("not traversed"), True))
            ends = {
                "arrived": say("accepted here"),
                "stop": say("stopped here"),
                "open": say("depends on something unknown"),
            }
            seen = set(self.visited.ends.values())
            legend.extend(Sample("end", (end,), text) for end, text in ends.items() if end in seen)

    def _describe(self, explanation: Explanation | None) -> None:
        drawing = self.drawing
        if explanation is not None:
            drawing.captions = answer_captions(explanation)
            drawing.title = drawing.captions[0].text
        folded = {id(group): len(group.members) for group in self.folds.values() if not group.alone}
        if folded:
            count = sum(folded.values())
            drawing.captions.append(
                Caption(
                    "note",
                    say(
                        "{count} of {all} chains are folded into {groups} groups.",
                        count=count,
                        all=len(self.folds),
                        groups=len(folded),
                    ),
                )
            )
        if self.counters:
            drawing.captions.append(Caption("note", say("Labels: positions of the rules · packets")))
        if self.lost:
            drawing.captions.append(
                Caption("note", say("{count} more edges are not drawn.", count=self.lost))
            )
        texts = [caption.text for caption in drawing.captions[1 if explanation else 0 :]]
        chains = sum(len(table.chains) for table in self.ruleset.tables.values())
        names = ", ".join(self.ruleset.tables)
        drawing.description = " ".join(
            [
                *texts,
                say(
                    (
                        "{count} chains of the tables {tables}, from the hooks on the left to the verdicts on "
                        "the right."
                    ),
                    count=chains,
                    tables=names,
                ),
            ]
        )


def _tools(ruleset: Ruleset) -> str:
    """Return what made the tables: "iptables", "nftables", "iptables + nftables"."""
    of_iptables = {table in BUILTIN_CHAINS for table in ruleset.tables}
    tools = [tool_of(ruleset.family)] if True in of_iptables or not of_iptables else []
    return " + ".join([*tools, *(["nftables"] if False in of_iptables else [])])


def _first(bundle: _Bundle) -> tuple[bool, int]:
    return bundle.kind == "policy", min(bundle.positions, default=1 << 30)


def _owner_classes(owner: str) -> set[str]:
    if owner == "kernel":
        return set()
    return {owner if owner in ("docker", "user") else "other"}


def _short(packets: int) -> str:
    """Return an abbreviated number of packets: 12k, 3.4M.

    >>> _short(999), _short(12_345), _short(3_400_000)
    ('999', '12k', '3.4M')
    """
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if packets >= size:
            value = packets / size
            return f"{value:.1f}{unit}" if value < 10 else f"{value:.0f}{unit}"
    return str(packets)
