"""Splits a line at blanks, to find its shape if a line of that shape was parsed before.

The grammar (`dump.lark`) is the reference; a property test compares :func:`split` with it. Both split like
add_param_to_argv (iptables/xshared.c).
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: What is between quotation marks, with escapes: a pattern that keeps no state for each character.
IN_QUOTES = r'[^"\\]*(?:\\.[^"\\]*)*'
_WORD = re.compile(rf'[ \t]*(?:([^" \t]*)"({IN_QUOTES})"|([^" \t]+)(?![^ \t]))', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Word(NamedTuple):
    """One word: its source text, its unquoted value, and its columns, from 0."""

    raw: str
    text: str
    start: int
    end: int

    @property
    def columns(self) -> tuple[int, int]:
        """The columns of its start and end."""
        return self.start, self.end


def unquote(word: str) -> str:
    r"""Return a word of the source without its quotes and escapes.

    >>> unquote('"IN drop: "'), unquote('a"say \\"hi\\""')
    ('IN drop: ', 'asay "hi"')
    """
    lead, quote, rest = word.partition('"')
    return lead + _ESCAPE.sub(r"\1", rest[:-1]) if quote else word


def split(line: str) -> list[str] | None:
    """Return the unquoted words of a line, or None for a line that the grammar may reject."""
    if not line.isprintable():
        return _split_any(line)
    # A printable line has no whitespace except spaces.
    if '"' not in line:
        return line.split()
    if "\\" in line:
        return _split_any(line)
    parts = line.split('"')
    if not len(parts) % 2:
        return None
    words = parts[0].split()
    for index in range(1, len(parts), 2):
        before = parts[index - 1]
        if before and before[-1] != " ":
            return _split_any(line)
        words.append(parts[index])
        words += parts[index + 1].split()
    return words


def _split_any(line: str) -> list[str] | None:
    words, end = [], 0
    # no searching: anything after a word that is not a word ends the line, so any input takes one pass
    while found := _WORD.match(line, end):
        lead, quoted, plain = found.groups()
        words.append(plain if quoted is None else lead + _ESCAPE.sub(r"\1", quoted))
        end = found.end()
    return None if line[end:].strip(" \t") else words
