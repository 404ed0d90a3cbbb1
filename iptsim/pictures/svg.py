"""A placed drawing as SVG: self-contained, with all text escaped, and accessible to screen readers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import sha256
from xml.sax.saxutils import escape

from iptsim.errors import printable
from iptsim.pictures.boxes import LEADING, PAD, SMALL, line_classes, line_size
from iptsim.pictures.drawing import TONES, Drawing, Edge, Group, Node, Path, Placement, Point, Rect, Sample
from iptsim.pictures.measure import clip, text_width, wrap
from iptsim.pictures.style import style_sheet

_MARGIN = 16.0
#: Captions: size of text, distance to the next line, most lines.
_CAPTIONS = {
    "title": (15.0, 21.0, 2),
    "reason": (12.5, 17.0, 4),
    "rule": (11.0, 16.0, 2),
    "note": (11.0, 16.0, 2),
}
#: The least width for captions.
_NARROWEST = 560.0
_DIRECTED = ("route", "reply", "hook", "jump", "goto", "verdict", "policy", "action")


def svg(drawing: Drawing, placement: Placement, *, style: str | None = None, names: bool = False) -> str:
    """Return the picture.

    Args:
        drawing: what is shown.
        placement: where its parts are.
        style: a style sheet to embed; None for the usual one, "" for none, if the page has one.
        names: add `data-node` to boxes and `data-source` and `data-target` to lines, for a page's script.
    """
    return _Writer(drawing, placement, style_sheet() if style is None else style, names).text()


def _text(text: str) -> str:
    """Return text made inert: no control characters, no markup."""
    return escape(printable(text), {'"': "&quot;"})


def _n(number: float) -> str:
    """Return a number without needless digits."""
    text = f"{number:.1f}"
    return text.removesuffix(".0")


class _Writer:
    def __init__(self, drawing: Drawing, placement: Placement, style: str, names: bool) -> None:
        self.drawing, self.placement, self.style, self.names = drawing, placement, style, names
        self.out: list[str] = []

    def text(self) -> str:
        drawing, placement = self.drawing, self.placement
        width = max(placement.width, _NARROWEST) if drawing.captions or drawing.legend else placement.width
        captions, top = self._captions(width)
        legend, below = self._legend(width, top + placement.height)
        height = top + placement.height + below
        body = self._body()
        content = "\n".join([*captions, f'<g transform="translate(0 {_n(top)})">', *body, "</g>", *legend])
        mark = sha256((drawing.title + content).encode()).hexdigest()[:8]
        size = f'width="{_n(width)}" height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}"'
        names = f'aria-labelledby="title-{mark} description-{mark}"'
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="iptsim-picture" role="img" {names} {size}>',
            f'<title id="title-{mark}">{_text(drawing.title)}</title>',
            f'<desc id="description-{mark}">{_text(drawing.description)}</desc>',
        ]
        if self.style:
            lines.append(f"<style>\n{self.style}</style>")
        lines.append(f'<rect class="paper" width="{_n(width)}" height="{_n(height)}"/>')
        return "\n".join([*lines, content, "</svg>"]) + "\n"

    # -- around the picture -----------------------------------------------------------------------------

    def _captions(self, width: float) -> tuple[list[str], float]:
        """Return the lines above the picture, and their height."""
        out: list[str] = []
        y = 8.0
        for kind, text in self.drawing.captions:
            size, leading, most = _CAPTIONS[kind]
            for line in wrap(printable(text), size, width - 2 * _MARGIN, bold=kind == "title", most=most):
                y += leading
                out.append(self._line(line, _MARGIN, y, f"caption-{kind}"))
        return out, y + 4 if out else 0.0

    def _legend(self, width: float, top: float) -> tuple[list[str], float]:
        out: list[str] = []
        x, y = _MARGIN, top + 12
        for sample in self.drawing.legend:
            need = 34 + text_width(sample.text, SMALL) + 18
            if x + need > width and x > _MARGIN:
                x, y = _MARGIN, y + 20
            out.extend(self._sample(sample, x, y))
            out.append(self._line(sample.text, x + 34, y + 4, "soft"))
            x += need
        return out, y + 16 - top if out else 0.0

    def _sample(self, sample: Sample, x: float, y: float) -> list[str]:
        classes = " ".join([sample.kind, *sample.classes])
        if sample.kind == "end":
            return self._badge(Point(x + 13, y), sample.classes[0])
        if sample.is_edge:
            return [f'<path class="edge {classes}" d="M{_n(x)} {_n(y)}H{_n(x + 26)}"/>']
        box = Rect(x, y - 8, 20 if sample.kind == "fold" else 26, 16)
        return [f'<g class="node {classes}">', *self._shape(sample.kind, box, sample.classes[0]), "</g>"]

    # -- the picture ------------------------------------------------------------------------------------

    def _body(self) -> list[str]:
        drawing, placement = self.drawing, self.placement
        out: list[str] = []
        for group in drawing.groups.values():
            out.extend(self._group(group))
        out.extend(self._line(text, point.x, point.y, "heading") for point, text in placement.headings)
        out.extend(f'<path class="tie" d="{_corners(points)}"/>' for points in placement.ties)
        pairs = list(zip(drawing.edges, placement.paths, strict=True))
        plain = [pair for pair in pairs if "walked" not in pair[0].classes]
        walked = [pair for pair in pairs if "walked" in pair[0].classes]
        for edge, path in (*plain, *walked):
            if path is not None:
                out.extend(self._edge(edge, path))
        for node in drawing.nodes.values():
            if node.name in placement.nodes:
                out.extend(self._node(node, placement.nodes[node.name]))
        return out

    def _group(self, group: Group) -> list[str]:
        frames = self.placement.groups.get(group.name, [])
        places = self.placement.labels.get(group.name, [])
        out = [f'<g class="{" ".join(["group", group.kind, *sorted(group.classes)])}">', self._tip(group.tip)]
        for number, frame in enumerate(frames):
            out.append(f'<rect class="frame" {_rect(frame)} rx="6"/>')
            start = places[number] if number < len(places) else Point(frame.x + PAD, frame.y + 2)
            out.extend(
                self._lines(group.lines, line_classes(group.lines), start, frame.right - start.x - PAD)
            )
        return [*filter(None, out), "</g>"] if frames else []

    def _node(self, node: Node, box: Rect) -> list[str]:
        classes = " ".join(["node", node.kind, *sorted(node.classes)])
        out = [f'<g class="{classes}"{self._data(node=node.name)}>', self._tip(node.tip)]
        out.extend(self._shape(node.kind, box, TONES.get(node.lines[0], "")))
        start = Point(box.x + PAD, box.middle - len(node.texts) * LEADING / 2)
        if node.kind in ("verdict", "action", "entry"):
            start = Point(box.x + (box.width - _widest_line(node)) / 2, start.y)
        out.extend(self._lines(node.texts, node.text_classes, start, box.right - start.x - PAD + 2))
        for end in ("stop", "arrived", "open"):
            if end in node.classes:
                out.extend(self._badge(Point(box.x + 10 if node.kind == "plug" else box.right, box.y), end))
        return [*filter(None, out), "</g>"]

    def _shape(self, kind: str, box: Rect, tone: str = "") -> list[str]:
        if kind == "verdict" and (corners := _verdict_corners(tone, box)):
            return [f'<path class="box" d="{_corners(corners)}Z"/>']
        if kind == "entry":
            tip = box.height / 2
            points = [
                Point(box.x, box.middle), Point(box.x + tip, box.y), Point(box.right - tip, box.y),
                Point(box.right, box.middle), Point(box.right - tip, box.bottom), Point(box.x + tip, box.bottom),
            ]  # fmt: skip
            return [f'<path class="box" d="{_corners(points)}Z"/>']
        out = []
        if kind == "fold":
            out += [
                f'<rect class="box" {_rect(Rect(box.x + by, box.y + by, *box[2:]))} rx="3"/>' for by in (6, 3)
            ]
        accepts = kind == "verdict" and tone == "accept"
        round_ = {
            "verdict": box.height / 2 if accepts else 3,
            "action": 3,
            "world": box.height / 2,
            "plug": 9,
            "port": 3,
        }.get(kind, 4)
        out.append(f'<rect class="box" {_rect(box)} rx="{_n(round_)}"/>')
        if kind in ("base", "chain", "fold"):
            out.append(f'<rect class="stripe" {_rect(Rect(box.x, box.y, 4, box.height))} rx="2"/>')
        if kind == "base":
            inner = Rect(box.x + 3, box.y + 3, box.width - 6, box.height - 6)
            out.append(f'<rect class="box" {_rect(inner)} rx="2"/>')
        return out

    def _badge(self, at: Point, end: str) -> list[str]:
        """Return a round sign: a cross, a tick, or a question mark."""
        x, y = at
        signs = {
            "stop": f"M{_n(x - 3.5)} {_n(y - 3.5)}L{_n(x + 3.5)} {_n(y + 3.5)}M{_n(x - 3.5)} {_n(y + 3.5)}"
            f"L{_n(x + 3.5)} {_n(y - 3.5)}",
            "arrived": f"M{_n(x - 4)} {_n(y)}L{_n(x - 1)} {_n(y + 3.5)}L{_n(x + 4)} {_n(y - 3.5)}",
            "open": f"M{_n(x - 2.5)} {_n(y - 2)}Q{_n(x)} {_n(y - 7)} {_n(x + 2.5)} {_n(y - 2)}Q{_n(x + 2)} {_n(y)} "
            f"{_n(x)} {_n(y + 1)}M{_n(x)} {_n(y + 3)}V{_n(y + 5)}",
        }
        return [
            f'<circle class="badge {end}" cx="{_n(x)}" cy="{_n(y)}" r="8"/>',
            f'<path class="sign" d="{signs[end]}"/>',
        ]

    def _edge(self, edge: Edge, path: Path) -> list[str]:
        classes = " ".join([edge.kind, *sorted(edge.classes)])
        line = _curve(path.points) if path.curved else _corners(path.points)
        width = f' style="stroke-width:{_n(edge.width)}px"' if edge.width != 1.0 else ""
        out = []
        if edge.tip:
            out.append(f"<g>{self._tip(edge.tip)}")
        ends = self._data(source=edge.source, target=edge.target)
        out.append(f'<path class="edge {classes}"{ends} d="{line}"{width}/>')
        if edge.kind in _DIRECTED:
            out.append(
                f'<path class="head {classes}" d="{_head(path.points, 3.4 + min(edge.width, 4.0) * 0.7)}"/>'
            )
        if edge.label and path.label is not None:
            wide = text_width(edge.label, SMALL)
            x, y = path.label.x - wide / 2, path.label.y
            back = Rect(x - 2, y - 7, wide + 4, 14)
            out.append(f'<rect class="label-back" {_rect(back)}/>')
            out.append(
                self._line(edge.label, x, y + 4, f"edge-label {' '.join(sorted(edge.classes))}".strip())
            )
        if edge.tip:
            out.append("</g>")
        return out

    # -- text -------------------------------------------------------------------------------------------

    def _lines(self, lines: Sequence[str], classes: Sequence[str], start: Point, width: float) -> list[str]:
        out = []
        y = start.y
        for number, (text, kind) in enumerate(zip(lines, classes, strict=False)):
            size = line_size(number)
            shown = clip(printable(text), size, width, bold=kind != "soft")
            y += LEADING
            out.append(self._line(shown, start.x, y - 3.5, kind))
        return out

    def _line(self, text: str, x: float, y: float, classes: str) -> str:
        return f'<text class="{classes}" x="{_n(x)}" y="{_n(y)}">{_text(text)}</text>'

    def _data(self, **names: str) -> str:
        """Return attributes for a page's script, if they are wanted."""
        return "".join(f' data-{key}="{_text(name)}"' for key, name in names.items()) if self.names else ""

    def _tip(self, text: str) -> str:
        return f"<title>{_text(text[:1000])}</title>" if text else ""


def _verdict_corners(tone: str, box: Rect) -> list[Point]:
    """Return the shape of a verdict that has one with corners: others are round, or plain boxes."""
    by = min(6.0, box.height / 3)
    left, right, top, bottom = box.x, box.right, box.y, box.bottom
    if tone == "drop":  # the octagon of a stop sign
        return [
            Point(left + by, top), Point(right - by, top), Point(right, top + by), Point(right, bottom - by),
            Point(right - by, bottom), Point(left + by, bottom), Point(left, bottom - by), Point(left, top + by),
        ]  # fmt: skip
    if tone == "reject":  # a ribbon: notched where it came in and where it would go on
        return [
            Point(left, top), Point(right, top), Point(right - by, box.middle), Point(right, bottom),
            Point(left, bottom), Point(left + by, box.middle),
        ]  # fmt: skip
    if tone == "translate":  # slanted: it goes on with another address
        return [Point(left + by, top), Point(right, top), Point(right - by, bottom), Point(left, bottom)]
    if tone == "return":  # points back
        return [
            Point(left, box.middle), Point(left + by, top), Point(right, top),
            Point(right, bottom), Point(left + by, bottom),
        ]  # fmt: skip
    return []


def _widest_line(node: Node) -> float:
    lines = enumerate(zip(node.texts, node.text_classes, strict=True))
    return max(text_width(text, line_size(number), bold=kind != "soft") for number, (text, kind) in lines)


def _rect(box: Rect) -> str:
    return f'x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(box.width)}" height="{_n(max(box.height, 0))}"'


def _corners(points: list[Point]) -> str:
    return "M" + "L".join(f"{_n(point.x)} {_n(point.y)}" for point in points)


def _curve(points: list[Point]) -> str:
    first, *others = points
    return f"M{_n(first.x)} {_n(first.y)}C" + " ".join(f"{_n(point.x)} {_n(point.y)}" for point in others)


def _head(points: list[Point], size: float) -> str:
    """Return an arrow head at the end of a line."""
    tip = points[-1]
    before = next((point for point in reversed(points) if math.dist(point, tip) > 0.5), points[0])
    angle = math.atan2(tip.y - before.y, tip.x - before.x)
    sides = [
        Point(tip.x - 2 * size * math.cos(angle + turn), tip.y - 2 * size * math.sin(angle + turn))
        for turn in (0.45, -0.45)
    ]
    return _corners([tip, *sides]) + "Z"
