"""Parses nftables rules: one of each shape with the grammar, and of others of that shape only the values.

Large rulesets repeat a few rules with other addresses, ports, marks, comments and chains.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from lark import Token, Tree

from iptsim.grammar import parser, pattern

#: Values that are each one token, whatever their digits or letters. Numbers differ by the digits that some terminal
#: of the grammar counts; 0 and 8191 are words of it. Other texts in quotes are part of a shape.
_VALUE = (
    r'(?:(?<=comment )|(?<=prefix ))(?P<quoted>"[^"]*")|"[^"]*"'
    r"|(?<= )(?:(?P<ipv4>[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2}|:[0-9]{1,5})?)"
    r"|(?P<ipv6>(?=[0-9a-f]{0,4}:[0-9a-f]{0,4}:)[0-9a-f:]{3,39}(?:/[0-9]{1,3})?)"
    r"|(?<!mod )(?:(?P<short>(?!8191\b)[1-9][0-9]{0,4})|(?P<medium>[1-9][0-9]{5,8})|(?P<long>[1-9][0-9]{9,18}))"
    r"|(?P<mark>(?!0x0{8})0x[0-9a-f]{8}))(?=[ ,]|$)"
    r"|(?:(?<= jump )|(?<= goto )|(?<=^jump )|(?<=^goto ))(?P<chain>%s)"
)
#: What precedes the form of a value in a shape.
_CUT = "\0"
#: The tokens that a value may be.
_TOKENS = frozenset({"WORD", "NUMBER", "QUOTED"})
#: At most this many shapes of a text are kept.
_MOST = 1000


@cache
def _values() -> re.Pattern[str]:
    return re.compile(_VALUE % pattern("nft", "WORD").pattern)


class _Slot(NamedTuple):
    """The place of a value in a tree, and its type."""

    siblings: list[Token | Tree[Token]]
    at: int
    type: str


class Shapes:
    """The shapes of the rules of a text."""

    def __init__(self) -> None:
        #: a tree for each, and the places of its values; no places where a value is a part of a token
        self._known: dict[str, tuple[Tree[Token], list[_Slot] | None]] = {}

    def parse(self, text: str) -> Tree[Token]:
        """Return the tree of a rule, which the next rule of the same shape changes.

        Raises:
            UnexpectedInput: the text is not in the language.
        """
        values: list[str] = []

        def cut(found: re.Match[str]) -> str:
            if found.lastgroup is None:
                return found[0]
            values.append(found[0])
            return _CUT + found.lastgroup

        shape = _values().sub(cut, text)
        if shape not in self._known:
            tree = parser("nft").parse(text)
            if len(self._known) < _MOST and _CUT not in text:
                self._known[shape] = (tree, _slots(tree, text))
            return tree
        tree, slots = self._known[shape]
        if slots is None:
            return parser("nft").parse(text)
        for (siblings, at, kind), value in zip(slots, values, strict=True):
            siblings[at] = Token(kind, value)
        return tree


def _slots(tree: Tree[Token], text: str) -> list[_Slot] | None:
    """Return the places of the values of a rule in its tree; None if a value is not a token of its own."""
    places = {
        (child.start_pos, child.end_pos): _Slot(node.children, at, child.type)
        for node in tree.iter_subtrees()
        for at, child in enumerate(node.children)
        if isinstance(child, Token) and child.type in _TOKENS
    }
    spans = [found.span() for found in _values().finditer(text) if found.lastgroup is not None]
    slots = [places[span] for span in spans if span in places]
    return slots if len(slots) == len(spans) else None
