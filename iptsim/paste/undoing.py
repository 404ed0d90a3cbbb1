"""Commands that a text gives for undoing others: in stop functions, in hooks that run later, after "to remove it:".

A text that says how to set something up often says how to remove it again; those commands have not run.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from enum import Enum

from iptsim.paste.lines import Line

#: Words before a command in a sentence that make it untrue that it was run.
NOT_SO = re.compile(
    r"\b(?:instead|rather|should|would|could|will|want|if|what|how|before|previously|used to|not|never|without|or)\b"
    r"|n't\b",
    re.IGNORECASE,
)
#: Names of functions, of the cases of an init script, of keys, whose commands run when something stops.
_STOP = re.compile(
    r"(?:[\w.-]*[_.-])?(?:stop|down|tear_?down|clean_?up|undo|revert|rollback|uninstall|disable|destroy|pre_?down"
    r"|post_?down|pre_?stop|post_?stop|exec_?stop(?:_?post)?)"
    r"(?:[_-]?(?:firewall|fw|iptables|rules?|scripts?|commands?|nat|all))?",
    re.IGNORECASE,
)
_START = re.compile(r"start|up|restart|reload|force-reload|enable", re.IGNORECASE)
_FUNCTION = re.compile(
    r"\s*(?:function\s+(?P<one>[\w-]+)\s*(?:\(\s*\))?|(?P<two>[\w-]+)\s*\(\s*\))\s*(?:\{.*)?"
)
_CASE = re.compile(r"\s*\(?(?P<labels>[\w\"'| *-]{1,80})\)(?!\s*\{)(?:\s.*)?")
_KEY = re.compile(r"(?P<indent>\s*)(?:- )?[\"']?(?P<name>[\w.-]{1,40})[\"']?\s*:\s*(?:[|>][+-]?|\[)?\s*")
_CASE_ENDS = re.compile(r";;|\besac\b")
#: Words before a command that is for removing, or for another attempt; none about what somebody did.
_ADVICE = re.compile(
    r"\bto (?:remove|undo|revert|delete|roll ?back|clean ?up|disable|uninstall|get rid of|reset|restore|go back)\b"
    r"|\bcan be (?:removed|undone|reverted|deleted|disabled|switched off|turned off|rolled back|reset)\b"
    r"|\b(?:undo|revert|roll(?:ing)? ?back|clean ?up|removal|uninstall\w*)\b.{0,40}:\s*$"
    r"|\bif (?:that|it|this|the above|nothing|they)\b.{0,40}"
    r"(?:\bnot\b|n't\b|\bno longer|\bfails?\b|\bhelp|\bworks?\b|\bbreaks?\b)"
    r"|\b(?:alternatively|instead|otherwise)\b"
    r"|\b(?:later|when (?:you are |you're |i'm )?done|afterwards)\b.{0,30}:\s*$",
    re.IGNORECASE,
)
#: Words that say that commands have not helped, or must not be run; and words that say the opposite.
_IN_VAIN = re.compile(
    r"(?:\bnot|n't|\bno longer) (?:\w+ )?(?:work|help|change|solve|fix)\w*\b"
    r"|\b(?:no|without(?: any)?) (?:luck|effect|success|difference|change)\b|\bto no avail\b|\bin vain\b"
    r"|\b(?:do not|don't|never) (?:run|use|enter|execute|type) (?:this|that|these|those|the following|any of)\b",
    re.IGNORECASE,
)
_HELPED = re.compile(r"\b(?:until|unless|(?<!not )solved|(?<!not )fixed)\b", re.IGNORECASE)
#: Two words of a sentence.
_PROSE = re.compile(r"[A-Za-z']{2,} [A-Za-z']{2,}")


class Runs(Enum):
    """When the commands of a line run."""

    #: when the rest is undone
    LATER = "later"
    #: when an init script starts
    STARTS = "starts"


class _Section:
    """Lines that belong together: the body of a function, of a case, of a key."""

    def __init__(self, runs: Runs, indent: int | None = None, *, braces: bool = False) -> None:
        self.runs, self.indent, self.braces = runs, indent, braces
        self.depth, self.opened = 0, False

    def ends_before(self, line: Line) -> bool:
        """Return whether a line is behind the section."""
        if self.indent is None or line.is_blank:
            return False
        indent = len(line.text) - len(line.text.lstrip())
        return indent < self.indent or (indent == self.indent and not line.text.lstrip().startswith("- "))

    def ends_with(self, text: str) -> bool:
        """Return whether a line is the last one of the section."""
        if self.indent is not None:
            return False
        if not self.braces:
            return _CASE_ENDS.search(text) is not None
        bare = text.replace("${", "").replace("{}", "")
        self.depth += bare.count("{") - bare.count("}")
        self.opened |= "{" in bare
        return self.opened and self.depth <= 0


def runs_of(lines: Sequence[Line]) -> dict[int, Runs]:
    """Return when the lines of stop functions, of hooks, and of the cases of an init script run, by their numbers."""
    if not any(_STOP.search(line.text) for line in lines):
        return {}
    return dict(_sections(lines))


def _sections(lines: Sequence[Line]) -> Iterator[tuple[int, Runs]]:
    called = {line.text.strip(" ;") for line in lines}
    section: _Section | None = None
    for line in lines:
        if section is not None and section.ends_before(line):
            section = None
        begun = None
        if section is None or section.indent is not None:
            begun = _begun(line.text, called)
        section = begun or section
        if section is not None:
            if begun is None or begun.indent is None:
                yield line.number, section.runs
            if section.ends_with(line.text):
                section = None


def _begun(text: str, called: Collection[str]) -> _Section | None:
    """Return the section that a line begins, except a function that the text itself calls."""
    if found := _FUNCTION.fullmatch(text):
        name = found["one"] or found["two"]
        stops = _STOP.fullmatch(name) and name not in called
        return _Section(Runs.LATER, braces=True) if stops else None
    if found := _CASE.fullmatch(text):
        labels = [label.strip(" \"'") for label in found["labels"].split("|")]
        starts = any(_START.fullmatch(label) for label in labels)
        if starts is any(_STOP.fullmatch(label) for label in labels):
            return None
        return _Section(Runs.STARTS if starts else Runs.LATER)
    found = _KEY.fullmatch(text)
    if found and _STOP.fullmatch(found["name"]):
        return _Section(Runs.LATER, len(found["indent"]))
    return None


def is_advice(text: str) -> bool:
    """Return whether words introduce commands for removing something, or for another attempt.

    >>> is_advice("to remove it again:"), is_advice("I removed the rule"), is_advice("If that does not work,")
    (True, False, True)
    >>> is_advice("The rule can be removed with:"), is_advice("the rule was removed with")
    (True, False)
    """
    return _ADVICE.search(text) is not None


def is_in_vain(text: str) -> bool:
    """Return whether words say that the commands below them did not help, or must not be run.

    >>> is_in_vain("I tried this, but it still does not work:"), is_in_vain("It did not work until I ran")
    (True, False)
    >>> is_in_vain("# do not run these, they break everything:"), is_in_vain("I do not use ufw, so I ran")
    (True, False)
    """
    return _IN_VAIN.search(text) is not None and _HELPED.search(text) is None


def is_prose(text: str) -> bool:
    """Return whether a line has a sentence in it."""
    return _PROSE.search(text) is not None
