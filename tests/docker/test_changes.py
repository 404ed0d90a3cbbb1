"""Changes to Docker's settings: what they do, and what can't be."""

from __future__ import annotations

import pytest

from iptsim.addresses import address_text
from iptsim.docker.model.settings import DockerHost, Publication
from iptsim.docker.sources.flag_changes import CHANGES, changed
from iptsim.docker.sources.host import docker_host
from iptsim.errors import UsageError
from iptsim.host.containers import Link
from tests.docker.hosts import host
from tests.docker.ownership import rules_of


@pytest.fixture
def two() -> DockerHost:
    """Networks front (web, app) and back (db, app), and client on the default bridge."""
    return docker_host(host("docker-28.5/two-networks"))


def test_connecting_gives_the_lowest_free_address(two: DockerHost) -> None:
    new = changed(two, [("connect", "web:back")])
    web = new.container("web")
    assert web is not None
    endpoint = web.endpoint("back")
    assert endpoint is not None
    assert address_text(4, endpoint.addresses[4]) == "172.31.0.4"
    assert new.joins[-1] == ("web", "back")
    # "back" comes before "front", so it leads outside from now on, and the published port with it
    assert [
        made.text for made in rules_of(new, container="web", setting="--publish") if made.table == "nat"
    ] == ["! -i br-back -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.31.0.4:80"]


def test_connecting_to_a_given_address(two: DockerHost) -> None:
    web = changed(two, [("connect", "web:back:172.31.9.9")]).container("web")
    assert web is not None
    assert [address_text(4, endpoint.addresses[4]) for endpoint in web.endpoints] == [
        "172.30.0.2",
        "172.31.9.9",
    ]


def test_disconnecting_takes_the_rules_away(two: DockerHost) -> None:
    new = changed(two, [("disconnect", "web:front")])
    assert rules_of(new, container="web") == []
    assert ("web", "front") not in new.joins


def test_ports_and_links(two: DockerHost) -> None:
    new = changed(
        two, [("unpublish", "web"), ("publish", "client:127.0.0.1:53:53/udp"), ("expose", "client:80")]
    )
    web, client = new.container("web"), new.container("client")
    assert web is not None
    assert client is not None
    assert web.published == ()
    assert client.published == (Publication(proto=17, container_port=53, address="127.0.0.1", host_port=53),)
    linked = changed(docker_host(host("docker-28.5/icc-off")), [("link", "client:web:db")])
    container = linked.container("client")
    assert container is not None
    assert container.links == (Link(target="web", alias="db"),)
    assert [made.role for made in rules_of(linked, link="client:web")] == ["link", "link-answer"]
    assert rules_of(changed(linked, [("unlink", "client:web")]), link="client:web") == []


def test_a_setting_of_the_daemon_is_the_default_bridges(two: DockerHost) -> None:
    new = changed(two, [("icc", "false"), ("ip-masq", "false"), ("ip", "127.0.0.1")])
    default, front = new.default_network, new.network("front")
    assert default is not None
    assert front is not None
    assert (default.icc, default.masquerade, default.host_binding) == (False, False, "127.0.0.1")
    assert (front.icc, front.masquerade, front.host_binding) == (True, True, None)
    assert two.default_network is not None
    assert two.default_network.icc


def test_a_networks_own_settings(two: DockerHost) -> None:
    new = changed(
        two, [("network-icc", "front=false"), ("network-masquerade", "back=false"), ("internal", "back")]
    )
    front, back = new.network("front"), new.network("back")
    assert front is not None
    assert back is not None
    assert (front.icc, back.masquerade, back.internal) == (False, False, True)


def test_ip6tables_has_the_default_of_the_engine(two: DockerHost) -> None:
    assert two.filters(6)
    assert not changed(two, [("engine", "26")]).filters(6)
    assert changed(two, [("ip6tables", "true"), ("engine", "26")]).filters(6)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("colour", "red", "unknown change 'colour'; choose from: "),
        ("icc", "maybe", "--icc: 'maybe' is neither true nor false"),
        ("ip", "localhost", "--ip: 'localhost' is not an IP address"),
        ("engine", "1.0", "--engine: the rules of Docker '1.0' are unknown; give a version from 20.10 to 29"),
        ("publish", "web:80", "--publish: 'web:80' has no host port"),
        ("publish", "missing:1:2", "no container 'missing' is running; choose from: "),
        ("publish", "web:8080:81", "host port 8080 is taken by web"),
        ("publish", "web:99999:80", "99999 is not between 1 and 65535"),
        ("publish", "web:1:80/icmp", "unknown protocol 'icmp'; choose from: tcp, udp, sctp"),
        ("publish", "web:1-3:1-2", "publishes 2 ports on 3"),
        ("unpublish", "web:99", "web has no such published port"),
        ("unpublish", "web:8080", "choose a container port from: 80/tcp (host port 8080)"),
        ("link", "web:client", "web is not on the default bridge"),
        ("link", "web", "--link: 'web' is not CLIENT:SERVER[:ALIAS]"),
        ("unlink", "client:web", "client has no link to web"),
        ("connect", "web:front", "web is already on front"),
        ("connect", "web:back:10.0.0.1", "10.0.0.1 is taken or outside the subnets of back"),
        ("connect", "web:nowhere", "unknown network 'nowhere'; choose from: bridge, front, back"),
        ("disconnect", "web:back", "web is not on back"),
        (
            "gateway-mode",
            "front=open",
            "unknown gateway mode 'open'; choose from: nat, nat-unprotected, ",
        ),
    ],
)
def test_what_can_not_be_changed_is_told(two: DockerHost, name: str, value: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        changed(two, [(name, value)])
    assert told in str(caught.value)


def test_what_dockerd_refuses_is_told(two: DockerHost) -> None:
    """Dockerd 20.10 says: "You specified --iptables=false with --icc=false. ICC=false uses iptables to function.".

    It was run with them.
    """
    with pytest.raises(UsageError, match="does not start with icc=false and iptables=false"):
        changed(two, [("icc", "false"), ("iptables", "false")])
    assert changed(two, [("icc", "false"), ("iptables", "false"), ("icc", "true")]).daemon.icc is True


def test_the_description_names_every_change() -> None:
    text = changed.__doc__ or ""
    assert [name for name in CHANGES if f"`{name}`" not in text] == []
