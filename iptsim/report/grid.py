"""Reachability as a grid: senders in rows, receivers in columns, and in each cell what happens on which ports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from iptsim.errors import printable
from iptsim.languages import say
from iptsim.reach import OTHER_PORT, Reach, Reachability
from iptsim.report.compact import Traces

_FIRST = {"internet": 0, "host": 1}


class Line(NamedTuple):
    """A receiver and a port."""

    receiver: str
    what: str
    proto: str
    port: int | None

    @property
    def named(self) -> bool:
        """Whether it is a known port, not the placeholder for all others."""
        return self.port not in (OTHER_PORT, None)

    @property
    def place(self) -> tuple[Any, ...]:
        """Its sort key: host and outside first, then the containers by name; known ports first."""
        rank = {"host": 0, "internet": 1, "dns": 2}.get(self.receiver, 3)
        return rank, self.receiver, not self.named, self.proto, self.port or 0


class Entry(NamedTuple):
    """What a cell says about some ports.

    Attributes:
        reach: one of the connections; the others end alike.
        lines: the numbers of the ports' lines.
        sender: the number of the sender of the first.
    """

    reach: Reach
    lines: tuple[int, ...]
    sender: int


@dataclass(frozen=True, slots=True)
class Grid:
    """The reachability table of an address family.

    Attributes:
        senders: the sources of connections.
        lines: receivers with their ports, those of one receiver in a row.
        cells: by line and sender; None for an endpoint to itself.
    """

    table: Reachability
    senders: tuple[str, ...]
    lines: tuple[Line, ...]
    cells: tuple[tuple[Reach | None, ...], ...]

    @property
    def receivers(self) -> list[str]:
        """The destinations of connections."""
        return list(dict.fromkeys(line.receiver for line in self.lines))

    def lines_of(self, receiver: str) -> list[int]:
        """Return the numbers of a receiver's lines."""
        return [number for number, line in enumerate(self.lines) if line.receiver == receiver]

    def as_json(self, traces: Traces) -> dict[str, Any]:
        """Return the grid for the page's script: cells refer to traces by number, null for an endpoint to itself."""
        return {
            "family": self.table.family,
            "senders": [printable(sender) for sender in self.senders],
            "lines": [[printable(line.receiver), line.what, line.proto, line.port] for line in self.lines],
            "cells": [[_trace(cell, traces) for cell in row] for row in self.cells],
        }

    def folded(self) -> tuple[list[list[int]], list[list[str]]]:
        """Return senders (by number) and receivers in groups of those that are treated alike."""
        senders = _grouped(range(len(self.senders)), self._alike_senders())
        return senders, _grouped(self.receivers, self._alike_receivers())

    def entries(self, senders: Sequence[int], receivers: Sequence[str]) -> list[Entry]:
        """Return what a cell says that represents all pairs of some senders and receivers: one entry an end."""
        found: dict[tuple[str, str], Entry] = {}
        numbers = {(line.receiver, line.what): number for number, line in enumerate(self.lines)}
        for first in self.lines_of(receivers[0]):
            what = self.lines[first].what
            picked = self._pick(senders, [numbers[receiver, what] for receiver in receivers])
            if picked is None:
                continue
            number, sender, reach = picked
            end = _end(reach) or ("", "")
            known = found.get(end)
            found[end] = (
                known._replace(lines=(*known.lines, number)) if known else Entry(reach, (number,), sender)
            )
        return list(found.values())

    def _pick(self, senders: Sequence[int], lines: Sequence[int]) -> tuple[int, int, Reach] | None:
        for line in lines:
            for sender in senders:
                if (reach := self.cells[line][sender]) is not None:
                    return line, sender, reach
        return None

    def ports(self, lines: Sequence[int]) -> str:
        """Return the ports of some lines of a receiver in few words: "80/tcp, 8000-8029/tcp, other ports"."""
        receiver = self.lines[lines[0]].receiver
        if len(lines) == len(self.lines_of(receiver)) and any(not self.lines[line].named for line in lines):
            return say("any port")
        return ", ".join(_ports([self.lines[line] for line in lines]))

    def _alike_senders(self) -> Callable[[int, int], bool]:
        """Return the test whether two senders get the same result everywhere."""
        ends = [[_end(row[column]) for row in self.cells] for column in range(len(self.senders))]
        own = {(line.receiver, line.what): place for place, line in enumerate(self.lines)}
        ports = {line.what for line in self.lines}

        def alike(one: int, other: int) -> bool:
            names = self.senders[one], self.senders[other]
            if names[0] in _FIRST or names[1] in _FIRST:
                return False
            to_other = [own.get((names[1], what)) for what in ports]
            to_one = [own.get((names[0], what)) for what in ports]
            among = all(
                there is None or back is None or ends[one][there] == ends[other][back]
                for there, back in zip(to_other, to_one, strict=True)
            )
            return among and all(map(_same, ends[one], ends[other]))

        return alike

    def _alike_receivers(self) -> Callable[[str, str], bool]:
        """Return the test whether all senders get the same result at two receivers, port by port."""
        ends = {
            (line.receiver, line.what): [_end(cell) for cell in row]
            for line, row in zip(self.lines, self.cells, strict=True)
        }
        whats = {name: {line.what for line in self.lines if line.receiver == name} for name in self.receivers}
        column = {sender: place for place, sender in enumerate(self.senders) if sender not in _FIRST}

        def alike(one: str, other: str) -> bool:
            if one not in column or other not in column or whats[one] != whats[other]:
                return False
            return all(
                _same(ends[one, what][column[other]], ends[other, what][column[one]])
                and all(map(_same, ends[one, what], ends[other, what]))
                for what in whats[one]
            )

        return alike


def grid_of(table: Reachability) -> Grid:
    """Return a reachability table as a grid."""
    lines = sorted(
        {Line(row.receiver, row.row.what, row.proto, row.port) for row in table}, key=lambda line: line.place
    )
    senders = sorted({row.sender for row in table}, key=lambda name: (_FIRST.get(name, 2), name))
    reaches = {(row.sender, row.receiver, row.row.what): row for row in table}
    cells = tuple(
        tuple(reaches.get((sender, line.receiver, line.what)) for sender in senders) for line in lines
    )
    return Grid(table, tuple(senders), tuple(lines), cells)


def port_words(line: Line) -> str:
    """Return a port in words: "80/tcp", "ping", "other ports"."""
    if line.port is None:
        return say("ping")
    return say("other ports") if line.port == OTHER_PORT else line.what


def _ports(lines: Sequence[Line]) -> Iterator[str]:
    """Yield ports in words, neighbours as ranges."""
    known = sorted((line for line in lines if line.named and "-" not in line.what), key=lambda one: one[2:])
    runs: list[list[Line]] = []
    for before, line in pairwise([None, *known]):
        assert line is not None
        follows = before is not None and (before.proto, (before.port or 0) + 1) == (line.proto, line.port)
        if follows:
            runs[-1].append(line)
        else:
            runs.append([line])
    for run in runs:
        yield run[0].what if len(run) == 1 else f"{run[0].port}-{run[-1].port}/{run[0].proto}"
    for line in lines:
        if line not in known:
            yield port_words(line)


def _trace(cell: Reach | None, traces: Traces) -> int | None:
    if cell is None:
        return None
    return traces.trace(cell.explanation) if cell.explanation is not None else traces.unasked(cell.note)


def _grouped(items: Sequence[Any], alike: Callable[[Any, Any], bool]) -> list[list[Any]]:
    """Group equal items, the groups in the order of their first members."""
    groups: list[list[Any]] = []
    for one in items:
        for group in groups:
            if all(alike(one, other) for other in group):
                group.append(one)
                break
        else:
            groups.append([one])
    return groups


def _same(one: tuple[str, str] | None, other: tuple[str, str] | None) -> bool:
    """Return whether two cells show the same; an endpoint to itself equals any other."""
    return one is None or other is None or one == other


def _end(cell: Reach | None) -> tuple[str, str] | None:
    return (cell.outcome or cell.verdict, cell.reason) if cell is not None else None
