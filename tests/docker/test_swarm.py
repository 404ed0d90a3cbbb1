"""Swarm's routing mesh: DOCKER-INGRESS as dockerd writes it, and what its rules are for.

The rules of 28 are those that moby's own tests record (integration/network/bridge/iptablesdoc/generated,
swarm-portmap.md); those of 20.10 differ as its libnetwork/service_linux.go does.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import iptsim
from iptsim.docker.dockerd.rulesets import rules_for
from iptsim.docker.model.addressing import subnet_of
from iptsim.docker.model.settings import DockerHost, DockerNetwork, Ingress
from iptsim.docker.sources.host import docker_host
from iptsim.dump import dumps, loads
from iptsim.host.dockerd import DockerDaemon
from iptsim.host.model import Host
from iptsim.owners.docker import docker_role

FILTER = """\
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER ! -i docker_gwbridge -o docker_gwbridge -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-BRIDGE -o docker_gwbridge -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-CT -o docker_gwbridge -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-INGRESS
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-FORWARD -i docker_gwbridge -o docker_gwbridge -j DROP
-A DOCKER-FORWARD -i docker_gwbridge ! -o docker_gwbridge -j ACCEPT
-A DOCKER-INGRESS -p tcp -m tcp --dport 8080 -j ACCEPT
-A DOCKER-INGRESS -p tcp -m tcp --sport 8080 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-INGRESS -j RETURN
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -i docker_gwbridge ! -o docker_gwbridge -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker_gwbridge -j DROP
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
""".splitlines()
NAT = """\
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER-INGRESS
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER-INGRESS
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -o docker_gwbridge -m addrtype --src-type LOCAL -j MASQUERADE
-A POSTROUTING -s 172.18.0.0/16 ! -o docker_gwbridge -j MASQUERADE
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker_gwbridge -j RETURN
-A DOCKER -i docker0 -j RETURN
-A DOCKER-INGRESS -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.18.0.2:8080
-A DOCKER-INGRESS -j RETURN
""".splitlines()
SWARM = DockerHost(
    daemon=DockerDaemon(version="28.5.2"),
    networks=(
        DockerNetwork(name="bridge", bridge="docker0", subnets=(subnet_of("172.17.0.0/16"),), default=True),
        DockerNetwork(
            name="docker_gwbridge", bridge="docker_gwbridge", subnets=(subnet_of("172.18.0.0/16"),), icc=False
        ),
    ),
    ingress=Ingress(address="172.18.0.2", ports=((6, 8080),)),
)


def _rules(docker: DockerHost, table: str, engine: str | None = None) -> list[str]:
    made = rules_for(docker if engine is None else docker.with_engine(engine), 4).tables[table]
    return [rule.text for chain in made.chains.values() for rule in chain.rules]


def test_the_rules_of_28() -> None:
    """Without DOCKER-USER: the recorded engine ends it with RETURN, 28.5.2 does not (fixtures/captures)."""
    assert [line for line in _rules(SWARM, "filter") if not line.startswith("-A DOCKER-USER")] == FILTER
    assert _rules(SWARM, "nat") == NAT


def test_the_rules_of_20_10() -> None:
    """The jump is in FORWARD, behind the one to DOCKER-USER, and replies are matched by `-m state`."""
    lines = _rules(SWARM, "filter", "20.10")
    assert [line for line in lines if line.startswith("-A FORWARD")][:3] == [
        "-A FORWARD -j DOCKER-USER", "-A FORWARD -j DOCKER-INGRESS", "-A FORWARD -j DOCKER-ISOLATION-STAGE-1",
    ]  # fmt: skip
    assert [line for line in lines if line.startswith("-A DOCKER-INGRESS")] == [
        "-A DOCKER-INGRESS -p tcp -m tcp --dport 8080 -j ACCEPT",
        "-A DOCKER-INGRESS -p tcp -m state --state RELATED,ESTABLISHED -m tcp --sport 8080 -j ACCEPT",
        "-A DOCKER-INGRESS -j RETURN",
    ]


@pytest.mark.parametrize("engine", ["20.10", "26", "28", "29"])
def test_the_mesh_is_read_from_its_rules(engine: str) -> None:
    mesh = Ingress(address="172.18.0.2", ports=((6, 8080), (17, 5353), (6, 443)))
    written = rules_for(SWARM.model_copy(update={"ingress": mesh}).with_engine(engine), 4)
    assert docker_host(Host(rulesets={4: loads(dumps(written))})).ingress == mesh


def test_what_its_rules_are_for() -> None:
    told = {
        rule.text: str(role.why)
        for rule in rules_for(SWARM, 4).rules()
        if rule.chain == "DOCKER-INGRESS" and (role := docker_role(rule)) is not None
    }
    assert told == {
        FILTER[15]: "allows packets to 8080/tcp: a swarm service publishes it",
        FILTER[16]: "allows replies of the swarm service on 8080/tcp",
        FILTER[17]: "the end of swarm's published ports",
        NAT[9]: "forwards 8080/tcp of the host to swarm's routing mesh: a service publishes it",
        NAT[10]: "the end of swarm's published ports",
    }


NODE = Path(__file__).parents[2] / "fixtures" / "captures" / "docker-28.5" / "swarm"


def test_a_port_of_a_service_on_a_real_node() -> None:
    """As on a node with dockerd 28.5.2: the reply leaves the mesh by docker_gwbridge."""
    answer = iptsim.explain(NODE, "internet", "host:8080")
    assert str(answer.verdict) == "ACCEPT"
    assert "to the routing mesh, ingress-sbox 172.18.0.2:8080" in str(answer.reason.text)
    assert "sees an address of the mesh" in str(answer.reason.text)
    # the rule has no destination
    aside = iptsim.explain(NODE, "internet", "10.0.0.9:8080")
    assert "accepts all forwarded packets to that port" in str(aside.reason.text)


def test_load_balancers_of_overlay_networks_are_no_endpoints() -> None:
    host = iptsim.load_host(NODE)
    assert {name.split(".")[0] for name in host.containers} == {
        "att",
        "client",
        "h",
        "ingress-sbox",
        "other",
        "s",
    }


def test_the_mesh_is_not_gone_where_it_is_not_shown(tmp_path: Path) -> None:
    """Older captures do not list the members of networks."""
    node = shutil.copytree(NODE, tmp_path / "node")
    networks = json.loads((node / "docker-network-inspect.json").read_text())
    for network in networks:
        del network["Containers"]
    (node / "docker-network-inspect.json").write_text(json.dumps(networks))
    assert [finding.code for finding in iptsim.lint(node)] == []
