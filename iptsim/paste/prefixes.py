"""What programs and people put before every line of a text: line numbers, the time of a log, the marks of a comment."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import groupby

from iptsim.dump.words import IN_QUOTES

#: Lines that only rules have: those of a dump, the heading of a listing; and a command that changes or shows some.
_RULE = re.compile(
    r"(?:^|[\s>#/+|\"*])(?:Chain \S+ \((?:policy|\d+ ref)|\*(?:filter|nat|mangle|raw|security)\s*$"
    r"|:\S+ (?:ACCEPT|DROP|-)(?: \[|\s*$)|(?:\[\d+:\d+\] )?-[AIP] [\w-]+ -*\w)"
)
_COMMAND = re.compile(r"^(?:\S*[#$] |\[#\] )?(?:sudo )?ip6?tables(?:-save)?(?: |$)")
#: What every text with such a line has in it.
_ANY = re.compile(r"tables|Chain |-[AIP] |:\S+ (?:ACCEPT|DROP|-)|\*(?:filter|nat|mangle|raw|security)")
#: Fewer lines than this have nothing in common.
_SOME = 3

#: A line of a log of Compose: "app_1  | ...", "app-1 | ...".
COMPOSED = re.compile(r"\s*(?P<name>[A-Za-z][\w.-]*?)(?:[-_]\d+)?\s+\|\s(?P<text>.*)")
_SERVICE = re.compile(r"[a-z0-9][\w.-]* +\| ")
_OWN = re.compile(r"(?:localhost|127\.0\.0\.1|::1)\b(?=.*(?:\d{2,5}|accepting))", re.IGNORECASE)
_NUMBER = re.compile(r"\s*(\d+)(?:[:.)](?: |$)| ?[|│](?: |$)| |$)")
_APPENDED = re.compile(r"\s*-[AI] [\w-]+ -")
_TIME = r"(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z| ?[+-]\d\d:?\d\d)?"
#: Prefixes that differ from line to line: of syslog and journald, of `docker logs -t` and containerd, of dmesg, of
#: `kubectl logs --prefix`; and the marks of added lines, of quotations and of lists.
_PREFIXES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:\w{{3}} [ \d]\d \d\d:\d\d:\d\d|{_TIME}) [\w.-]+ [\w./-]+(?:\[\d+\])?:(?: |$)",
        rf"\[?{_TIME}\]?(?: std(?:out|err) [FP])?(?: |$)",
        r"\[ *\d+\.\d+\](?: |$)",
        r"\[pod/[^]\s]+\](?: |$)",
        r"\+ ?",
        r"[|│┃▏](?: |$)",
        r"[-*•·] +",
    )
)
_COMMENT = re.compile(r"\s*(?:#(?!!)|//|;+|--(?= )|REM\b) ?", re.IGNORECASE)
#: A line of a list in JSON.
_STRING = re.compile(rf"\s*(\"{IN_QUOTES}\"),?\s*")

#: What a line has in common with the others of its run, and its text without the prefix.
Part = tuple[Hashable, str] | None


def is_rule(text: str) -> bool:
    """Return whether a line has a rule of a dump in it, or the heading of a listing."""
    return _RULE.search(text) is not None


def without_prefixes(lines: list[str]) -> list[str]:
    """Return lines without the prefixes that all lines of a run have, if there are rules behind them."""
    if any(map(_SERVICE.match, lines)):
        lines = list(_without_service(lines))
    hints = [line for line in lines if _ANY.search(line)]
    for form in _PREFIXES:
        if _changes(hints, form):
            lines = [new for _, new in _replaced(lines, _behind(form), _RULE, _COMMAND)]
            hints = [line for line in lines if _ANY.search(line)]
    if _changes(hints, _NUMBER):
        lines = [new for _, new in _replaced(lines, _numbered(), _RULE, _COMMAND)]
        lines = [new for _, new in _replaced(lines, _numbered_rule, _RULE)]
        hints = [line for line in lines if _ANY.search(line)]
    if any(map(_STRING.fullmatch, hints)):
        lines = [new for _, new in _replaced(lines, _string, _RULE, _COMMAND)]
    return lines


def _changes(hints: list[str], form: re.Pattern[str]) -> bool:
    """Return whether a prefix may be before a rule or a command: without one among them, no run loses its prefix."""
    rest = (line[found.end() :] for line in hints if (found := form.match(line)) is not None)
    return any(_RULE.search(text) or _COMMAND.search(text) for text in rest)


def without_comments(lines: list[str]) -> list[str]:
    """Return the lines of comments that hold rules; all other lines are empty."""
    return [new if changed else "" for changed, new in _replaced(lines, _behind(_COMMENT), _RULE)]


def _without_service(lines: list[str]) -> Iterator[str]:
    """Yield the lines without the name of a service before them, as docker compose prints logs.

    Errors about localhost keep it: it names the container that is meant by localhost.
    """
    for start, run in groupby(lines, lambda line: found.group() if (found := _SERVICE.match(line)) else ""):
        same = list(run)
        bare = len(same) >= _SOME
        yield from (line.removeprefix(start) if bare and not _OWN.search(line) else line for line in same)


def _replaced(
    lines: Sequence[str], part_of: Callable[[str], Part], *expected: re.Pattern[str]
) -> Iterator[tuple[bool, str]]:
    """Yield each line, and whether it lost its prefix: where a run of lines has one, with expected ones among them."""
    parts = ((line, part_of(line) if line.strip() else None) for line in lines)
    for key, run in groupby(parts, lambda one: one[1][0] if one[1] is not None else None):
        found = list(run)
        texts = [part[1] for _, part in found if part is not None]
        changed = key is not None and len(found) >= _SOME
        changed = changed and any(form.search(text) for text in texts for form in expected)
        yield from ((True, text) for text in texts) if changed else ((False, line) for line, _ in found)


def _behind(form: re.Pattern[str]) -> Callable[[str], Part]:
    """Return the function that removes a prefix."""

    def part_of(line: str) -> Part:
        found = form.match(line)
        return (True, line[found.end() :]) if found else None

    return part_of


def _numbered() -> Callable[[str], Part]:
    """Return the function that removes line numbers; the numbers of the rules in a listing are not for its headings."""
    seen = 0

    def part_of(line: str) -> Part:
        nonlocal seen
        seen += 1
        found = _NUMBER.match(line)
        return (int(found[1]) - seen, line[found.end() :]) if found else None

    return part_of


def _numbered_rule(line: str) -> Part:
    """Remove the number of a rule, if others between were left out, so that numbers are missing."""
    if _APPENDED.match(line):
        return True, line
    found = _NUMBER.match(line)
    return (True, line[found.end() :]) if found and _APPENDED.match(line, found.end()) else None


def _string(line: str) -> Part:
    """Remove the quotation marks of a list in JSON, as Ansible prints output."""
    found = _STRING.fullmatch(line)
    if found is None:
        return None
    try:
        return True, json.loads(found[1], strict=False)
    except ValueError:
        return None
