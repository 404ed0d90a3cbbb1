"""Reachability: which of containers, host and internet can reach each other, on the known ports.

The public function is :func:`reachability`, also available as `iptsim.reachability`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iptsim.addresses import Family, is_loopback
from iptsim.asking import ask
from iptsim.dump.chain_graph import ChainGraph
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Ruleset
from iptsim.errors import UsageError
from iptsim.explanation import Explanation
from iptsim.explanation.expectation import is_refused
from iptsim.explanation.reason_of import Reason
from iptsim.extensions.constraints import Ranges
from iptsim.extensions.matches.multiport import Multiport
from iptsim.extensions.matches.tcp import Tcp
from iptsim.extensions.matches.udp import Udp
from iptsim.extensions.verdicts import BLOCKING, TRANSLATING_DESTINATION
from iptsim.host import Host
from iptsim.host.containers import Container
from iptsim.host.namespace import Namespace
from iptsim.host.port_runs import PortRuns
from iptsim.languages import Text, message
from iptsim.netfilter.trace import Trace
from iptsim.netfilter.walk import Simulator, simulator_of
from iptsim.progress import tracked
from iptsim.protocols import TCP, UDP, protocol_name
from iptsim.question.endpoints import KEYWORDS
from iptsim.question.model import Question
from iptsim.shown import Framed
from iptsim.sources import load_host

SCHEMA = "iptsim.reachability/1"
#: A rarely used port, which represents all ports that are not named anywhere.
OTHER_PORT = 9999
#: The limit on checked connections.
MOST = 4000
#: The limit on checked ports that rules for the host itself name.
_HOST_PORTS = 24
#: The limit on checked listening ports of a namespace.
_HEARD = 48
_OTHERS = "other ports"
_OUTCOMES = {"ACCEPT": "open", "DROP": "blocked", "REJECT": "blocked", "DEPENDS": "depends"}


@dataclass(frozen=True, slots=True)
class Row:
    """A connection to check: two endpoints and a port.

    Attributes:
        sender / to: the endpoints, as in a question.
        proto: the protocol's name.
        port: the destination port; None for ICMP, which is checked with an echo request.
        last: the last port of a range that nothing distinguishes; else None.
    """

    sender: str
    to: str
    proto: str
    port: int | None
    last: int | None = None

    @property
    def what(self) -> str:
        """The port in usual notation: "80/tcp", "20000-24999/udp", "other ports", "icmp"."""
        if self.port is None:
            return self.proto
        if self.last is not None:
            return f"{self.port}-{self.last}/{self.proto}"
        return _OTHERS if self.port == OTHER_PORT else f"{self.port}/{self.proto}"

    @property
    def says(self) -> Text:
        """The port as a message."""
        return message("other ports") if self.what == _OTHERS else self.what

    def question(self, family: Family, verbose: bool = False) -> Question:
        """Return the question."""
        return Question(
            sender=self.sender, to=self.to, proto=self.proto, dport=self.port, family=family, verbose=verbose
        )


@dataclass(frozen=True, slots=True)
class Reach:
    """What happens to a packet from one endpoint to another, and why.

    Attributes:
        row: the question.
        explanation: the answer; None if the question is not valid.
        note: why it is not valid; else empty.
    """

    row: Row
    explanation: Explanation | None = field(repr=False)
    note: str = ""

    @property
    def sender(self) -> str:
        """The source."""
        return self.row.sender

    @property
    def receiver(self) -> str:
        """The destination, as in the question; :attr:`at` is where the packet finally arrives."""
        return self.row.to

    @property
    def proto(self) -> str:
        """The protocol's name."""
        return self.row.proto

    @property
    def port(self) -> int | None:
        """The destination port, :data:`OTHER_PORT` for all other ports; None for ICMP."""
        return self.row.port

    @property
    def verdict(self) -> str:
        """ACCEPT, DROP, REJECT or DEPENDS; "" if the question is not valid."""
        return self.explanation.verdict if self.explanation is not None else ""

    @property
    def outcome(self) -> str:
        """The outcome of the connection: "open", "refused" (it passes, but nothing listens), "blocked" or "depends".

        "" if the question is not valid.
        """
        if self.explanation is not None and is_refused(self.explanation):
            return "refused"
        return _OUTCOMES.get(self.verdict, "")

    @property
    def reason(self) -> str:
        """The reason code, see docs/reasons.md; "" if the question is not valid."""
        return self.explanation.reason.code if self.explanation is not None else ""

    @property
    def at(self) -> str:
        """The final receiver, also behind docker-proxy: a container, "host", "outside".

        "" if there is none, or if that depends.
        """
        if self.explanation is None or self.verdict == "DEPENDS":
            return ""
        return arrived_at(self.explanation.trace)

    @property
    def rule(self) -> Rule | None:
        """The deciding rule, or None."""
        step = self._reason.step if self._reason is not None else None
        return step.rule if step is not None else None

    @property
    def place(self) -> str:
        """The place of the decision: "filter DOCKER rule 3", "filter FORWARD policy", or ""."""
        step = self._reason.step if self._reason is not None else None
        if step is None or step.table is None:
            return ""
        return f"{step.table} {step.chain} " + (f"rule {step.rule.position}" if step.rule else "policy")

    @property
    def _reason(self) -> Reason | None:
        return self.explanation.reason if self.explanation is not None else None

    def as_json(self) -> dict[str, Any]:
        """Return the row as plain data; null for fields that do not apply."""
        return {
            "from": self.sender,
            "to": self.receiver,
            "proto": self.proto,
            "dport": self.port,
            "what": self.row.what,
            "verdict": self.verdict or None,
            "outcome": self.outcome or None,
            "reason": self.reason or None,
            "at": self.at or None,
            "rule": self._reason.as_json()["rule"] if self._reason is not None else None,
            "note": self.note or None,
        }


@dataclass(frozen=True, slots=True)
class Reachability(Framed):
    """The reachability table of a host.

    Attributes:
        host: the host.
        family: of the packets, 4 or 6.
        rows: one answer per connection; those from the internet and the host come first.
        left_out: the number of connections left unchecked because of the limit.
    """

    host: Host = field(repr=False)
    family: Family
    rows: tuple[Reach, ...]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        left = f", {self.left_out} left out" if self.left_out else ""
        return f"<Reachability IPv{self.family}: {len(self)} answers{left}>"

    def __iter__(self) -> Iterator[Reach]:
        return iter(self.rows)

    def as_json(self) -> dict[str, Any]:
        """Return the table as plain data, schema `iptsim.reachability/1`."""
        return {
            "schema": SCHEMA,
            "family": self.family,
            "left_out": self.left_out,
            "rows": [row.as_json() for row in self.rows],
        }


def reachability(
    source: str | Path | Host, family: Family = 4, *, most: int = MOST, verbose: bool = False
) -> Reachability:
    """Return the reachability of every pair of containers, the host and the internet, on the known ports.

    The known ports are those that containers publish or expose, those that rules for the host itself name or forward
    elsewhere, and those on which programs listen. Port 9999 represents all others.

    Args:
        source: a capture directory or archive, a dump file, or a loaded :class:`Host`.
        family: of the packets, 4 or 6.
        most: the limit on checked connections.
        verbose: keep rules that did not match in the traces.

    Raises:
        CaptureError: the source cannot be read.
        DumpSyntaxError: iptables-restore would reject a line of the dump.
        RulesetError: the rules have a loop or jump to a missing chain.
        WalkLimitError: the walk takes too many steps.
    """
    host = source if isinstance(source, Host) else load_host(source)
    every = questions(host, family)
    asked = every[:most]
    simulator = simulator_of(host)
    return Reachability(
        host,
        family,
        tuple(
            _answer(simulator, row, row.question(family, verbose))
            for row in tracked(asked, "checking connections")
        ),
        len(every) - len(asked),
    )


def _answer(simulator: Simulator, row: Row, question: Question) -> Reach:
    try:
        return Reach(row, ask(simulator, question))
    except UsageError as error:
        return Reach(row, None, str(error))


def arrived_at(trace: Trace) -> str:
    """Return the final receiver of a packet: a container's name, "host", "outside"; "" if there is none."""
    if trace.verdict in BLOCKING:
        return ""
    delivered = trace.opening.delivered
    if delivered is None:
        return ""
    return delivered.name if delivered.kind == "container" else delivered.kind


# -- connections -----------------------------------------------------------------------------------


def questions(host: Host, family: Family = 4) -> list[Row]:
    """Return the connections to check on a host; those from the internet and the host come first."""
    echo = "icmp" if family == 4 else "icmpv6"
    found = dict.fromkeys(rows(host, family))
    senders = [_name(one) for one in _own(host)]
    published = {
        (protocol_name(port.proto), port.host_port)
        for container in host.containers.values()
        for port in container.published
    }
    for sender in ("internet", *senders):
        for proto, port in _named_ports(host.rulesets.get(family), "filter", "INPUT"):
            found[Row(sender, "host", proto, port)] = None
        for number, port in _heard(host.namespace, family):
            found[Row(sender, "host", protocol_name(number), port)] = None
        found[Row(sender, "host", "tcp", OTHER_PORT)] = None
        found[Row(sender, "host", echo, None)] = None
    for proto, port in _named_ports(host.rulesets.get(family), "nat", "PREROUTING", TRANSLATING_DESTINATION):
        if (proto, port) not in published:
            found[Row("internet", "host", proto, port)] = None
    found[Row("host", "internet", "tcp", 443)] = None
    for container in _own(host):
        if container.namespace.nameservers():
            found[Row(_name(container), "dns", "udp", 53)] = None
    first = {"internet": 0, "host": 1}
    return sorted(found, key=lambda row: first.get(row.sender, 2))


def rows(host: Host, family: Family = 4) -> Iterator[Row]:
    """Yield the connections to check between containers: known ports first, then one for all others."""
    own = _own(host)
    senders = [_name(one) for one in own]
    runs = PortRuns(host)
    for target in own:
        for proto, port, last in _ports(target, runs, family):
            for sender in (*senders, "host", "internet"):
                if sender != _name(target):
                    yield Row(sender, _name(target), proto, port, last)
    for container in host.containers.values():
        published = [port for port in container.published if container.running and port.family == family]
        for run in runs.of(container, published):
            first = run[0]
            to = first.host_address or "host"
            last = run[-1].host_port if len(run) > 1 else None
            for sender in (*senders, "internet", "host"):
                yield Row(sender, to, protocol_name(first.proto), first.host_port, last)
    for sender in senders:
        yield Row(sender, "internet", "tcp", 443)
        yield Row(sender, "host", "tcp", OTHER_PORT)


def _own(host: Host) -> list[Container]:
    """Return the running containers with their own network namespace."""
    return [one for one in host.containers.values() if one.running and one.endpoints and not _borrows(one)]


def _name(container: Container) -> str:
    if container.name in KEYWORDS:
        return f"{container.name}@{next(iter(container.endpoints))}"
    return container.name


def _borrows(container: Container) -> bool:
    return container.network_mode == "host" or container.shares_namespace


def _ports(container: Container, runs: PortRuns, family: Family) -> Iterator[tuple[str, int, int | None]]:
    """Yield a container's known ports, each with the last port of its range, and one port for all others."""
    ranges = {
        (run[0].proto, run[0].container_port): len(run)
        for run in runs.of(container, container.published)
        if len(run) > 1
    }
    inside = {
        (proto, first + number) for (proto, first), count in ranges.items() for number in range(1, count)
    }
    exposed = [(one.proto, one.port) for one in container.exposed]
    published = [(one.proto, one.container_port) for one in (*container.published, *container.opened)]
    heard = _heard(container.namespace, family)
    for proto, port in sorted({*exposed, *published, *heard} - inside):
        count = ranges.get((proto, port))
        yield protocol_name(proto), port, port + count - 1 if count else None
    yield "tcp", OTHER_PORT, None


def _heard(namespace: Namespace, family: Family) -> list[tuple[int, int]]:
    """Return the ports on which programs listen for connections from outside the namespace."""
    found = {
        (listener.proto, listener.port)
        for listener in namespace.listeners
        if listener.families.get(family, False) is not False
        and not (listener.address is not None and is_loopback(family, listener.address))
    }
    return sorted(found)[:_HEARD]


def _named_ports(
    ruleset: Ruleset | None, table: str, hook: str, targets: frozenset[str] | None = None
) -> list[tuple[str, int]]:
    """Return the ports in rules below a built-in chain, or only in those with some targets; of a range, the first."""
    if ruleset is None:
        return []
    found: dict[tuple[int, int], None] = {}
    for name in ChainGraph(ruleset.tables.values()).reached(table, hook):
        chain = ruleset.chain(table, name)
        for rule in chain.rules if chain is not None else ():
            if targets is not None and rule.target_name not in targets:
                continue
            for match in rule.matches:
                for low, _ in _destination_ports(match):
                    proto = rule.parameters.protocol
                    if proto in (TCP, UDP) and "protocol" not in rule.parameters.negated:
                        found[proto, low] = None
    return [(protocol_name(proto), port) for proto, port in sorted(found)[:_HOST_PORTS]]


def _destination_ports(match: object) -> Ranges:
    if isinstance(match, Tcp | Udp) and "destination_port" not in match.negated:
        return (match.destination_port,) if match.destination_port is not None else ()
    if isinstance(match, Multiport) and not match.negated:
        return match.destination_ports or match.ports or ()
    return ()
