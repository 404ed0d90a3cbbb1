"""Common statements about Docker's networking hold when packets are sent through simulated hosts.

Where the engines themselves make an exception, the test says which.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings

from iptsim.addresses import FAMILIES, Family, address_text
from iptsim.docker.dockerd.gateway import gateways
from iptsim.docker.dockerd.port_order import exposed, publications
from iptsim.docker.model.settings import DockerContainer, DockerHost, DockerNetwork
from iptsim.netfilter.trace import Trace
from iptsim.netfilter.walk import Simulator
from iptsim.protocols import protocol_name
from iptsim.question.model import Question
from tests.docker.machines import FAR, NEIGHBOUR, OWN, PORTS, machine, setups
from tests.thoroughness import property_tests

#: A port that no container exposes or publishes.
OTHER_PORT = 9
few = settings(max_examples=30, deadline=None)
more = settings(max_examples=60, deadline=None)


def ask(simulator: Simulator, sender: str, to: str, proto: int, dport: int, **fields: Any) -> Trace:
    question = {"from": sender, "to": to, "proto": protocol_name(proto), "dport": dport, **fields}
    return simulator.walk(Question(**question))


def connects(trace: Trace, container: str, port: int) -> bool:
    """A request arrived at a container's port, and all answers came back."""
    answered = any(leg.direction == "reply" for leg in trace.legs)
    return trace.verdict == "ACCEPT" and answered and arrives(trace, container, port)


def arrives(trace: Trace, container: str, port: int | None = None) -> bool:
    """A packet came to a container, at a certain port or anywhere."""
    ends = [leg.delivered for leg in trace.legs]
    return any(end is not None and end.name == container and port in (None, end.packet.dport) for end in ends)


def pairs(
    docker: DockerHost, network: DockerNetwork, family: Family
) -> Iterator[tuple[DockerContainer, DockerContainer, str]]:
    """Two containers of a network, and the second one's address there."""
    members = [one for one in docker.containers if one.endpoint(network.name) is not None]
    for client in members:
        for server in members:
            endpoint = server.endpoint(network.name)
            address = endpoint.address(family) if endpoint is not None else None
            if client is not server and address is not None:
                yield client, server, address_text(family, address)


def members(docker: DockerHost) -> Iterator[tuple[DockerContainer, DockerNetwork, Family, str]]:
    """A container's addresses, each with its network."""
    for container in docker.containers:
        for endpoint in container.endpoints:
            network = docker.network(endpoint.network)
            assert network is not None
            for family, address in endpoint.addresses.items():
                yield container, network, family, address_text(family, address)


def leads_out(docker: DockerHost, container: DockerContainer, family: Family) -> DockerNetwork | None:
    """The network of a container's default route."""
    endpoint = gateways(docker, container).get(family)
    if endpoint is None or endpoint.address(family) is None:
        return None
    return docker.network(endpoint.network)


def answers_are_refused(docker: DockerHost, network: DockerNetwork, family: Family) -> bool:
    """Since Docker 28, answers to a network whose packets keep their addresses are dropped in raw."""
    return (
        docker.engine.major >= 28
        and docker.filters(family)
        and not network.masquerade
        and not docker.daemon.allow_direct_routing
    )


# -- one network -----------------------------------------------------------------------------------


@few
@given(docker=setups())
@pytest.mark.thorough
def test_with_icc_all_of_a_network_talk_on_all_ports(docker: DockerHost) -> None:
    """But in IPv6, 20.10 drops neighbour discovery on internal networks: it is not for their subnet."""
    simulator = Simulator(machine(docker))
    for network in docker.networks:
        for family in FAMILIES:
            if not network.icc and docker.filters(family):
                continue
            mute = (
                network.internal and family == 6 and docker.engine.generation == "20.10" and docker.filters(6)
            )
            for client, server, address in pairs(docker, network, family):
                for proto, port in ((6, PORTS[0]), (17, PORTS[1]), (6, OTHER_PORT)):
                    trace = ask(simulator, client.name, address, proto, port)
                    assert connects(trace, server.name, port) == (not mute)


@more
@given(docker=setups())
@pytest.mark.thorough
def test_without_icc_links_alone_connect_a_network(docker: DockerHost) -> None:
    """A link opens exposed ports, in IPv4, on the default bridge if that leads the client outside.

    Its rule for the way back asks for the source port alone: a server that sends from there reaches
    every port of its client.
    """
    simulator = Simulator(machine(docker))
    for network in docker.networks:
        for family in FAMILIES:
            if network.icc or not docker.filters(family):
                continue
            for client, server, address in pairs(docker, network, family):
                opened = linked_ports(docker, client, server, network, family)
                back = linked_ports(docker, server, client, network, family)
                for proto in (6, 17):
                    for port in (*PORTS, OTHER_PORT):
                        trace = ask(simulator, client.name, address, proto, port)
                        if (proto, port) in opened:
                            assert connects(trace, server.name, port)
                        else:
                            assert not arrives(trace, server.name)
                for proto, port in back:
                    trace = ask(simulator, client.name, address, proto, OTHER_PORT, sport=port)
                    assert trace.legs[0].verdict == "ACCEPT"


def linked_ports(
    docker: DockerHost,
    client: DockerContainer,
    server: DockerContainer,
    network: DockerNetwork,
    family: Family,
) -> set[tuple[int, int]]:
    links = any(link.target == server.name for link in client.links)
    if not links or not network.default or family == 6 or leads_out(docker, client, 4) != network:
        return set()
    return {(port.proto, port.port) for port in exposed(server)}


# -- several networks ------------------------------------------------------------------------------


def check_networks_are_isolated_from_each_other(docker: DockerHost) -> None:
    """No container's own address is for other networks.

    But 29 leaves that to its closed ports: published ones are open to all with direct routing.
    """
    simulator = Simulator(machine(docker))
    for server, network, family, address in members(docker):
        if not docker.filters(family):
            continue
        for client in docker.containers:
            if client is server or client.endpoint(network.name) is not None:
                continue
            ports = {(port.proto, port.container_port) for port in server.published}
            for proto, port in ports | {(6, OTHER_PORT)}:
                trace = ask(simulator, client.name, address, proto, port)
                direct = docker.engine.generation == "29" and docker.daemon.allow_direct_routing
                if not (direct and port != OTHER_PORT):
                    assert not arrives(trace, server.name)


test_networks_are_isolated_from_each_other, test_networks_are_isolated_from_each_other_often = property_tests(
    check_networks_are_isolated_from_each_other, given(docker=setups()), 12, 60
)


@few
@given(docker=setups())
def test_internal_networks_have_no_way_in_or_out(docker: DockerHost) -> None:
    """Whatever routes there are: neither from a neighbour, nor out of a container that knows the way."""
    simulator = Simulator(machine(docker))
    for container, network, family, address in members(docker):
        if not network.internal or not docker.filters(family):
            continue
        for port in (*PORTS, OTHER_PORT):
            assert not arrives(ask(simulator, NEIGHBOUR[family], address, 6, port), container.name)
        outward = {"in": f"veth-{container.name}-{network.name}", "src": address, "dst": FAR[family]}
        trace = simulator.walk(Question(**{**outward, "proto": "tcp", "dport": 443}))
        assert trace.verdict == "DROP"
        assert trace.legs[0].delivered is None
        if all(docker.network(one.network).internal for one in container.endpoints):  # type: ignore[union-attr]
            assert ask(simulator, container.name, FAR[family], 6, 443).verdict == "DROP"


# -- the outside -----------------------------------------------------------------------------------


@more
@given(docker=setups())
@pytest.mark.thorough
def test_published_ports_are_open_from_outside(docker: DockerHost) -> None:
    """Unless bound to another address, of which loopback is one; icc and masquerading don't matter.

    Where dockerd writes no IPv6 rules, docker-proxy alone passes packets on; before 28 its answers to
    datagrams may come from another of the host's addresses.
    Before 28 a neighbour who sends to 127.0.0.1 over the cable gets in: DNAT comes before the kernel
    refuses such addresses.
    """
    simulator = Simulator(machine(docker))
    for container in docker.containers:
        for family in FAMILIES:
            network = leads_out(docker, container, family)
            if network is None:
                continue
            forwarded = docker.filters(family) or docker.proxy
            for port in publications(container, network, family, by_host_port=False):
                on = ip_address(port.address)
                for own in OWN[family]:
                    trace = ask(simulator, FAR[family], own, port.proto, port.host_port)
                    if on.is_unspecified or on == ip_address(own):
                        astray = not docker.filters(family) and port.proto == 17 and docker.engine.major < 28
                        got = arrives if astray else connects
                        assert got(trace, container.name, port.container_port) == forwarded
                    else:
                        assert not arrives(trace, container.name)
                if on.is_loopback:
                    trace = ask(simulator, NEIGHBOUR[family], port.address, port.proto, port.host_port)
                    assert arrives(trace, container.name) == (docker.engine.major < 28)
                    trace = ask(simulator, "localhost", port.address, port.proto, port.host_port)
                    assert connects(trace, container.name, port.container_port)


def check_the_own_addresses_of_containers_are_not_for_neighbours(docker: DockerHost) -> None:
    """So it is since Docker 28, unless routing is direct.

    Before, published ports were open there too, on loopback or not; and all ports are where dockerd
    found forwarding on, and left the policy of FORWARD at ACCEPT.
    """
    host = machine(docker)
    simulator = Simulator(host)
    for container, network, family, address in members(docker):
        if network.internal or not docker.filters(family):
            continue
        forward = host.rulesets[family].chain("filter", "FORWARD")
        assert forward is not None
        leads = leads_out(docker, container, family)
        published = set()
        if leads == network:
            ports = publications(container, network, family, by_host_port=False)
            published = {(port.proto, port.container_port) for port in ports}
        for proto in (6, 17):
            for port in (*PORTS, OTHER_PORT):
                trace = ask(simulator, NEIGHBOUR[family], address, proto, port)
                if docker.engine.major >= 28:
                    opened = docker.daemon.allow_direct_routing and (proto, port) in published
                else:
                    opened = (proto, port) in published or forward.policy == "ACCEPT"
                assert arrives(trace, container.name) == opened


(
    test_the_own_addresses_of_containers_are_not_for_neighbours,
    test_the_own_addresses_of_containers_are_not_for_neighbours_often,
) = property_tests(
    check_the_own_addresses_of_containers_are_not_for_neighbours, given(docker=setups()), 12, 60
)


def check_containers_reach_the_internet_under_the_hosts_address(docker: DockerHost) -> None:
    """Under their own without masquerading; then 28 and later drop the answers, unless routing is direct."""
    simulator = Simulator(machine(docker))
    for container in docker.containers:
        for family in FAMILIES:
            network = leads_out(docker, container, family)
            if network is None:
                assert ask(simulator, container.name, FAR[family], 6, 443, family=family).verdict == "DROP"
                continue
            trace = ask(simulator, container.name, FAR[family], 6, 443)
            end = trace.legs[0].delivered
            assert end is not None
            assert end.kind == "outside"
            endpoint = container.endpoint(network.name)
            assert endpoint is not None
            hidden = network.masquerade and docker.filters(family)
            own = int(ip_address(OWN[family][0])) if hidden else endpoint.address(family)
            assert end.packet.src == own
            assert trace.verdict == ("DROP" if answers_are_refused(docker, network, family) else "ACCEPT")


(
    test_containers_reach_the_internet_under_the_hosts_address,
    test_containers_reach_the_internet_under_the_hosts_address_often,
) = property_tests(
    check_containers_reach_the_internet_under_the_hosts_address, given(docker=setups()), 12, 60
)
