"""Commands of ufw, `ufw allow 80/tcp`, `ufw route deny in on eth0`: read as the rows that `ufw status` shows for them.

Source: ufw(8), and ufw's parser.py.
"""

from __future__ import annotations

import re

from iptsim.languages import message
from iptsim.paste.forms import ufw
from iptsim.paste.forms.ufw_rows import DEFAULT, ROW, done, row_of
from iptsim.paste.lines import Line, last_match
from iptsim.paste.pieces import Piece, Rules, Segment, Warned, not_applied
from iptsim.paste.prompts import Command

_BESIDE = re.compile(r"\s*(?:#|echo\b|sudo\s+ufw\s+(?:(?:--force\s+)?(?:enable|reload)|logging)\b|```)")
#: Rules and states that show what the commands led to.
_SHOWN = re.compile(
    r"\s*(?:Status: |To\s+Action\s+From\s*$|Chain \S+ \(|\*filter|:INPUT |-P INPUT |-A (?:INPUT|FORWARD|ufw))"
)
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
            if found := DEFAULT.fullmatch(row):
                policies[found[2] or "incoming"] = found[1]
            elif match := ROW.match(row):
                rows.append((match, at))
        elif done(text):
            last = at
        elif not (lines[at].is_blank or _BESIDE.match(text)):
            break
        at += 1
    title = "ufw commands"
    shown = last_match(lines, _SHOWN)
    if shown > last:  # what they led to
        return Segment(title, title, first, last)
    if shown >= 0 and ufw.applied_to(lines, shown, first, last):
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
