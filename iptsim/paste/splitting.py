"""Splits a pasted text into segments, each of one form, detected by its content."""

from __future__ import annotations

import re

from iptsim.paste.forms import finders
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Rules, Segment, Settings
from iptsim.paste.prompts import Command, command_of
from iptsim.paste.where_typed import container_of

#: A program in a container that prints its addresses or routes.
_SHOWS = re.compile(r"\s[\"']?(?:ip\s+(?:-\S+\s+)*[alr]|ifconfig\b|route\b|netstat\b)|[;&]\s*ip\s")
#: A sentence that names the command of which it introduces the output.
_LISTS = r"(?:sudo\s+)?ip6?tables(?:-save\b|(?=\s[^`:]*-(?:[nvx]*[LS]|-list))\s)[^`:]{0,60}"
_SHOWN = re.compile(rf".{{0,200}}?(?:`(?P<ticked>{_LISTS})`[^`]{{0,60}}|\b(?P<plain>{_LISTS})):\s*")

#: What a program says: `curl: (7) Failed to connect`, `ping: sendmsg: Operation not permitted`.
_MESSAGE = re.compile(r"[a-z][\w.-]*: \S")


def split(lines: list[Line]) -> tuple[list[Segment], list[int]]:
    """Return the segments of a text, and the indexes of the lines outside them, without blank lines."""
    find = finders("\n".join(line.text for line in lines))
    segments: list[Segment] = []
    left_out: list[int] = []
    command, typed_at = None, 0
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.is_blank:
            at += 1
            continue
        segment = next((found for one in find if (found := one(lines, at, command)) is not None), None)
        if segment is not None:
            if command is not None:
                segment.first = min(segment.first, typed_at)
                segment.place = container_of(lines, typed_at)
            elif segments and segment.first == segments[-1].last + 1:
                segment.place = _printed_by(lines, segments[-1])
            if segments:
                segment.first = max(segment.first, segments[-1].last + 1)
            while left_out and left_out[-1] >= segment.first:
                left_out.pop()
            segments.append(segment)
            _note_break(lines, segment)
            left_out += segment.unread
            at, command = segment.last + 1, None
            continue
        typed = command_of(line.text) or _introduced(line.text)
        if typed is not None:
            command, typed_at = typed, at
        elif not line.is_gap:
            command = None
        left_out.append(at)
        at += 1
    return segments, sorted(left_out)


def _introduced(text: str) -> Command | None:
    """Return the command whose output follows, according to the sentence before it: "`iptables -t nat -L` shows:".

    >>> _introduced("and here is the output of ip6tables -L -n:").program
    'ip6tables'
    """
    found = _SHOWN.fullmatch(text) if text.rstrip()[-1:] == ":" else None
    return command_of(found["ticked"] or found["plain"]) if found is not None else None


def _printed_by(lines: list[Line], before: Segment) -> str | None:
    """Return the container of which the command above, which is read itself, prints the addresses or routes."""
    if not any(isinstance(piece, Settings) for piece in before.pieces):
        return before.place
    return container_of(lines, before.last) if _SHOWS.search(lines[before.last].text) else None


def _note_break(lines: list[Line], segment: Segment) -> None:
    """Note that a listing ends within a chain, at a line that is not read: an empty line ends each chain.

    What another program prints below it is no part of it.
    """
    following = lines[segment.last + 1] if segment.last + 1 < len(lines) else None
    if following is None or not following.whole or command_of(following.text) is not None:
        return
    if _MESSAGE.match(following.text) or lines[segment.last].text.strip() == "COMMIT":
        return
    for piece in segment.pieces[-1:]:
        if isinstance(piece, Rules):
            piece.broken = True
