"""Who reaches whom: every pair of containers, the host and the internet, on the ports that are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from iptsim.errors import UsageError
from iptsim.host.model import Container, Host
from iptsim.netfilter.question import Question
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
class Shift:
    """A question whose verdict is another after a change; "" where it can't be asked."""

    row: Row
    before: str
    after: str

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON."""
        row = self.row
        return {
            "from": row.sender,
            "to": row.to,
            "proto": row.proto,
            "dport": row.port,
            "before": self.before or None,
            "after": self.after or None,
        }


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


def reachability(host: Host, asked: list[Row], family: Family = 4) -> dict[Row, str]:
    """Return the verdict of each row, "" where it can't be asked."""
    simulator = Simulator(host)
    found: dict[Row, str] = {}
    for row in asked:
        try:
            found[row] = simulator.walk(row.question(family)).verdict
        except UsageError:
            found[row] = ""
    return found


def asked_of(before: Host, after: Host, most: int = MOST) -> tuple[list[Row], int]:
    """Return the rows to ask of two hosts, and how many are left out because they are too many."""
    every = list(dict.fromkeys([*rows(before), *rows(after)]))
    return every[:most], max(0, len(every) - most)


def shifts(before: Host, after: Host, family: Family = 4, most: int = MOST) -> tuple[list[Shift], int]:
    """Return what has another verdict on another host, and how many questions were left out."""
    asked, left_out = asked_of(before, after, most)
    was, now = (reachability(host, asked, family) for host in (before, after))
    return [Shift(row, was[row], now[row]) for row in asked if was[row] != now[row]], left_out
