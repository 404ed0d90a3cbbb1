"""Patterns that are searched in all lines of a text, once for each text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from iptsim.paste.lines import Line


@dataclass(frozen=True, slots=True, eq=False)
class SameLines:
    """Lines as the key of a cache: two are equal if they are the same list."""

    lines: list[Line]

    def __hash__(self) -> int:
        return id(self.lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SameLines) and other.lines is self.lines


def any_matches(lines: list[Line], pattern: re.Pattern[str]) -> bool:
    """Return whether a pattern matches the beginning of any line."""
    return last_match(lines, pattern) >= 0


def last_match(lines: list[Line], pattern: re.Pattern[str]) -> int:
    """Return the index of the last line whose beginning a pattern matches, -1 if there is none."""
    return _last_match(SameLines(lines), pattern)


@lru_cache(maxsize=8)
def _last_match(of: SameLines, pattern: re.Pattern[str]) -> int:
    places = range(len(of.lines) - 1, -1, -1)
    return next((at for at in places if pattern.match(of.lines[at].text)), -1)
