"""Ranges of published ports that no rule and no listening program distinguishes.

A published range (FTP, RTP) may have thousands of ports, with rules that differ only in the port number. The answer
for one of them applies to all, so only one is checked.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from iptsim.dump.rule import Rule
from iptsim.host.containers import Container, PublishedPort
from iptsim.host.model import Host
from iptsim.host.namespace import Listener

#: Shorter ranges are listed port by port.
SHORTEST = 8
#: An option that matches ports, negated or not, and its value.
_ASKED = re.compile(
    r"(! )?(--(?:(?:source-|destination-)?ports?|[sd]ports?|ct(?:orig|repl)(?:src|dst)port)) ([0-9:,]+)(?= |$)"
)
_RANGE = r"(?:[0-9]{1,5}(?::[0-9]{0,5})?|:[0-9]{0,5})"
#: Ports and ranges, as iptables reads them.
_PORTS = re.compile(rf"{_RANGE}(?:,{_RANGE})*")
#: The port that a target sets, with or without an address.
_GIVEN = re.compile(r"(--to-(?:destination|source) \S*:|--to-ports )([0-9]+)(?=[-/ ]|$)")
#: Matches that may distinguish ports although no option names one.
_OPAQUE = re.compile(r"-m (?:u32|bpf|set|ipvs|statistic) ")


#: The listening programs of each port.
_Listening = dict[int, set[tuple[object, ...]]]


class PortRuns:
    """Finds the ports that a host's rules distinguish, in one pass over the rules."""

    def __init__(self, host: Host) -> None:
        self._opaque = False
        #: a run of ports ends before each of these ports
        self._borders: set[int] = set()
        self._signs: dict[int, list[tuple[str, str, int, str]]] = defaultdict(list)
        self._host = _by_port(host.namespace.listeners)
        for number, ruleset in enumerate((*host.rulesets.values(), *host.extra_rulesets.values())):
            for table in ruleset.tables.values():
                for chain in table.chains.values():
                    self._look(chain.rules, f"{number} {table.name}")

    def _look(self, rules: Iterable[Rule], table: str) -> None:
        general = 0
        for rule in rules:
            text = rule.text
            self._opaque |= _OPAQUE.search(text) is not None
            asked = _ASKED.findall(text)
            ports = {value for _, _, value in asked}
            if not all(map(_PORTS.fullmatch, ports)):
                self._opaque = True
                continue
            if (
                len(ports) == 1
                and next(iter(ports)).isdecimal()
                and not any(negated for negated, _, _ in asked)
            ):
                port = int(next(iter(ports)))
                self._signs[port].append((table, rule.chain, general, _without(text, port)))
                continue
            general += 1
            for value in ports:
                for part in value.split(","):
                    first, _, last = part.partition(":")
                    self._borders |= {int(first or 0), int(last or (65535 if ":" in part else first)) + 1}

    def of(self, container: Container, ports: Iterable[PublishedPort]) -> list[list[PublishedPort]]:
        """Return the published ports of a container as runs, in the order of their first ports.

        A run has one port, or at least :data:`SHORTEST`.
        """
        given = list(ports)
        inside = _by_port(container.namespace.listeners)

        def place(number: int) -> tuple[object, ...]:
            one = given[number]
            return one.family, one.host_address or "", one.proto, one.host_port

        found: list[list[int]] = []
        for number in sorted(range(len(given)), key=place):
            if found and self._alike(given[found[-1][-1]], given[number], inside):
                found[-1].append(number)
            else:
                found.append([number])
        runs = [part for run in found for part in ([run] if len(run) >= SHORTEST else [[one] for one in run])]
        return [[given[number] for number in run] for run in sorted(runs, key=min)]

    def _alike(self, one: PublishedPort, following: PublishedPort, inside: _Listening) -> bool:
        """Return whether a port is the successor of another, and nothing distinguishes them."""
        if self._opaque or (one.family, one.host_address, one.proto) != (
            following.family, following.host_address, following.proto,
        ):  # fmt: skip
            return False
        pairs = (
            (one.host_port, following.host_port, self._host),
            (one.container_port, following.container_port, inside),
        )
        return all(
            second == first + 1
            and second not in self._borders
            and self._signs.get(first) == self._signs.get(second)
            and listening.get(first) == listening.get(second)
            for first, second, listening in pairs
        )


def _without(text: str, port: int) -> str:
    """Return the text of a rule without its port; the port that a target sets is replaced by its distance."""
    text = _GIVEN.sub(lambda found: f"{found[1]}{int(found[2]) - port:+}", text)
    return _ASKED.sub(lambda found: f"{found[2]} #", text)


def _by_port(listeners: Iterable[Listener]) -> _Listening:
    found: _Listening = defaultdict(set)
    for one in listeners:
        found[one.port].add((one.proto, one.address, tuple(one.families.items()), one.interface))
    return found
