"""The layout of a topology picture: a tree from the outside on the left to containers on the right.

Columns from left to right: outside, interfaces of the host, hooks, bridges, their ports, containers. Every
plug is a row. The column of hooks is as high as the bridges, so that lines run straight. A container on bridges that
are not adjacent has a frame at each of them, joined on the right.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from iptsim.languages import say
from iptsim.pictures.boxes import PAD, box_height, box_width, node_size
from iptsim.pictures.drawing import Drawing, Edge, Path, Placement, Point, Rect
from iptsim.pictures.measure import text_width
from iptsim.pictures.wiring import Plug, Switch, Wiring

_MARGIN = 16.0
#: Height of the line of headings, and of a frame's own name.
_HEADING, _NAME = 26.0, 22.0
#: Distances: between rows, between switches, between boxes above each other, between lines side by side.
_ROW_GAP, _SWITCH_GAP, _GAP, _LANE = 10.0, 24.0, 12.0, 9.0
#: Room between columns for a line.
_AISLE, _VETH = 34.0, 92.0
#: Room for the rail that joins the hooks.
_RAIL = 28.0
_GUEST_WIDEST = 260.0


def place(drawing: Drawing, wiring: Wiring) -> Placement:
    """Place the parts of a topology."""
    return _Layout(drawing, wiring).placement


class _Layout:
    def __init__(self, drawing: Drawing, wiring: Wiring) -> None:
        self.drawing, self.wiring = drawing, wiring
        self.placement = Placement(0, 0)
        self.nodes = self.placement.nodes
        self.used: Counter[tuple[str, str]] = Counter()
        self.lanes: Counter[str] = Counter()
        self._columns()
        self._rows()
        self._outside()
        self._frames()
        self.placement.paths = [self._path(edge) for edge in drawing.edges]
        self._size()

    def _kind(self, *kinds: str) -> list[str]:
        return [name for name, node in self.drawing.nodes.items() if node.kind in kinds]

    def _widest(self, *kinds: str) -> float:
        return max((node_size(self.drawing.nodes[name])[0] for name in self._kind(*kinds)), default=0.0)

    # -- columns ----------------------------------------------------------------------------------------

    def _columns(self) -> None:
        worlds = self._widest("world")
        self.world_x = _MARGIN
        self.host_x = _MARGIN + (worlds + _AISLE if worlds else 0)
        self.outer_x = self.host_x + 14
        outer = self._widest("interface")
        self.left_aisle = self.outer_x + outer
        crossings = [self._sides(edge) for edge in self.drawing.edges if "walked" in edge.classes]
        left = sum(1 for sides in crossings if sides == {"interface", "hook"})
        right = sum(1 for sides in crossings if "switch" in sides and sides != {"switch"})
        self.wall_x = self.left_aisle + (_AISLE + left * _LANE if outer else 0)
        self.bar_x = self.wall_x + _RAIL
        self.bar_width = max(190.0, self._widest("hook", "routing", "process"))
        self.wall_right = self.bar_x + self.bar_width + 12
        self.right_aisle = self.wall_right
        self.switch_x = self.wall_right + _AISLE + right * _LANE
        self.switch_width = self._widest("bridge", "routed", "bypass")
        self.port_x = self.switch_x + self.switch_width + 10
        ports = self._widest("port")
        self.host_right = self.port_x + ports + 12 if self.switch_width else self.wall_right + 14
        self.guest_x = self.host_right + _VETH

    def _sides(self, edge: Edge) -> set[str]:
        """Return in which columns an edge ends."""
        columns = {"bridge": "switch", "routed": "switch", "bypass": "switch", "interface": "interface"}
        columns |= dict.fromkeys(("hook", "routing", "process"), "hook")
        kinds = (self.drawing.nodes[name].kind for name in (edge.source, edge.target))
        return {columns.get(kind, "") for kind in kinds}

    # -- rows -------------------------------------------------------------------------------------------

    def _rows(self) -> None:
        self.top = _MARGIN + _HEADING
        self.inner_top = self.top + _NAME + 10
        wall_bottom = self._wall(self.inner_top + _NAME)
        y = self.inner_top
        beside = [switch for switch in self.wiring.switches if switch.kind in ("bridge", "routed")]
        for switch in beside:
            y = self._switch(switch, y) + _SWITCH_GAP
        bottom = max(wall_bottom, y - _SWITCH_GAP)
        self.placement.groups["netfilter"] = [
            Rect(self.wall_x, self.inner_top, self.wall_right - self.wall_x, bottom - self.inner_top)
        ]
        self.wall_bottom = bottom
        y = bottom + _SWITCH_GAP + 6
        bypassing = [switch for switch in self.wiring.switches if switch.kind in ("macvlan", "ipvlan")]
        for switch in bypassing:
            y = self._switch(switch, y) + _SWITCH_GAP
        self.host_bottom = (y - _SWITCH_GAP if bypassing else bottom) + 14
        y = self.host_bottom + 10 if bypassing or len(beside) == 0 else max(y, self.host_bottom + 10)
        y = max(y, self.host_bottom + 10)
        for switch in self.wiring.switches:
            if switch.kind in ("overlay", "none"):
                y = self._switch(switch, y) + _SWITCH_GAP
        self.bottom = max(self.host_bottom, y - _SWITCH_GAP if y > self.host_bottom + 10 else 0)

    def _wall(self, y: float) -> float:
        """Place the hooks from top to bottom, and return the lower end of the last one."""
        for name in self._kind("hook", "routing", "process"):
            height = node_size(self.drawing.nodes[name])[1]
            self.nodes[name] = Rect(self.bar_x, y, self.bar_width, height)
            y += height + _GAP
        return y

    def _switch(self, switch: Switch, y: float) -> float:
        """Place a switch with its rows, and return its lower end."""
        row = y
        for plug in switch.plugs:
            height = self._height(plug)
            if plug.port_key in self.nodes or plug.port_key in self.drawing.nodes:
                node = self.drawing.nodes[plug.port_key]
                size = node_size(node)
                self.nodes[plug.port_key] = Rect(
                    self.port_x, row + (height - size[1]) / 2, self.host_right - 12 - self.port_x, size[1]
                )
            if plug.key in self.drawing.nodes:
                size = node_size(self.drawing.nodes[plug.key])
                self.nodes[plug.key] = Rect(self.guest_x + 6, row + (height - size[1]) / 2, *size)
            row += height + _ROW_GAP
        bottom = row - _ROW_GAP if switch.plugs else y
        if switch.key in self.drawing.nodes:
            size = node_size(self.drawing.nodes[switch.key])
            bottom = max(bottom, y + size[1])
            self.nodes[switch.key] = Rect(self.switch_x, y, self.switch_width, bottom - y)
        return bottom

    def _height(self, plug: Plug) -> float:
        """Return the height of a plug's row."""
        nodes = [self.drawing.nodes[key] for key in (plug.key, plug.port_key) if key in self.drawing.nodes]
        heights = [node_size(node)[1] for node in nodes]
        if plug.guest is not None:
            heights.append(box_height(self._label(plug)) + 4)
        return max(heights, default=0.0)

    def _label(self, plug: Plug) -> list[str]:
        group = self.drawing.groups.get(f"guest {plug.guest.name}") if plug.guest else None
        return group.lines if group else []

    # -- outside ----------------------------------------------------------------------------------------

    def _outside(self) -> None:
        """Place the host's interfaces beside the first hooks, and what is behind each of them."""
        y = self.inner_top + _NAME
        for name in self._kind("interface"):
            node = self.drawing.nodes[name]
            width, height = node_size(node)
            self.nodes[name] = Rect(self.outer_x, y, self.left_aisle - self.outer_x, height)
            world = next(
                (
                    edge.source
                    for edge in self.drawing.edges
                    if edge.target == name
                    and edge.kind == "link"
                    and self.drawing.nodes[edge.source].kind == "world"
                ),
                None,
            )
            if world is not None and world not in self.nodes:
                width, tall = node_size(self.drawing.nodes[world])
                above = [self.nodes[one].bottom + _GAP for one in self._kind("world") if one in self.nodes]
                self.nodes[world] = Rect(self.world_x, max([*above, y + (height - tall) / 2]), width, tall)
            y += max(height, 30) + _GAP + 4
        self.host_bottom = max(self.host_bottom, y)
        self.bottom = max(self.bottom, self.host_bottom)

    # -- frames -----------------------------------------------------------------------------------------

    def _frames(self) -> None:
        groups = self.placement.groups
        groups["host"] = [
            Rect(self.host_x, self.top, self.host_right - self.host_x, self.host_bottom - self.top)
        ]
        plugs = [plug for plug in self.wiring.plugs() if plug.guest is not None and plug.key in self.nodes]
        inner = max((self.nodes[plug.key].width for plug in plugs), default=0.0)
        self.guest_width = 0.0
        if plugs:
            label = max(box_width(self._label(plug), widest=_GUEST_WIDEST) for plug in plugs)
            self.guest_width = 6 + inner + label + 2
        runs: dict[str, list[list[Plug]]] = {}
        for before, plug in zip([None, *plugs], plugs, strict=False):
            assert plug.guest is not None
            name = f"guest {plug.guest.name}"
            if before is not None and before.guest is plug.guest:
                runs[name][-1].append(plug)
            else:
                runs.setdefault(name, []).append([plug])
        tied = 0
        for name, parts in runs.items():
            frames = [self._frame(part) for part in parts]
            groups[name] = frames
            for part, frame in zip(parts, frames, strict=True):
                label_x = self.nodes[part[0].key].x + inner + PAD
                height = box_height(self._label(part[0]))
                self.placement.labels.setdefault(name, []).append(
                    Point(label_x, frame.middle - height / 2 + PAD / 2)
                )
            if len(frames) > 1:
                x = frames[0].right + 10 + tied * _LANE
                tied += 1
                self.placement.ties.append(
                    [
                        Point(frames[0].right, frames[0].middle),
                        Point(x, frames[0].middle),
                        Point(x, frames[-1].middle),
                        Point(frames[-1].right, frames[-1].middle),
                    ]
                )
                self.placement.ties.extend(
                    [Point(frame.right, frame.middle), Point(x, frame.middle)] for frame in frames[1:-1]
                )
        self.tied = tied

    def _frame(self, part: list[Plug]) -> Rect:
        first, last = self.nodes[part[0].key], self.nodes[part[-1].key]
        top = first.middle - self._height(part[0]) / 2
        bottom = last.middle + self._height(part[-1]) / 2
        return Rect(self.guest_x, top, self.guest_width, bottom - top)

    # -- lines ------------------------------------------------------------------------------------------

    def _path(self, edge: Edge) -> Path | None:
        if edge.source not in self.nodes or edge.target not in self.nodes:
            return None
        kinds = tuple(self.drawing.nodes[name].kind for name in (edge.source, edge.target))
        walked = "walked" in edge.classes
        sides = self._sides(edge)
        if sides == {"hook"}:
            return Path(self._along_rail(edge, walked))
        if sides == {"interface", "hook"}:
            return Path(self._over_aisle(edge, "left", walked))
        if sides == {"hook", "switch"}:
            return Path(self._over_aisle(edge, "right", walked))
        if sides == {"interface", "switch"}:
            return Path(self._around_wall(edge, walked))
        if "world" in kinds:
            return Path(self._elbow(edge))
        first, second = self.nodes[edge.source], self.nodes[edge.target]
        left, right = (first, second) if first.x < second.x else (second, first)
        y = right.middle if left.height > right.height else left.middle
        if edge.kind == "reply":
            y += 5
        points = [Point(left.right, y), Point(right.x, y)]
        return Path(points if left is first else points[::-1])

    def _anchor(self, name: str, side: str, walked: bool) -> float:
        """Return the height at which a line meets a box; walked lines do not share one."""
        box = self.nodes[name]
        if not walked:
            return box.middle
        count = self.used[name, side]
        self.used[name, side] += 1
        if self.drawing.nodes[name].kind in ("hook", "routing", "process"):
            return box.y + min(11 + 8 * count, box.height - 3)
        spread = (0, 9, -9, 18, -18, 27, -27)
        offset = spread[count % len(spread)]
        return min(max(box.middle + offset, box.y + 4), box.bottom - 4)

    def _along_rail(self, edge: Edge, walked: bool) -> list[Point]:
        """Draw from one hook to another, left of them."""
        x = self.wall_x + (8 if edge.kind == "reply" else 16)
        start, end = self.nodes[edge.source], self.nodes[edge.target]
        first = self._anchor(edge.source, "left", True) if walked else start.y + 11
        last = self._anchor(edge.target, "left", True) if walked else end.y + 11
        return [Point(start.x, first), Point(x, first), Point(x, last), Point(end.x, last)]

    def _over_aisle(self, edge: Edge, aisle: str, walked: bool) -> list[Point]:
        """Draw between a hook and what is left or right of the hooks."""
        hook, other = (edge.source, edge.target) if self._is_hook(edge.source) else (edge.target, edge.source)
        box = self.nodes[other]
        wall = self.placement.groups["netfilter"][0]
        outer = self._anchor(other, "wall", walked)
        if not walked:
            edge_x = wall.x if aisle == "left" else wall.right
            start = Point(box.right if aisle == "left" else box.x, outer)
            y = min(max(outer, wall.y + 6), wall.bottom - 6)
            points = [start, Point(edge_x, y)]
            return points if edge.source == other else points[::-1]
        inner = self._anchor(hook, aisle, walked)
        self.lanes[aisle] += 1
        offset = _AISLE / 2 + (self.lanes[aisle] - 1) * _LANE
        if aisle == "left":
            x = self.left_aisle + offset
            points = [Point(box.right, outer), Point(x, outer), Point(x, inner), Point(self.bar_x, inner)]
        else:
            x = self.right_aisle + offset
            bar = self.nodes[hook]
            points = [Point(box.x, outer), Point(x, outer), Point(x, inner), Point(bar.right, inner)]
        return points if edge.source == other else points[::-1]

    def _is_hook(self, name: str) -> bool:
        return self.drawing.nodes[name].kind in ("hook", "routing", "process")

    def _around_wall(self, edge: Edge, walked: bool) -> list[Point]:
        """Draw from an interface to a switch below the hooks, or under them to one beside them."""
        interface, switch = (
            (edge.source, edge.target)
            if self.drawing.nodes[edge.source].kind == "interface"
            else (edge.target, edge.source)
        )
        box, end = self.nodes[interface], self.nodes[switch]
        x = self.left_aisle + 10
        y = self._anchor(switch, "wall", walked)
        points = [Point(box.right, box.middle), Point(x, box.middle)]
        if end.y >= self.wall_bottom:
            points += [Point(x, y), Point(end.x, y)]
        else:
            below = self.wall_bottom + 7
            points += [Point(x, below), Point(end.x - 10, below), Point(end.x - 10, y), Point(end.x, y)]
        return points if edge.source == interface else points[::-1]

    def _elbow(self, edge: Edge) -> list[Point]:
        """Draw between the outside and an interface."""
        first, second = self.nodes[edge.source], self.nodes[edge.target]
        left, right = (first, second) if first.x < second.x else (second, first)
        shift = 6 if edge.kind == "reply" else 0
        start, end = Point(left.right, left.middle + shift), Point(right.x, right.middle + shift)
        middle = (self.host_x - _AISLE / 2) if left.right < self.host_x else left.right + 8
        points = (
            [start, Point(middle, start.y), Point(middle, end.y), end] if start.y != end.y else [start, end]
        )
        return points if left is first else points[::-1]

    def _size(self) -> None:
        placement = self.placement
        right = self.host_right
        if self.guest_width:
            right = self.guest_x + self.guest_width + (10 + self.tied * _LANE if self.tied else 0)
        placement.width = right + _MARGIN
        placement.height = self.bottom + _MARGIN
        y = _MARGIN + 8
        headings = [(self.world_x, say("outside"))] if self._kind("world") else []
        if self.guest_width:
            if self._kind("port"):
                veth = say("veth pairs")
                headings.append((min(self.host_right + 18, self.guest_x - text_width(veth, 11) - PAD), veth))
            headings.append((self.guest_x, say("containers")))
        placement.headings = [(Point(x, y), text) for x, text in headings]
        width = max((point.x + text_width(text, 11) for point, text in placement.headings), default=0)
        placement.width = max(placement.width, width + PAD)
        for path in placement.paths:
            if path is not None:
                for one, other in pairwise(path.points):
                    placement.height = max(placement.height, one.y + 8, other.y + 8)
