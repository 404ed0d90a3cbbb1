"""Finds the grammars and builds their parsers, each once and only when it is needed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lark import Lark, Tree
    from lark.lexer import Token


def grammar_file(name: str) -> Path:
    """Return the path of `grammars/NAME`: inside the package where it is installed, else in the checkout."""
    package = Path(__file__).parents[1]
    installed = package / "grammars" / name
    return installed if installed.exists() else package.parent / "grammars" / name


@cache
def dump_parser() -> Lark:
    """Return the parser of `dump.lark`, with the start symbols `dump` (a whole text) and `line`."""
    from lark import Lark

    text = grammar_file("dump.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", start=["dump", "line"], maybe_placeholders=False)


def parse_line(line: str) -> Tree[Token]:
    """Parse one line without its line end.

    Raises:
        lark.exceptions.UnexpectedInput: it is no line of a dump.
    """
    tree: Tree[Token] = dump_parser().parse(line, start="line")
    return tree
