"""The contents of a picture in any format: nodes in groups, edges, captions, a legend.

A drawing has no positions; a :class:`Placement` has the positions of its parts, in pixels. Both are made
by :mod:`iptsim.pictures.topology` and :mod:`iptsim.pictures.chains`, and every format is made from them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Direction = Literal["LR", "TB"]
#: The sign of each possible end of a packet path.
SIGNS = {"stop": "✗", "arrived": "✓", "open": "?"}
#: What a verdict does, for those that have a colour and a shape of their own.
TONES = {
    "ACCEPT": "accept",
    "DROP": "drop",
    "REJECT": "reject",
    "RETURN": "return",
    **dict.fromkeys(("DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP", "DNPT", "SNPT"), "translate"),
}


class Ending(NamedTuple):
    """What stopped a packet at a node ("stop"), or on what its path depends there ("open")."""

    kind: Literal["stop", "open"]
    text: str


@dataclass(slots=True)
class Node:
    """A box.

    Attributes:
        name: its identity in the drawing.
        kind: what it represents; decides its shape.
        lines: its text; the first line is its name.
        details: further text, such as a list of its contents.
        changes: how the packet's addresses are translated here.
        ending: why the path of a packet ends here; None if none does.
        group: its group, "" for none.
        classes: further classes for its style: an owner, "dimmed", "walked", "stop", "arrived" ...
        tip: its tooltip; all of its text if lines are cut.
    """

    name: str
    kind: str
    lines: list[str]
    group: str = ""
    details: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    ending: Ending | None = None
    classes: set[str] = field(default_factory=set)
    tip: str = ""

    @property
    def texts(self) -> list[str]:
        """All of its text, line by line; the ending comes last."""
        ending = [f"{SIGNS[self.ending.kind]} {self.ending.text}"] if self.ending is not None else []
        return [*self.lines, *self.details, *(f"⇄ {change}" for change in self.changes), *ending]

    @property
    def text_classes(self) -> list[str]:
        """The style class of each line of its text: all except soft ones are bold."""
        soft = ["soft"] * (len(self.lines) + len(self.details) - 1)
        ending = [self.ending.kind] if self.ending is not None else []
        return ["name", *soft, *("change" for _ in self.changes), *ending]


@dataclass(slots=True)
class Edge:
    """A line between two nodes.

    Attributes:
        kind: what it represents; decides its stroke.
        width: of the stroke, as a multiple of the usual one.
    """

    source: str
    target: str
    kind: str
    label: str = ""
    classes: set[str] = field(default_factory=set)
    width: float = 1.0
    tip: str = ""


@dataclass(slots=True)
class Group:
    """A frame around nodes: a network namespace, the tables of a hook ..."""

    name: str
    kind: str
    lines: list[str]
    parent: str = ""
    classes: set[str] = field(default_factory=set)
    tip: str = ""


class Caption(NamedTuple):
    """A line above the picture: "title", "reason", "rule" or "note"."""

    kind: str
    text: str


class Sample(NamedTuple):
    """An entry of the legend: a node or an edge of a kind and style, and what it means."""

    kind: str
    classes: tuple[str, ...]
    text: str
    is_edge: bool = False


@dataclass(slots=True)
class Drawing:
    """A picture's contents.

    Attributes:
        title: a few words.
        description: what the picture shows, in sentences, for readers who cannot see it.
        nodes / groups: by name, in the order in which they are drawn.
    """

    title: str
    description: str = ""
    direction: Direction = "LR"
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    groups: dict[str, Group] = field(default_factory=dict)
    captions: list[Caption] = field(default_factory=list)
    legend: list[Sample] = field(default_factory=list)

    def add(self, node: Node) -> Node:
        """Add a node and return it."""
        self.nodes[node.name] = node
        return node

    def add_group(self, group: Group) -> Group:
        """Add a group and return it."""
        self.groups[group.name] = group
        return group


# -- places ----------------------------------------------------------------------------------------


class Point(NamedTuple):
    """A place, in pixels from the upper left corner."""

    x: float
    y: float


class Rect(NamedTuple):
    """A rectangle, in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right side."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Its lower side."""
        return self.y + self.height

    @property
    def middle(self) -> float:
        """The middle between top and bottom."""
        return self.y + self.height / 2


class Path(NamedTuple):
    """An edge's line: corners, or the control points of cubic curves (3n + 1 of them)."""

    points: list[Point]
    curved: bool = False
    label: Point | None = None


@dataclass(slots=True)
class Placement:
    """The positions of the parts of a drawing.

    Attributes:
        groups: a group may have several frames.
        labels: where a group's text begins, in each frame; by default in the frame's upper left corner.
        paths: one for each edge; None for an edge that is not drawn because its ends touch.
        headings: labels above parts of the picture.
        ties: lines between frames of one group.
    """

    width: float
    height: float
    nodes: dict[str, Rect] = field(default_factory=dict)
    groups: dict[str, list[Rect]] = field(default_factory=dict)
    labels: dict[str, list[Point]] = field(default_factory=dict)
    paths: list[Path | None] = field(default_factory=list)
    headings: list[tuple[Point, str]] = field(default_factory=list)
    ties: list[list[Point]] = field(default_factory=list)
