"""The connections that a change opens and closes: reachability before and after."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from iptsim.addresses import Family
from iptsim.errors import UsageError
from iptsim.host.model import Host
from iptsim.netfilter.replies import is_unanswered
from iptsim.netfilter.trace import Trace
from iptsim.netfilter.walk import simulator_of
from iptsim.progress import tracked
from iptsim.reach import MOST, OTHER_PORT, Row, arrived_at, questions, rows

#: Sources whose connections are always checked.
_OUTER = ("internet", "host")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a question.

    Attributes:
        verdict: the verdict; "" if the question is not valid.
        at: the final receiver, also behind docker-proxy; "" if there is none.
        unanswered: whether the packet reaches a public address with a private source, which has no route back.
    """

    verdict: str = ""
    at: str = ""
    unanswered: bool = False

    @property
    def reached(self) -> bool:
        """Whether no rule blocks the packet or its reply."""
        return self.verdict == "ACCEPT"

    @property
    def end(self) -> tuple[str, str]:
        """The verdict and the final receiver."""
        return self.verdict, self.at


@dataclass(frozen=True, slots=True)
class Shift:
    """A connection whose outcome changes."""

    row: Row
    before: Outcome
    after: Outcome

    @property
    def kind(self) -> str:
        """The effect: the change "opens", "closes" or "alters" the connection.

        A published port that no longer leads to its container counts as closed, although the host gets the packet,
        and so does a connection to the internet whose replies have no route back.
        """
        host_port = self.row.port != OTHER_PORT and "host" in (self.before.at, self.after.at)
        ways = [
            one.reached and not one.unanswered and not (host_port and one.at == "host")
            for one in (self.before, self.after)
        ]
        return "alters" if ways[0] == ways[1] else "opens" if ways[1] else "closes"

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON."""
        row = self.row
        out: dict[str, Any] = {"from": row.sender, "to": row.to, "proto": row.proto, "dport": row.port}
        for name, outcome in (("before", self.before), ("after", self.after)):
            out[name] = asdict(outcome) if outcome.verdict else None
        return {**out, "change": self.kind}


def outcome_of(host: Host, trace: Trace) -> Outcome:
    """Return the outcome of a walk on a host."""
    unanswered = trace.verdict == "ACCEPT" and is_unanswered(host, trace.legs[0])
    return Outcome(trace.verdict, arrived_at(trace), unanswered)


def outcomes(host: Host, asked: Iterable[Row], family: Family = 4) -> dict[Row, Outcome]:
    """Return the outcome of each row; those of a host are kept with it."""
    simulator = simulator_of(host)
    known: dict[Row, Outcome] = simulator.kept.setdefault(f"outcomes {family}", {})
    found: dict[Row, Outcome] = {}
    for row in tracked(asked, "checking connections"):
        outcome = known.get(row)
        if outcome is None:
            try:
                outcome = outcome_of(host, simulator.follow(row.question(family)))
            except UsageError:
                outcome = Outcome()
            known[row] = outcome
        found[row] = outcome
    return found


class SideEffects:
    """The other connections whose outcome a change alters. They are walked on first use, as there are hundreds.

    Args:
        before / after: the hosts.
        family: of the packets.
        most: as in :func:`asked_near`.
        near: the endpoints of the packet that the change is about.
        is_asked: whether a row is that packet's own connection.
    """

    def __init__(
        self,
        before: Host,
        after: Host,
        family: Family,
        most: int,
        near: Collection[str],
        is_asked: Callable[[Row], bool],
    ) -> None:
        self._hosts, self._family, self._is_asked = (before, after), family, is_asked
        self._most, self._near = most, near

    @cached_property
    def _asked(self) -> tuple[list[Row], int]:
        return asked_near(*self._hosts, self._family, self._most, self._near)

    @property
    def left_out(self) -> int:
        """The number of connections that are not checked."""
        return self._asked[1]

    @cached_property
    def shifts(self) -> tuple[Shift, ...]:
        """The connections."""
        asked = [row for row in self._asked[0] if not self._is_asked(row)]
        before, after = (outcomes(host, asked, self._family) for host in self._hosts)
        return tuple(Shift(row, before[row], after[row]) for row in asked if before[row] != after[row])


def asked_near(
    before: Host, after: Host, family: Family, most: int, near: Collection[str]
) -> tuple[list[Row], int]:
    """Return the connections to check on two hosts near one packet, and the number left out because of the limit.

    Args:
        before / after: the hosts.
        family: of the packets.
        most: the limit; connections of the packet's endpoints, the internet or the host itself are
            never left out.
        near: the packet's endpoints.
    """
    every = list(dict.fromkeys([*questions(before, family), *questions(after, family)]))

    def counts(row: Row) -> bool:
        return row.sender in near or row.to in near or row.sender in _OUTER or row.to == "internet"

    first = [row for row in every if counts(row)]
    rest = [row for row in every if not counts(row)]
    asked = [*first, *rest[: max(0, most - len(first))]]
    return asked, len(every) - len(asked)


def shifts(before: Host, after: Host, family: Family = 4) -> tuple[list[Shift], int]:
    """Return the connections whose verdict differs on another host, and the number left unchecked."""
    every = list(dict.fromkeys([*rows(before, family), *rows(after, family)]))
    asked = every[:MOST]
    was, now = (outcomes(host, asked, family) for host in (before, after))
    return [Shift(row, was[row], now[row]) for row in asked if was[row] != now[row]], len(every) - len(asked)
