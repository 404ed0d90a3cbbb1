"""The rules that dockerd writes for its settings, table by table, in dockerd's order.

A daemon's life is replayed: it starts, makes its networks, containers get their addresses, ports and
links. Each step applies the facts of the generation's layout to the chains, as the iptables commands of
dockerd do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from itertools import groupby

from iptsim.docker.dockerd.generations import LAYOUTS
from iptsim.docker.dockerd.merge import in_place
from iptsim.docker.dockerd.port_order import exposed, publications
from iptsim.docker.dockerd.recognition import is_dockers
from iptsim.docker.dockerd.templates import Fact
from iptsim.docker.dockerd.written_rules import Made, Origin, Written, print_order
from iptsim.docker.model.settings import DockerContainer, DockerHost, DockerNetwork, Publication
from iptsim.dump.ruleset import BUILTIN_CHAINS, Chain, Rule, Ruleset, Table
from iptsim.host.containers import Endpoint, Link
from iptsim.packet import Family, address_text, protocol_name

FAMILIES: tuple[Family, Family] = (4, 6)
_LOOPBACK = {4: "127.0.0.0/8", 6: "::1/128"}
_ICMP = {4: "icmp", 6: "ipv6-icmp"}


def write(docker: DockerHost, family: Family, engine: str | None = None) -> Written:
    """Replay what dockerd does.

    Args:
        docker: the settings.
        family: 4 or 6.
        engine: "20.10", "26", "28" or "29"; None for the generation of the settings.
    """
    if engine is not None:
        docker = docker.with_engine(engine)
    return _Writer(docker, family).written()


def rules_for(
    docker: DockerHost,
    family: Family,
    engine: str | None = None,
    base: Ruleset | None = None,
    before: DockerHost | None = None,
) -> Ruleset:
    """Return the rules that dockerd writes, as iptables-save would print them.

    Args:
        docker: the settings.
        family: 4 or 6.
        engine: "20.10", "26", "28" or "29"; None for the generation of the settings.
        base: the rules that are there: what others wrote stays in its place, and Docker's are made new.
        before: the settings that were in force when `base` was saved; None: the same.
    """
    written = write(docker, family, engine)
    if base is None:
        return _ruleset(written)
    old = before or docker
    bridges = {network.bridge for network in old.networks}
    return in_place(
        base, _ruleset(written), written, write(old, family), lambda rule: is_dockers(rule, bridges)
    )


def _ruleset(written: Written) -> Ruleset:
    """Make the tables and chains, with typed rules."""
    # Imported here: the grammar takes a while to load.
    from iptsim.dump.reader import loads

    places = sorted(_with_builtin(written.chains), key=print_order)
    lines: list[str] = []
    for table, group in groupby(places, key=lambda place: place[0]):
        chains = [chain for _, chain in group]
        lines.append(f"*{table}")
        lines += [f":{chain} {_policy(written, table, chain)} [0:0]" for chain in chains]
        lines += [
            f"-A {chain} {made.text}" for chain in chains for made in written.chains.get((table, chain), ())
        ]
        lines.append("COMMIT")
    ruleset = loads("".join(f"{line}\n" for line in lines), source="<dockerd>", family=written.family)
    return Ruleset(
        family=written.family,
        tables={name: _made_table(found) for name, found in ruleset.tables.items()},
        source="<dockerd>",
    )


def _policy(written: Written, table: str, chain: str) -> str:
    if chain not in BUILTIN_CHAINS[table]:
        return "-"
    return "DROP" if (table, chain) == ("filter", "FORWARD") and written.forward_drop else "ACCEPT"


def _with_builtin(chains: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    tables = {table for table, _ in chains}
    return {*chains, *((table, chain) for table in tables for chain in BUILTIN_CHAINS[table])}


def _made_table(table: Table) -> Table:
    """Return a table whose rules were made in memory, not read from a file."""
    chains = {
        name: Chain(
            table.name,
            name,
            chain.policy,
            rules=[
                Rule(rule.table, name, rule.position, rule.parameters, rule.matches, rule.target)
                for rule in chain.rules
            ],
        )
        for name, chain in table.chains.items()
    }
    return Table(table.name, chains)


class _Writer:
    """Applies the facts of a layout, in the order of a daemon's life."""

    def __init__(self, docker: DockerHost, family: Family) -> None:
        self.docker = docker
        self.family = family
        self.layout = LAYOUTS[docker.generation]
        self.chains: dict[tuple[str, str], list[Made]] = {}
        #: the rules of each chain by their text
        self.present: dict[tuple[str, str], dict[str, Made]] = {}
        self.joined: set[str] = set()
        self.words = frozenset(self._daemon_words())

    def _daemon_words(self) -> Iterator[str]:
        yield "ipv4" if self.family == 4 else "ipv6"
        if self.docker.filters(4) or self.docker.major >= 27:
            yield "isolating"
        if self.docker.proxy:
            yield "proxy"
        if self.docker.wsl2_mirrored:
            yield "wsl2"
        if self.docker.daemon.allow_direct_routing:
            yield "direct"
        if self.family in self.layout.user_chain:
            yield "user-chain"

    def written(self) -> Written:
        if not self.docker.filters(self.family):
            return Written(self.family, {}, forward_drop=False)
        if self.docker.earlier:
            found = (self.docker.network(name) for name in self.docker.earlier)
            self._start(network for network in found if network is not None)
            for place in self.layout.chains:
                self.chains[place] = []
                self.present.pop(place, None)
        self._start(self.docker.networks)
        self._run()
        return Written(self.family, self.chains, self._drops())

    def _start(self, networks: Iterable[DockerNetwork]) -> None:
        """Start the daemon and make or restore its networks."""
        for place in self.layout.chains:
            self.chains.setdefault(place, [])
        if self.family in self.layout.user_chain:
            self.chains.setdefault(("filter", "DOCKER-USER"), [])
        values = {"loopback": _LOOPBACK[self.family]}
        self._apply(self.layout.start, self.words, values, Origin())
        self._apply(self.layout.settled, self.words, values, Origin())
        for network in networks:
            self._network(network)
            self._apply(self.layout.settled, self.words, values, Origin())

    def _run(self) -> None:
        """Start the containers."""
        pairs = joins(self.docker)
        order = [(container.name, endpoint.network) for container, endpoint in pairs]
        at_once = self.docker.opened
        for container, endpoint in pairs:
            self._join(container, endpoint)
            if container.name not in at_once and self._opens_at(container, order) is endpoint:
                self._open(container)
        for name in at_once:
            started = self.docker.container(name)
            if started is not None:
                self._open(started)

    def _opens_at(self, container: DockerContainer, order: list[tuple[str, str]]) -> Endpoint | None:
        """Return the endpoint with which the ports of the family are opened.

        Where another one leads outside in IPv6, those of IPv4 are opened anew when it comes.
        """
        leading = gateways(self.docker, container)
        found = leading.get(self.family)
        other = leading.get(6)
        if found is None or self.family == 6 or other is None:
            return found
        return max(found, other, key=lambda endpoint: order.index((container.name, endpoint.network)))

    def _open(self, container: DockerContainer) -> None:
        """Open a container's ports and links."""
        endpoint = gateways(self.docker, container).get(self.family)
        network = self.docker.network(endpoint.network) if endpoint is not None else None
        if endpoint is None or network is None:
            return
        self._ports(container, endpoint, network)
        if not network.icc and network.default and self.family == 4:
            self._links(container, network)

    def _drops(self) -> bool:
        """Tell whether the daemon sets the policy of FORWARD to DROP when it turns forwarding on."""
        daemon, family = self.docker.daemon, self.family
        if daemon.ip_forward is False or (self.layout.drop_per_network and daemon.ip_forward_no_drop):
            return False
        if family in self.layout.drop_always:
            return True
        if self.layout.drop_per_network and all(n.subnet(family) is None for n in self.docker.networks):
            return False
        return family not in self.docker.forwarded_before

    def _apply(
        self, facts: Iterable[Fact], words: frozenset[str], values: dict[str, str], origin: Origin
    ) -> None:
        network = self.docker.network(origin.network)
        default = network is None or network.default
        for fact in facts:
            if not fact.holds(words):
                continue
            setting = fact.setting_on(default=default)
            made_for = Origin(setting, origin.network, origin.container, origin.port, origin.link)
            made = Made(fact.table, fact.chain, fact.fill(values), fact, made_for)
            chain = self.chains.setdefault((fact.table, fact.chain), [])
            there = self.present.setdefault((fact.table, fact.chain), {})
            present = there.get(made.text)
            if present is not None:
                if fact.operation != "top":
                    continue
                chain.remove(present)
            there[made.text] = made
            chain.insert(len(chain) if fact.operation == "append" else 0, made)

    # -- networks ----------------------------------------------------------------------------------

    def _network_words(self, network: DockerNetwork) -> frozenset[str]:
        mode = network.mode(self.family)
        told = {
            "icc": network.icc,
            "masquerade": network.masquerade,
            "internal": network.internal,
            "routed": mode == "routed",
            "unprotected": mode == "nat-unprotected",
            "snat": self.family in network.snat,
            "subnet": network.subnet(self.family) is not None,
        }
        return self.words | {word for word, holds in told.items() if holds}

    def _network(self, network: DockerNetwork) -> None:
        values = {
            "bridge": network.bridge,
            "subnet": str(network.subnet(self.family) or ""),
            "snat": network.snat.get(self.family, ""),
            "loopback": _LOOPBACK[self.family],
            "icmp": _ICMP[self.family],
        }
        self._apply(self.layout.network, self._network_words(network), values, Origin(network=network.name))

    # -- containers --------------------------------------------------------------------------------

    def _join(self, container: DockerContainer, endpoint: Endpoint) -> None:
        network = self.docker.network(endpoint.network)
        if network is None:
            return
        self.joined.add(container.name)
        address = endpoint.address(self.family)
        if address is None:
            return
        values = {"bridge": network.bridge, "address": self._host_address(address)}
        origin = Origin(network=network.name, container=container.name)
        words = self._network_words(network)
        for trusted in network.trusted:
            self._apply(self.layout.trusted, words, {**values, "trusted": trusted}, origin)
        self._apply(self.layout.endpoint, words, values, origin)

    def _host_address(self, address: int) -> str:
        return f"{address_text(self.family, address)}/{32 if self.family == 4 else 128}"

    def _ports(self, container: DockerContainer, endpoint: Endpoint, network: DockerNetwork) -> None:
        address = endpoint.address(self.family)
        if address is None or network.internal:
            return
        by_host_port = self.docker.major < 27
        for published in publications(container, network, self.family, by_host_port=by_host_port):
            self._port(published, container, address, network)

    def _port(
        self, published: Publication, container: DockerContainer, address: int, network: DockerNetwork
    ) -> None:
        proto = protocol_name(published.proto)
        on_host = ip_address(published.address)
        own = address_text(self.family, address)
        told = {
            "nat": published.host_port != 0,
            "loopback": on_host.is_loopback and self.family == 4,
            "sctp": proto == "sctp",
        }
        words = self._network_words(network) | {word for word, holds in told.items() if holds}
        values = {
            "bridge": network.bridge,
            "address": self._host_address(address),
            "proto": proto,
            "host": "" if on_host.is_unspecified else f"-d {self._host_address(int(on_host))} ",
            "host_loopback": self._host_address(int(on_host)),
            "link_local": "! -s fe80::/10 " if self.family == 6 else "",
            "host_port": str(published.host_port),
            "container_port": str(published.container_port),
            "target": f"{own if self.family == 4 else f'[{own}]'}:{published.container_port}",
        }
        origin = Origin(
            network=network.name, container=container.name, port=f"{published.container_port}/{proto}"
        )
        self._apply(self.layout.port, words, values, origin)

    # -- links -------------------------------------------------------------------------------------

    def _links(self, container: DockerContainer, network: DockerNetwork) -> None:
        """Open the ports of the containers that this one has links to.

        What others have to this one was opened when they started. Where it starts again under them,
        dockerd means to do so once more, but takes the last of its own links in their place (the
        parents in addLinks of daemon/container_operations_unix.go), and opens its ports to that one.
        """
        targets = [(link, self.docker.container(link.target)) for link in container.links]
        linked = [
            (link, target)
            for link, target in targets
            if target is not None and target.endpoint(network.name) is not None
        ]
        restarted = any(
            link.target == container.name
            for other in self.docker.containers
            if other.name in self.joined
            for link in other.links
        )
        if linked and restarted:
            link, target = linked[-1]
            self._link(target, container, link, network)
        for link, target in linked:
            self._link(container, target, link, network)

    def _link(
        self, client: DockerContainer, server: DockerContainer, link: Link, network: DockerNetwork
    ) -> None:
        addresses = [
            endpoint.address(self.family)
            for one in (client, server)
            if (endpoint := one.endpoint(network.name)) is not None
        ]
        for port in exposed(server):
            proto = protocol_name(port.proto)
            values = {
                "bridge": network.bridge,
                "client": self._host_address(addresses[0] or 0),
                "server": self._host_address(addresses[1] or 0),
                "proto": proto,
                "container_port": str(port.port),
            }
            origin = Origin(
                network=network.name,
                container=server.name,
                port=f"{port.port}/{proto}",
                link=f"{client.name}:{server.name}:{link.alias}",
            )
            self._apply(self.layout.link, self._network_words(network), values, origin)


def joins(docker: DockerHost) -> list[tuple[DockerContainer, Endpoint]]:
    """Return the containers' endpoints in the order in which they came to be."""
    order = {join: number for number, join in enumerate(docker.joins)}
    pairs = [(container, endpoint) for container in docker.containers for endpoint in container.endpoints]
    return sorted(pairs, key=lambda pair: order.get((pair[0].name, pair[1].network), len(order)))


def gateways(docker: DockerHost, container: DockerContainer) -> dict[Family, Endpoint]:
    """Return the endpoint that has the default route, by family; published ports lead to it.

    It is the one with the highest priority, not internal, with gateways in more families, whose
    network's name comes first (Endpoint.Less in libnetwork/sandbox.go). Before 28, IPv4 decides for both
    families (selectGatewayEndpoint of 28).
    """
    candidates: list[tuple[int, int, str, Endpoint, list[Family]]] = []
    for endpoint in container.endpoints:
        network = docker.network(endpoint.network)
        if network is None or network.internal:
            continue
        families = list(endpoint.addresses)
        if families:
            candidates.append((-endpoint.gateway_priority, -len(families), network.name, endpoint, families))
    candidates.sort(key=lambda candidate: candidate[:3])
    found: dict[Family, Endpoint] = {}
    for *_, endpoint, families in candidates:
        if len(families) == len(FAMILIES) or (docker.major < 28 and 4 in families):
            return dict.fromkeys(FAMILIES, endpoint)
        for family in families:
            found.setdefault(family, endpoint)
    return found
