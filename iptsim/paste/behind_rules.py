"""Commands that a text gives below the rules that it shows, as people do who say what helped."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Sequence
from typing import NamedTuple

from iptsim.host.logged_lines import LoggedLine
from iptsim.host.model import Before, Host
from iptsim.paste.forms import commands, nft, sysctl
from iptsim.paste.lines import Line, continued
from iptsim.paste.pieces import Ask, Facts, Rules, Segment
from iptsim.paste.segments import Reading
from iptsim.paste.undoing import is_in_vain, is_prose

#: What the routes of a host, its routing rules and its addresses are called here.
_ROUTES, _ROUTING_RULES, _ADDRESSES = "routes", "routing rules", "addresses"
_FILES = {
    "ip-route.json": _ROUTES,
    "ip6-route.json": _ROUTES,
    "ip-rule.json": _ROUTING_RULES,
    "ip6-rule.json": _ROUTING_RULES,
    "ip-addr.json": _ADDRESSES,
}


class _Event(NamedTuple):
    """Something that a text shows, or that a command of it changes.

    Attributes:
        line: the number of its line.
        what: what it is: a table and its family, the name of a kernel parameter, of a file of a capture.
        changes: a command changes it.
        rules: it is rules.
    """

    line: int
    what: Hashable
    changes: bool
    rules: bool = False


def lines_behind(reading: Reading, lines: list[Line]) -> list[int]:
    """Return the numbers of the lines with commands behind the rules of a text, unless it shows what they led to.

    A command that changes what the text does not show above it is not among them, unless it is about rules: a table
    that is not shown is assumed to be empty, and the routing rules to be the usual ones.

    Args:
        reading: the segments of the text.
        lines: its lines.
    """
    behind: dict[Hashable, list[int]] = {}
    shown = set[Hashable]()
    below = False
    for event in sorted(_events(reading, lines), key=lambda event: event.line):
        if not event.changes:
            shown.add(event.what)
            below |= event.rules
            behind.pop(event.what, None)
        elif below and (event.rules or event.what == _ROUTING_RULES or event.what in shown):
            behind.setdefault(event.what, []).append(event.line)
    return sorted({line for found in behind.values() for line in found})


def without(lines: list[Line], numbers: Collection[int]) -> list[Line]:
    """Return the lines of a text without those of some commands, and what these print."""
    left_out = set[int]()
    for at, line in enumerate(lines):
        if line.number in numbers:
            last = continued(lines, at)[1]
            left_out |= {at, *range(at, last + 1)}
            if sysctl.prints(lines, last):
                left_out.add(last + 1)
    return [line._replace(text="", whole="") if at in left_out else line for at, line in enumerate(lines)]


def before(reading: Reading, numbers: Sequence[int], host: Host, lines: Sequence[Line]) -> Before:
    """Return what a text says of the time before some of its commands.

    Args:
        reading: its segments.
        numbers: the numbers of their lines, in order.
        host: the host without them.
        lines: the lines of the text.
    """
    first, last = numbers[0], numbers[-1]
    asks = [piece.line for piece in reading.pieces if isinstance(piece, (Ask, LoggedLine))]
    above = [line.text for line in lines if line.number < first and is_prose(line.text)]
    return Before(
        first,
        last,
        host,
        asked=bool(asks) and max(asks) < first,
        in_vain=bool(above) and is_in_vain(above[-1]),
    )


def _events(reading: Reading, lines: list[Line]) -> Iterator[_Event]:
    for segment in reading.segments:
        if segment.form == sysctl.FORM:
            yield from _parameters(segment, lines)
        else:
            yield from _of_pieces(segment, lines)
    for change in reading.given.changes:
        yield _Event(change.line, _ROUTES, changes=True)
    for rule in reading.given.rules:
        if rule.line:
            yield _Event(rule.line, _ROUTING_RULES, changes=True)
    for line, _, _ in reading.given.added:
        yield _Event(line, _ADDRESSES, changes=True)


def _parameters(segment: Segment, lines: list[Line]) -> Iterator[_Event]:
    """Yield the kernel parameters that a segment shows or sets; what the command that sets one prints is no news."""
    for at in range(segment.first, segment.last + 1):
        name = sysctl.parameter_of(lines[at].text)
        if name and not sysctl.prints(lines, at - 1):
            yield _Event(lines[at].number, name, changes=sysctl.is_written(lines[at].text))


def _of_pieces(segment: Segment, lines: list[Line]) -> Iterator[_Event]:
    """Yield what the pieces of a segment show, or what its commands change."""
    typed = segment.form in (commands.FORM, nft.COMMANDS)
    for piece in segment.pieces:
        if isinstance(piece, Rules):
            table = (piece.table, piece.family or 4)
            numbers = [item.line for item in piece.items] if typed else [lines[segment.first].number]
            yield from (_Event(number, table, typed, rules=True) for number in numbers)
        elif isinstance(piece, Facts):
            places = range(segment.first, segment.last + 1 if typed else segment.first + 1)
            for name in piece.files:
                what = _FILES.get(name, name)
                yield from (
                    _Event(lines[at].number, what, typed, rules=name == nft.FILE)
                    for at in places
                    if not lines[at].is_blank
                )
