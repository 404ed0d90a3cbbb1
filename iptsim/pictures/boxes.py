"""How large the text of nodes and groups is drawn, and so how large their boxes are."""

from __future__ import annotations

from iptsim.pictures.drawing import Node
from iptsim.pictures.measure import text_width

#: Sizes of text in pixels: names, everything else.
NAME, SMALL = 12.5, 11.0
#: Distance between lines; between text and frame.
LEADING, PAD = 15.0, 8.0
#: No box is wider.
WIDEST = 330.0


def line_size(number: int) -> float:
    """Return the size of a line of text: the first one is a name."""
    return NAME if number == 0 else SMALL


def is_bold(number: int, line: str) -> bool:
    """Tell whether a line of a box is bold: its name is, and what became of a packet there."""
    return number == 0 or line[:2] in ("✗ ", "? ")


def box_width(lines: list[str], *, widest: float = WIDEST) -> float:
    """Return the width of a box around lines of text."""
    widths = [
        text_width(line, line_size(number), bold=is_bold(number, line)) for number, line in enumerate(lines)
    ]
    return round(min(max(widths, default=0.0) + 2 * PAD, widest), 1)


def box_height(lines: list[str]) -> float:
    """Return the height of a box around lines of text."""
    return round(len(lines) * LEADING + PAD, 1)


def node_size(node: Node) -> tuple[float, float]:
    """Return width and height of a node."""
    return box_width(node.texts), box_height(node.texts)
