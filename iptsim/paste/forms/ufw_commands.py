"""Commands of ufw, `ufw allow 80/tcp`, `ufw route deny in on eth0`: read as the rows that `ufw status` shows for them.

Source: ufw(8), and ufw's parser.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from iptsim.languages import message
from iptsim.paste.forms import ufw
from iptsim.paste.lines import Line, last_match
from iptsim.paste.pieces import Piece, Rules, Segment, Warned, not_applied
from iptsim.paste.prompts import Command, command_of

_ACTIONS = ("allow", "deny", "reject", "limit")
_DEFAULT = re.compile(r"default (allow|deny|reject)(?: (incoming|outgoing|routed))?")
_BESIDE = re.compile(r"\s*(?:#|echo\b|sudo\s+ufw\s+(?:(?:--force\s+)?(?:enable|reload)|logging)\b|```)")
#: Rules and states that show what the commands led to.
_SHOWN = re.compile(
    r"\s*(?:Status: |To\s+Action\s+From\s*$|Chain \S+ \(|\*filter|:INPUT |-P INPUT |-A (?:INPUT|FORWARD|ufw))"
)
#: Services that have a port of TCP alone in /etc/services.
_PORTS = {
    "ssh": "22/tcp",
    "http": "80/tcp",
    "www": "80/tcp",
    "ftp": "21/tcp",
    "smtp": "25/tcp",
    "mysql": "3306/tcp",
}
#: Services of TCP and UDP.
_BOTH = {"https": "443", "domain": "53", "openvpn": "1194"}
#: At most this many lines above are searched for earlier commands.
_ABOVE = 200


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the commands that start at a line, or None."""
    if row_of(lines[at].text) is None:
        return None
    first = last = at
    policies: dict[str, str] = {}
    rows: list[tuple[re.Match[str], int]] = []
    while at < len(lines):
        text = lines[at].text
        row = row_of(text)
        if row is not None:
            last = at
            if found := _DEFAULT.fullmatch(row):
                policies[found[2] or "incoming"] = found[1]
            elif match := ufw.ROW.match(row):
                rows.append((match, at))
        elif not (lines[at].is_blank or _BESIDE.match(text)):
            break
        at += 1
    title = "ufw commands"
    shown = last_match(lines, _SHOWN)
    if shown > last:  # what they led to
        return Segment(title, title, first, last)
    if shown >= 0:
        unread = [place for place in range(first, last + 1) if row_of(lines[place].text) is not None]
        return Segment(title, title, first, last, [not_applied("ufw", lines[first].number)], unread)
    later = any(row_of(line.text) is not None for line in lines[max(0, first - _ABOVE) : first])
    items, unread = ufw.rules_of_rows(lines, policies, rows, adds=later)
    pieces: list[Piece] = [Rules("filter", 4, items, whole=not later, status=True)]
    if len(policies) < len(ufw.USUAL) and not later:
        assumed = message(
            "ufw's default policies are assumed where the commands set none, and no other rules"
        )
        pieces.append(Warned(assumed, lines[first].number))
    return Segment(title, title, first, last, pieces, unread, "filter")


def row_of(text: str) -> str | None:
    """Return the row of `ufw status` for a command, or a default policy; None for another line.

    >>> row_of("sudo ufw allow from 10.0.0.0/8 to any port 22 proto tcp"), row_of("ufw default deny incoming")
    ('22/tcp ALLOW IN 10.0.0.0/8', 'default deny incoming')
    """
    if "ufw" not in text:
        return None
    command = command_of(text)
    if command is None or command.program != "ufw":
        return None
    words = [word for word in command.words if not word.startswith("--")]
    if _DEFAULT.fullmatch(" ".join(words)):
        return " ".join(words)
    routed = words[:1] == ["route"]
    words = words[1:] if routed or words[:1] == ["rule"] else words
    if words[:1] in (["insert"], ["prepend"]):
        return None  # its place is among rules that are not shown
    if words[:1] == [] or words[0] not in _ACTIONS:
        return None
    return _row(words[0].upper(), words[1:], routed=routed)


def _row(action: str, words: Sequence[str], *, routed: bool) -> str | None:
    """Return the row for the words behind an action; None if they are not of a rule."""
    way = "FWD" if routed else "IN"
    ends = {"to": "Anywhere", "from": "Anywhere"}
    ports = {"to": "", "from": ""}
    on = {"to": "", "from": ""}
    protocol, side, left = "", "to", list(words)
    while left:
        word = left.pop(0)
        if word == "comment":
            break
        if word in ("in", "out"):
            way = "OUT" if word == "out" and not routed else way
            if left[:1] == ["on"] and len(left) > 1:
                outgoing = word == "out"
                on["to" if routed and outgoing else "from" if routed else "to"] = left[1]
                del left[:2]
        elif word in ("log", "log-all"):
            continue
        elif word in ("from", "to", "port", "proto") and left:
            value = left.pop(0)
            if word == "proto":
                protocol = value
            elif word == "port":
                ports[side] = value
            else:
                side = word
                ends[side] = "Anywhere" if value == "any" else value
        elif not ports["to"] and (plain := _port(word)):
            ports["to"] = plain
        else:
            return None
    texts = []
    for end in ("to", "from"):
        port = ports[end] + (f"/{protocol}" if ports[end] and protocol else "")
        shown = port if port and ends[end] == "Anywhere" else " ".join(filter(None, (ends[end], port)))
        texts.append(shown + (f" on {on[end]}" if on[end] else ""))
    if protocol and not any(ports.values()):
        texts[0] = protocol if texts[0] == "Anywhere" else f"{texts[0]} {protocol}"
    return f"{texts[0]} {action} {way} {texts[1]}"


def _port(word: str) -> str | None:
    """Return a port of a simple rule, by its number or its service."""
    name, slash, protocol = word.partition("/")
    if name in _PORTS and not slash:
        return _PORTS[name]
    name = _BOTH.get(name, _PORTS.get(name, name).partition("/")[0])
    return f"{name}{slash}{protocol}" if re.fullmatch(r"[\d:,]+", name) else None
