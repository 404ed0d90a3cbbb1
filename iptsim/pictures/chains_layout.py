"""The layout of a chain picture, from left to right, by Graphviz' dot (from a wheel).

Graphviz gets generated names and sizes, no text: the layout depends neither on the dump's texts nor on fonts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import pairwise

from iptsim.languages import message
from iptsim.pictures.boxes import SMALL, node_size
from iptsim.pictures.drawing import Drawing, Path, Placement, Point, Rect
from iptsim.pictures.measure import text_width
from iptsim.pictures.png import missing_extra

_MARGIN = 16.0
#: Points in an inch, the unit of sizes; a pixel is a point.
_INCH = 72.0
#: A label with a size but no text; {} is its width.
_LABEL = (
    '<<table border="0" cellborder="0" cellpadding="0" cellspacing="0" fixedsize="true" width="{}" height="15">'
    "<tr><td></td></tr></table>>"
)
#: From this many edges on, dot optimizes less.
_MANY = 200


def place(drawing: Drawing) -> Placement:
    """Place the parts of a chain picture.

    Raises:
        UsageError: the extra `pictures` is not installed.
    """
    if not drawing.nodes:
        return Placement(2 * _MARGIN, 2 * _MARGIN)
    try:
        import pygraphviz  # type: ignore[import-untyped]
    except ImportError:
        raise missing_extra(message("the picture of the chains")) from None
    names = {name: f"n{number}" for number, name in enumerate(drawing.nodes)}
    graph = pygraphviz.AGraph(string=_source(drawing, names))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph.layout(prog="dot")
    _, _, width, height = (float(side) for side in graph.graph_attr["bb"].split(","))
    placement = Placement(width + 2 * _MARGIN, height + 2 * _MARGIN)

    def point(text: str) -> Point:
        x, y = text.split(",")
        return Point(_MARGIN + float(x), _MARGIN + height - float(y))

    for name, short in names.items():
        middle = point(graph.get_node(short).attr["pos"])
        wide, high = node_size(drawing.nodes[name])
        placement.nodes[name] = Rect(middle.x - wide / 2, middle.y - high / 2, wide, high)
    placed: dict[str, Path] = {}
    for edge in graph.edges():
        if identity := edge.attr["id"]:
            label = edge.attr["lp"]
            placed[identity] = Path(_curve(edge.attr["pos"], point), True, point(label) if label else None)
    placement.paths = [placed.get(f"e{number}") for number in range(len(drawing.edges))]
    return placement


def _source(drawing: Drawing, names: dict[str, str]) -> str:
    """Return the input for dot."""
    lines = [
        "digraph {",
        "rankdir=LR; nodesep=0.14; ranksep=0.55; ordering=out; outputorder=nodesfirst;",
        'node [shape=box, label="", fixedsize=true]; edge [arrowsize=0.8];',
    ]
    if len(drawing.edges) > _MANY:
        lines.append("nslimit=1; nslimit1=1; mclimit=0.3; splines=line;")
    for name, node in drawing.nodes.items():
        wide, high = node_size(node)
        lines.append(f"{names[name]} [width={wide / _INCH:.4f}, height={high / _INCH:.4f}];")
    hooks = [names[name] for name, node in drawing.nodes.items() if node.kind == "entry"]
    first = [names[edge.target] for edge in drawing.edges if edge.kind == "hook"]
    called = {edge.target for edge in drawing.edges}
    idle = [
        names[name] for name, node in drawing.nodes.items() if node.kind != "entry" and name not in called
    ]
    # hooks one below the other, their chains as well, chains without callers below them
    for rank, row in (("min", hooks), ("same", [*first, *idle])):
        if row:
            lines.append(f"{{ rank={rank}; {'; '.join(row)} }}")
        lines.extend(f"{one} -> {other} [style=invis];" for one, other in pairwise(row))
    lines.extend(f"{hooks[-1]} -> {name} [style=invis];" for name in idle if hooks)
    for number, edge in enumerate(drawing.edges):
        label = ""
        if edge.label:
            label = f", label={_LABEL.format(round(text_width(edge.label, SMALL) + 6))}"
        heavy = 8 if "walked" in edge.classes else 2 if edge.kind in ("hook", "jump", "goto") else 1
        lines.append(f"{names[edge.source]} -> {names[edge.target]} [id=e{number}, weight={heavy}{label}];")
    return "\n".join([*lines, "}"])


def _curve(text: str, point: Callable[[str], Point]) -> list[Point]:
    """Return the control points of an edge; the arrow's tip is the last one."""
    tip: Point | None = None
    points: list[Point] = []
    for word in text.split():
        if word.startswith("e,"):
            tip = point(word[2:])
        elif not word.startswith("s,"):
            points.append(point(word))
    if tip is not None:
        # the curve ends where the head begins: continue to the tip
        points[-1] = tip
    return points
