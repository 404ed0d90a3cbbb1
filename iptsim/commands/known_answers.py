"""The answers of a batch that are known without a walk.

Some questions repeat others. Others differ from them only in a port that the host treats like the port before: their
answers differ only in that number. Two answers of such questions show where it occurs; from then on, it is put in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

from iptsim.flows.port_kinds import PortKinds
from iptsim.netfilter.walk import Simulator

#: An answer: the names of its members, and the value of each as JSON text.
Members = dict[str, str]
#: Ports by their name in a question.
_Ports = dict[str, int]
#: What questions have in common whose answers differ only in ports.
_Class = tuple[Any, ...]

#: The characters of answers that are kept; an answer has a few thousand.
_KEPT = 1 << 24
#: The kinds of ports cost as much as some walks, and as one more for some rules.
_WALKS, _RULES = 50, 10
#: The fields of questions whose answers are compared. Others may hold ports as well.
_PLAIN = frozenset({
    "from", "to", "src", "dst", "proto", "sport", "dport", "in", "family", "state", "mark", "verbose", "reply",
})  # fmt: skip
_PORTS = ("sport", "dport")


class KnownAnswers:
    """Keeps the answers of a batch."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._walks = 0
        self._forget()

    def _forget(self) -> None:
        self._room = _KEPT
        #: a question -> its answer
        self._exact: dict[str, Members] = {}
        #: the first answer of each class
        self._examples: dict[_Class, tuple[_Ports, Members]] = {}
        #: None for a class whose answers differ in more than the ports
        self._forms: dict[_Class, _Form | None] = {}

    def get(self, question: Mapping[str, Any]) -> Members | None:
        """Return the answer to a question, or None.

        Args:
            question: its fields, which also identify everything else that its answer depends on.
        """
        known = self._exact.get(repr(question))
        if known is not None or not self._forms:
            return known
        for ports, alike in self._classes(question):
            form = self._forms.get(alike)
            if form is not None:
                return form.filled(ports)
        return None

    def keep(self, question: Mapping[str, Any], answer: Members) -> None:
        """Keep the answer to a question that was not known."""
        self._walks += 1
        name = repr(question)
        # an answer may be kept as a form as well
        self._room -= len(name) + 2 * sum(map(len, answer.values()))
        if self._room < 0:
            self._forget()
        self._exact[name] = answer
        if self._walks < self._enough:
            return
        for ports, alike in self._classes(question):
            known = self._examples.setdefault(alike, (ports, answer))
            if alike not in self._forms and all(ports[name] != number for name, number in known[0].items()):
                self._forms[alike] = _form(*known, ports, answer)

    @cached_property
    def _enough(self) -> int:
        """The number of walks after which it pays to know the kinds of ports."""
        rules = sum(1 for ruleset in self._simulator.rulesets() for _ in ruleset.rules())
        return _WALKS + rules // _RULES

    @cached_property
    def _kinds(self) -> PortKinds:
        return PortKinds(self._simulator)

    def _classes(self, question: Mapping[str, Any]) -> Iterator[tuple[_Ports, _Class]]:
        """Yield classes of questions: what a question has in common with those in which some of its ports differ.

        Yields:
            These ports, and the class.
        """
        ports = {name: question[name] for name in _PORTS if name in question}
        if not (question.keys() <= _PLAIN and all(map(_is_port, ports.values()))):
            return
        if len(set(ports.values())) < len(ports) or not self._kinds.are_certain:
            return
        kinds = {name: self._kinds.of(port) for name, port in ports.items()}
        for count in range(len(ports), 0, -1):
            for names in combinations(ports, count):
                own = [kinds[name] for name in names]
                if None not in own:
                    rest = {name: value for name, value in question.items() if name not in names}
                    yield {name: ports[name] for name in names}, (names, *own, repr(rest))


def _is_port(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 16


class _Form(NamedTuple):
    """An answer with blanks for ports.

    Attributes:
        members: for each member, its text in pieces, and which of the pieces are ports.
    """

    members: dict[str, tuple[list[str], list[tuple[int, str]]]]

    def filled(self, ports: _Ports) -> Members:
        """Return the answer with these ports."""
        texts = {name: str(port) for name, port in ports.items()}
        answer = {}
        for name, (pieces, blanks) in self.members.items():
            for place, port in blanks:
                pieces[place] = texts[port]
            answer[name] = "".join(pieces)
        return answer


def _form(first: _Ports, answer: Members, second: _Ports, other: Members) -> _Form | None:
    """Return what two answers have in common, with blanks where they differ; None if they differ in more than ports."""
    if list(answer) != list(other):
        return None
    differences = {(str(first[name]), str(second[name])): name for name in first}
    members = {}
    for name, text in answer.items():
        pieces: list[str] = [""]
        blanks = []
        parts, others = (re.split("([0-9]+)", one) for one in (text, other[name]))
        if len(parts) != len(others):
            return None
        for part, different in zip(parts, others, strict=True):
            if part == different:
                pieces[-1] += part
                continue
            port = differences.get((part, different))
            if port is None:
                return None
            blanks.append((len(pieces), port))
            pieces += ["", ""]
        members[name] = pieces, blanks
    return _Form(members)
