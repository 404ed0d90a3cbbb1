"""Parses one line of a dump with the grammar (`dump.lark`), and explains invalid lines."""

from __future__ import annotations

import re
from typing import NamedTuple

from lark import Tree
from lark.exceptions import UnexpectedInput

from iptsim.dump.ruleset import Counters
from iptsim.dump.words import Word, unquote
from iptsim.errors import DumpSyntaxError, Span
from iptsim.grammar import parser, terminal


class Line(NamedTuple):
    """A line of a dump.

    Attributes:
        kind: "comment", "table", "chain", "commit" or "rule": the name of its rule in `dump.lark`.
        words: its words; in a table or chain line without the first character.
        counters: `[packets:bytes]`, if present.
    """

    kind: str
    words: tuple[Word, ...]
    counters: Counters | None = None


#: The descriptions of the grammar's terminals in error messages.
_EXPECTED = {
    "COUNTERS": "[packets:octets]",
    "NAME": "a name",
    "COMMAND": "a command (-A, -I, -N ...)",
    "OPTION": "an option",
    "_TABLE": "*TABLE",
    "_CHAIN": ":CHAIN",
    "_COMMIT": "COMMIT",
}
#: Programs whose command lines are pasted instead of a dump.
_PROGRAMS = r"sudo|ip6?tables(?:-(?:nft|legacy))?(?:-(?:save|restore))?"


_ZERO = Counters(0, 0)


def _counters(text: str) -> Counters:
    if text == "[0:0]":
        return _ZERO
    packets, _, octets = text[1:-1].partition(":")
    return Counters(int(packets), int(octets))


def read_counters(text: str) -> Counters | None:
    """Read a text that consists only of `[packets:bytes]`; None for anything else."""
    return _counters(text) if terminal("dump", "COUNTERS").fullmatch(text) else None


def read_line(text: str, source: str, number: int) -> Line:
    """Parse a line.

    Args:
        text: the line without its end.
        source: the file's name.
        number: the line's number.

    Raises:
        DumpSyntaxError: it is not a line of a dump.
    """
    try:
        tree = parser("dump").parse(text, start="line").children[0]
    except UnexpectedInput as error:
        raise _explain(text, error, source, number) from None
    assert isinstance(tree, Tree)
    words, counters = [], None
    for child in tree.children:
        if isinstance(child, Tree):
            counters = _counters(str(child.children[0]))
        elif child.type != "REST":
            means = unquote(child) if child.type == "QUOTED" else str(child)
            words.append(Word(str(child), means, child.start_pos or 0, child.end_pos or 0))
    return Line(str(tree.data), tuple(words), counters)


def _explain(text: str, error: Exception, source: str, number: int) -> DumpSyntaxError:
    """Return an error that says what is wrong with a line that the grammar rejects."""
    start = getattr(error, "pos_in_stream", None)
    token = getattr(error, "token", None)
    if token is not None and token.type == "$END":
        start = len(text)
    start = len(text) if start is None or start < 0 else start
    end = start
    while end < len(text) and text[end] not in " \t":
        end += 1

    def found(message: str, hint: str = "", start: int = start, end: int = end) -> DumpSyntaxError:
        return DumpSyntaxError(message, Span(source, number, start, max(end, start + 1)), text, hint)

    quote = open_quote(text)
    if quote is not None:
        return found("the quote is never closed", 'a " inside quotes is written \\"', quote, len(text))
    first = text.split(None, 1)[0] if text.strip() else ""
    if text[:1] in " \t" and first[:1] in ("#", "*", ":", "C"):
        return found(
            "blanks before the line", "it must begin in the first column", 0, len(text) - len(text.lstrip())
        )
    program = re.search(rf"(^|[/ \t])({_PROGRAMS})(?![^ \t])", text)
    if program and text[:1] not in "-[:":
        return found(
            "this is a shell command, not a line of a dump",
            "in a dump a rule is written without the program's name; --lenient skips what was pasted around a dump",
            *program.span(2),
        )
    if first[:1] == "[" and start == 0:
        return found("the counters are not [packets:octets]", "expected [12:720] -A CHAIN ...")
    expected = (
        getattr(error, "accepts", None) or getattr(error, "expected", None) or getattr(error, "allowed", None)
    )
    hints = [phrase for name, phrase in _EXPECTED.items() if expected and name in expected]
    hint = (
        f"expected {', '.join(hints[:-1])} or {hints[-1]}"
        if len(hints) > 1
        else "".join(f"expected {h}" for h in hints)
    )
    if start >= len(text):
        return found("the line ends too early", hint)
    return found(f"{text[start:end]!r} does not belong here", hint)


def open_quote(text: str) -> int | None:
    """Return the column of an unclosed double quote, or None."""
    opened: int | None = None
    at = 0
    while at < len(text):
        if opened is not None and text[at] == "\\":
            at += 1
        elif text[at] == '"':
            opened = at if opened is None else None
        at += 1
    return opened
