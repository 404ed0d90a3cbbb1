"""Answers a question about a host with an explanation, for all commands, tables, checks and reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from iptsim.address_sets import AddressSet
from iptsim.errors import IptsimError, UsageError
from iptsim.explanation import Explanation, explain_trace
from iptsim.explanation.classes import answer_for_all, shortened
from iptsim.explanation.explanation import AddressClass
from iptsim.host.address_regions import public_addresses, region_of, unicast_addresses
from iptsim.host.model import Host
from iptsim.languages import message, message_joined, text_of
from iptsim.netfilter.walk import Simulator, simulator_of
from iptsim.netfilter.watch import Side, Watch
from iptsim.question.endpoints import Address, Endpoint, Internet, Prefix
from iptsim.question.internet import other_address_note, outside_address
from iptsim.question.model import Question

#: The limit on packets that are followed for a question about many addresses.
MOST_WALKS = 200
#: No further packet is followed once this many rules have been evaluated.
_MOST_EVALUATED = 500_000
#: The ends of a packet, and the fields of a question that hold them.
_ENDS: dict[Side, str] = {"src": "sender", "dst": "to"}
#: Sets of addresses, one for each end that is many addresses.
_Box = tuple[AddressSet, ...]


def ask(host: Host | Simulator, question: Question) -> Explanation:
    """Follow the packet of a question through a host, and explain what happens to it.

    For `internet`, one address is followed; :func:`ask_all` answers for all of them.

    Args:
        host: the host, which keeps what is prepared for the next question; or a :class:`Simulator` of it.
        question: the packet.

    Raises:
        UsageError: the host does not know an endpoint of the question.
        RulesetError: the rules loop or jump to a chain that does not exist.
        WalkLimitError: the rules take more steps than any real ruleset needs.
    """
    simulator = host if isinstance(host, Simulator) else simulator_of(host)
    return explain_trace(simulator.host, question, simulator.walk(question))


def follow(simulator: Simulator, question: Question) -> Explanation:
    """Answer as :func:`ask` does, in less time: the explanation does not list what was assumed."""
    return explain_trace(simulator.host, question, simulator.follow(question))


def ask_all(host: Host | Simulator, question: Question) -> Explanation:
    """Answer a question for all addresses of its endpoints: of `internet`, and of networks.

    The packet of one address is followed. What the rules check about the address shows which others take the same path;
    then one of the rest is followed, until none is left. If all are treated alike, one walk is enough.

    Args:
        host: as for :func:`ask`.
        question: the packet; any other endpoint is a single address.

    Raises:
        UsageError, RulesetError, WalkLimitError: as for :func:`ask`.
    """
    simulator = host if isinstance(host, Simulator) else simulator_of(host)
    sides = _many(question)
    answer = _Classes(simulator, question, sides).answer() if sides else ask(simulator, question)
    if (earlier := simulator.host.before) is not None:
        with suppress(IptsimError):  # the host before the commands may lack an endpoint
            answer.before = ask_all(earlier.host, question)
    return answer


def _many(question: Question) -> tuple[Side, ...]:
    """Return the ends of a question's packet that are many addresses."""
    source = isinstance(question.sender, Internet | Prefix) and question.src is None
    destination = isinstance(question.to, Internet | Prefix) and question.dst is None
    return (*(("src",) if source else ()), *(("dst",) if destination else ()))


class _Classes:
    """A question about many addresses; how many packets were followed for it, and how many rules evaluated."""

    def __init__(self, simulator: Simulator, question: Question, sides: tuple[Side, ...]) -> None:
        self.simulator = simulator
        self.host = simulator.host
        self.question = question
        self.sides = sides
        self.walks = self.evaluated = 0

    def answer(self) -> Explanation:
        """Follow a packet for each class of addresses, and return the answer for all."""
        explanation, watches = self._follow(self._first())
        universe = tuple(map(self._universe, watches))
        alike = _alike(watches, universe)
        found = [self._class(alike, explanation, watches)]
        notes = [note for watch in watches if (note := watch.unsure_note())]
        notes += filter(None, (one.private_note() for one in watches if isinstance(self._end(one), Internet)))
        todo = list(_without(universe, alike))
        while todo and self.walks < MOST_WALKS and self.evaluated < _MOST_EVALUATED:
            box = todo.pop()
            try:
                explanation, watches = self._follow(self._at(box))
            except UsageError as error:
                alike = tuple(one & region_of(self.host, one.family, one.first) for one in box)
                notes.append(
                    message(
                        "{places}: {error}.",
                        places=message_joined(" → ", [shortened(one) for one in alike]),
                        error=text_of(error),
                    )
                )
            else:
                alike = _alike(watches, box)
                found.append(self._class(alike, explanation, watches))
            todo += _without(box, alike)
        answer = answer_for_all(self.question, found, unchecked=todo)
        chosen = other_address_note(self.host, watches[0].family) if answer.classes else None
        assumptions = dict.fromkeys([*answer.assumed, *notes])
        answer.assumed = [one for one in assumptions if one != chosen]
        return answer

    def _follow(self, question: Question) -> tuple[Explanation, tuple[Watch, ...]]:
        self.walks += 1
        trace, watches = self.simulator.walk_watched(question, self.sides)
        self.evaluated += trace.evaluated
        return explain_trace(self.host, question, trace), watches

    def _first(self) -> Question:
        """Return the question about one address of each network; `internet` means one already."""
        ends = {name: getattr(self.question, name) for name in _ENDS.values()}
        chosen: dict[str, Any] = {
            name: Address(end.family, self._addresses(end).first)
            for name, end in ends.items()
            if isinstance(end, Prefix)
        }
        return replace(self.question, **chosen) if chosen else self.question

    def _universe(self, watch: Watch) -> AddressSet:
        """Return all addresses of an end."""
        end = self._end(watch)
        if isinstance(end, Prefix):
            return self._addresses(end)
        family = watch.family
        return public_addresses(self.host, family) | region_of(self.host, family, watch.address)

    def _end(self, watch: Watch) -> Endpoint:
        end: Endpoint = getattr(self.question, _ENDS[watch.side])
        return end

    def _addresses(self, end: Prefix) -> AddressSet:
        every = AddressSet.prefix(end.family, end.value, end.length)
        return unicast_addresses(self.host, every) or every

    def _at(self, box: _Box) -> Question:
        """Return the question about one address of each set; as source, that of the internet is preferred."""
        chosen = []
        for side, one in zip(self.sides, box, strict=True):
            usual = outside_address(self.host, one.family)
            chosen.append(Address(one.family, usual if side == "src" and usual in one else one.first))
        return self._with(chosen)

    def _with(self, addresses: Iterable[Address]) -> Question:
        """Return the question about single addresses."""
        ends: dict[str, Any] = dict(zip(map(_ENDS.__getitem__, self.sides), addresses, strict=True))
        return replace(self.question, **ends)

    def _class(self, alike: _Box, explanation: Explanation, watches: tuple[Watch, ...]) -> AddressClass:
        """Return a class, with the answer for one of its addresses."""
        ends = dict(zip(self.sides, alike, strict=True))
        question = self._with(Address(watch.family, watch.address) for watch in watches)
        return AddressClass(ends.get("src"), ends.get("dst"), replace(explanation, question=question))


def _alike(watches: Iterable[Watch], box: _Box) -> _Box:
    """Return the addresses of a box that take the same path as the packet that was followed."""
    return tuple(watch.alike() & one for watch, one in zip(watches, box, strict=True))


def _without(box: _Box, alike: _Box) -> Iterator[_Box]:
    """Yield disjoint boxes that together are a box without another one inside it."""
    for place, (whole, part) in enumerate(zip(box, alike, strict=True)):
        if rest := whole - part:
            yield (*alike[:place], rest, *box[place + 1 :])
