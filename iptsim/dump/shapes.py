"""One pattern for the lines of all frequent shapes: it cuts a line into its values in one step.

The grammar has parsed one line of each shape, and a :class:`~iptsim.dump.plan.Plan` says which of its words are values.
The other words are literal in the pattern, and shapes that begin alike share that part of it. The pattern also checks
values whose form alone makes them valid; the texts of other values are checked once each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from iptsim.dump.plan import Plan
from iptsim.extensions.base import Match, Target
from iptsim.grammar import pattern

#: A bare word of ASCII that is not an option, and a word that may be in quotes; neither has escapes. Classes that are a
#: few ranges of ASCII are fastest; a bare word with other letters is not what iptables-save prints.
_BARE = "[#-,.-~][!#-~]*"
_WORD = rf'{_BARE}|"[^"\\\n]*"'
#: The name of a chain in its declaration: a bare word of ASCII. Ranges up to U+10FFFF take long to compile.
_NAME = r"[\x00-\x08\x0e-\x1b#-,.-~][\x00-\x08\x0e-\x1b!#-~]{0,27}"
#: A word that is the same in the source and as it is read.
_LITERAL = re.compile(r'[^\s"\\]+')
#: The language that contains all texts.
_ANY = "any_text"
#: A line of another shape.
_OTHER = r"[^\n]+\n?|\n"
#: The pattern is made again after this many lines per shape in it, from the shapes with at least this many lines.
_LINES, _ENOUGH = 20, 8
#: The limits on the shapes in the pattern, and on the words of such a shape.
_MAX_SHAPES, _MAX_WORDS = 128, 60

_Role = Literal["", "counters", "chain", "jump", "checked"]


class Kind(NamedTuple):
    """What the lines of a shape have in common.

    Attributes:
        plan: how to read a rule; None for the declaration of a chain.
        counted: counters precede the rule.
        policy: of a declared chain, as written.
    """

    plan: Plan | None
    counted: bool = False
    policy: str = ""


@dataclass(slots=True)
class Shape:
    """A shape in the pattern.

    Attributes:
        plan, policy: as in :class:`Kind`.
        values: returns from a match of the pattern: the chain; the chain that a rule jumps to (or the first again), or
            the counters of a declaration; and the values of which not every text is valid.
        counters: the group that holds the counters of a rule, or 0.
        accepted: the texts of values that were checked, with those extensions whose validity depends on the table.
    """

    plan: Plan | None
    policy: str
    values: Callable[[re.Match[str]], tuple[str, ...]]
    counters: int
    accepted: dict[tuple[str | Any, ...], tuple[Match | Target, ...]] = field(default_factory=dict)


class _Piece(NamedTuple):
    """The part of the pattern for a word, what its group holds, and what precedes the group."""

    text: str
    role: _Role = ""
    lead: str = ""


#: The shapes by the words with which they begin; after the last word, the kind under None.
_Tree = dict[_Piece | None, Any]


class Shapes:
    """The shapes of the lines of a text.

    Attributes:
        lines: matches any line; after a line of a shape in the pattern, the last group determines the shape.
        by_group: the shapes.
    """

    def __init__(self) -> None:
        self.lines = re.compile(_OTHER)
        self.by_group: dict[int | None, Shape] = {}
        self._kinds: dict[Kind, list[_Piece]] = {}
        self._seen: Counter[Kind] = Counter()
        self._left = _LINES

    def count(self, kind: Kind) -> None:
        """Count a line of a known shape that the pattern did not read, and make the pattern again if that pays."""
        self._seen[kind] += 1
        self._left -= 1
        if self._left > 0:
            return
        known = len(self._kinds)
        for one, count in self._seen.items():
            if count >= _ENOUGH and one not in self._kinds and len(self._kinds) < _MAX_SHAPES:
                self._kinds[one] = _pieces(one)
        if len(self._kinds) > known:
            self._make()
        self._left = _LINES * (len(self._kinds) + 1)

    def _make(self) -> None:
        tree: _Tree = {}
        for kind, pieces in self._kinds.items():
            node = tree
            for piece in pieces:
                node = node.setdefault(piece, {})
            if pieces:
                node.setdefault(None, kind)
        self.by_group, self._groups = {}, 0
        words = self._words(tree, ())
        self.lines = re.compile(f"{words}|{_OTHER}" if words else _OTHER)

    def _words(self, node: _Tree, before: tuple[tuple[_Role, int], ...]) -> str:
        """Return the pattern of all following words; `before` are the groups before them, with what they hold."""
        found = []
        for piece, following in node.items():
            if piece is not None:
                groups = before
                if piece.role:
                    self._groups += 1
                    groups = (*before, (piece.role, self._groups))
                found.append(
                    piece.lead
                    + (f"({piece.text})" if piece.role else piece.text)
                    + self._rest(following, groups)
                )
        return found[0] if len(found) == 1 else f"(?:{'|'.join(found)})" if found else ""

    def _rest(self, node: _Tree, before: tuple[tuple[_Role, int], ...]) -> str:
        """Return the pattern of what follows a word: the line's end, other words, or both."""
        end = ""
        if None in node:
            self._groups += 1
            self.by_group[self._groups] = _shape(node[None], before)
            end = r"\n()"
        words = self._words(node, before)
        return f"(?:{end}| {words})" if end and words else end or f" {words}"


def _shape(kind: Kind, groups: tuple[tuple[_Role, int], ...]) -> Shape:
    def of(role: _Role) -> list[int]:
        return [group for one, group in groups if one == role]

    second = of("counters" if kind.plan is None else "jump") or of("chain")
    values = itemgetter(*of("chain"), *second, *of("checked"))
    return Shape(kind.plan, kind.policy, values, next(iter(of("counters")), 0))


def _pieces(kind: Kind) -> list[_Piece]:
    """Return the pattern of a line, word by word; empty if the pattern cannot contain the shape."""
    counters = _Piece(pattern("dump", "COUNTERS").pattern, "counters")
    if kind.plan is None:
        pieces = [_Piece(_NAME, "chain", ":"), _Piece(re.escape(kind.policy)), counters]
        return pieces if _LITERAL.fullmatch(kind.policy) else []
    plan = kind.plan
    values = {at: _value(language) for at, language in plan.languages().items()}
    values[plan.arguments[0]] = _Piece(_BARE, "chain")
    if plan.jump is not None:
        values[plan.jump] = _Piece(_BARE, "jump")
    literal = [word for at, word in enumerate(plan.words) if at not in values]
    if len(plan.words) > _MAX_WORDS or not all(map(_LITERAL.fullmatch, literal)):
        return []
    words = [values.get(at) or _Piece(re.escape(word)) for at, word in enumerate(plan.words)]
    return [counters, *words] if kind.counted else words


def _value(language: str) -> _Piece:
    """Return the pattern of a value, from the language of its values that are always valid, or ""."""
    if not language:
        return _Piece(_WORD, "checked")
    return _Piece(f"(?:{_WORD if language == _ANY else pattern('values', language).pattern})")
