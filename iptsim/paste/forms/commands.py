"""Commands that change rules: `iptables -A ...` in scripts, sessions and `PostUp` lines."""

from __future__ import annotations

from iptsim.paste.lines import Line
from iptsim.paste.pieces import Segment
from iptsim.paste.prompts import Command


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the commands that begin in a line, or None."""
    return None
