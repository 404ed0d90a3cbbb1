"""Rows of `ufw status`, and the commands of ufw that add, remove or replace them.

Sources: ufw(8), and ufw's parser.py and backend.py (set_rule).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from iptsim.paste.lines import Line
from iptsim.paste.prompts import Command, command_of, prompt_of

ROW = re.compile(
    r"\s*(?:\[\s*\d+\]\s+)?(?P<to>\S.*?)\s+"
    r"(?P<action>ALLOW|DENY|REJECT|LIMIT)(?: (?P<way>IN|OUT|FWD))?\s+(?P<source>\S.*?)"
    r"(?:\s+\((?:log|log-all)[^)]*\))?(?:\s+#.*)?\s*$"
)
#: A row of a status, and the index of its line.
Row = tuple[re.Match[str], int]
_ACTIONS = ("allow", "deny", "reject", "limit")
DEFAULT = re.compile(r"default (allow|deny|reject)(?: (incoming|outgoing|routed))?")
_DONE = re.compile(
    r"\s*(?:Rules? (?:added|updated|deleted|inserted)|Skipping \w+ existing rule)(?: \(v6\))?\s*"
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


def has_run(lines: Sequence[Line], at: int) -> bool:
    """Return whether a command was typed at a prompt, or ufw has answered it."""
    if prompt_of(lines[at].text) is not None:
        return True
    return at + 1 < len(lines) and done(lines[at + 1].text)


def done(text: str) -> bool:
    """Return whether a line is what ufw prints when it has changed its rules."""
    return _DONE.fullmatch(text) is not None


def change(rows: list[Row], command: Command, at: int) -> bool:
    """Change the rows of a status as a command of ufw does; return whether it could be followed.

    A rule with another action replaces the one with the same conditions; others go to the end, or where `insert` says.
    """
    words = _without_options(command)
    deletes, place = words[:1] == ["delete"], len(rows)
    if deletes and words[1:2] and words[1].isdecimal():
        place = int(words[1]) - 1
        if not 0 <= place < len(rows):
            return False
        del rows[place]
        return True
    if words[:1] == ["insert"] and words[1:2] and words[1].isdecimal() and 0 < int(words[1]) <= len(rows):
        place, words = int(words[1]) - 1, words[2:]
    elif words[:1] == ["prepend"]:
        place, words = 0, words[1:]
    row = _row_of(words[1:] if deletes else words)
    made = ROW.match(row) if row is not None else None
    if made is None:
        return False
    same = [index for index, (known, _) in enumerate(rows) if _conditions(known) == _conditions(made)]
    if deletes:
        same = [index for index in same if rows[index][0]["action"] == made["action"]]
        if not same:
            return False
        del rows[same[0]]
    elif same:
        rows[same[0]] = (made, at)
    else:
        rows.insert(place, (made, at))
    return True


def _conditions(row: re.Match[str]) -> tuple[str, str, str]:
    return row["to"], row["source"], row["way"] or "IN"


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
    words = _without_options(command)
    if words[:1] in (["insert"], ["prepend"]):
        return None  # its place is among rules that are not shown
    return _row_of(words)


def _without_options(command: Command) -> list[str]:
    return [word for word in command.words if not word.startswith("--")]


def _row_of(words: list[str]) -> str | None:
    """Return the row for the words of a command."""
    if DEFAULT.fullmatch(" ".join(words)):
        return " ".join(words)
    routed = words[:1] == ["route"]
    words = words[1:] if routed or words[:1] == ["rule"] else words
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
    if not {*words} - {"in", "out", "log", "log-all"}:
        return None  # ufw needs a port, an address or an interface
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
