"""Replays what a daemon does: it starts, creates networks, and containers get addresses, ports and links.

Each step applies the templates of its generation's layout to the chains, as dockerd's iptables commands do.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address

from iptsim.addresses import BITS, Family, address_text
from iptsim.docker.dockerd import nft_templates
from iptsim.docker.dockerd.gateway import gateways, joins
from iptsim.docker.dockerd.generations import LAYOUTS
from iptsim.docker.dockerd.port_order import exposed, publications
from iptsim.docker.dockerd.templates import Layout, RuleTemplate
from iptsim.docker.dockerd.written_rules import Origin, WrittenRule, WrittenRules
from iptsim.docker.model.settings import DockerContainer, DockerHost, DockerNetwork, Ingress, Publication
from iptsim.host.containers import Endpoint, Link
from iptsim.host.docker_defaults import MESH
from iptsim.protocols import protocol_name

_LOOPBACK = {4: "127.0.0.0/8", 6: "::1/128"}
_ICMP = {4: "icmp", 6: "ipv6-icmp"}


def write(docker: DockerHost, family: Family) -> WrittenRules:
    """Replay what dockerd does, and return the rules it writes.

    Args:
        docker: the settings.
        family: 4 or 6.
    """
    return _Replay(docker, family).written()


def write_nft(docker: DockerHost, family: Family) -> WrittenRules:
    """Return the rules that dockerd writes with nftables, by chain; none if its backend is iptables."""
    if not (docker.uses_nftables and docker.protects(family)):
        return WrittenRules(family, {}, forward_drop=False)
    return _Replay(docker, family, nft_templates.LAYOUT).started()


class _Replay:
    """A daemon at work: the templates of its layout applied in the order of events."""

    def __init__(self, docker: DockerHost, family: Family, layout: Layout | None = None) -> None:
        self.docker = docker
        self.family = family
        self.layout = layout or LAYOUTS[docker.engine.generation]
        self.common = {
            "ip": "ip" if family == 4 else "ip6",
            "loopback": _LOOPBACK[family],
            "icmp": _ICMP[family],
        }
        self.chains: dict[tuple[str, str], list[WrittenRule]] = {}
        #: the rules of each chain by their text
        self.present: dict[tuple[str, str], dict[str, WrittenRule]] = {}
        self.joined: set[str] = set()
        self.met = frozenset(self._daemon_conditions())

    def _daemon_conditions(self) -> Iterator[str]:
        yield "ipv4" if self.family == 4 else "ipv6"
        if self.docker.filters(4) or self.docker.engine.isolates_without_iptables:
            yield "isolating"
        if self.docker.proxy:
            yield "proxy"
        if self.docker.wsl2_mirrored:
            yield "wsl2"
        if self.docker.daemon.allow_direct_routing:
            yield "direct"
        if self.family in self.layout.user_chain:
            yield "user-chain"

    def written(self) -> WrittenRules:
        if not self.docker.filters(self.family):
            return WrittenRules(self.family, {}, forward_drop=False)
        if self.docker.earlier:
            found = (self.docker.network(name) for name in self.docker.earlier)
            self._start(network for network in found if network is not None)
            for place in self.layout.chains:
                self.chains[place] = []
                self.present.pop(place, None)
        return self.started()

    def started(self) -> WrittenRules:
        """Start the daemon, then the containers, and return the rules."""
        self._start(self.docker.networks)
        self._run()
        return WrittenRules(self.family, self.chains, self._drops())

    def _start(self, networks: Iterable[DockerNetwork]) -> None:
        """Start the daemon and create or restore its networks."""
        for place in self.layout.chains:
            self.chains.setdefault(place, [])
        if self.family in self.layout.user_chain:
            self.chains.setdefault(("filter", "DOCKER-USER"), [])
        self._apply(self.layout.start, self.met, {}, Origin())
        self._apply(self.layout.settled, self.met, {}, Origin())
        for network in networks:
            self._network(network)
            self._apply(self.layout.settled, self.met, {}, Origin())

    def _run(self) -> None:
        """Start the containers."""
        pairs = joins(self.docker)
        order = {
            (container.name, endpoint.network): number for number, (container, endpoint) in enumerate(pairs)
        }
        at_once = self.docker.opened
        for container, endpoint in pairs:
            self._join(container, endpoint)
            if container.name not in at_once and self._opens_at(container, order) is endpoint:
                self._open(container)
        for name in at_once:
            started = self.docker.container(name)
            if started is not None:
                self._open(started)
        if self.docker.ingress is not None and self.family == 4:
            self._publish_services(self.docker.ingress)

    def _publish_services(self, ingress: Ingress) -> None:
        """Open the ports that services of the swarm publish on this node."""
        self._apply(self.layout.ingress, self.met, {"bridge": ingress.bridge}, Origin(network=ingress.bridge))
        self._apply(self.layout.settled, self.met, {}, Origin())
        mesh = self.docker.container(MESH)
        for number, port in ingress.ports:
            proto = protocol_name(number)
            origin = Origin(
                network=ingress.bridge if mesh is not None else "",
                container=MESH if mesh is not None else "",
                port=f"{port}/{proto}",
            )
            values = {"proto": proto, "host_port": str(port), "target": f"{ingress.address}:{port}"}
            self._apply(self.layout.ingress_port, self.met, values, origin)

    def _opens_at(self, container: DockerContainer, order: Mapping[tuple[str, str], int]) -> Endpoint | None:
        """Return the endpoint that opens the ports of the family when the container joins its network.

        Where the default route of IPv6 is another endpoint's, the ports of IPv4 are opened again when it joins.
        """
        leading = gateways(self.docker, container)
        found = leading.get(self.family)
        other = leading.get(6)
        if found is None or self.family == 6 or other is None:
            return found
        return max(found, other, key=lambda endpoint: order[container.name, endpoint.network])

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
        """Return whether the daemon sets the policy of FORWARD to DROP when it turns forwarding on."""
        daemon, family = self.docker.daemon, self.family
        if daemon.ip_forward is False or (self.layout.drop_per_network and daemon.ip_forward_no_drop):
            return False
        if family in self.layout.drop_always:
            return True
        if self.layout.drop_per_network and all(n.subnet(family) is None for n in self.docker.networks):
            return False
        return family not in self.docker.forwarded_before

    def _apply(
        self, templates: Iterable[RuleTemplate], met: frozenset[str], values: dict[str, str], origin: Origin
    ) -> None:
        network = self.docker.network(origin.network)
        default = network is None or network.default
        filled = {**self.common, **values}
        for template in templates:
            if not template.applies(met):
                continue
            setting = template.setting_on(default=default)
            made_for = Origin(setting, origin.network, origin.container, origin.port, origin.link)
            place = template.place(filled)
            made = WrittenRule(*place, template.fill(filled), template, made_for)
            chain = self.chains.setdefault(place, [])
            there = self.present.setdefault(place, {})
            present = there.get(made.text)
            if present is not None:
                if template.operation != "top":
                    continue
                chain.remove(present)
            there[made.text] = made
            end = bisect_right(chain, template.group, key=lambda one: one.template.group)
            chain.insert(end if template.operation == "append" else 0, made)

    # -- networks ----------------------------------------------------------------------------------

    def _network_conditions(self, network: DockerNetwork) -> frozenset[str]:
        mode = network.mode(self.family)
        conditions = {
            "icc": network.icc,
            "masquerade": network.masquerade,
            "internal": network.internal,
            "routed": mode == "routed",
            "unprotected": mode == "nat-unprotected",
            "snat": self.family in network.snat,
            "subnet": network.subnet(self.family) is not None,
        }
        return self.met | {name for name, met in conditions.items() if met}

    def _network(self, network: DockerNetwork) -> None:
        values = {
            "bridge": network.bridge,
            "subnet": str(network.subnet(self.family) or ""),
            "snat": network.snat.get(self.family, ""),
        }
        self._apply(
            self.layout.network, self._network_conditions(network), values, Origin(network=network.name)
        )

    # -- containers --------------------------------------------------------------------------------

    def _join(self, container: DockerContainer, endpoint: Endpoint) -> None:
        network = self.docker.network(endpoint.network)
        if network is None:
            return
        self.joined.add(container.name)
        address = endpoint.address(self.family)
        if address is None:
            return
        own = [f'"{name}"' for name in sorted((network.bridge, *network.trusted))]
        values = {
            "bridge": network.bridge,
            "address": self._host_address(address),
            "own": own[0] if len(own) == 1 else f"{{ {', '.join(own)} }}",
        }
        origin = Origin(network=network.name, container=container.name)
        met = self._network_conditions(network)
        for trusted in network.trusted:
            self._apply(self.layout.trusted, met, {**values, "trusted": trusted}, origin)
        self._apply(self.layout.endpoint, met, values, origin)

    def _host_address(self, address: int) -> str:
        return f"{address_text(self.family, address)}/{BITS[self.family]}"

    def _ports(self, container: DockerContainer, endpoint: Endpoint, network: DockerNetwork) -> None:
        address = endpoint.address(self.family)
        if address is None or network.internal:
            return
        by_host_port = self.docker.engine.opens_ports_by_host_port
        for published in publications(container, network, self.family, by_host_port=by_host_port):
            self._port(published, container, address, network)

    def _port(
        self, published: Publication, container: DockerContainer, address: int, network: DockerNetwork
    ) -> None:
        proto = protocol_name(published.proto)
        on_host = ip_address(published.address)
        own = address_text(self.family, address)
        conditions = {
            "nat": published.host_port != 0,
            "loopback": on_host.is_loopback and self.family == 4,
            "sctp": proto == "sctp",
        }
        met = self._network_conditions(network) | {name for name, is_met in conditions.items() if is_met}
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
        self._apply(self.layout.port, met, values, origin)

    # -- links -------------------------------------------------------------------------------------

    def _links(self, container: DockerContainer, network: DockerNetwork) -> None:
        """Open the ports of the containers that this one has links to.

        Links of others to this container were opened when they started. Where it restarts while they run,
        dockerd tries to open them again, but mistakes the last of its own links for them (the parents in addLinks of
        daemon/container_operations_unix.go), and opens its ports to that container.
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
            self._apply(self.layout.link, self._network_conditions(network), values, origin)
