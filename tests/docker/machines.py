"""The host that a Docker set-up makes: bridges, cables, addresses, routes, kernel parameters, rules.

As dockerd leaves it; see the captures. `eth0` leads to the local network 192.0.2.0/24 and the internet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_interface

from hypothesis import strategies as st

from iptsim.addresses import FAMILIES, Family
from iptsim.docker.dockerd.gateway import gateways
from iptsim.docker.dockerd.port_order import publications
from iptsim.docker.dockerd.rulesets import rules_for
from iptsim.docker.model.addressing import subnet_of
from iptsim.docker.model.settings import DockerContainer, DockerHost, DockerNetwork, Publication
from iptsim.host.connected_routes import connected_routes, default_route
from iptsim.host.containers import (
    Container,
    Endpoint,
    ExposedPort,
    Link,
    Network,
    PublishedPort,
)
from iptsim.host.dockerd import DockerDaemon
from iptsim.host.model import Host
from iptsim.host.namespace import Interface, InterfaceAddress, InterfaceKind, Namespace
from tests.docker.hosts import next_endpoint

#: The host's addresses, and those of a neighbour and of somebody far away.
OWN: dict[Family, tuple[str, str]] = {
    4: ("192.0.2.10", "192.0.2.11"),
    6: ("2001:db8:1::10", "2001:db8:1::11"),
}
NEIGHBOUR: dict[Family, str] = {4: "192.0.2.20", 6: "2001:db8:1::20"}
FAR: dict[Family, str] = {4: "198.51.100.7", 6: "2001:db8:ffff::7"}
_GATEWAY: dict[Family, str] = {4: "192.0.2.1", 6: "2001:db8:1::1"}
_LENGTHS: dict[Family, int] = {4: 24, 6: 64}
_LOOPBACK = ("127.0.0.1/8", "::1/128")
ENGINES = {"20.10": "20.10.24", "26": "26.1.5", "28": "28.5.2", "29": "29.0.0"}
PROTOCOLS = (6, 17)
PORTS = (53, 80, 5432)


# -- set-ups ---------------------------------------------------------------------------------------


@st.composite
def setups(draw: st.DrawFn) -> DockerHost:
    """Draw a set-up that every engine takes: two to four networks, two to six containers."""
    networks = [draw(_networks(number)) for number in range(draw(st.integers(2, 4)))]
    taken: dict[tuple[str, Family], set[int]] = {}
    containers: list[DockerContainer] = []
    host_ports = iter(range(8000, 9000))
    for number in range(draw(st.integers(2, 6))):
        places = draw(
            st.lists(st.sampled_from([networks[0], *networks]), unique_by=_name, min_size=1, max_size=2)
        )
        on_default = [one for one in containers if one.endpoint("bridge") is not None]
        linked: list[DockerContainer] = []
        if on_default and networks[0] in places and draw(st.booleans()):
            linked = draw(st.lists(st.sampled_from(on_default), unique_by=id, min_size=1, max_size=2))
        containers.append(
            DockerContainer(
                name=f"c{number}",
                endpoints=tuple(next_endpoint(network, taken) for network in places),
                published=tuple(
                    draw(_publications(next(host_ports))) for _ in range(draw(st.integers(0, 2)))
                ),
                exposed=tuple(draw(_exposed) for _ in range(draw(st.integers(0, 2)))),
                links=tuple(Link(target=one.name, alias=one.name) for one in linked),
            )
        )
    engine = draw(st.sampled_from(list(ENGINES)))
    daemon = DockerDaemon(
        version=ENGINES[engine],
        generation=engine,
        userland_proxy=draw(st.booleans()),
        ip6tables=draw(st.sampled_from([True, True, False])),
        allow_direct_routing=engine in ("28", "29") and draw(st.booleans()),
    )
    return DockerHost(
        daemon=daemon,
        networks=tuple(networks),
        containers=tuple(containers),
        forwarded_before=frozenset(FAMILIES) if draw(st.booleans()) else frozenset(),
    )


@st.composite
def _networks(draw: st.DrawFn, number: int) -> DockerNetwork:
    """Draw a network; number 0 is the default bridge."""
    subnets = [subnet_of(f"172.{17 + number}.0.0/16")]
    if draw(st.booleans()):
        subnets.append(subnet_of(f"fd00:{17 + number}::/64"))
    return DockerNetwork(
        name=f"net{number}" if number else "bridge",
        bridge=f"br-{number:012x}" if number else "docker0",
        subnets=tuple(subnets),
        icc=draw(st.sampled_from([False, False, True] if number == 0 else [True, False])),
        masquerade=draw(st.sampled_from([True, True, False])),
        internal=number > 0 and draw(st.sampled_from([False, False, True])),
        default=number == 0,
    )


def _name(network: DockerNetwork) -> str:
    return network.name


def _publications(host_port: int) -> st.SearchStrategy[Publication]:
    return st.builds(
        Publication,
        proto=st.sampled_from(PROTOCOLS),
        container_port=st.sampled_from(PORTS),
        address=st.sampled_from(["", "127.0.0.1", "0.0.0.0", OWN[4][0], "::", OWN[6][0]]),
        host_port=st.just(host_port),
    )


_exposed = st.builds(ExposedPort, proto=st.sampled_from(PROTOCOLS), port=st.sampled_from(PORTS))


# -- hosts -----------------------------------------------------------------------------------------


def machine(docker: DockerHost) -> Host:
    """Return the host."""
    interfaces = [
        _interface("lo", 1, "loopback", _LOOPBACK),
        _interface(
            "eth0",
            2,
            "physical",
            [f"{OWN[family][n]}/{_LENGTHS[family]}" for family in FAMILIES for n in (0, 1)],
        ),
    ]
    for number, network in enumerate(docker.networks):
        used = any(container.endpoint(network.name) for container in docker.containers)
        own = _interface(network.bridge, 10 + number, "bridge", _bridge_addresses(network))
        interfaces.append(replace(own, carrier=used))
    containers = {}
    for container in docker.containers:
        containers[container.name] = made = _container(docker, container)
        for endpoint in made.endpoints.values():
            master = docker.network(endpoint.network)
            assert master is not None
            assert endpoint.bridge_port is not None
            port = _interface(endpoint.bridge_port, 100 + len(interfaces), "veth", ())
            interfaces.append(replace(port, master=master.bridge, hairpin=not docker.proxy))
    namespace = _namespace("host", interfaces, dict(_parameters(docker)))
    for family in FAMILIES:
        namespace.routes.append(default_route(family, int(ip_address(_GATEWAY[family])), "eth0"))
    return Host(
        namespace=namespace,
        containers=containers,
        networks={network.name: _network(network) for network in docker.networks},
        daemon=docker.daemon,
        rulesets={family: rules_for(docker, family) for family in FAMILIES},
    )


def _parameters(docker: DockerHost) -> Iterator[tuple[str, str]]:
    yield "net.ipv4.ip_forward", "1"
    yield "net.ipv6.conf.all.forwarding", "1"
    yield "net.bridge.bridge-nf-call-iptables", "1"
    yield "net.bridge.bridge-nf-call-ip6tables", "1"
    for network in docker.networks:
        yield f"net.ipv4.conf.{network.bridge}.route_localnet", str(int(not docker.proxy))


def _container(docker: DockerHost, container: DockerContainer) -> Container:
    leading = gateways(docker, container)
    interfaces = [_interface("lo", 1, "loopback", _LOOPBACK)]
    endpoints: dict[str, Endpoint] = {}
    for number, endpoint in enumerate(container.endpoints):
        network = docker.network(endpoint.network)
        assert network is not None
        lengths = {subnet.family: subnet.prefix_length for subnet in network.subnets}
        texts = [f"{ip_address(address)}/{lengths[family]}" for family, address in endpoint.addresses.items()]
        interfaces.append(_interface(f"eth{number}", 2 + number, "veth", texts))
        endpoints[network.name] = replace(
            endpoint,
            prefix_lengths=lengths,
            interface=f"eth{number}",
            bridge_port=f"veth-{container.name}-{network.name}",
        )
    namespace = _namespace(container.name, interfaces, {})
    published: list[PublishedPort] = []
    for family, endpoint in leading.items():
        network = docker.network(endpoint.network)
        assert network is not None
        published += _published(publications(container, network, family, by_host_port=False), family)
        subnet, device = network.subnet(family), endpoints[network.name].interface
        if subnet is not None and subnet.gateway is not None and device is not None:
            namespace.routes.append(default_route(family, subnet.gateway, device))
    return Container(
        name=container.name,
        id=container.name,
        namespace=namespace,
        endpoints=endpoints,
        published=published,
        exposed=list(container.exposed),
        links=list(container.links),
        daemon="docker",
    )


def _published(ports: Iterable[Publication], family: Family) -> Iterator[PublishedPort]:
    for port in ports:
        everywhere = ip_address(port.address).is_unspecified
        yield PublishedPort(
            proto=port.proto,
            container_port=port.container_port,
            host_address=None if everywhere else port.address,
            host_port=port.host_port,
            family=family,
        )


def _network(network: DockerNetwork) -> Network:
    return Network(
        name=network.name,
        daemon="docker",
        bridge=network.bridge,
        subnets=network.subnets,
        internal=network.internal,
        icc=network.icc,
        masquerade=network.masquerade,
        is_default_bridge=network.default,
    )


def _bridge_addresses(network: DockerNetwork) -> Iterator[str]:
    for subnet in network.subnets:
        assert subnet.gateway is not None
        yield f"{ip_address(subnet.gateway)}/{subnet.prefix_length}"


def _namespace(name: str, interfaces: Iterable[Interface], sysctls: dict[str, str]) -> Namespace:
    namespace = Namespace(name, {one.name: one for one in interfaces}, sysctls=sysctls)
    namespace.routes = [route for family in FAMILIES for route in connected_routes(namespace, family)]
    return namespace


def _interface(name: str, index: int, kind: InterfaceKind, addresses: Iterable[str]) -> Interface:
    found: list[InterfaceAddress] = []
    for text in addresses:
        own = ip_interface(text)
        family: Family = 4 if own.version == 4 else 6
        first = next((one for one in found if one.family == family), None)
        found.append(
            InterfaceAddress(
                family=family,
                address=int(own.ip),
                prefix_length=own.network.prefixlen,
                scope="host" if kind == "loopback" else "global",
                broadcast=int(own.network.broadcast_address) if family == 4 and kind != "loopback" else None,
                secondary=family == 4 and first is not None and first.covers(int(own.ip)),
            )
        )
    return Interface(name=name, index=index, kind=kind, addresses=tuple(found))
