"""Commands of firewall-cmd that change zones: `--add-port=80/tcp`, `--add-rich-rule='...'`, `--add-interface=docker0`.

Below `firewall-cmd --list-all`, those that have run change the zones that it shows. What else other zones have is not
shown: rules may be missing behind those of the commands.

Source: firewall-cmd(1), and the reload of firewalld 1.3 (src/firewall/core/fw.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

from iptsim.languages import message
from iptsim.paste.lines import Line, SameLines, last_match
from iptsim.paste.pieces import Piece, Segment, Warned, Zone, not_applied
from iptsim.paste.prompts import Command, command_of, prompt_of
from iptsim.paste.reloads import is_firewalld_reload, not_loaded

#: Options that add to a field of a zone; those with --remove- take from it.
_ADDS = {
    "--add-port": "ports",
    "--add-service": "services",
    "--add-protocol": "protocols",
    "--add-source-port": "source-ports",
    "--add-source": "sources",
    "--add-interface": "interfaces",
    "--change-interface": "interfaces",
    "--add-forward-port": "forward-ports",
    "--add-rich-rule": "rich rules",
    "--add-masquerade": "masquerade",
}
#: What decides to which zone a packet belongs.
_SELECTING = ("interfaces", "sources")
_REMOVES = {name.replace("--add-", "--remove-"): field for name, field in _ADDS.items() if "--add-" in name}
_FIELDS = {**_ADDS, **_REMOVES, "--set-target": "target"}
#: Options that do not change what a zone does.
_OTHERS = re.compile(
    r"--(?:permanent|zone|quiet|list-.*|get-.*|query-.*|info-.*|state|version|help|check-config|set-log-denied|new-zone)|-q"
)
#: firewalld's default zone, unless a command sets another one.
_DEFAULT = "public"
#: At most this many lines belong to one command.
_WRAPPED = 6
#: The order of port and protocol that firewalld itself prints.
_SWAPPED = re.compile(r"\bport\s+(protocol=\S+)\s+(port=\S+)")
_BESIDE = re.compile(r"\s*(?:#|```)")
#: What it prints when it has changed something; the first line of a listed zone, below its name.
_DONE = re.compile(r"\s*(?:success|Warning: ALREADY_ENABLED\b.*|Warning: NOT_ENABLED\b.*)\s*")
_FAILED = re.compile(r"\s*(?:Error: |usage: |FirewallD is not running|Authorization failed)")
_TARGET = re.compile(r"\s*target: ")
_BRACES = re.compile(r"(?P<before>[^{]*)\{(?P<inner>[^{}]*,[^{}]*)\}(?P<after>.*)")
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
    listed = _listed(SameLines(lines)) if (shown := last_match(lines, _SHOWN)) < at else frozenset[str]()
    default, unread = _DEFAULT, list[int]()
    not_yet = _not_loaded(SameLines(lines))
    while at < len(lines):
        typed = _command(lines, at)
        if typed is not None:
            words, end = typed
            if lines[at].number in not_yet and shown < 0:
                zone = _zone(zones, _option(words, "--zone") or default, lines[at].number)
                zone.unread.append(" ".join(words))
                # what its packets meet is unknown, in the zone and before it
                _apply(
                    [one for one in words if _ADDS.get(_parted(one)[0]) in _SELECTING],
                    zones,
                    zone.name,
                    zone.line,
                )
            elif shown >= 0 and not (listed and _has_run(lines, at, end)):
                unread += range(at, end)
            elif not listed or _option(words, "--zone") not in {"", *listed}:
                default = _apply(words, zones, default, lines[at].number)
            at = end
            last = at - 1
        elif _DONE.fullmatch(lines[at].text):
            last = at
            at += 1
        elif lines[at].is_blank or _BESIDE.match(lines[at].text):
            at += 1
        else:
            break
    title = "firewall-cmd commands"
    pieces: list[Piece] = []
    if shown > last:  # what they led to
        return Segment(title, title, first, last)
    if shown < 0 and not zones and not is_firewalld_reload(lines[first].text):
        return None
    if unread:
        pieces.append(not_applied("firewall-cmd", lines[unread[0]].number))
    if not zones:
        return Segment(title, title, first, last, pieces, unread)
    if default in zones:
        zones[default].default = True
    assumed = message(
        "what else the zones of firewalld have is not shown; it is assumed to come after the commands' rules"
    )
    pieces += [*zones.values(), Warned(assumed, lines[first].number)]
    return Segment(title, title, first, last, pieces, unread, table="filter")


@lru_cache(maxsize=8)
def _listed(of: SameLines) -> frozenset[str]:
    """Return the zones that a text lists whole."""
    return frozenset(_name(line) for line, below in pairwise(of.lines) if _TARGET.match(below.text))


def _name(heading: Line) -> str:
    return heading.text.strip().partition(" ")[0]


def change(lines: list[Line], at: int, zones: Sequence[Zone]) -> None:
    """Change listed zones as the commands below them do, each up to where it is listed again.

    `--permanent` counts from the next reload on, which undoes what was changed without it; only interfaces stay.

    Args:
        lines: the text.
        at: the index of the line after the zones.
        zones: the zones.
    """
    known = {zone.name: zone for zone in zones if "target" in zone.fields}
    permanent = {name: _copied(zone) for name, zone in known.items()}
    while at < len(lines) and known:
        typed = _command(lines, at)
        if at + 1 < len(lines) and _TARGET.match(lines[at + 1].text):
            known.pop(_name(lines[at]), None)
        end = at + 1 if typed is None else typed[1]
        if is_firewalld_reload(lines[at].text) and _has_run(lines, at, end):
            for name, zone in known.items():
                interfaces = zone.fields.get("interfaces", [])
                zone.fields, zone.unread = _copied(permanent[name]).fields, [*permanent[name].unread]
                further = [one for one in zone.fields.get("interfaces", []) if one not in interfaces]
                zone.fields["interfaces"] = [*interfaces, *further]
        elif typed is not None and _has_run(lines, at, end):
            words = typed[0]
            if "--runtime-to-permanent" in words:
                permanent = {name: _copied(zone) for name, zone in known.items()}
            else:
                _change(words, permanent if "--permanent" in words else known)
        at = end


def _copied(zone: Zone) -> Zone:
    fields = {name: [*values] for name, values in zone.fields.items()}
    return replace(zone, fields=fields, unread=[*zone.unread])


def _has_run(lines: Sequence[Line], at: int, end: int) -> bool:
    """Return whether a command was typed at a prompt or has said so, and has not failed."""
    answer = lines[end].text if end < len(lines) else ""
    return not _FAILED.match(answer) and (
        prompt_of(lines[at].text) is not None or _DONE.fullmatch(answer) is not None
    )


def _change(words: list[str], zones: dict[str, Zone]) -> None:
    """Change the zone that a command names, or the default one; what it does else is unknown."""
    name = _option(words, "--zone") or next((zone.name for zone in zones.values() if zone.default), _DEFAULT)
    options = [(option, value) for option, value in map(_parted, words) if not _OTHERS.fullmatch(option)]
    if not all(option in _FIELDS for option, _ in options):
        for zone in zones.values():
            zone.unread.append(" ".join(words))
    elif name in zones:
        for option, value in options:
            for one in _expanded(value):
                _set(zones, zones[name], option, one)


def _set(zones: dict[str, Zone], zone: Zone, option: str, value: str) -> None:
    """Change a field of a zone; an interface is in one zone alone."""
    field = _FIELDS[option]
    values = zone.fields.setdefault(field, [])
    if field == "target":
        values[:] = [value]
    elif field == "masquerade":
        values[:] = ["yes" if option in _ADDS else "no"]
    elif option in _ADDS:
        others = [one.fields.get(field, []) for one in zones.values()] if field == "interfaces" else []
        for other in others:
            other[:] = [one for one in other if one != value]
        if _plain(value) not in map(_plain, values):
            values.append(value)
    else:
        values[:] = [one for one in values if _plain(one) != _plain(value)]


def _plain(value: str) -> str:
    """Return a value without what may be written in other ways: quotation marks and blanks."""
    return " ".join(value.replace('"', "").replace("'", "").split()).rstrip(":").removesuffix(":toaddr=")


def _expanded(value: str) -> list[str]:
    """Return the values that a shell makes of braces.

    >>> _expanded("{80,443}/tcp")
    ['80/tcp', '443/tcp']
    """
    found = _BRACES.fullmatch(value)
    return (
        [value]
        if found is None
        else [found["before"] + one + found["after"] for one in found["inner"].split(",")]
    )


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
    words: list[str] = []
    for word in command.words:
        if not word.startswith("-") and words and words[-1] in _FIELDS.keys() | {"--zone"}:
            words[-1] += f"={word}"
        else:
            words.append(word)
    if not words or any(not word.startswith("-") for word in words) or not _changes(words):
        return None
    return words, end


def _changes(words: list[str]) -> bool:
    names = {_parted(word)[0] for word in words}
    return not all(map(_OTHERS.fullmatch, names)) or "--new-zone" in names


def _parted(word: str) -> tuple[str, str]:
    """Return an option and its value."""
    option, _, value = word.partition("=")
    return option, _SWAPPED.sub(r"port \2 \1", value.strip())


def _option(words: list[str], name: str) -> str:
    """Return the value of an option, "" if there is none."""
    return next((value for option, value in map(_parted, words) if option == name), "")


def _apply(words: list[str], zones: dict[str, Zone], default: str, line: int) -> str:
    """Add what a command sets to its zone, which is not listed; return the default zone."""
    name = _option(words, "--zone") or default
    for option, value in map(_parted, words):
        if option == "--set-default-zone":
            default = value
        elif option in _ADDS:
            zone = _zone(zones, name, line)
            for one in _expanded(value):
                zone.fields.setdefault(_ADDS[option], []).append(one or "yes")
    return default


def _zone(zones: dict[str, Zone], name: str, line: int) -> Zone:
    """Return a zone that is not listed, with what commands have set so far."""
    return zones.setdefault(name, Zone(name, False, line))


@lru_cache(maxsize=8)
def _not_loaded(of: SameLines) -> frozenset[int]:
    """Return the numbers of the lines whose commands change only what the next reload loads."""
    return frozenset(one.line for one in not_loaded(of.lines))
