"""The chain graph as text: a tree, Mermaid, Graphviz' DOT."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby

from iptsim.dump.ruleset import Chain, Jump, Rule, Ruleset, Table
from iptsim.errors import printable
from iptsim.graph import ChainGraph, Node, ruleset_graph

#: How an edge is drawn, by kind: Mermaid arrow, DOT style. What is not here is not drawn.
_ARROWS = {
    "hook": ("==>", "bold"),
    "jump": ("-->", "solid"),
    "goto": ("-.->", "dashed"),
    "verdict": ("-->", "solid"),
    "policy": ("-.->", "dotted"),
}
_MERMAID_SHAPES = {
    "hook": "{{{{{}}}}}",
    "base": "[[{}]]",
    "user": "[{}]",
    "verdict": "([{}])",
    "missing": ">{}]",
}
_DOT_SHAPES = {"hook": "hexagon", "base": "box3d", "user": "box", "verdict": "ellipse", "missing": "note"}


# -- tree ------------------------------------------------------------------------------------------


def tree(ruleset: Ruleset, table: str | None = None) -> str:
    """Return the chains as a tree below each built-in chain; none is unfolded twice in a table."""
    return "".join(f"{line}\n" for line in _tree_lines(ruleset, table))


def _tree_lines(ruleset: Ruleset, only: str | None) -> Iterator[str]:
    for table in ruleset.tables.values():
        if only not in (None, table.name):
            continue
        shown: set[str] = set()
        for chain in table.chains.values():
            if chain.builtin:
                yield f"{table.name} {chain.name}   policy {chain.policy or 'ACCEPT'}"
                yield from _below(table, chain, shown)
        left = [chain for chain in table.chains.values() if not chain.builtin and chain.name not in shown]
        for chain in left:
            if chain.name not in shown:
                yield f"{table.name} {printable(chain.name)}   no packet comes here"
                shown.add(chain.name)
                yield from _below(table, chain, shown)


def _below(table: Table, chain: Chain, shown: set[str]) -> Iterator[str]:
    """Yield the lines below a chain, without recursion: dumps may nest as deep as they like."""
    todo: list[tuple[str, Iterator[tuple[bool, list[Rule]]]]] = [("", _entries(chain))]
    while todo:
        prefix, entries = todo[-1]
        entry = next(entries, None)
        if entry is None:
            todo.pop()
            continue
        last, rules = entry
        branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        target = rules[0].target
        if not isinstance(target, Jump):
            yield f"{prefix}{branch}{_others(rules)}"
            continue
        called = table.chains.get(target.chain)
        remark = ""
        if called is None:
            remark = "   (there is no such chain)"
        elif target.chain in shown and called.rules:
            remark = "   (see above)"
        elif not called.rules:
            remark = "   (empty)"
        jump = f"{rules[0].position} {'⇒' if target.goto else '→'} {printable(target.chain)}"
        yield f"{prefix}{branch}{jump}{_when(rules[0])}{remark}"
        if called is not None and not remark:
            shown.add(target.chain)
            todo.append((prefix + below, _entries(called)))
        elif called is not None:
            shown.add(target.chain)


def _entries(chain: Chain) -> Iterator[tuple[bool, list[Rule]]]:
    """Yield the jumps of a chain one by one, the rules between them together; with whether it is the last."""
    groups: list[list[Rule]] = []
    for is_jump, rules in groupby(chain.rules, key=lambda rule: isinstance(rule.target, Jump)):
        if is_jump:
            groups.extend([rule] for rule in rules)
        else:
            groups.append(list(rules))
    for number, group in enumerate(groups, 1):
        yield number == len(groups), group


def _others(rules: list[Rule]) -> str:
    """Return one line for rules that lead to no chain: "3-7 ACCEPT x4, LOG"."""
    counts: dict[str, int] = {}
    for rule in rules:
        name = rule.target_name or "no target"
        counts[name] = counts.get(name, 0) + 1
    what = ", ".join(name if count == 1 else f"{name} x{count}" for name, count in counts.items())
    first, last = rules[0].position, rules[-1].position
    where = str(first) if first == last else f"{first}-{last}"
    return f"{where} {printable(what)}{_when(rules[0]) if first == last else ''}"


def _when(rule: Rule) -> str:
    """Return a rule's conditions as the dump has them."""
    words = rule.text.removeprefix(f"-A {rule.chain}")
    for flag in (" -j ", " -g "):
        words = words.partition(flag + rule.target_name)[0] if rule.target_name else words
    return f"   {printable(words.strip())}" if words.strip() else ""


# -- drawings --------------------------------------------------------------------------------------


def mermaid(ruleset: Ruleset, table: str | None = None) -> str:
    """Return the graph as a Mermaid flowchart."""
    graph, names = _drawn(ruleset, table)
    lines = ["flowchart LR"]
    for node, name in names.items():
        kind = graph.nodes[node]["kind"]
        lines.append(f"  {name}{_MERMAID_SHAPES[kind].format(_mermaid_text(_label(graph, node)))}")
    for source, target, kind, label in _drawn_edges(graph):
        arrow = _ARROWS[kind][0] + (f"|{_mermaid_text(label)}|" if label else "")
        lines.append(f"  {names[source]} {arrow} {names[target]}")
    return "\n".join(lines) + "\n"


def dot(ruleset: Ruleset, table: str | None = None) -> str:
    """Return the graph in Graphviz' language."""
    graph, names = _drawn(ruleset, table)
    lines = ["digraph iptables {", "  rankdir=LR;"]
    for node, name in names.items():
        kind = graph.nodes[node]["kind"]
        lines.append(f"  {name} [label={_dot_text(_label(graph, node))}, shape={_DOT_SHAPES[kind]}];")
    for source, target, kind, label in _drawn_edges(graph):
        style = _ARROWS[kind][1]
        lines.append(f"  {names[source]} -> {names[target]} [label={_dot_text(label)}, style={style}];")
    return "\n".join([*lines, "}"]) + "\n"


def _drawn(ruleset: Ruleset, table: str | None) -> tuple[ChainGraph, dict[Node, str]]:
    """Return the graph of a table, or of all, and a short name for each of its nodes."""
    if table is not None:
        ruleset = replace(ruleset, tables={table: ruleset.tables[table]})
    graph = ruleset_graph(ruleset)
    return graph, {node: f"n{number}" for number, node in enumerate(graph)}


def _drawn_edges(graph: ChainGraph) -> Iterator[tuple[Node, Node, str, str]]:
    """Yield one edge for all rules that lead from one node to another alike, labelled by position."""
    positions: dict[tuple[Node, Node, str], list[int]] = {}
    for source, target, key, attributes in graph.edges(keys=True, data=True):
        kind: str = attributes["kind"]
        if kind in _ARROWS:
            positions.setdefault((source, target, kind), []).extend(
                [key] if kind not in ("hook", "policy") else []
            )
    for (source, target, kind), rules in positions.items():
        yield source, target, kind, _ranges(rules) or ("policy" if kind == "policy" else "")


def _ranges(positions: list[int]) -> str:
    """Return positions in short: "1, 3-5"."""
    parts: list[list[int]] = []
    for position in sorted(positions):
        if parts and position == parts[-1][-1] + 1:
            parts[-1][1:] = [position]
        else:
            parts.append([position])
    return ", ".join("-".join(str(end) for end in part) for part in parts)


def _label(graph: ChainGraph, node: Node) -> str:
    attributes = graph.nodes[node]
    if attributes["kind"] not in ("base", "user"):
        return node.name
    count = attributes["rules"]
    return f"{node.place} {node.name} ({count} rule{'' if count == 1 else 's'})"


def _mermaid_text(text: str) -> str:
    escaped = "".join(c if c.isalnum() or c in " -_.,()/" else f"#{ord(c)};" for c in printable(text))
    return f'"{escaped}"'


def _dot_text(text: str) -> str:
    escaped = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


#: Suffix of a file's name -> how its text is made.
FORMATS: dict[str, Callable[[Ruleset, str | None], str]] = {".txt": tree, ".mmd": mermaid, ".dot": dot}
