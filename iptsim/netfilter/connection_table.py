"""The connections in a conntrack table: those of the walk, and those of a capture, which may be very many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from iptsim.connection import Connection, Flow
from iptsim.host.model import ConntrackEntry

#: What stays the same in other connections of a program's socket: its address, port and protocol.
Source = tuple[int, int | None, int]


def source_of(flow: Flow) -> Source:
    """Return the source of a flow."""
    return flow.src, flow.sport, flow.proto


class Captured:
    """The connections of a capture, indexed on first use, as a busy host has hundreds of thousands.

    Args:
        entries: the entries of its table.
    """

    def __init__(self, entries: Sequence[ConntrackEntry] = ()) -> None:
        self.entries = entries

    @cached_property
    def by_flow(self) -> dict[Flow, list[Connection]]:
        """The connections by the flow of each direction."""
        found: dict[Flow, list[Connection]] = {}
        for entry in self.entries:
            for flow in {entry.connection.original, entry.connection.reply}:
                found.setdefault(flow, []).append(entry.connection)
        return found

    @cached_property
    def by_source(self) -> dict[Source, list[Connection]]:
        """The connections by the source that opened them."""
        found: dict[Source, list[Connection]] = {}
        for entry in self.entries:
            found.setdefault(source_of(entry.connection.original), []).append(entry.connection)
        return found


class ConnectionTable:
    """The connections in the conntrack table of a network namespace.

    Args:
        walked: those of the question and of the walk; the list may grow and change.
        captured: those of the capture.
    """

    def __init__(self, walked: Sequence[Connection], captured: Captured) -> None:
        self._walked, self._captured = walked, captured

    def of_flow(self, flow: Flow) -> Iterator[Connection]:
        """Yield the connections that have a flow in either direction."""
        yield from (one for one in self._walked if flow in (one.original, one.reply))
        yield from self._captured.by_flow.get(flow, ())

    def of_source(self, source: Source) -> Iterator[Connection]:
        """Yield the connections that a source has opened."""
        yield from (one for one in self._walked if source_of(one.original) == source)
        yield from self._captured.by_source.get(source, ())
