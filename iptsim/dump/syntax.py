"""Parses one line of a dump with the grammar (`dump.lark`), and explains invalid lines."""

from __future__ import annotations

import re
from typing import NamedTuple

from iptsim.dump.rule import Counters
from iptsim.dump.words import Word, unquote
from iptsim.errors import DumpSyntaxError, Span
from iptsim.extensions.values import any_of
from iptsim.grammar import STORED, parser, pattern
from iptsim.languages import Text, message


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
_EXPECTED: dict[str, Text] = {
    "COUNTERS": "[packets:bytes]",
    "NAME": message("a name"),
    "COMMAND": message("a command (-A, -I, -N ...)"),
    "OPTION": message("an option"),
    "_TABLE": "*TABLE",
    "_CHAIN": ":CHAIN",
    "_COMMIT": "COMMIT",
}
#: Programs whose command lines are pasted instead of a dump.
_PROGRAMS = r"sudo|ip6?tables(?:-(?:nft|legacy))?(?:-(?:save|restore))?"
_COUNTERS, _NAME, _NOT, _OPTION, _WORD, _QUOTED = (pattern("dump", name).pattern for name in STORED["dump"])
#: The usual forms of lines, of the grammar's own words: Lark takes 20 times as long, and would have to be imported.
_USUAL = re.compile(
    rf"(?:(?P<counters>{_COUNTERS}) )?(?P<rule>(?:{_OPTION}|{_NOT})(?:[ \t]+(?!\[)(?:{_WORD}|{_QUOTED}))*)[ \t]*"
    rf"|:(?P<chain>{_NAME} {_NAME}) (?P<of_chain>{_COUNTERS})"
    rf"|\*(?P<table>{_NAME})|(?P<commit>COMMIT)"
)
_WORDS = re.compile(f"{_WORD}|{_QUOTED}")
_NAMES = re.compile(_NAME)

_ZERO = Counters(0, 0)


def counters_of(text: str) -> Counters:
    """Read `[packets:bytes]`; the text must have that form."""
    if text == "[0:0]":
        return _ZERO
    packets, _, size = text[1:-1].partition(":")
    return Counters(int(packets), int(size))


def read_counters(text: str) -> Counters | None:
    """Read a text that consists only of `[packets:bytes]`; None for anything else."""
    return counters_of(text) if pattern("dump", "COUNTERS").fullmatch(text) else None


def read_line(text: str, source: str, number: int) -> Line:
    """Parse a line.

    Args:
        text: the line without its end.
        source: the file's name.
        number: the line's number.

    Raises:
        DumpSyntaxError: it is not a line of a dump.
    """
    return _usual(text) or _by_grammar(text, source, number)


def _usual(text: str) -> Line | None:
    """Read a line of a usual form; None for any other."""
    found = _USUAL.fullmatch(text)
    if found is None:
        return None
    counters = found["counters"] or found["of_chain"]
    read = None if counters is None else counters_of(counters)
    if found["rule"]:
        words = _WORDS.finditer(text, *found.span("rule"))
        return Line("rule", tuple(Word(one[0], unquote(one[0]), *one.span()) for one in words), read)
    kind = "chain" if read else str(found.lastgroup)
    names = () if kind == "commit" else _NAMES.finditer(text, *found.span(kind))
    return Line(kind, tuple(Word(one[0], one[0], *one.span()) for one in names), read)


def _by_grammar(text: str, source: str, number: int) -> Line:
    from lark import Tree
    from lark.exceptions import UnexpectedInput

    try:
        tree = parser("dump").parse(text, start="line").children[0]
    except UnexpectedInput as error:
        raise _explain(text, error, source, number) from None
    assert isinstance(tree, Tree)
    words, counters = [], None
    for child in tree.children:
        if isinstance(child, Tree):
            counters = counters_of(str(child.children[0]))
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

    def found(what: Text, hint: Text = "", start: int = start, end: int = end) -> DumpSyntaxError:
        return DumpSyntaxError(what, Span(source, number, start, max(end, start + 1)), text, hint)

    quote = open_quote(text)
    if quote is not None:
        return found(
            message("the quote is never closed"), message('write \\" for a " inside quotes'), quote, len(text)
        )
    first = text.split(None, 1)[0] if text.strip() else ""
    if text[:1] in " \t" and first[:1] in ("#", "*", ":", "C"):
        return found(
            message("blanks at the start of the line"),
            message("the line must begin in the first column"),
            0,
            len(text) - len(text.lstrip()),
        )
    program = re.search(rf"(^|[/ \t])({_PROGRAMS})(?![^ \t])", text)
    if program and text[:1] not in "-[:":
        return found(
            message("this is a shell command, not a line of a dump"),
            message("a dump has rules without the name of the program; --lenient skips other pasted lines"),
            *program.span(2),
        )
    if first[:1] == "[" and start == 0:
        return found(
            message("the counters are not [packets:bytes]"),
            message("expected {what}", what="[12:720] -A CHAIN ..."),
        )
    expected = (
        getattr(error, "accepts", None) or getattr(error, "expected", None) or getattr(error, "allowed", None)
    )
    hints = tuple(phrase for name, phrase in _EXPECTED.items() if expected and name in expected)
    hint: Text = message("expected {what}", what=any_of(hints)) if hints else ""
    if start >= len(text):
        return found(message("the line ends too early"), hint)
    return found(message("unexpected {rest!r}", rest=text[start:end]), hint)


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
