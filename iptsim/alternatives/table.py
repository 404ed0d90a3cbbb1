"""Who reaches whom: every pair of containers, the host and the internet, on the ports that are known."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from iptsim.errors import UsageError
from iptsim.host.model import Container, Host
from iptsim.netfilter.question import Question
from iptsim.netfilter.trace import Trace
from iptsim.netfilter.walk import Simulator
from iptsim.packet import Family, protocol_name

#: A port on which hardly anything listens: it stands for all that nobody named.
OTHER_PORT = 9999
#: How many questions are asked at most.
MOST = 4000
_OTHERS = "other ports"


@dataclass(frozen=True, slots=True)
class Row:
    """A question that is asked of both hosts.

    Attributes:
        sender / to: as a question names them.
        what: "80/tcp", or "other ports".
    """

    sender: str
    to: str
    proto: str
    port: int

    @property
    def what(self) -> str:
        """The port as people write it."""
        return _OTHERS if self.port == OTHER_PORT else f"{self.port}/{self.proto}"

    def question(self, family: Family) -> Question:
        """Return the question."""
        fields = {"from": self.sender, "to": self.to, "proto": self.proto, "dport": self.port}
        return Question.model_validate({**fields, "family": family})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes of a question.

    Attributes:
        verdict: the verdict; "" where it can't be asked.
        at: who gets the packet in the end, behind docker-proxy too; "" where nobody does.
    """

    verdict: str = ""
    at: str = ""

    @property
    def reached(self) -> bool:
        """Whether somebody gets the packet, and its answer comes back."""
        return self.verdict == "ACCEPT"


@dataclass(frozen=True, slots=True)
class Shift:
    """A question that has another outcome after a change."""

    row: Row
    before: Outcome
    after: Outcome

    @property
    def kind(self) -> str:
        """What the change does: it "opens" or "closes" a way, or "alters" it.

        A published port that leads to its container no more is closed, though the host gets the packet.
        """
        host_port = self.row.port != OTHER_PORT and "host" in (self.before.at, self.after.at)
        ways = [one.reached and not (host_port and one.at == "host") for one in (self.before, self.after)]
        return "alters" if ways[0] == ways[1] else "opens" if ways[1] else "closes"

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON."""
        row = self.row
        out: dict[str, Any] = {"from": row.sender, "to": row.to, "proto": row.proto, "dport": row.port}
        for name, outcome in (("before", self.before), ("after", self.after)):
            out[name] = {"verdict": outcome.verdict, "at": outcome.at} if outcome.verdict else None
        return {**out, "change": self.kind}


def rows(host: Host) -> Iterator[Row]:
    """Yield what to ask of a host: known ports first, then what stands for the others."""
    containers = [one for one in host.containers.values() if one.running]
    own = [one for one in containers if one.endpoints and not _borrows(one)]
    senders = [one.name for one in own]
    for target in own:
        for proto, port in _ports(target):
            for sender in (*senders, "host", "internet"):
                if sender != target.name:
                    yield Row(sender, target.name, proto, port)
    for container in containers:
        for published in container.published:
            if published.family == 4:
                proto = protocol_name(published.proto)
                to = published.host_address or "host"
                for sender in (*senders, "internet", "host"):
                    yield Row(sender, to, proto, published.host_port)
    for sender in senders:
        yield Row(sender, "internet", "tcp", 443)
        yield Row(sender, "host", "tcp", OTHER_PORT)


def _borrows(container: Container) -> bool:
    return container.network_mode == "host" or container.network_mode.startswith("container:")


def _ports(container: Container) -> Iterator[tuple[str, int]]:
    """Yield a container's ports that somebody named, and one for all others."""
    exposed = [(one.proto, one.port) for one in container.exposed]
    published = [(one.proto, one.container_port) for one in (*container.published, *container.opened)]
    for proto, port in sorted({*exposed, *published}):
        yield protocol_name(proto), port
    yield "tcp", OTHER_PORT


def outcome_of(trace: Trace) -> Outcome:
    """Return what came of a walk."""
    if trace.verdict in ("DROP", "REJECT"):
        return Outcome(trace.verdict)
    requests = [leg for leg in trace.legs if leg.direction == "original"]
    delivered = requests[-1].delivered
    kind = delivered.kind if delivered is not None else ""
    return Outcome(trace.verdict, delivered.name if delivered is not None and kind == "container" else kind)


def reachability(host: Host, asked: Iterable[Row], family: Family = 4) -> dict[Row, Outcome]:
    """Return the outcome of each row."""
    simulator = Simulator(host)
    found: dict[Row, Outcome] = {}
    for row in asked:
        try:
            found[row] = outcome_of(simulator.walk(row.question(family)))
        except UsageError:
            found[row] = Outcome()
    return found


def asked_of(
    before: Host, after: Host, most: int = MOST, near: Collection[str] = ()
) -> tuple[list[Row], int]:
    """Return the rows to ask of two hosts, and how many are left out because they are too many.

    Args:
        before / after: the hosts.
        most: how many rows to return.
        near: whose rows come first.
    """
    every = list(dict.fromkeys([*rows(before), *rows(after)]))
    if near:
        every.sort(key=lambda row: row.sender not in near and row.to not in near)
    return every[:most], max(0, len(every) - most)


def shifts(before: Host, after: Host, family: Family = 4, most: int = MOST) -> tuple[list[Shift], int]:
    """Return what has another verdict on another host, and how many questions were left out."""
    asked, left_out = asked_of(before, after, most)
    was, now = (reachability(host, asked, family) for host in (before, after))
    return [Shift(row, was[row], now[row]) for row in asked if was[row] != now[row]], left_out
