"""A line of tcpdump, or a 5-tuple: the packet they describe."""

from __future__ import annotations

import re
from typing import Any

from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from iptsim.grammar import parser
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Ask, Segment
from iptsim.paste.prompts import Command

_LIKELY = re.compile(
    r"\bIP6? \S+ > |^\W*(?:(?:tcp|udp|icmp|sctp)\b.*)?\[?[0-9a-fA-F.:]+\]?(?::\d+)?\s*(?:-+>|=>|>|→)",
    re.IGNORECASE,
)
_FLAGS = {"S": "SYN", "F": "FIN", "R": "RST", "P": "PSH", ".": "ACK", "U": "URG", "E": "ECE", "W": "CWR"}
_ICMP = {"echo request": 8, "echo reply": 0}
#: An error tells how a packet fared that the capture shows, too: it is not the packet in question.
_ERROR = re.compile(r": ICMP6?,? .*(?:unreachable|exceeded|prohibited|redirect)")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the packets that start at a line, or None."""
    seen_on = (command.option("-i", "--interface") or "") if command is not None else ""
    asked: list[Ask] = []
    errors: list[Ask] = []
    end, form = at, ""
    while end < len(lines) and _LIKELY.search(lines[end].text):
        found = _packet(lines[end].text.strip())
        if found is None:
            break
        form, fields = found
        (errors if _ERROR.search(lines[end].text) else asked).append(
            Ask(fields, lines[end].number, seen_on=seen_on)
        )
        end += 1
    if not form:
        return None
    name = {"tcpdump": "tcpdump", "tuple": "a flow"}[form]
    return Segment(name, name, at, end - 1, [*(asked or errors)])


def _packet(text: str) -> tuple[str, dict[str, Any]] | None:
    for start in ("tcpdump", "tuple"):
        try:
            tree = parser("packets").parse(text, start=start)
        except UnexpectedInput:
            continue
        return start, (_dumped if start == "tcpdump" else _tuple)(tree)
    return None


def _dumped(tree: Tree[Token]) -> dict[str, Any]:
    parts = {
        child.data: [str(one) for one in child.children] for child in tree.children if isinstance(child, Tree)
    }
    ends = [child for child in tree.children if isinstance(child, Tree) and child.data == "end"]
    fields: dict[str, Any] = {}
    for name, port, place in (("from", "sport", ends[0]), ("to", "dport", ends[1])):
        token = place.children[0]
        assert isinstance(token, Token)
        address, number = str(token), None
        if token.type == "ADDRESS_PORT":
            address, _, number = address.rpartition(".")
        fields[name] = address
        if number is not None:
            fields[port] = int(number) if number.isdecimal() else number
    if "interface" in parts and parts["interface"][1] != "Out":
        fields["in"] = parts["interface"][0]
    kind = next(name for name in ("tcp", "udp", "icmp", "other") if name in parts)
    v6 = ":" in fields["from"]
    fields["proto"] = ("icmpv6" if v6 else "icmp") if kind == "icmp" else "tcp" if kind == "tcp" else "udp"
    if kind == "tcp":
        flags = [_FLAGS[mark] for mark in parts["tcp"][0] if mark in _FLAGS]
        if flags and flags != ["SYN"]:
            fields["tcp_flags"] = ",".join(flags)
    if kind == "icmp" and parts["icmp"][0] in _ICMP and not v6:
        fields["icmp_type"] = _ICMP[parts["icmp"][0]]
    return fields


def _tuple(tree: Tree[Token]) -> dict[str, Any]:
    places = [child for child in tree.children if isinstance(child, Tree)]
    protocol = next(
        (str(one) for one in tree.children if isinstance(one, Token) and one.type == "PROTOCOL"), "tcp"
    )
    fields: dict[str, Any] = {"proto": protocol.lower()}
    for name, port, place in (("from", "sport", places[0]), ("to", "dport", places[1])):
        address, colon, number = str(place.children[0]), "", ""
        if isinstance(place.children[0], Token) and place.children[0].type == "WITH_PORT":
            address, colon, number = address.rpartition(":")
        fields[name] = address.strip("[]")
        if colon:
            fields[port] = int(number)
    return fields
