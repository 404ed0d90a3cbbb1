"""Docker hosts for tests: those of the captures, and generated ones."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from iptsim.addresses import FAMILIES, Family
from iptsim.docker.model.addressing import free_address, subnet_of
from iptsim.docker.model.settings import (
    DockerContainer,
    DockerHost,
    DockerNetwork,
    GatewayMode,
    Publication,
)
from iptsim.host import Host, load_host
from iptsim.host.containers import Endpoint, ExposedPort, Link
from iptsim.host.dockerd import DockerDaemon

FIXTURES = Path(__file__).parents[2] / "fixtures/captures"
#: The user's rules there are in several tables.
MIXED = "hosts/docker-two-uplinks"
#: Captures of hosts with Docker, by their path below the fixtures.
CAPTURES = sorted(
    {str(file.parent.relative_to(FIXTURES)) for file in FIXTURES.rglob("docker-network-inspect.json")}
    - {MIXED}
)
GENERATIONS = {"20.10": "20.10.24", "26": "26.1.5", "27": "27.5.1", "28": "28.5.2", "29": "29.0.0"}
MODES: tuple[GatewayMode, ...] = ("nat", "nat-unprotected", "routed")
#: The rows of a table that dockerd did not write, in the captures with rules of the user's.
OTHERS = {"docker-user": "DOCKER-USER ", "host-firewall": "INPUT "}


@cache
def host(name: str) -> Host:
    return load_host(FIXTURES / name)


def saved(name: str, family: Family) -> list[str]:
    """Return the lines of a saved dump without comments and counters."""
    file = "iptables-save.txt" if family == 4 else "ip6tables-save.txt"
    return plain((FIXTURES / name / file).read_text())


def plain(text: str) -> list[str]:
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return [re.sub(r"^\[\d+:\d+\] | \[\d+:\d+\]$", "", line) for line in lines]


# -- generated hosts -------------------------------------------------------------------------------


@st.composite
def networks(draw: st.DrawFn, number: int, generation: str) -> DockerNetwork:
    """Draw a network; number 0 is the default bridge."""
    default = number == 0
    modes = MODES if generation in ("27", "28", "29") and not default else MODES[:1]
    subnets = [subnet_of(f"172.{17 + number}.0.0/16")]
    if draw(st.booleans()):
        subnets.append(subnet_of(f"fd00:{17 + number}::/64"))
    return DockerNetwork(
        name="bridge" if default else f"net{number}",
        bridge="docker0" if default else f"br-{number:012x}",
        subnets=tuple(subnets),
        icc=draw(st.booleans()),
        masquerade=draw(st.booleans()),
        internal=not default and draw(st.booleans()),
        gateway_mode=dict.fromkeys(FAMILIES, draw(st.sampled_from(modes))),
        host_binding=draw(st.sampled_from([None, "127.0.0.1", "192.0.2.10"])),
        snat={4: "192.0.2.77"} if draw(st.booleans()) else {},
        default=default,
    )


@st.composite
def docker_hosts(draw: st.DrawFn) -> DockerHost:
    """Draw a host with up to three networks and four containers."""
    generation = draw(st.sampled_from(list(GENERATIONS)))
    made = tuple(draw(networks(number, generation)) for number in range(draw(st.integers(1, 3))))
    taken: dict[tuple[str, Family], set[int]] = {}
    containers: list[DockerContainer] = []
    host_ports = iter(range(8000, 9000))
    for number in range(draw(st.integers(0, 4))):
        places = draw(st.lists(st.sampled_from(made), unique_by=lambda network: network.name, max_size=2))
        earlier = [one for one in containers if one.endpoint("bridge") is not None]
        on_default = any(network.default for network in places)
        linked = (
            draw(st.lists(st.sampled_from(earlier), max_size=2, unique_by=id))
            if earlier and on_default
            else []
        )
        containers.append(
            DockerContainer(
                name=f"c{number}",
                endpoints=tuple(next_endpoint(network, taken) for network in places),
                published=tuple(draw(publications(next(host_ports))) for _ in range(draw(st.integers(0, 2)))),
                exposed=tuple(draw(st.lists(exposed_ports, max_size=2, unique=True))),
                links=tuple(Link(target=one.name, alias=one.name) for one in linked),
            )
        )
    daemon = DockerDaemon(
        version=GENERATIONS[generation],
        userland_proxy=draw(st.booleans()),
        ip6tables=draw(st.booleans()),
        ip_forward=draw(st.booleans()),
        allow_direct_routing=draw(st.booleans()),
    )
    return DockerHost(daemon=daemon, networks=made, containers=tuple(containers))


def next_endpoint(network: DockerNetwork, taken: dict[tuple[str, Family], set[int]]) -> Endpoint:
    addresses: dict[Family, int] = {}
    for family in FAMILIES:
        used = taken.setdefault((network.name, family), set())
        address = free_address(network, family, used)
        if address is not None:
            used.add(address)
            addresses[family] = address
    return Endpoint(network=network.name, addresses=addresses)


def publications(host_port: int) -> st.SearchStrategy[Publication]:
    return st.builds(
        Publication,
        proto=st.sampled_from([6, 17, 132]),
        container_port=st.sampled_from([53, 80, 443]),
        address=st.sampled_from(["", "0.0.0.0", "127.0.0.1", "192.0.2.10", "::", "::1"]),
        host_port=st.just(host_port),
    )


exposed_ports = st.builds(ExposedPort, proto=st.sampled_from([6, 17]), port=st.sampled_from([53, 80, 5432]))
