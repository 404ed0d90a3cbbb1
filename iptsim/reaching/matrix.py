"""Who can reach what, as a matrix of endpoints; those that are treated alike share a row and a column."""

from __future__ import annotations

from dataclasses import dataclass

from iptsim.reaching.answer import Cell, Reaching
from iptsim.reaching.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Matrix:
    """The matrix.

    Attributes:
        groups: groups of endpoints that send and receive the same.
        cells: the cells by the numbers of the sending and the receiving group; None for an endpoint to itself.
    """

    groups: tuple[tuple[str, ...], ...]
    cells: dict[tuple[int, int], Cell | None]

    @property
    def forwarded(self) -> dict[int, Traffic]:
        """The ports that the host forwards to a receiving group, if several groups can reach the same ones."""
        found: dict[int, list[Traffic]] = {}
        for (_, column), cell in self.cells.items():
            if cell is not None and cell.published:
                found.setdefault(column, []).append(cell.published)
        return {
            column: ports[0] for column, ports in found.items() if len(ports) > 1 and len(set(ports)) == 1
        }


def matrix_of(answer: Reaching) -> Matrix:
    """Return the matrix of an answer."""
    names = list(dict.fromkeys([*answer.senders, *answer.receivers]))
    cells = {
        (sender, receiver): answer.cell(sender, receiver)
        for sender in names
        for receiver in names
        if sender != receiver
    }
    groups: list[list[str]] = []
    for name in names:
        group = next((one for one in groups if _are_alike(one, name, names, cells)), None)
        if group is None:
            groups.append([name])
        else:
            group.append(name)
    found: dict[tuple[int, int], Cell | None] = {}
    for row, senders in enumerate(groups):
        for column, receivers in enumerate(groups):
            pair = senders[0], receivers[-1]
            found[row, column] = cells[pair] if pair[0] != pair[1] else None
    return Matrix(tuple(map(tuple, groups)), found)


def _are_alike(group: list[str], name: str, names: list[str], cells: dict[tuple[str, str], Cell]) -> bool:
    """Return whether an endpoint sends and receives the same as those of a group, and they the same of each other."""
    first = group[0]
    among = cells[first, group[1]] if len(group) > 1 else cells[first, name]
    return all(
        cells[first, other] == cells[name, other] and cells[other, first] == cells[other, name]
        for other in names
        if other not in group and other != name
    ) and all(cells[one, name] == among == cells[name, one] for one in group)
