"""Connections that failed: the messages of curl, ping, ssh and others; the sender is where the command was typed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from iptsim.grammar import parser
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Ask, Segment
from iptsim.paste.prompts import Command, command_of, prompt_of

#: The name of the form.
FORM = "a failed connection"
#: At most this many lines may lie between a command and its message.
_FAR = 12
_MESSAGE = re.compile(
    r"\b(?:failed (?:to )?connect to|connect(?:ing|ion)? to|dial (?:tcp|udp)|read udp|connect E[A-Z]+|"
    r"communications error to) ?.*",
    re.IGNORECASE,
)
_PING = re.compile(r"^PING \S+ \(?(?P<to>[0-9.]+|[0-9a-fA-F:]+)\)?:? .*bytes")
_LOST = re.compile(
    r"\b100(?:\.0)?% packet loss|Unreachable|Prohibited|Operation not permitted|No route to host"
)
_TELNET = re.compile(r".*[#$%>]\s*telnet\s+(?P<to>\S+)\s+(?P<port>\d+)\s*$")
_REFUSED = re.compile(r"Unable to connect|Connection (?:refused|timed out)|No route to host")
#: Programs that are run on the host itself.
_OF_HOST = frozenset(
    {"ufw", "docker", "podman", "firewall-cmd", "conntrack", "nft", "iptables-save", "systemctl"}
)


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the failed connection that a line reports, with those after it; None for other lines."""
    found = _told(lines, at)
    if found is None:
        return None
    fields, last = found
    if "from" not in fields and _typed_on_host(lines, at):
        fields["from"] = "host"
    return Segment(FORM, FORM, at, last, [Ask(fields, lines[at].number)]) if "from" in fields else None


def _told(lines: list[Line], at: int) -> tuple[dict[str, Any], int] | None:
    """Return the packet and the index of the last line."""
    text = lines[at].text
    for opening, failed, proto in ((_PING, _LOST, "icmp"), (_TELNET, _REFUSED, "tcp")):
        begins = opening.match(text)
        if begins:
            last = _first(lines, at, failed)
            if last is None:
                return None
            fields: dict[str, Any] = {"to": begins["to"], "proto": proto}
            if proto == "tcp":
                fields["dport"] = int(begins["port"])
            elif ":" in begins["to"]:
                fields["proto"] = "icmpv6"
            return fields, last
    message = _MESSAGE.search(text)
    if message is None or command_of(text) is not None:
        return None
    # a message without a known sender gives no question
    fields = _parsed(message.group()) if "->" in text or _typed_on_host(lines, at) else {}
    return (fields, at) if fields else None


def _first(lines: list[Line], at: int, failed: re.Pattern[str]) -> int | None:
    """Return the index of the line that says how it failed, before the next command."""
    for index in range(at + 1, min(at + _FAR, len(lines))):
        if failed.search(lines[index].text):
            return index
        if prompt_of(lines[index].text) is not None:
            return None
    return None


def _parsed(text: str) -> dict[str, Any]:
    try:
        tree = parser("failures").parse(text, start="failure")
    except UnexpectedInput:
        return {}
    fields: dict[str, Any] = {"proto": "tcp"}
    ends: list[tuple[str, int | None]] = []
    for child in tree.children:
        if isinstance(child, Tree):
            ends.append(_end(child))
        elif child.type == "PROTOCOL":
            fields["proto"] = str(child)
        else:
            ends[-1] = (ends[-1][0], int(child))
    if "communications error" in text:
        fields["proto"] = "udp"
    to, fields["dport"] = ends[-1]
    if len(ends) == 2:
        fields["from"], fields["sport"] = ends[0]
    return {**fields, "to": to}


def _end(tree: Tree[Token]) -> tuple[str, int | None]:
    text = str(tree.children[0])
    if tree.data == "host":
        return text, None
    address, _, port = text.rpartition(":")
    return address.strip("[]"), int(port)


def _typed_on_host(lines: list[Line], at: int) -> bool:
    """Return whether a command was typed on the machine on which the rules were listed."""
    for index in range(at, max(at - _FAR, -1), -1):
        own = prompt_of(lines[index].text)
        if own is not None:
            return own in _prompts_of_host(_Same(lines))
    return False


@dataclass(frozen=True, slots=True, eq=False)
class _Same:
    """Lines as the key of a cache: two are equal if they are the same list."""

    lines: list[Line]

    def __hash__(self) -> int:
        return id(self.lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.lines is self.lines


@lru_cache(maxsize=1)
def _prompts_of_host(of: _Same) -> frozenset[str]:
    """Return the prompts after which programs were typed that are run on the host itself."""
    found = (prompt_of(line.text) for line in of.lines if _is_of_host(line.text))
    return frozenset(prompt for prompt in found if prompt is not None)


def _is_of_host(text: str) -> bool:
    command = command_of(text)
    if command is None:
        return False
    inside = command.words[:1] in (("exec",), ("run",), ("attach",))
    if command.program.startswith(("iptables", "ip6tables")):
        return True
    return command.program in _OF_HOST and not inside
