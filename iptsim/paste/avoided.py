"""Commands that a text shows as ones not to run, as attempts that did not help, or as proposals.

The host does not have the rules of the first two; whether it has those of a proposal is not known.

Only a sentence that says nothing else counts; in doubt, the command has run. Whoever says "I ran" has run a command,
whatever came of it. Whoever "tried" something in vain has mostly undone it, and a list of rules in the same text shows
what there is. Without such a list, the commands are all that is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property

from iptsim.languages import Message, message
from iptsim.paste.lines import Line
from iptsim.paste.prompts import OUTPUT, command_of, prompt_of
from iptsim.paste.undoing import NOT_SO, is_prose

#: What a sentence may call the commands below it. "That" and "it" are rather what was said before.
_THESE = (
    r"(?:(?:any of )?(?:this|these|the following)(?: (?:rules?|commands?|lines?))?"
    r"|(?:(?:any|some)thing|rules?|commands?) like(?: this| these)?)"
)
#: An order not to run something, perhaps with the reason: "Found on a blog, do not run this, it locks you out".
_ORDER = re.compile(
    r"(?:(?!if\b|unless\b|until\b)[^,]*,\W*)?(?:please )?"
    r"(?:(?:do not|don't|never|you (?:should|must)(?: not|n't| never))"
    rf"(?: ever)? (?:run|use|do|enter|execute|type|add|apply)(?: {_THESE})?(?: (?:ever|again|at all))?"
    rf"|avoid {_THESE})"
    r"(?:(?:, (?:they|it|this|these|which|as|since)|,? because)\b[^,]*)?",
    re.IGNORECASE,
)
#: A heading for commands that are wrong.
_WRONG = re.compile(
    r"\W*(?:(?:this|these) (?:is|are|would be) (?:wrong|incorrect|dangerous|insecure|a bad idea)"
    r"|(?:the |a )?(?:wrong|bad) (?:way|example|idea)|bad|wrong|incorrect)\W*:",
    re.IGNORECASE,
)
#: A clause that says that nothing came of the commands.
_IN_VAIN = (
    r"(?:(?:(?:it|this|that|these|they|which) )?(?:still )?(?:(?:do|does|did)(?: not|n't) (?:\w+ )?"
    r"(?:work|help|change|solve|fix)|(?:had|has) no (?:effect|success)|made no (?:difference|change))"
    r"|(?:nothing|none of (?:it|this|these|them)) (?:has |\w+ly )?(?:change|happen|work|help)(?:s|d|ed)?"
    r"|(?:the )?same (?:result|error|problem)|to no avail|in vain|(?:no|without(?: any)?) (?:luck|effect|success))"
    r"(?: (?:anything|it|either|at all|so far))?"
)
_TRIED = re.compile(r"\b(?:tried|attempts?|attempted)\b", re.IGNORECASE)
#: The sentence above commands that were tried in vain, and the one below them.
_TRIED_IN_VAIN = re.compile(
    rf".*\b(?:tried|attempts?|attempted)\b.* {_IN_VAIN}(?:, this is [^,]*)?\W*", re.IGNORECASE
)
_CAME_TO_NOTHING = re.compile(rf"(?:(?:but|still|again) )*{_IN_VAIN}(?:,[^,]*\bstill\b[^,]*)?", re.IGNORECASE)
#: A question whether to run something.
_ASKED = re.compile(
    r"\b(?:should|shall|must|can|could|may|do|would) I (?:\w+ ){0,4}"
    r"(?:run|use|add|try|apply|put|need|enter|type|insert)\b"
    r"|\b(?:will|would|could|does) (?:this|it|that|these|the following|adding)\b",
    re.IGNORECASE,
)
_RUN = r"(?:run|use|add|try|apply|put|enter|type|insert|do|set|delete|remove)"
#: A sentence that says what others propose, or what happens if a command runs; one that says that it was done.
_PROPOSED = re.compile(
    r"\b(?:suggest(?:s|ed|ions?)?|recommend(?:s|ed|ation)?|advi[sc]e[sd]?|propos(?:es|ed|al)|told (?:me )?to"
    r"|tells? me to|sa(?:ys|id) (?:to|that|I|you)|what (?:if|about)|how about|have you tried|(?:can|could) you try"
    rf"|(?:(?:I|we|one|you) (?:could|might|may)|you (?:can|should|need to|have to|must)) (?:\w+ ){{0,2}}?{_RUN}"
    r"|(?:please|then|just) try)\b",
    re.IGNORECASE,
)
_SUPPOSED = re.compile(
    rf"\b(?:if|when(?:ever)?|as soon as) (?:I|we|you) (?!do(?:n't| not))(?:\w+ )??{_RUN}\b", re.IGNORECASE
)
_DONE = re.compile(
    r"\bI(?: have|'ve)? (?:\w+ )?(?:ran|run|added|tried|used|did|done|applied|entered|typed|inserted)\b"
    r"|\bI (?:\w+ )?have\b(?! been| to\b)"
)
_OF_RULES = (
    r"(?: (?:my|the|this|rules?|ruleset|iptables|config\w*|file|version|change|edit|update|state))*"
    r"(?: ?\([^()]*\))?\W*"
)
#: Lines above rules that say that they are no longer loaded, and above those that are by now.
_OLD = re.compile(
    r"\W*(?:(?:the|my|here are|these (?:are|were)|this (?:is|was)) )*(?:old|previous|former|original|earlier|before)"
    rf"{_OF_RULES}",
    re.IGNORECASE,
)
_NEW = re.compile(
    r"\W*(?:(?:the|my|and|here are|these are|this is) )*(?:new|now|current|actual|after|afterwards|today)"
    rf"{_OF_RULES}",
    re.IGNORECASE,
)
#: Words below commands about a time after that of which a sentence speaks.
_LATER = re.compile(r"\b(?:now|then|until|after|finally)\b", re.IGNORECASE)
#: Words before a command in backticks that say that it has run.
_RAN = re.compile(
    r"\b(?:ran|executed)\b|\b(?:I|we)(?:'ve| have| had)?(?: \w+)? (?:did|used|entered|typed|issued|applied|added)\b"
    r"|\b(?:I|we)(?:'ve| have| had)(?: \w+)? (?:run|done)\b"
    r"|\bafter (?:I )?(?:running|executing|entering|typing|issuing|applying)\b",
    re.IGNORECASE,
)
#: Words that say that it runs at other times, and that it ran after what the text shows above.
_AT_TIMES = re.compile(r"\b(?:when(?:ever)?|once|until|unless|every time|each time)\b", re.IGNORECASE)
_THEN = re.compile(r"\b(?:then|afterwards|next|after (?:that|this))\b", re.IGNORECASE)
_CODE = re.compile(r"`([^`]+)`")
_CHANGES_RULES = re.compile(r"(?:sudo\s+)?(?:/\S*/)?ip6?tables\s(?:.*\s)?-(?P<letter>[AIDRPNFXE])(?:\s|$)")
#: What ends a sentence, or its introduction.
_END = re.compile(r"[.!?:;]\s+")
#: Lines with which lists of rules begin.
_RULES = re.compile(rf"\s*(?:{OUTPUT.pattern}|:[A-Z]+ (?:ACCEPT|DROP)\b)")
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
        above = self._above(first)
        remark = _REMARK.search(self.lines[last].text)
        if _is_order(above) or (remark is not None and _is_order(remark["words"])):
            return message("the text says not to run this command; it is left out")
        if self._shows_rules and _ASKED.search(_END.split(above)[-1]) and not _DONE.search(above):
            return message("the text asks whether to run this command; it is left out")
        if not self._shows_rules or not _TRIED.search(above):
            return None
        below = self._paragraph(range(last + 1, min(last + _FAR, len(self.lines))))
        if _is_in_vain(above, below):
            return message("the text says that this command was tried in vain; it is left out")
        return None

    def is_proposed(self, first: int) -> bool:
        """Return whether others propose a command, which need not have run; the text lists the rules that there are."""
        if not self._shows_rules or prompt_of(self.lines[first].text) is not None:
            return False
        return is_proposal(self._above(first))

    @cached_property
    def _shows_rules(self) -> bool:
        return any(_RULES.match(line.text) for line in self.lines)

    def _above(self, first: int) -> str:
        """Return the paragraph above a command."""
        return self._paragraph(range(first - 1, max(first - _FAR, -1), -1))

    def _paragraph(self, places: range) -> str:
        """Return the first paragraph that is no command, "" for rules."""
        found: list[str] = []
        for place in places:
            text = self.lines[place].text
            is_comment = text.lstrip().startswith("#") and is_prose(text)
            is_sentence = not self.lines[place].is_blank and (is_comment or command_of(text) is None)
            if found and not (is_sentence and is_prose(text)):
                break
            if is_sentence:
                found.append(text.strip(" #*_`~-").replace("’", "'"))
        return " ".join(found[:: places.step]).strip()


def run_in_sentences(lines: Sequence[Line]) -> list[Line]:
    """Return lines with the commands that a sentence says to have run, in place of the sentence.

    Those that remove all rules must have run "then": the text may show the rules of a later time above.
    """
    found = ((line, "; ".join(_run_in(line.text)) if "`" in line.text else "") for line in lines)
    return [line._replace(text=text, whole=text) if text else line for line, text in found]


def _run_in(text: str) -> Iterator[str]:
    """Yield the commands of iptables in backticks that a sentence says to have run.

    >>> [*_run_in("Then I ran `iptables -P INPUT DROP` and `iptables -F`. I know of `iptables -X`.")]
    ['iptables -P INPUT DROP', 'iptables -F']
    >>> [*_run_in("I ran `iptables -F`, it works when I run `iptables -P INPUT DROP` instead.")]
    []
    """
    for code in _CODE.finditer(text):
        before = _END.split(_CODE.sub("", text[: code.start()]).replace("’", "'"))[-1]
        command = _CHANGES_RULES.match(code[1])
        if command is None or not _RAN.search(before) or NOT_SO.search(before) or _AT_TIMES.search(before):
            continue
        if command["letter"] not in "FX" or _THEN.search(before):
            yield code[1]


def only_mentions(text: str) -> bool:
    """Return whether a sentence mentions a change of rules, in backticks, without saying that it was made."""
    changes = [code for code in _CODE.findall(text) if _CHANGES_RULES.match(code)] if "`" in text else []
    return len(changes) > len([*_run_in(text)])


def is_proposal(text: str) -> bool:
    """Return whether the end of a paragraph says that others propose what follows, supposes it, or asks about it.

    >>> is_proposal("A friend suggested this:"), is_proposal("A friend suggested this, so I ran:")
    (True, False)
    >>> is_proposal("I was told to use"), is_proposal("Should I add"), is_proposal("I use")
    (True, True, False)
    """
    last = _END.split(text)[-1]
    if _SUPPOSED.search(last):
        return True
    return (_PROPOSED.search(last) or _ASKED.search(last)) is not None and _DONE.search(last) is None


def is_of_old(text: str) -> bool:
    """Return whether a line says that the rules below it are no longer loaded, if others are below "new".

    >>> is_of_old("Before:"), is_of_old("My old rules (2019):"), is_of_old("Before docker starts:")
    (True, True, False)
    """
    return _OLD.fullmatch(text) is not None


def is_of_new(text: str) -> bool:
    """Return whether a line says that the rules below it are loaded by now.

    >>> is_of_new("After my change:"), is_of_new("and now:"), is_of_new("After docker:")
    (True, True, False)
    """
    return _NEW.fullmatch(text) is not None


def _is_order(text: str) -> bool:
    """Return whether the end of a paragraph orders not to run what follows.

    >>> _is_order("This locks you out. Do not run it"), _is_order("Please do not run this:")
    (False, True)
    >>> _is_order("Do not forget to run this:"), _is_order("Never run this without a backup:")
    (False, False)
    """
    last = _END.split(text)[-1]
    return _WRONG.fullmatch(last) is not None or _ORDER.fullmatch(last.strip(" .!:")) is not None


def _is_in_vain(above: str, below: str) -> bool:
    """Return whether the paragraphs around commands that were tried say that nothing came of them.

    >>> _is_in_vain("I tried this:", "It did not work."), _is_in_vain("I tried this:", "Without it nothing works.")
    (True, False)
    """
    before, behind = _END.split(above)[-1], _END.split(below)[0].rstrip(" .!")
    if not _TRIED.search(before) or _LATER.search(below):
        return False
    return _TRIED_IN_VAIN.fullmatch(before) is not None or _CAME_TO_NOTHING.fullmatch(behind) is not None
