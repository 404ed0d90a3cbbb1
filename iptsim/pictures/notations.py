"""A drawing as Mermaid or as Graphviz' DOT; those programs place it themselves."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.errors import printable
from iptsim.pictures.drawing import TONES, Drawing, Edge, Group, Node
from iptsim.pictures.style import LIGHT

#: How an edge is drawn, by kind: Mermaid arrow, DOT style.
_ARROWS = {
    "hook": ("==>", "bold"),
    "jump": ("-->", "solid"),
    "goto": ("-.->", "dashed"),
    "verdict": ("-->", "solid"),
    "action": ("-.->", "dashed"),
    "policy": ("-.->", "dotted"),
    "flow": ("-->", "solid"),
    "route": ("==>", "bold"),
    "reply": ("-.->", "dashed"),
}
_PLAIN = ("---", "solid")
_MERMAID_SHAPES = {
    "entry": "{{{{{}}}}}",
    "base": "[[{}]]",
    "verdict": "[{}]",
    "action": "({})",
    "missing": ">{}]",
    "accept": "([{}])",
    "drop": "((({})))",
    "reject": "{{{}}}",
    "translate": "[/{}/]",
    "return": "[\\{}\\]",
    "world": "([{}])",
    "plug": "({})",
    "port": "({})",
}
_DOT_SHAPES = {
    "entry": "hexagon",
    "base": "box3d",
    "fold": "folder",
    "verdict": "box",
    "action": "oval",
    "missing": "note",
    "accept": "ellipse",
    "drop": "octagon",
    "reject": "doubleoctagon",
    "translate": "parallelogram",
    "return": "larrow",
    "world": "ellipse",
    "plug": "oval",
}
#: Fill and stroke by class, the same in both notations. The last class of a node counts.
_COLOURS = {
    **{name: (LIGHT[name], LIGHT[f"{name}-line"]) for name in ("docker", "user", "other")},
    "accept": (LIGHT["arrived-fill"], LIGHT["arrived"]),
    "drop": (LIGHT["stop-fill"], LIGHT["stop"]),
    "reject": (LIGHT["reject-fill"], LIGHT["reject"]),
    "translate": (LIGHT["change-fill"], LIGHT["change"]),
    "unseen": ("#f6f6f6", "#b0b0b0"),
    "vain": ("#eef4fb", "#7fa6cc"),
    "walked": (LIGHT["route-fill"], LIGHT["route"]),
    **{name: (LIGHT[f"{name}-fill"], LIGHT[name]) for name in ("arrived", "open", "stop")},
}
_ROUTE, _REPLY = LIGHT["route"], LIGHT["reply"]


def _names(drawing: Drawing) -> dict[str, str]:
    return {node: f"n{number}" for number, node in enumerate(drawing.nodes)}


def _style(classes: set[str]) -> str:
    return next((name for name in reversed(_COLOURS) if name in classes), "")


def _edge_colour(edge: Edge) -> str:
    if "walked" not in edge.classes:
        return ""
    return _REPLY if edge.kind == "reply" else _ROUTE


def _shape_of(node: Node) -> str:
    """Return what decides a node's shape: its verdict, else its kind."""
    return TONES.get(node.lines[0], node.kind) if node.kind == "verdict" else node.kind


def _children(drawing: Drawing, parent: str) -> tuple[list[Group], list[Node]]:
    groups = [group for group in drawing.groups.values() if group.parent == parent]
    return groups, [node for node in drawing.nodes.values() if node.group == parent]


# -- Mermaid ---------------------------------------------------------------------------------------


def mermaid(drawing: Drawing) -> str:
    """Return a drawing as a Mermaid flowchart."""
    names = _names(drawing)
    title = "".join(sign if sign.isalnum() or sign in " -_.,()/:→" else " " for sign in drawing.title)
    lines = [f"flowchart {drawing.direction}", f"  accTitle: {title}"]
    lines.extend(_mermaid_group(drawing, "", names, 1))
    coloured: dict[str, list[str]] = {}
    for number, edge in enumerate(drawing.edges):
        arrow = _ARROWS.get(edge.kind, _PLAIN)[0] + (f"|{_mermaid_text(edge.label)}|" if edge.label else "")
        lines.append(f"  {names[edge.source]} {arrow} {names[edge.target]}")
        if colour := _edge_colour(edge):
            coloured.setdefault(colour, []).append(str(number))
    styles: dict[str, list[str]] = {}
    for node in drawing.nodes.values():
        if style := _style(node.classes):
            styles.setdefault(style, []).append(names[node.name])
    for style, members in styles.items():
        fill, stroke = _COLOURS[style]
        lines.append(f"  classDef {style} fill:{fill},stroke:{stroke},color:#1c2128")
        lines.append(f"  class {','.join(members)} {style}")
    for colour, edges in coloured.items():
        lines.append(f"  linkStyle {','.join(edges)} stroke:{colour},stroke-width:3px")
    return "\n".join(lines) + "\n"


def _mermaid_group(drawing: Drawing, parent: str, names: dict[str, str], depth: int) -> Iterator[str]:
    groups, nodes = _children(drawing, parent)
    indent = "  " * depth
    for node in nodes:
        shape = _MERMAID_SHAPES.get(_shape_of(node), "[{}]")
        yield f"{indent}{names[node.name]}{shape.format(_mermaid_text(*node.texts))}"
    for group in groups:
        number = list(drawing.groups).index(group.name)
        yield f"{indent}subgraph g{number}[{_mermaid_text(*group.lines)}]"
        yield from _mermaid_group(drawing, group.name, names, depth + 1)
        yield f"{indent}end"


def _mermaid_text(*lines: str) -> str:
    shown = [
        "".join(c if c.isalnum() or c in " -_.,()/" else f"#{ord(c)};" for c in printable(line))
        for line in lines
    ]
    return f'"{"<br>".join(shown)}"'


# -- DOT -------------------------------------------------------------------------------------------


def dot(drawing: Drawing) -> str:
    """Return a drawing as DOT."""
    names = _names(drawing)
    lines = [
        "digraph iptables {",
        f"  rankdir={drawing.direction};",
        '  node [fontname="sans-serif", shape=box];',
    ]
    if drawing.title:
        lines.insert(1, f"  label={_dot_text(drawing.title)}; labelloc=t;")
    lines.extend(_dot_group(drawing, "", names, 1))
    for edge in drawing.edges:
        style = _ARROWS.get(edge.kind, _PLAIN)[1]
        more = "" if edge.kind in _ARROWS else ", dir=none"
        if colour := _edge_colour(edge):
            more += f', color="{colour}", penwidth=3'
        elif edge.width != 1.0:
            more += f", penwidth={edge.width:g}"
        label = _dot_text(edge.label)
        lines.append(f"  {names[edge.source]} -> {names[edge.target]} [label={label}, style={style}{more}];")
    return "\n".join([*lines, "}"]) + "\n"


def _dot_group(drawing: Drawing, parent: str, names: dict[str, str], depth: int) -> Iterator[str]:
    groups, nodes = _children(drawing, parent)
    indent = "  " * depth
    for node in nodes:
        more = ""
        if style := _style(node.classes):
            fill, stroke = _COLOURS[style]
            more = f', style=filled, fillcolor="{fill}", color="{stroke}"'
        shape = _DOT_SHAPES.get(_shape_of(node), "box")
        yield f"{indent}{names[node.name]} [label={_dot_text(*node.texts)}, shape={shape}{more}];"
    for group in groups:
        yield f"{indent}subgraph cluster{list(drawing.groups).index(group.name)} {{"
        yield f"{indent}  label={_dot_text(*group.lines)};"
        yield from _dot_group(drawing, group.name, names, depth + 1)
        yield f"{indent}}}"


def _dot_text(*lines: str) -> str:
    shown = (printable(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(shown) + '"'
