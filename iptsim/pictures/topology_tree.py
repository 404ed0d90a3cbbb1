"""A topology as a tree of plain text, with the packet path marked."""

from __future__ import annotations

from iptsim.errors import printable
from iptsim.languages import say
from iptsim.pictures.drawing import SIGNS, Drawing
from iptsim.pictures.wiring import Wiring


def tree(drawing: Drawing, wiring: Wiring) -> str:
    """Return the topology as a tree."""
    return "".join(f"{line}\n" for line in _Tree(drawing, wiring).lines())


class _Tree:
    def __init__(self, drawing: Drawing, wiring: Wiring) -> None:
        self.drawing, self.wiring = drawing, wiring

    def lines(self) -> list[str]:
        out = [printable(caption.text) for caption in self.drawing.captions]
        way = self._way()
        if way:
            out += ["", *way]
        if out:
            out.append("")
        branches = [
            [self._row(node.name)] for node in self.drawing.nodes.values() if node.kind == "interface"
        ]
        branches.append(self._netfilter())
        branches += [
            self._switch(switch.key, [self._plug(plug.port_key, plug.key) for plug in switch.plugs])
            for switch in self.wiring.switches
        ]
        out.append("host   " + say("network namespace"))
        out.extend(_joined(branches))
        return out

    def _way(self) -> list[str]:
        """Return the path of each packet in one line, with a mark at its end."""
        out = []
        for kind, name in (("route", say("path")), ("reply", say("reply"))):
            text = at = ""
            for edge in self.drawing.edges:
                if edge.kind != kind:
                    continue
                if edge.source != at:
                    text += f"{'; ' if text else ''}{self._name(edge.source)}"
                text += f" → {self._name(edge.target)}"
                at = edge.target
            if text:
                ends = self.drawing.nodes[at].classes & SIGNS.keys()
                signs = "".join(f" {sign}" for end, sign in SIGNS.items() if end in ends)
                out.append(f"{name}   {text}{signs}")
        return out

    def _name(self, node: str) -> str:
        """Return a place in a word or two."""
        place = self.drawing.nodes[node]
        name = place.lines[0]
        if place.kind == "plug":
            name = f"{place.group.removeprefix('guest ')} {name.split(' ')[0]}"
        return printable(name)

    def _row(self, name: str, lead: str = "", *, passed: bool = True) -> str:
        """Return a node in one line, with the mark of an ending; and, if asked for, of a packet that passed it."""
        node = self.drawing.nodes[name]
        ends = {"stop": say("stopped here"), "arrived": say("arrives here"), "open": say("depends")}
        marks = [f"{SIGNS[end]} {text}" for end, text in ends.items() if end in node.classes]
        if passed and not marks and node.classes & {"walked", "answered"}:
            marks = ["●" if "walked" in node.classes else "○"]
        texts = [lead + node.lines[0], *node.lines[1:], *marks]
        if node.ending is not None:
            texts.append(node.ending.text)
        return printable("   ".join(texts))

    def _netfilter(self) -> list[str]:
        """Return the hooks, each with its translations below."""
        stations = [node for node in self.drawing.nodes.values() if node.group == "netfilter"]
        rows = [
            [
                self._row(node.name),
                *_joined(
                    [[printable(line)] for line in (*node.details, *(f"⇄ {one}" for one in node.changes))]
                ),
            ]
            for node in stations
        ]
        return [printable(self.drawing.groups["netfilter"].lines[0]), *_joined(rows)]

    def _switch(self, key: str, rows: list[str]) -> list[str]:
        head = self._row(key) if key in self.drawing.nodes else say("no network")
        return [head, *_joined([[row] for row in rows])]

    def _plug(self, port: str, plug: str) -> str:
        """Return both ends of a veth pair in one line."""
        ends = []
        if port in self.drawing.nodes:
            ends.append(self._row(port, passed=False))
        if plug in self.drawing.nodes:
            node = self.drawing.nodes[plug]
            group = self.drawing.groups.get(node.group)
            names = "   ".join(group.lines) if group else ""
            ends.append(self._row(plug, f"{printable(names)}: " if names else ""))
        return " ── ".join(ends)


def _joined(branches: list[list[str]]) -> list[str]:
    """Return branches below their stem."""
    out = []
    for number, branch in enumerate(branches, 1):
        first, below = ("└─ ", "   ") if number == len(branches) else ("├─ ", "│  ")
        out += [first + branch[0], *(below + line for line in branch[1:])]
    return out
