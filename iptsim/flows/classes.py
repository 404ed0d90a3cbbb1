"""Classes of records whose packets take the same path: one walk answers for all of a class.

Records that agree in everything but addresses and ports, whose addresses and ports are of the same coarse kinds
(:mod:`iptsim.flows.cuts`), differ only in what rules check. One of them is walked, and the checks of its walk are
repeated for the others with vectors (:mod:`iptsim.flows.observing`): those with the same results take the same path.
The others split off there, and one of them is walked next. The tree of these walks is kept for further batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iptsim.addresses import address_text
from iptsim.errors import IptsimError
from iptsim.explanation.reason_of import Reason, reason_of
from iptsim.flows.cuts import COLUMNS, Cuts
from iptsim.flows.observing import Asked, Lookup, Observed, Places, Questions, Uneven
from iptsim.flows.twins import as_twin, is_example
from iptsim.flows.vectors import NONE, VectorChain
from iptsim.netfilter.trace import Leg, Trace
from iptsim.netfilter.walk import Simulator
from iptsim.packet import Packet
from iptsim.question.model import Question

#: Columns whose value may be another field of the question.
_NAMES = {"src": "from", "dst": "to"}

#: The most walks that are kept as examples for other rules.
_EXAMPLES = 1000

Rows = NDArray[np.int64]
#: The fields of a record -> those of its question.
Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What happens to the records of a class.

    Attributes:
        verdict: ACCEPT, DROP, REJECT or DEPENDS; "" for an error.
        code: the reason's code.
        table / chain / rule / line: the deciding rule; without a number, the policy.
        text: the deciding rule as iptables-save prints it.
        source / destination: the address and port after NAT; None if they are unchanged.
        error: why the record is not valid.
        hits: the rules that matched on the path: family, table, chain and number.
    """

    verdict: str = ""
    code: str = ""
    table: str | None = None
    chain: str | None = None
    rule: int | None = None
    line: int | None = None
    text: str | None = None
    source: tuple[str | None, int | None] = (None, None)
    destination: tuple[str | None, int | None] = (None, None)
    error: str | None = None
    hits: frozenset[tuple[int, str, str, int]] = frozenset()


@dataclass(slots=True)
class _Node:
    """A walk: its answer, the checks it made, and the walks of the records for which a check had another result.

    Attributes:
        begin: the number of checks that it has in common with the one that it left.
        children: the number of a check and its result -> the walk of the records with that result.
        walk: the walk itself, if it can be an example for other rules.
        examples: the number of a check -> the children that are examples, with their results.
    """

    answer: int
    asked: list[Asked]
    begin: int
    children: dict[tuple[int, int], _Node] = field(default_factory=dict)
    walk: tuple[Question, Trace] | None = None
    examples: dict[int, list[tuple[int, _Node]]] = field(default_factory=dict)


class Classes:
    """Finds the answers for records, by walking one record of each class.

    Attributes:
        answers: all different answers so far.
        walks: how many packets were walked.
    """

    def __init__(self, simulator: Simulator, fine: Cuts) -> None:
        self.simulator = simulator
        self.answers: list[Answer] = []
        self.walks = self._examples = 0
        self._fine = fine
        self._numbers: dict[Answer, int] = {}
        self._chains: dict[int, VectorChain] = {}
        self._kinds: dict[int, Questions] = {}
        self._trees: dict[Any, _Node] = {}
        self._alone: dict[Any, int] = {}

    @property
    def kept(self) -> int:
        """How many answers, and packets that were walked individually, are kept."""
        return len(self.answers) + len(self._alone)

    def assign(
        self, tree: Any, rows: Rows, places: Places, fields: Callable[[int], Fields], found: NDArray[np.int64]
    ) -> list[Rows]:
        """Find the answers for rows of one coarse class.

        Args:
            tree: the name of the class, which is the same in all batches.
            rows: the numbers of the rows.
            places: the fine kinds of rows.
            fields: returns the fields of a row's question.
            found: receives the number of each row's answer.

        Returns:
            The rows that must be walked individually.
        """
        # an end that is a name, and a port that is left open, are the same for all records of a class
        given = frozenset(column for column in COLUMNS if places(column, rows[:1])[0] != NONE)
        root = self._trees.get(tree)
        if root is None:
            root = self._trees[tree] = self._walk(fields(int(rows[0])), 0, given)
        alone = []
        left = [(root, rows)]
        while left:
            node, rows = left.pop()
            for number in range(node.begin, len(node.asked)):
                asked = node.asked[number]
                if isinstance(asked, Uneven):
                    alone.append(rows)
                    rows = rows[:0]
                else:
                    results = asked.results(rows, places)
                    same = results == asked.result
                    if same.all():
                        continue
                    for result in np.unique(results[~same]).tolist():
                        others = rows[results == result]
                        child = node.children.get((number, result))
                        if child is None:
                            child = self._child(node, number, result, partial(fields, int(others[0])), given)
                        left.append((child, others))
                    rows = rows[same]
                if not rows.size:
                    break
            found[rows] = node.answer
        return alone

    def alone(self, key: Any, fields: Callable[[], Fields]) -> int:
        """Return the number of the answer for one packet.

        Args:
            key: equal for equal packets.
        """
        number = self._alone.get(key)
        if number is None:
            number = self._alone[key] = self._walk(fields(), 0, None).answer
        return number

    def _walk(self, fields: Fields, begin: int, given: frozenset[str] | None) -> _Node:
        """Walk one record.

        Args:
            fields: those of its question.
            begin: how many questions its class has in common with the one it left.
            given: the columns that it has; None for a record that represents only itself.
        """
        self.walks += 1
        asked: list[Asked] = []
        walk = None
        host = self.simulator.host
        try:
            question = Question(**fields)
            observer = None
            if given is not None and not (question.assume or question.fragment or question.after):
                observer = Observed(given, self._fine, self._chains, self._kinds)
                asked = observer.asked
            elif given is not None:
                asked = [Uneven()]
            trace = self.simulator.walk(question, observer)
            answer = _answer(trace, reason_of(host, question, trace))
            if observer is not None and self._examples < _EXAMPLES and is_example(trace):
                self._examples += 1
                walk = question, trace
        except IptsimError as error:
            answer = Answer(error=str(error))
            if any(
                str(fields.get(one, fields.get(_NAMES.get(one, one)))) in str(error) for one in given or ()
            ):
                # it is about this record's own address or port
                asked = [Uneven()]
        return _Node(self.number(answer), asked, begin, walk=walk)

    def _child(
        self, node: _Node, number: int, result: int, fields: Callable[[], Fields], given: frozenset[str]
    ) -> _Node:
        """Return the walk of the records for which a check has another result, for the first time.

        Args:
            node: the walk that they leave.
            number: the check.
            result: its result for them.
            fields: returns those of the question of one of them.
            given: the columns that they have.
        """
        child = self._twin(node, number, result)
        if child is None:
            child = self._walk(fields(), number + 1, given)
            if child.walk is not None:
                node.examples.setdefault(number, []).append((result, child))
        node.children[number, result] = child
        return child

    def _twin(self, node: _Node, number: int, result: int) -> _Node | None:
        """Return the walk of the records for which a check has another result, if it is known without walking one."""
        asked = node.asked[number]
        if not isinstance(asked, Lookup):
            return None
        for walked, example in ((asked.result, node), *node.examples.get(number, ())):
            if example.walk is None:
                continue
            question, trace = example.walk
            with as_twin(trace, asked, walked, result) as is_twin:
                if is_twin:
                    answer = _answer(trace, reason_of(self.simulator.host, question, trace))
                    return _Node(self.number(answer), example.asked, number + 1)
        return None

    def number(self, answer: Answer) -> int:
        """Return the number of an answer in :attr:`answers`."""
        number = self._numbers.get(answer)
        if number is None:
            number = self._numbers[answer] = len(self.answers)
            self.answers.append(answer)
        return number


def _answer(trace: Trace, reason: Reason) -> Answer:
    step, leg = reason.step, trace.legs[0]
    rule = step.rule if step is not None else None
    source: tuple[str | None, int | None] = (None, None)
    destination: tuple[str | None, int | None] = (None, None)
    end = _translated(leg)
    if end is not None:
        source = _changed(leg.packet, end, "src", "sport")
        destination = _changed(leg.packet, end, "dst", "dport")
    return Answer(
        trace.verdict,
        reason.code.value,
        step.table if step is not None else None,
        step.chain if step is not None else None,
        rule.position if rule is not None else None,
        (rule.line or None) if rule is not None else None,
        rule.shown if rule is not None else None,
        source,
        destination,
        None,
        frozenset(_hits(trace)),
    )


def _hits(trace: Trace) -> Iterator[tuple[int, str, str, int]]:
    """Yield the rules that matched on one way at least."""
    for leg in trace.legs:
        for step in leg.steps:
            if step.rule is not None:
                yield leg.packet.family, step.rule.table, step.rule.chain, step.rule.position
    for branch in trace.branches:
        yield from _hits(branch)


def _translated(leg: Leg) -> Packet | None:
    """Return the packet as it arrives, or as it was when it was blocked; None if no address was changed."""
    if leg.delivered is not None:
        return leg.delivered.packet
    packet = None
    for step in leg.steps:
        if not step.maybe and step.changes:
            packet = packet or leg.packet.copy()
            step.change(packet)
    return packet


def _changed(before: Packet, after: Packet, address: str, port: str) -> tuple[str | None, int | None]:
    """Return an address and a port where they have changed; a port that is picked at random is None."""
    old, new = getattr(before, address), getattr(after, address)
    ports = getattr(before, port), getattr(after, port)
    same = before.family == after.family and (old == new or old == 0)
    return None if same else address_text(after.family, new), ports[1] if ports[0] != ports[1] else None
