"""iptables commands that failed according to a log, as dockerd and firewalld print them. They changed nothing."""

from __future__ import annotations

import re

from iptsim.paste.lines import Line
from iptsim.paste.pieces import Failed, Segment
from iptsim.paste.prompts import Command, words_of

_FAILED = re.compile(
    r"(?:^|[\s('\"/])(?P<program>ip6?tables)\s+(?P<words>-.*?)(?:['\"] failed)?: (?P<why>ip6?tables(?: v[0-9.]+)?\b.*)"
)
#: The rest of the message of dockerd.
_REST = re.compile(r"\s*\(?exit status \d+\)*\.?\s*$")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the failed commands that start at a line, or None."""
    found: list[Failed] = []
    end = at
    while end < len(lines):
        failed = _FAILED.search(lines[end].text)
        if failed is not None:
            found.append(_of(failed, lines[end]))
        elif not found or not _REST.match(lines[end].text):
            break
        end += 1
    return Segment("failed commands", "failed iptables commands", at, end - 1, list(found)) if found else None


def _of(failed: re.Match[str], line: Line) -> Failed:
    words = tuple(words_of(failed["words"]))
    why = failed["why"].partition("Try `ip")[0].strip()
    return Failed(failed["program"], words, why, line.number)
