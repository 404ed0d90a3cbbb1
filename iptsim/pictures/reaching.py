"""A picture of who can reach what: an arrow from each sender to each receiver, with the ports that are open."""

from __future__ import annotations

from iptsim.languages import say
from iptsim.pictures.drawing import Drawing, Edge, Node
from iptsim.reaching import Reaching
from iptsim.reaching.matrix import matrix_of
from iptsim.sets.classes import AddressClasses

#: How many ranges of a class a box shows.
_RANGES = 4


def reaching_drawing(answer: Reaching) -> Drawing:
    """Return the drawing; endpoints that are treated alike are one box."""
    matrix = matrix_of(answer)
    drawing = Drawing(say("Who can reach what"))
    for number, group in enumerate(matrix.groups):
        kind = "world" if group == ("internet",) else "base" if group == ("host",) else "container"
        drawing.add(Node(str(number), kind, [", ".join(group)]))
    for (row, column), cell in matrix.cells.items():
        if cell is None:
            continue
        for traffic, kind, mark in (
            (cell.open, "flow", ""),
            (cell.published, "route", ""),
            (cell.unsure, "action", "?"),
        ):
            if traffic:
                label = f"{traffic.says(answer.asked)}{mark}"
                drawing.edges.append(Edge(str(row), str(column), kind, label))
    return drawing


def classes_drawing(found: AddressClasses) -> Drawing:
    """Return the drawing of address classes: an arrow from each to those that it may connect to."""
    drawing = Drawing(say("Address classes"))
    for number, one in enumerate(found.classes):
        texts = list(one.texts())
        left = len(texts) - _RANGES
        more = [say("... and {count} more", count=left)] if left > 0 else []
        drawing.add(Node(str(number), "container", [*texts[:_RANGES], *more]))
    drawing.edges += [Edge(str(sender), str(receiver), "flow") for sender, receiver in found.edges]
    return drawing
