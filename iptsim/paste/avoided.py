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

#: What a sentence may call the commands below it. "That" and "it" are rather what was said before.
_THESE = (
    r"(?:(?:any of )?(?:this|these|the following)(?: (?:rules?|commands?|lines?))?"
    r"|(?:(?:any|some)thing|rules?|commands?) like(?: this| these)?)"
)
#: The reason for such an order.
_REASON = r"(?:(?:, (?:they|it|this|these|which|as|since)|,? because)\b[^.,;:]*)?"
#: An order not to run something. Words between, and words behind ("twice", "without a backup"), change its meaning.
_FORBIDS = re.compile(
    r"(?:(?:^|[.!?:;,])\W*(?:please )?(?:do not|don't|never)|\byou (?:should|must)(?: not|n't| never))"
    rf"(?: ever)? (?:run|use|do|enter|execute|type|add|apply)(?: {_THESE})?(?: (?:ever|again|at all))?"
    rf"{_REASON}(?:\W*:)?$"
    rf"|(?:^|[.!?:;,])\W*(?:please )?avoid {_THESE}(?:\W*:)?$",
    re.IGNORECASE,
)
#: A heading, or a short sentence, for commands that are wrong.
_WRONG = re.compile(
    r"\W*(?:(?:this|these) (?:is|are|would be) (?:wrong|incorrect|dangerous|insecure|a bad idea)"
    r"|(?:the |a )?(?:wrong|bad) (?:way|example|idea)|bad|wrong|incorrect)\W*:",
    re.IGNORECASE,
)
#: Words with which an order is none, or only for some cases.
_PERHAPS = re.compile(r"\b(?:if|why|unless|until|otherwise|forget)\b", re.IGNORECASE)
_TRIED = re.compile(r"\b(?:tried|attempts?|attempted)\b", re.IGNORECASE)
#: Words below commands that say that nothing came of them.
_NO_CHANGE = re.compile(
    r"\bnothing (?:has |\w+ly )?(?:changed|happen\w*|works?|helped)\b"
    r"|^\W*(?:(?:but|still|again|the)\W+)*same (?:result|error|problem)\b",
    re.IGNORECASE,
)
#: What such words are about, if it is the commands.
_ABOUT_THEM = re.compile(
    r"\b(?:it|this|that|these|those|they|which|none|neither|nothing|still|without|no|vain)\b|^\W*(?:but )?(?:did|does)",
    re.IGNORECASE,
)
#: Words that say that something came of the commands, or of others; a negation before them in the clause says no.
_WORKED = re.compile(
    r"\b(?P<no>(?:not|nothing|none|neither|nor|never|no|hardly|without|cannot)\b|n't\b)"
    r"|\b(?:works|worked|working|solve[sd]|helped|helps|fixe[sd]|reachable|opened|did the trick"
    r"|can (?:now )?(?:connect|reach))\b"
    r"|(?P<end>[.,;:!?]|\b(?:but|and|which)\b)",
    re.IGNORECASE,
)
#: Words above commands that tell them from the attempt; words below them about the time before, or about others.
_THEN = re.compile(r"\b(?:so|then|now|instead|finally|therefore|next|after|until)\b", re.IGNORECASE)
_OTHERS = re.compile(
    r"\b(?:before|previously|earlier|first|until|unless|otherwise|else|other|without (?:it|this|that|these|them))\b"
    r"|^\W*without\b",
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
        above = self._sentences(range(first - 1, max(first - _FAR, -1), -1))
        remark = _REMARK.search(self.lines[last].text)
        if (above and (_is_order(" ".join(above)) or _WRONG.fullmatch(above[-1]))) or (
            remark is not None and _is_order(remark["words"].rstrip(" .!"))
        ):
            return message("the text says not to run this command; it is left out")
        if not self._shows_rules or not above or not _TRIED.search(above[-1]):
            return None
        below = self._sentences(range(last + 1, min(last + _FAR, len(self.lines))))
        if _is_vain(above, below):
            return message("the text says that this command was tried in vain; it is left out")
        return None

    @cached_property
    def _shows_rules(self) -> bool:
        return any(_RULES.match(line.text) for line in self.lines)

    def _sentences(self, places: range) -> list[str]:
        """Return the lines of the first paragraph that is no command, in the order of the text; [] for rules."""
        found: list[str] = []
        for place in places:
            text = self.lines[place].text
            is_comment = text.lstrip().startswith("#") and is_prose(text)
            is_sentence = not self.lines[place].is_blank and (is_comment or command_of(text) is None)
            if found and not (is_sentence and is_prose(text)):
                break
            if is_sentence:
                found.append(text.strip(" #*_`~-").replace("’", "'"))
        return [one for one in found[:: places.step] if one]


def _is_order(text: str) -> bool:
    """Return whether the end of a text orders not to run what follows.

    >>> _is_order("This locks you out. Do not run it"), _is_order("Please do not run this:")
    (False, True)
    >>> _is_order("Do not forget to run this:"), _is_order("Never run this without a backup:")
    (False, False)
    """
    sentence = re.split(r"[.!?]\s", text)[-1]
    return _FORBIDS.search(text) is not None and _PERHAPS.search(sentence) is None


def _is_vain(above: list[str], below: list[str]) -> bool:
    """Return whether the paragraphs around commands that were tried say that nothing came of them.

    >>> _is_vain(["I tried this:"], ["It did not work."]), _is_vain(["I tried this:"], ["Without it nothing works."])
    (True, False)
    """
    before, behind = " ".join(above), " ".join(below)
    if _says_worked(before) or _says_worked(behind) or _OTHERS.search(behind):
        return False
    if is_in_vain(above[-1]):
        return _THEN.search(above[-1]) is None
    said = below[0] if below else ""
    return _NO_CHANGE.search(said) is not None or (is_in_vain(said) and _ABOUT_THEM.search(said) is not None)


def _says_worked(text: str) -> bool:
    """Return whether a clause says that something worked.

    >>> _says_worked("I tried this, and now it works"), _says_worked("Nothing of this worked")
    (True, False)
    """
    negated = False
    for found in _WORKED.finditer(text):
        if found["no"]:
            negated = True
        elif found["end"]:
            negated = False
        elif not negated:
            return True
    return False
