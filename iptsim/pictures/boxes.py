"""The size of the text of nodes and groups, and of the boxes around it."""

from __future__ import annotations

from collections.abc import Sequence

from iptsim.pictures.drawing import Node
from iptsim.pictures.measure import text_width

#: Sizes of text in pixels: names, everything else.
NAME, SMALL = 12.5, 11.0
#: Distance between lines; between text and frame.
LEADING, PAD = 15.0, 8.0
#: The widest box.
WIDEST = 330.0


def line_size(number: int) -> float:
    """Return the font size of a line of text; the first line is a name."""
    return NAME if number == 0 else SMALL


def line_classes(lines: Sequence[str]) -> list[str]:
    """Return the style class of each line of a group's text: its name is bold."""
    return ["name", *("soft" for _ in lines[1:])]


def box_width(lines: Sequence[str], classes: Sequence[str] | None = None, *, widest: float = WIDEST) -> float:
    """Return the width of a box around lines of text."""
    widths = [
        text_width(line, line_size(number), bold=kind != "soft")
        for number, (line, kind) in enumerate(zip(lines, classes or line_classes(lines), strict=False))
    ]
    return round(min(max(widths, default=0.0) + 2 * PAD, widest), 1)


def box_height(lines: list[str]) -> float:
    """Return the height of a box around lines of text."""
    return round(len(lines) * LEADING + PAD, 1)


def node_size(node: Node) -> tuple[float, float]:
    """Return width and height of a node."""
    width = box_width(node.texts, node.text_classes)
    # a verdict's shape is narrower at its ends
    return width + (NAME if node.kind == "verdict" else 0), box_height(node.texts)
