"""Reads the texts of a source into segments, and notes which lines were read and which were not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeVar

from iptsim.addresses import Family
from iptsim.host.files import LISTINGS
from iptsim.host.pasted import Lines
from iptsim.languages import message
from iptsim.paste.avoided import is_of_new, is_of_old, only_mentions, run_in_sentences
from iptsim.paste.forms import failures, sentences
from iptsim.paste.given import Given, given_by
from iptsim.paste.lines import Line, commented, quoted_commands
from iptsim.paste.pieces import Ask, ChainItem, Piece, Rules, Segment, Warned
from iptsim.paste.shell import is_down
from iptsim.paste.splitting import split
from iptsim.paste.where_typed import Machines, of_one_machine

#: Forms that say which connection failed for somebody.
CLIENTS = (failures.FORM, sentences.FORM)
P = TypeVar("P", bound=Piece)


@dataclass(slots=True)
class Reading:
    """What was read of some texts.

    Attributes:
        segments: the segments of all texts.
        pieces: their contents.
        read / left_out: the lines that were read, and those that were not.
        given: what commands give the host.
        in_comments: all rules are in comments.
        in_container: all rules were printed in containers, whose own bridges are not those of Docker.
    """

    segments: list[Segment] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    read: list[Lines] = field(default_factory=list)
    left_out: list[Lines] = field(default_factory=list)
    given: Given = field(default_factory=Given)
    in_comments: bool = False
    in_container: bool = False

    def of(self, kind: type[P]) -> list[P]:
        """Return the pieces of one kind."""
        return [piece for piece in self.pieces if isinstance(piece, kind)]

    def asks(self, *, failed: bool) -> Iterator[Ask]:
        """Yield the packets that the texts describe: those of connections that failed for somebody, or all others."""
        for segment in self.segments:
            if (segment.form in CLIENTS) is failed:
                yield from (piece for piece in segment.pieces if isinstance(piece, Ask))


def read_texts(texts: Mapping[str, list[Line]], telling: Mapping[int, str]) -> Reading:
    """Read texts, by name.

    Args:
        texts: their lines.
        telling: the numbers of lines that tell a cause by themselves, and what each of them is.
    """
    reading, machines = Reading(), Machines()
    for name, lines in texts.items():
        reading.given.add(given_by(lines))
        segments, left_out = split(lines)
        said = lines
        if any(one.form not in CLIENTS for one in segments):
            said = run_in_sentences(lines)
            segments, left_out = split(said) if said != lines else (segments, left_out)
        elif len(texts) == 1:
            segments, left_out = _with_quoted(reading, lines, segments, left_out)
        segments, elsewhere = of_one_machine(segments)
        segments, proposed = _in_force(lines, segments)
        machines.check(name, lines, segments)
        others = machines.others(lines, segments)
        segments = [one for one in segments if not any(one is other for other in others)]
        elsewhere += proposed + others
        left_out = sorted([*left_out, *(at for one in elsewhere for at in range(one.first, one.last + 1))])
        reading.segments += segments
        places = [one.place for one in segments if any(isinstance(piece, Rules) for piece in one.pieces)]
        if places:
            reading.in_container = None not in places
        for segment in segments:
            reading.read += _read_lines(name, lines, segment)
            reading.pieces += _of_family(segment, name)
        changed = [one.line for one in reading.given.changes] if not segments else []
        reading.read += (Lines(name, number, number, "ip route commands") for number in changed)
        left_out = [at for at in left_out if lines[at].number not in reading.given.lines]
        if len(texts) == 1:
            told = [lines[at].number for at in left_out if lines[at].number in telling]
            reading.read += (Lines(name, number, number, telling[number]) for number in told)
            left_out = [at for at in left_out if lines[at].number not in told]
        if segments:
            reading.pieces += _mentioned(lines, said, segments)
        reading.left_out += (
            Lines(name, lines[first].number, lines[last].number) for first, last in _runs(left_out)
        )
    return reading


def _mentioned(lines: list[Line], said: list[Line], segments: Sequence[Segment]) -> Iterator[Warned]:
    """Yield warnings of the commands that sentences only mention.

    Args:
        lines: the text.
        said: its lines as they were read.
        segments: the segments of the text.
    """
    rules = (one for one in segments if any(isinstance(piece, Rules) for piece in one.pieces))
    read = {at for one in rules for at in range(one.first, one.last + 1)}
    for at, line in enumerate(lines):
        if (at not in read or said[at] is not line) and only_mentions(line.text):
            yield Warned(
                message("a command that the sentence mentions is left out: nothing says that it has run"),
                line.number,
            )


def _with_quoted(
    reading: Reading, lines: list[Line], segments: list[Segment], left_out: list[int]
) -> tuple[list[Segment], list[int]]:
    """Add the commands in quotes or comments, if a text says nothing else but which connections failed."""
    lines = [line._replace(text="", whole="") if is_down(line.text) else line for line in lines]
    for others in (quoted_commands, commented):
        if any(one.form not in CLIENTS for one in segments):
            break
        further, _ = split(others(lines))
        reading.in_comments = others is commented and bool(further)
        taken = {at for one in further for at in range(one.first, one.last + 1)}
        asking = [one for one in segments if taken.isdisjoint(range(one.first, one.last + 1))]
        segments = sorted([*further, *asking], key=lambda one: one.first)
        read = {at for one in segments for at in range(one.first, one.last + 1)}
        left_out = [at for at in left_out if at not in read]
    return segments, left_out


def _in_force(lines: list[Line], segments: list[Segment]) -> tuple[list[Segment], list[Segment]]:
    """Return the segments without rules that are not loaded, and these.

    A patch is about a file: what it adds need not be loaded, if the text shows what iptables printed. Rules below
    "old:" are no longer loaded, if others of the table are below "new:".
    """
    rules = [(one, piece) for one in segments for piece in one.pieces if isinstance(piece, Rules)]
    loaded = {piece.table for one, piece in rules if piece.printed and not lines[one.last].patched}
    proposed = [one for one, piece in rules if lines[one.last].patched and piece.table in loaded]
    # rules alone are joined with earlier ones; whole chains replace these in any case
    alone = [
        (one, piece) for one, piece in rules if not any(isinstance(item, ChainItem) for item in piece.items)
    ]
    labels = [(one, piece.table, _label(lines, one)) for one, piece in alone]
    new = [(one.first, table) for one, table, label in labels if is_of_new(label)]
    proposed += [
        one
        for one, table, label in labels
        if is_of_old(label) and any(first > one.last and other == table for first, other in new)
    ]
    return [one for one in segments if not any(one is other for other in proposed)], proposed


def _label(lines: list[Line], segment: Segment) -> str:
    """Return the line above a segment, without fences of code."""
    return next(
        (text for at in range(segment.first - 1, -1, -1) if (text := lines[at].text.strip("`~ "))), ""
    )


def _of_family(segment: Segment, text_name: str) -> list[Piece]:
    """Return the pieces of a segment; the name of a capture's file determines the family of its rules."""
    if text_name in LISTINGS:
        family: Family = 6 if text_name.startswith("ip6") else 4
        return [
            dataclasses.replace(piece, family=family) if isinstance(piece, Rules) else piece
            for piece in segment.pieces
        ]
    return list(segment.pieces)


def _read_lines(name: str, lines: Sequence[Line], segment: Segment) -> Iterator[Lines]:
    """Yield the lines of a segment, without those in it that were left out."""
    unread, continues = {*segment.unread}, False
    for left_out, places in groupby(range(segment.first, segment.last + 1), unread.__contains__):
        numbers = [lines[at].number for at in places if not lines[at].is_blank]
        if numbers and not left_out:
            yield Lines(name, numbers[0], numbers[-1], segment.title, segment.table, continues)
            continues = True


def _runs(indexes: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Return the first and last numbers of consecutive runs."""
    for _, run in groupby(enumerate(indexes), lambda pair: pair[1] - pair[0]):
        found = [index for _, index in run]
        yield found[0], found[-1]
