"""Who can reach what, as a grid of senders and receivers; those that are treated alike are folded."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from iptsim.errors import printable
from iptsim.reaching import ReachClass, Reaching
from iptsim.reaching.exposure import INTERNET
from iptsim.render.reach import packets_text, rest_text
from iptsim.report.compact import Traces
from iptsim.report.outcomes import outcome_of

#: The order of the entries in a cell.
_ORDER = {"ACCEPT": 0, "DEPENDS": 1, "REFUSED": 2, "REJECT": 3, "DROP": 3}
#: With more classes, containers that differ in their addresses alone share one explanation: twenty and more containers.
SHARED = 500
#: The endpoints that have rows and columns of their own.
_APART = frozenset({INTERNET, "host"})


class Entry(NamedTuple):
    """An entry of a cell, about some packets.

    Attributes:
        number: of the class of packets in the grid.
        one: the class.
        packets: which packets, in words.
        shown_by: the class whose explanation is shown: itself, or one between other containers of the same groups,
            whose packets take the same path.
        shown_number: its number.
    """

    number: int
    one: ReachClass
    packets: str
    shown_by: ReachClass
    shown_number: int

    @property
    def shown(self) -> Hashable:
        """A key that is equal for entries that look alike to a reader."""
        return self.one.verdict, self.one.is_refused, self.shown_by.fate.code, self.packets


class Grid:
    """The classes of packets between the endpoints of a host, in one address family.

    Attributes:
        answer: the classes.
        senders / receivers: the endpoints.
        entries: what happens to the packets between a sender and a receiver, open ones first.
    """

    def __init__(self, answer: Reaching) -> None:
        self.answer = answer
        self.senders, self.receivers = answer.senders, answer.receivers
        self.entries: dict[tuple[str, str], tuple[Entry, ...]] = {}
        self._entries: list[Entry] = []
        #: the first class of each kind, and the first entry for some kinds
        self._first: dict[Hashable, ReachClass] = {}
        self._showing: dict[Hashable, tuple[ReachClass, int]] = {}
        for sender in self.senders:
            for receiver in self.receivers:
                self.entries[sender, receiver] = self._of(sender, receiver)

    def _of(self, sender: str, receiver: str) -> tuple[Entry, ...]:
        if sender == receiver:
            return ()
        groups: dict[Hashable, list[ReachClass]] = {}
        for one in self.answer.between(sender, receiver):
            groups.setdefault(_end(self._first.setdefault(self._kind(one), one)), []).append(one)
        kinds: dict[int, Hashable] = {}
        classes = []
        for first, *others in groups.values():
            classes.append(first.joined(others) if others else first)
            kinds[id(classes[-1])] = tuple(map(self._kind, (first, *others)))
        classes.sort(key=lambda one: one.extent)
        last = classes[-1] if classes and self.answer.is_rest(classes[-1], classes) else None
        ordered = sorted(classes, key=lambda one: (one is last, _ORDER[outcome_of(one).tone]))
        found = []
        for one in ordered:
            text = rest_text() if one is last else packets_text(self.answer, one)
            number = len(self._entries)
            shown_by = self._showing.setdefault(kinds[id(one)], (one, number))
            found.append(Entry(number, one, printable(text), *shown_by))
            self._entries.append(found[-1])
        return tuple(found)

    def _kind(self, one: ReachClass) -> Hashable:
        """Return a key that is equal for classes that share one explanation; on small hosts, each class has its own."""
        if len(self.answer.classes) <= SHARED:
            return id(one)
        containers = self.answer.host.containers
        ends = (containers.get(one.sender), containers.get(one.receiver))
        links = tuple(tuple(map(str, end.links)) if end is not None else () for end in ends)
        published = tuple(map(str, ends[1].published)) if ends[1] is not None else ()
        return one.kind, links, published

    def as_json(self, traces: Traces) -> dict[str, Any]:
        """Return the grid for the page's script: each class with its ends by number, its packets, verdict and trace.

        If the trace belongs to another class, the number of that class follows.
        """
        numbers = {
            name: number for number, name in enumerate(dict.fromkeys([*self.senders, *self.receivers]))
        }
        return {
            "family": self.answer.family,
            "names": list(map(printable, numbers)),
            "classes": [
                [
                    numbers[entry.one.sender],
                    numbers[entry.one.receiver],
                    traces.texts.text(entry.packets),
                    traces.texts.text(outcome_of(entry.one).word),
                    traces.trace(entry.shown_by.explanation),
                    *([entry.shown_number] if entry.shown_number != entry.number else []),
                ]
                for entry in self._entries
            ],
        }

    def folded(self) -> tuple[list[list[str]], list[list[str]]]:
        """Return senders and receivers in groups of those that are treated alike."""
        return _grouped(self.senders, self._alike_senders), _grouped(self.receivers, self._alike_receivers)

    def cell(self, senders: Sequence[str], receivers: Sequence[str]) -> tuple[Entry, ...]:
        """Return the entries of a cell that represents all pairs of some senders and receivers."""
        pairs = ((sender, receiver) for sender in senders for receiver in receivers if sender != receiver)
        return next((self.entries[pair] for pair in pairs), ())

    @cached_property
    def _shown(self) -> dict[tuple[str, str], Hashable]:
        return {pair: tuple(entry.shown for entry in entries) for pair, entries in self.entries.items()}

    def _alike_senders(self, one: str, other: str) -> bool:
        """Return whether two containers reach the same endpoints, apart from themselves."""
        return not _APART & {one, other} and all(
            self._shown[one, to] == self._shown[other, to] for to in self.receivers if to not in (one, other)
        )

    def _alike_receivers(self, one: str, other: str) -> bool:
        """Return whether two containers are reached alike, also by each other."""
        if _APART & {one, other}:
            return False
        among = (one, other) in self._shown and (other, one) in self._shown
        return (not among or self._shown[one, other] == self._shown[other, one]) and all(
            self._shown[sender, one] == self._shown[sender, other]
            for sender in self.senders
            if sender not in (one, other)
        )


def _end(one: ReachClass) -> Hashable:
    """Return how packets end, and from which addresses they come."""
    sources = one.sources if one.sender == INTERNET else None
    code = one.fate.code
    return one.verdict, one.is_refused, one.is_forwarded, code, str(one.decides), one.fate.hinges, sources


def _grouped(names: Sequence[str], alike: Callable[[str, str], bool]) -> list[list[str]]:
    """Group names that are alike, the groups in the order of their first members."""
    groups: list[list[str]] = []
    for name in names:
        for group in groups:
            if all(alike(name, other) for other in group):
                group.append(name)
                break
        else:
            groups.append([name])
    return groups
