"""`xtables-monitor --trace`: the packet, and each rule that it matched, with the rule's text and verdict."""

from __future__ import annotations

import re

from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from iptsim.grammar import parser
from iptsim.host.logged_lines import LoggedLine, Visit
from iptsim.paste.forms.logline import Record, question_of
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Ask, Segment
from iptsim.paste.prompts import Command, words_of
from iptsim.protocols import TCP_FLAGS

#: Its names of what LOG calls otherwise.
_NAMES = {"SPORT": "SPT", "DPORT": "DPT", "HOPLIMIT": "TTL"}


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the trace that starts at a line, or None."""
    pieces: list[Ask | LoggedLine] = []
    packets: dict[str, Record] = {}
    end = at
    while end < len(lines) and (tree := _parsed(lines[end].text)) is not None:
        line, number = tree, lines[end].number
        if line.data == "packet":
            identity, record = _packet(line)
            packets[identity] = record
            if not any(isinstance(piece, Ask) for piece in pieces):
                pieces.append(Ask(question_of(record), number))
        else:
            identity, visit = _visit(line)
            if identity in packets:
                pieces.append(packets[identity]._replace(visit=visit).logged(number))
        end += 1
    if not pieces:
        return None
    return Segment("xtables-monitor", "xtables-monitor --trace", at, end - 1, [*pieces])


def _parsed(text: str) -> Tree[Token] | None:
    if "PACKET: " not in text and "TRACE: " not in text:
        return None
    try:
        tree = parser("xtables_monitor").parse(text.strip()).children[0]
    except UnexpectedInput:
        return None
    return tree if isinstance(tree, Tree) else None


def _packet(tree: Tree[Token]) -> tuple[str, Record]:
    """Return the identity and the contents of a packet; its protocol follows from its ports and flags."""
    _, identity, *items = tree.children
    pairs: dict[str, str] = {}
    flags: list[str] = []
    for item in items:
        key, assigned, value = str(item).partition("=")
        if assigned:
            pairs[_NAMES.get(key, key)] = value
        else:
            flags.append(key)
    six = ":" in pairs.get("SRC", "")
    if "SPT" in pairs:
        pairs["PROTO"] = "TCP" if TCP_FLAGS.keys() & flags else "UDP"
    else:
        pairs["PROTO"] = "ICMPV6" if six else "ICMP"
    return str(identity), Record("", pairs, tuple(flags), None)


def _visit(tree: Tree[Token]) -> tuple[str, Visit]:
    _, identity, table, chain, *rest = map(str, tree.children)
    if tree.data == "end":
        return identity, Visit(table, chain, rest[0], 0, verdict=rest[1] if len(rest) > 1 else "")
    _, verdict, *rule = rest
    text = re.sub(r"^-[46] -t \S+ ", "", rule[0]) if rule else ""
    return identity, Visit(table, chain, "rule", 0, tuple(words_of(text)[2:]), verdict)
