"""Cuts a line at its blanks, so that its shape is found if a line of that shape was parsed before.

The grammar (`dump.lark`) is the reference, and a property test holds :func:`split` to it. Both cut as
add_param_to_argv does (iptables/xshared.c).
"""

from __future__ import annotations

import re
from typing import NamedTuple

_WORD = re.compile(r'[ \t]*(?:([^" \t]*)"((?:[^"\\]|\\.)*)"|([^" \t]+)(?![^ \t]))', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Word(NamedTuple):
    """One word: as the source has it, what it means, and its columns from 0."""

    raw: str
    text: str
    start: int
    end: int

    @property
    def columns(self) -> tuple[int, int]:
        """Where it begins and ends."""
        return self.start, self.end


def unquote(word: str) -> str:
    r"""Return what a word of the source means, without its quotes and escapes.

    >>> unquote('"IN drop: "'), unquote('a"say \\"hi\\""')
    ('IN drop: ', 'asay "hi"')
    """
    lead, quote, rest = word.partition('"')
    return lead + _ESCAPE.sub(r"\1", rest[:-1]) if quote else word


def split(line: str) -> list[str] | None:
    """Return the unquoted words of a line, or None for a line that the grammar may refuse."""
    if not line.isprintable():
        return _split_any(line)
    # A printable line has no other white space than the blank.
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
    # never searching: what is no word where the last one ended ends the line, in one pass however it is made
    while found := _WORD.match(line, end):
        lead, quoted, plain = found.groups()
        words.append(plain if quoted is None else lead + _ESCAPE.sub(r"\1", quoted))
        end = found.end()
    return None if line[end:].strip(" \t") else words
