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
    return _any_matches(SameLines(lines), pattern)


@lru_cache(maxsize=8)
def _any_matches(of: SameLines, pattern: re.Pattern[str]) -> bool:
    return any(pattern.match(line.text) for line in of.lines)
