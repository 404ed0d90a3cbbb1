"""What the rules of any Docker host have in common: icc, links, isolation, published ports."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from iptsim.addresses import FAMILIES
from iptsim.docker.dockerd.gateway import gateways
from iptsim.docker.dockerd.replay import write
from iptsim.docker.dockerd.rulesets import rules_for
from iptsim.docker.model.settings import DockerHost
from iptsim.docker.sources.flag_changes import changed
from iptsim.dump.rule import Rule
from iptsim.extensions.matches.comment import Comment
from iptsim.extensions.parameters import Parameters
from tests.docker.hosts import docker_hosts
from tests.docker.ownership import rules_of
from tests.thoroughness import property_tests


def check_icc_is_one_rule_of_each_network(docker: DockerHost) -> None:
    """Off: one DROP between a network's containers. On: no such DROP."""
    for network in docker.networks:
        for family in FAMILIES:
            if not docker.filters(family):
                continue
            drops = [
                made for made in rules_of(docker, family, network=network.name) if made.role == "icc-off"
            ]
            wanted = network.subnet(family) is not None and not network.icc
            assert [made.text for made in drops] == [
                f"-i {network.bridge} -o {network.bridge} -j DROP" for _ in range(wanted)
            ]


test_icc_is_one_rule_of_each_network, test_icc_is_one_rule_of_each_network_often = property_tests(
    check_icc_is_one_rule_of_each_network, given(docker=docker_hosts()), 25, 150
)


def check_links_open_exposed_ports_where_icc_is_off(docker: DockerHost) -> None:
    """Two rules for each exposed port of a linked container, on the default bridge only, and in IPv4 only."""
    assert [made for made in write(docker, 6).rules() if made.role.startswith("link")] == []
    default = docker.default_network
    assert default is not None
    for client in docker.containers:
        for link in client.links:
            server = docker.container(link.target)
            assert server is not None
            made = rules_of(docker, link=f"{client.name}:{server.name}")
            ends = [one.endpoint("bridge") for one in (client, server)]
            leads = gateways(docker, client).get(4)
            opens = not default.icc and all(ends) and leads is ends[0]
            ports = {(port.proto, port.port) for port in server.exposed}
            ports |= {(port.proto, port.container_port) for port in server.published}
            assert len(made) == (2 * len(ports) if opens else 0)


test_links_open_exposed_ports_where_icc_is_off, test_links_open_exposed_ports_where_icc_is_off_often = (
    property_tests(check_links_open_exposed_ports_where_icc_is_off, given(docker=docker_hosts()), 25, 150)
)


def check_networks_are_kept_apart(docker: DockerHost) -> None:
    """Every network that is not internal refuses packets from other bridges, an internal one all others."""
    for network in docker.networks:
        if network.subnet(4) is None:
            continue
        made = rules_of(docker, network=network.name)
        if network.internal:
            assert len([one for one in made if one.role == "internal"]) == 2
        elif docker.engine.generation == "29":
            assert [one for one in made if one.role in ("unpublished", "routed")]
        else:
            assert len([one for one in made if one.role == "isolation"]) == 1


test_networks_are_kept_apart, test_networks_are_kept_apart_often = property_tests(
    check_networks_are_kept_apart, given(docker=docker_hosts()), 25, 150
)


def check_published_ports_are_forwarded(docker: DockerHost) -> None:
    """One DNAT for each port and family, where the container's way out translates and the address fits."""
    for container in docker.containers:
        for family in FAMILIES:
            leads = gateways(docker, container).get(family)
            network = docker.network(leads.network) if leads is not None else None
            made = [
                one
                for one in rules_of(docker, family, container=container.name)
                if one.role == "port-forward"
            ]
            if (
                not docker.filters(family)
                or network is None
                or leads is None
                or leads.address(family) is None
            ):
                assert made == []
                continue
            expected = []
            for port in container.published:
                address = port.address or network.host_binding or "0.0.0.0"
                fits = ip_address(address).version == family or (not port.address and address == "0.0.0.0")
                if fits and network.mode(family) != "routed":
                    expected.append(port.host_port)
            assert sorted(int(one.text.split("--dport ")[1].split()[0]) for one in made) == sorted(expected)


test_published_ports_are_forwarded, test_published_ports_are_forwarded_often = property_tests(
    check_published_ports_are_forwarded, given(docker=docker_hosts()), 25, 150
)


def check_ports_on_loopback_are_for_the_host_alone(docker: DockerHost) -> None:
    """Since Docker 28, a port published on 127.0.0.1 is dropped unless it comes over lo."""
    made = [
        one
        for one in write(docker, 4).rules()
        if one.role == "port-forward" and "-d 127.0.0.1/32" in one.text
    ]
    dropped = [one for one in write(docker, 4).rules() if one.role == "loopback-port"]
    assert len(dropped) == (len(made) if docker.engine.generation in ("28", "29") else 0)
    assert all(one.table == "raw" and one.text.endswith("-j DROP") for one in dropped)


test_ports_on_loopback_are_for_the_host_alone, test_ports_on_loopback_are_for_the_host_alone_often = (
    property_tests(check_ports_on_loopback_are_for_the_host_alone, given(docker=docker_hosts()), 25, 150)
)


def check_others_rules_stay_in_their_order(
    docker: DockerHost, icc: bool, proxy: bool, data: st.DataObject
) -> None:
    """Whatever the user inserted where: the same rules in the same order, and Docker's as without them."""
    base = rules_for(docker, 4)
    mine: dict[tuple[str, str], list[str]] = {}
    for table in base.tables.values():
        for chain in table.chains.values():
            for number in range(data.draw(st.integers(0, 2))):
                place = data.draw(st.integers(0, len(chain.rules)))
                comment = Comment(comment=f"mine{number}")
                made = Rule(table.name, chain.name, 1, Parameters(), (comment,))
                chain.rules.insert(place, made)
            mine[table.name, chain.name] = [rule.text for rule in chain.rules if "mine" in rule.text]
    new = changed(docker, [("icc", str(icc).lower()), ("userland-proxy", str(proxy).lower())])
    merged = rules_for(new, 4, base=base, before=docker)
    fresh = rules_for(new, 4)
    for (name, chain_name), texts in mine.items():
        after = merged.chain(name, chain_name)
        rules = [rule.text for rule in after.rules] if after is not None else []
        assert [text for text in rules if "mine" in text] == texts
        made_new = fresh.chain(name, chain_name)
        assert [text for text in rules if "mine" not in text] == (
            [rule.text for rule in made_new.rules] if made_new is not None else []
        )


test_others_rules_stay_in_their_order, test_others_rules_stay_in_their_order_often = property_tests(
    check_others_rules_stay_in_their_order,
    given(docker=docker_hosts(), icc=st.booleans(), proxy=st.booleans(), data=st.data()),
    25,
    150,
)
