"""Commands of firewall-cmd that change zones: `--add-port=80/tcp`, `--add-rich-rule='...'`, `--add-interface=docker0`.

Source: firewall-cmd(1). What else a zone has is not shown: rules may be missing behind those of the commands.
"""

from __future__ import annotations

import re

from iptsim.languages import message
from iptsim.paste.lines import Line, last_match
from iptsim.paste.pieces import Piece, Segment, Warned, Zone, not_applied
from iptsim.paste.prompts import Command, command_of

#: Options that add to a field of a zone.
_FIELDS = {
    "--add-port": "ports",
    "--add-service": "services",
    "--add-protocol": "protocols",
    "--add-source-port": "source-ports",
    "--add-source": "sources",
    "--add-interface": "interfaces",
    "--change-interface": "interfaces",
    "--add-forward-port": "forward-ports",
    "--add-rich-rule": "rich rules",
}
#: firewalld's default zone, unless a command sets another one.
_DEFAULT = "public"
#: At most this many lines belong to one command.
_WRAPPED = 6
#: The order of port and protocol that firewalld itself prints.
_SWAPPED = re.compile(r"\bport\s+(protocol=\S+)\s+(port=\S+)")
_BESIDE = re.compile(r"\s*(?:#|```)")
#: Listings and dumps that show what the commands led to.
_SHOWN = re.compile(
    r"\s*(?:target: |Chain \S+ \(|\*filter|:INPUT |-P INPUT |-A (?:INPUT|FORWARD|IN_)|table \w+ \w+ \{)"
)


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the commands that start at a line, or None."""
    zones: dict[str, Zone] = {}
    first = last = at
    if _command(lines, at) is None:
        return None
    default = _DEFAULT
    while at < len(lines):
        typed = _command(lines, at)
        if typed is not None:
            words, at = typed
            default = _apply(words, zones, default, lines[last].number)
            last = at - 1
        elif lines[at].is_blank or _BESIDE.match(lines[at].text):
            at += 1
        else:
            break
    title = "firewall-cmd commands"
    shown = last_match(lines, _SHOWN)
    if not zones or shown > last:  # what they led to
        return Segment(title, title, first, last)
    if shown >= 0:
        unread = [place for place in range(first, last + 1) if not lines[place].is_blank]
        return Segment(title, title, first, last, [not_applied("firewall-cmd", lines[first].number)], unread)
    if default in zones:
        zones[default].default = True
    assumed = message(
        "what else the zones of firewalld have is not shown; it is assumed to come after the commands' rules"
    )
    pieces: list[Piece] = [*zones.values(), Warned(assumed, lines[first].number)]
    return Segment(title, title, first, last, pieces, table="filter")


def _command(lines: list[Line], at: int) -> tuple[list[str], int] | None:
    """Return the words of a command that changes a zone, and the index of the line after it."""
    text = lines[at].text
    if "firewall-cmd" not in text or "--direct" in text:
        return None
    end = at + 1
    while text.count("'") % 2 and end < len(lines) and end - at < _WRAPPED:
        text += f" {lines[end].text.strip()}"
        end += 1
    command = command_of(text)
    if command is None or command.program != "firewall-cmd":
        return None
    words = list(command.words)
    if not words or any(not word.startswith("-") for word in words) or not _changes(words):
        return None
    return words, end


def _changes(words: list[str]) -> bool:
    names = {word.partition("=")[0] for word in words}
    return bool(
        names & {*_FIELDS, "--add-masquerade", "--set-default-zone", "--new-zone"} or names >= {"--reload"}
    )


def _apply(words: list[str], zones: dict[str, Zone], default: str, line: int) -> str:
    """Add what a command sets to its zone; return the default zone."""
    options = [word.partition("=") for word in words]
    name = next((value for option, _, value in options if option == "--zone"), default)
    for option, _, value in options:
        if option == "--set-default-zone":
            default = value
        elif option in _FIELDS or option == "--add-masquerade":
            zone = zones.setdefault(name, Zone(name, False, line))
            field = _FIELDS.get(option, "masquerade")
            zone.fields.setdefault(field, []).append(_SWAPPED.sub(r"port \2 \1", value.strip()) or "yes")
    return default
