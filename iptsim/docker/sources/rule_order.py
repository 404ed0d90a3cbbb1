"""The order of events, inferred from Docker's rules where dockerd's order is random.

dockerd restores networks and opens ports and links in the random order of Go's maps, and starts containers
concurrently.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from iptsim.docker.dockerd.replay import write
from iptsim.docker.model.settings import DockerHost, Publication
from iptsim.dump.rule import Rule
from iptsim.extensions.base import Match
from iptsim.extensions.targets.dnat import Dnat
from iptsim.host.containers import Container, ExposedPort, Link
from iptsim.host.model import Host


class RuleOrder:
    """The order in which ports and links were opened, inferred from their rules."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.forwards: dict[tuple[int, int, int], int] = {}
        self.links: dict[tuple[int, int], int] = {}
        self.linked_ports: dict[int, list[ExposedPort]] = {}
        ruleset = host.rulesets.get(4)
        nat, filter_ = (ruleset.chain(table, "DOCKER") if ruleset else None for table in ("nat", "filter"))
        for rule in nat.rules if nat is not None else ():
            target = rule.target.to_destination if isinstance(rule.target, Dnat) else None
            if target is not None and target.addresses and target.ports:
                key = (target.addresses[0], rule.parameters.protocol or 0, target.ports[0])
                self.forwards.setdefault(key, rule.position)
        for rule in filter_.rules if filter_ is not None else ():
            source, destination = rule.parameters.source, rule.parameters.destination
            ports = next((port for match in rule.matches if (port := _destination(match))), None)
            if source is not None and destination is not None and ports is not None:
                self.links.setdefault((source.address, destination.address), rule.position)
                exposed = ExposedPort(proto=rule.parameters.protocol or 0, port=ports[0])
                self.linked_ports.setdefault(destination.address, []).append(exposed)

    def published(self, container: Container, ports: list[Publication]) -> list[Publication]:
        """Return published ports in the order of their rules; those without rules come last."""
        addresses = {endpoint.address(4) for endpoint in container.endpoints.values()}

        def place(port: Publication) -> int:
            keys = [(address or 0, port.proto, port.container_port) for address in addresses]
            return min((self.forwards[key] for key in keys if key in self.forwards), default=sys.maxsize)

        return sorted(ports, key=place)

    def opened(self, docker: DockerHost) -> tuple[str, ...]:
        """Return the containers in the order of their forwarded ports; empty if each opened its ports as it joined."""
        addresses = {
            address: container.name
            for container in docker.containers
            for endpoint in container.endpoints
            if (address := endpoint.address(4)) is not None
        }
        in_order = sorted(self.forwards, key=lambda key: self.forwards[key])
        shown = dict.fromkeys(addresses[key[0]] for key in in_order if key[0] in addresses)
        made = write(docker, 4).chains.get(("nat", "DOCKER"), ())
        written = dict.fromkeys(one.origin.container for one in made if one.role == "port-forward")
        return () if [name for name in written if name in shown] == list(shown) else tuple(shown)

    def exposed(self, container: Container) -> list[ExposedPort]:
        """Return the exposed ports, those that links open first; if none are known, as in a bare dump, only these."""
        opened = list(dict.fromkeys(self.linked_ports.get(container.address(4) or 0, [])))
        if self.host.inferred and not container.exposed:
            return opened
        return sorted(
            container.exposed, key=lambda port: opened.index(port) if port in opened else len(opened)
        )

    def _shown(self, container: Container) -> list[Link]:
        """Return the links that the rules show."""
        names = {one.address(4): one.name for one in self.host.containers.values()}
        own = container.address(4)
        pairs = sorted(self.links, key=lambda pair: self.links[pair])
        targets = [names[target] for source, target in pairs if source == own and target in names]
        return [Link(target=name, alias=name) for name in targets]

    def linked(self, container: Container) -> list[Link]:
        """Return links in the order of their rules; those without rules come last. In a bare dump, rules show them."""
        if self.host.inferred and not container.links:
            return self._shown(container)

        def place(link: Link) -> int:
            target = self.host.containers.get(link.target)
            pair = container.address(4) or 0, (target.address(4) if target is not None else None) or 0
            return self.links.get(pair, sys.maxsize)

        return sorted(container.links, key=place)


def _destination(match: Match) -> tuple[int, int] | None:
    found: tuple[int, int] | None = getattr(match, "destination_port", None)
    return found


def this_order(host: Host) -> list[str]:
    """Return the bridges in the order in which this daemon set them up, inferred from its rules."""
    for ruleset in host.rulesets.values():
        chain = ruleset.chain("filter", "DOCKER-FORWARD")
        if chain is not None:
            return _bridges(chain.rules)
        chain = ruleset.chain("filter", "DOCKER-ISOLATION-STAGE-1")
        if chain is not None:
            return _bridges(reversed(chain.rules))
    return []


def first_order(host: Host) -> list[str]:
    """Return the bridges in the order in which their rules were added to built-in chains."""
    for ruleset in host.rulesets.values():
        old_style = ruleset.chain("filter", "DOCKER-FORWARD") is None
        place = ("filter", "FORWARD") if old_style else ("nat", "POSTROUTING")
        chain = ruleset.chain(*place)
        if chain is not None:
            # the DROP of --icc=false is appended, all else inserted
            return _bridges(rule for rule in reversed(chain.rules) if rule.target_name != "DROP")
    return []


def _bridges(rules: Iterable[Rule]) -> list[str]:
    names = (rule.parameters.in_interface or rule.parameters.out_interface for rule in rules)
    return list(dict.fromkeys(name for name in names if name is not None))
