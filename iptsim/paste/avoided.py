"""Commands that a text shows as ones not to run, or as attempts that did not help: the host does not have their rules.

Whoever says "I ran" has run a command, whatever came of it. Whoever "tried" something in vain has mostly undone it, and
a list of rules in the same text shows what there is. Without such a list, the commands are all that is known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from iptsim.languages import Message, message
from iptsim.paste.lines import Line
from iptsim.paste.prompts import command_of
from iptsim.paste.undoing import is_in_vain, is_prose

_WHAT = r"(?:this|that|these|those|it|them|the following|any of|(?:rules?|commands?|(?:some)?things?) like)"
#: The end of a sentence that says not to run what follows, or that it is wrong.
_FORBIDS = re.compile(
    rf"\b(?:not|never|don't|mustn't|shouldn't|won't) (?:\w+ )?(?:to )?(?:run|use|do|enter|execute|type|add|apply)"
    rf"(?: {_WHAT}\b[^.]{{0,60}})?\W*$"
    rf"|^\W*(?:please )?avoid(?: {_WHAT}\b)?[^.]{{0,40}}:?\W*$"
    r"|^\W*(?:this|that|these|those) (?:is|are|would be) (?:wrong|incorrect|dangerous|insecure|a bad idea)\W*$"
    r"|\b(?:wrong|bad) (?:way|example|idea)\W*$|^\W*(?:bad|wrong|incorrect)\W*$",
    re.IGNORECASE,
)
_TRIED = re.compile(r"\b(?:tried|trying|attempts?|attempted)\b", re.IGNORECASE)
#: Words below commands that say that nothing came of them.
_NO_CHANGE = re.compile(
    r"\bnothing (?:\w+ )?(?:changed|happen\w*|works?|helped)\b|\bsame (?:result|error|problem)\b",
    re.IGNORECASE,
)
#: Lines with which lists of rules begin.
_RULES = re.compile(r"\s*(?:Chain \S+ \(|-P [A-Z]+ [A-Z]+\s*$|:[A-Z]+ (?:ACCEPT|DROP)\b)")
#: A remark behind a command.
_REMARK = re.compile(r"\s(?:#|<-+|←)\s*(?P<words>[^\"']+)$")
#: At most so many lines of commands, and blank lines, lie between a command and the sentence about it.
_FAR = 12


class Avoided:
    """The sentences of a text about the commands in it."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines

    def why(self, first: int, last: int) -> Message | None:
        """Return why a command is left out, as a sentence for a warning; None if it is not.

        Args:
            first / last: the indexes of its lines.
        """
        above = self._sentence(range(first - 1, max(first - _FAR, -1), -1))
        remark = _REMARK.search(self.lines[last].text)
        if _FORBIDS.search(above) or (remark is not None and _FORBIDS.search(remark["words"])):
            return message("the text says not to run this command; it is left out")
        if not self._shows_rules or not _TRIED.search(above):
            return None
        below = self._sentence(range(last + 1, min(last + _FAR, len(self.lines))))
        if is_in_vain(above) or is_in_vain(below) or _NO_CHANGE.search(below):
            return message("the text says that this command was tried in vain; it is left out")
        return None

    @cached_property
    def _shows_rules(self) -> bool:
        return any(_RULES.match(line.text) for line in self.lines)

    def _sentence(self, places: range) -> str:
        """Return the first line of some that is no command, if it is a sentence or a comment; else ""."""
        for place in places:
            text = self.lines[place].text
            is_comment = text.lstrip().startswith("#") and is_prose(text)
            if not self.lines[place].is_blank and (is_comment or command_of(text) is None):
                return text.strip(" #*_`~-")
        return ""
