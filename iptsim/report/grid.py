"""The reachability table as a grid: senders in columns, receivers and ports in rows; equal ones folded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from iptsim.errors import printable
from iptsim.reach import OTHER_PORT, Reach, Reachability
from iptsim.report.compact import Traces

_FIRST = {"internet": 0, "host": 1}


@dataclass(frozen=True, slots=True)
class _Line:
    """A row of the grid: a receiver and a port."""

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


def grid(table: Reachability, traces: Traces) -> dict[str, Any]:
    """Return the grid: cells refer to traces by number, null for an endpoint to itself.

    `senders` and `lines` are folded into `columns` and `rows`, lists of the positions of equal ones.
    """
    lines = sorted(
        {_Line(row.receiver, row.row.what, row.proto, row.port) for row in table}, key=lambda line: line.place
    )
    senders = sorted({row.sender for row in table}, key=lambda name: (_FIRST.get(name, 2), name))
    reaches = {(row.sender, row.receiver, row.row.what): row for row in table}
    cells: list[list[Reach | None]] = [
        [reaches.get((sender, line.receiver, line.what)) for sender in senders] for line in lines
    ]
    return {
        "family": table.family,
        "leftOut": table.left_out,
        "senders": [printable(sender) for sender in senders],
        "lines": [[printable(line.receiver), line.what, line.proto, line.port] for line in lines],
        "cells": [[_trace(cell, traces) for cell in row] for row in cells],
        "columns": _folded(len(senders), _alike_senders(senders, lines, cells)),
        "rows": _folded(len(lines), _alike_lines(senders, lines, cells)),
    }


def _trace(cell: Reach | None, traces: Traces) -> int | None:
    if cell is None:
        return None
    return traces.trace(cell.explanation) if cell.explanation is not None else traces.unasked(cell.note)


def _folded(count: int, alike: Callable[[int, int], bool]) -> list[list[int]]:
    """Group equal items, the groups in the order of their first members."""
    groups: list[list[int]] = []
    for one in range(count):
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


def _alike_senders(
    senders: Sequence[str], lines: Sequence[_Line], cells: Sequence[Sequence[Reach | None]]
) -> Callable[[int, int], bool]:
    """Return the test whether two senders get the same result everywhere."""
    ends = [[_end(row[column]) for row in cells] for column in range(len(senders))]
    own = {(line.receiver, line.what): place for place, line in enumerate(lines)}
    ports = {line.what for line in lines}

    def alike(one: int, other: int) -> bool:
        if senders[one] in _FIRST or senders[other] in _FIRST:
            return False
        to_other = [own.get((senders[other], what)) for what in ports]
        to_one = [own.get((senders[one], what)) for what in ports]
        among = all(
            there is None or back is None or ends[one][there] == ends[other][back]
            for there, back in zip(to_other, to_one, strict=True)
        )
        return among and all(map(_same, ends[one], ends[other]))

    return alike


def _alike_lines(
    senders: Sequence[str], lines: Sequence[_Line], cells: Sequence[Sequence[Reach | None]]
) -> Callable[[int, int], bool]:
    """Return the test whether all senders get the same result at two receivers, or at two ports of a receiver."""
    ends = [[_end(cell) for cell in row] for row in cells]
    column = {sender: place for place, sender in enumerate(senders) if sender not in _FIRST}

    def alike(one: int, other: int) -> bool:
        here, there = lines[one], lines[other]
        if here.receiver == there.receiver:
            return here.named and there.named and ends[one] == ends[other]
        if here.what != there.what or here.receiver not in column or there.receiver not in column:
            return False
        among = _same(ends[one][column[there.receiver]], ends[other][column[here.receiver]])
        return among and all(map(_same, ends[one], ends[other]))

    return alike
