"""Docker's settings from its own files: daemon.json, DOCKER_OPTS, inspect output, Compose files."""

from __future__ import annotations

import builtins
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from iptsim.addresses import address_text
from iptsim.cli import main
from iptsim.docker.dockerd.rulesets import rules_for
from iptsim.docker.model.addressing import free_address, free_subnet, subnet_of
from iptsim.docker.model.settings import DockerContainer, DockerHost, DockerNetwork
from iptsim.docker.sources.files import settings_of_file
from iptsim.docker.sources.flag_values import read_expose, read_link, read_publish
from iptsim.docker.sources.host import docker_host, moment
from iptsim.dump import dumps
from iptsim.errors import CaptureError, UsageError
from iptsim.host import load_host
from iptsim.host.containers import Endpoint, ExposedPort, Link
from iptsim.host.dockerd import DockerDaemon
from iptsim.sources import loads_host
from tests.docker.hosts import FIXTURES, host, plain, saved


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], str]:
    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


# -- the daemon's own files ------------------------------------------------------------------------


def test_daemon_json(write: Callable[[str, str], str]) -> None:
    settings = {
        "icc": False, "userland-proxy": False, "ip-masq": True, "bip": "10.1.0.1/24", "ip": "192.0.2.10",
        "ipv6": True, "fixed-cidr-v6": "fd00:17::/64", "ip-forward-no-drop": True, "log-level": "debug",
        "default-address-pools": [{"base": "10.50.0.0/16", "size": 24}], "dns": ["192.0.2.53"],
    }  # fmt: skip
    docker = configured(write("daemon.json", json.dumps(settings)))
    assert docker.default_network == DockerNetwork(
        name="bridge",
        bridge="docker0",
        subnets=(subnet_of("10.1.0.0/24"), subnet_of("fd00:17::/64")),
        icc=False,
        host_binding="192.0.2.10",
        default=True,
    )
    assert not docker.proxy
    assert docker.daemon.dns == ("192.0.2.53",)
    assert docker.daemon.default_address_pools == (("10.50.0.0/16", 24),)
    assert rules_for(docker, 4).tables["filter"].chains["FORWARD"].policy == "ACCEPT"


def configured(path: str) -> DockerHost:
    found = settings_of_file(path)
    assert found is not None
    return found


def test_docker_opts_as_in_etc_default_docker(write: Callable[[str, str], str]) -> None:
    docker = configured(write("docker", '# options\nDOCKER_OPTS="--icc=false --iptables=true -b br9"\n'))
    assert docker.default_network is not None
    assert (docker.default_network.icc, docker.default_network.bridge) == (False, "br9")
    none = configured(write("docker", 'DOCKER_OPTS="--bridge=none"\n'))
    assert none.networks == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"icc": "maybe"}', "icc must be true or false"),
        ('{"bip": "10.1"}', "bip: '10.1' is not an address with a prefix length"),
        ('{"bip": 5}', "bip must be a string"),
        ('{"ip": "localhost"}', "ip must be an IP address"),
        ('{"fixed-cidr-v6": "fd00::/200"}', "fixed-cidr-v6: 'fd00::/200' is not a subnet"),
        ('{"dns": "8.8.8.8"}', "dns must be a list"),
        ('{"dns": ["resolver"]}', "dns must be a list of IP addresses"),
        ('{"default-address-pools": [{"base": "10.0.0.0/8"}]}', "a pool has a base and a size"),
        ('{"icc": tru}', "expected true, false or null"),
        ('[{"Name": "/a"}, 7]', "[1]: 7 is neither a container nor a network"),
        ('[{"Name": 5}]', "[0].Name: Input should be a valid string"),
        ('[{"Name":"/a","NetworkSettings":{"Networks":{"n":{"IPAddress":"1.2"}}}}]', "[0]: '1.2'"),
        ('DOCKER_OPTS="--icc=maybe"', "DOCKER_OPTS: icc is 'maybe'"),
        ('DOCKER_OPTS="--bip=10.1.0.0.1"', "bip: '10.1.0.0.1' is not an address"),
    ],
)
def test_a_bad_value_is_told_with_its_file_and_key(
    write: Callable[[str, str], str], text: str, told: str
) -> None:
    path = write("settings", text)
    with pytest.raises(CaptureError) as caught:
        configured(path)
    assert str(caught.value).startswith(path)
    assert told in str(caught.value)


def test_a_bad_option_of_a_network_is_told(write: Callable[[str, str], str]) -> None:
    networks = json.loads((FIXTURES / "docker-28.5/two-networks/docker-network-inspect.json").read_text())
    mine = next(network for network in networks if network["Name"] == "front")
    mine["Options"]["com.docker.network.bridge.gateway_mode_ipv4"] = "open"
    with pytest.raises(
        CaptureError, match=r"network front, option com\S+gateway_mode_ipv4: unknown gateway mode 'open'"
    ):
        configured(write("networks.json", json.dumps(networks)))


def test_inspect_output_alone(write: Callable[[str, str], str]) -> None:
    """Containers and networks in one file give the rules of the capture that they are from."""
    folder = FIXTURES / "docker-28.5/two-networks"
    both = [
        entry
        for name in ("docker-network-inspect.json", "docker-inspect.json")
        for entry in json.loads((folder / name).read_text())
    ]
    docker = configured(write("inspect.json", json.dumps(both)))
    made = plain(dumps(rules_for(docker, 4)))
    theirs = saved("docker-28.5/two-networks", 4)
    # when app was connected to its second network is not in there
    assert sorted(made) == sorted(theirs)
    assert made[made.index("*filter") :] == theirs[theirs.index("*filter") :]


def test_times_sort_as_they_passed() -> None:
    """Docker cuts zeros at the end of a fraction, and writes the host's zone for networks."""
    times = [
        "", "2026-01-01T00:00:00.099999999Z", "2026-01-01T00:00:00.1Z", "2026-01-01T02:00:00.12+02:00",
        "2026-01-01T00:00:00.2Z", "2026-01-01T00:00:01Z",
    ]  # fmt: skip
    assert all(moment(one) < moment(other) for one, other in pairwise(times))


# -- Compose ---------------------------------------------------------------------------------------

SHOP = """
name: shop
services:
  web:
    ports: ["8080:80", "127.0.0.1:8443:443", {target: 53, published: "5353", protocol: udp}, "9000-9001:90-91"]
    networks: [front, back]
    depends_on: [db]
    links: ["db:database"]
  db:
    expose: ["5432", "53/udp"]
    networks: {back: {ipv4_address: 10.9.0.9, aliases: [store]}}
  job: {network_mode: none}
  old: {network_mode: bridge, container_name: old}
networks:
  front:
    driver_opts: {com.docker.network.bridge.enable_icc: "false", com.docker.network.bridge.name: br-shop}
  back: {internal: true, ipam: {config: [{subnet: 10.9.0.0/24, gateway: 10.9.0.254}]}}
"""


def test_a_compose_file(write: Callable[[str, str], str]) -> None:
    docker = configured(write("compose.yml", SHOP))
    assert [network.name for network in docker.networks] == ["bridge", "shop_back", "shop_front"]
    front, back = docker.network("shop_front"), docker.network("shop_back")
    assert front is not None
    assert back is not None
    assert (front.bridge, front.icc, [str(subnet) for subnet in front.subnets]) == (
        "br-shop", False, ["172.18.0.0/16"],
    )  # fmt: skip
    assert (back.internal, back.subnets) == (True, (subnet_of("10.9.0.0/24", "10.9.0.254"),))
    # in the order of starting: what others wait for comes first
    assert [container.name for container in docker.containers] == [
        "shop-db-1",
        "shop-job-1",
        "old",
        "shop-web-1",
    ]
    db, job, old, web = docker.containers
    assert job.endpoints == ()
    assert db.exposed == (ExposedPort(proto=6, port=5432), ExposedPort(proto=17, port=53))
    assert db.endpoints == (
        Endpoint(network="shop_back", addresses={4: 0x0A090009}, aliases=("db", "store")),
    )
    assert [address_text(4, endpoint.addresses[4]) for endpoint in web.endpoints] == [
        "172.18.0.2",
        "10.9.0.1",
    ]
    assert [endpoint.network for endpoint in old.endpoints] == ["bridge"]
    assert web.links == (Link(target="shop-db-1", alias="database"),)
    assert [(port.address, port.host_port, port.container_port, port.proto) for port in web.published] == [
        ("", 8080, 80, 6), ("127.0.0.1", 8443, 443, 6), ("", 5353, 53, 17), ("", 9000, 90, 6), ("", 9001, 91, 6),
    ]  # fmt: skip
    made = [rule.text for rule in rules_for(docker, 4).rules()]
    assert "-A DOCKER-FORWARD -i br-shop -o br-shop -j DROP" in made
    assert "-A DOCKER ! -i br-shop -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.18.0.2:80" in made


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "not YAML"),
        ("[1, 2]", "the file: [1, 2] is not a mapping"),
        ("version: '3'", "services: missing"),
        ("services: {web: {ports: ['80:x']}}", "services.web.ports[0]: '80:x': 'x' is neither a port"),
        ("services: {web: {ports: 80}}", "services.web.ports: 80 is not a list"),
        (
            "services: {web: {ports: [{published: 80}]}}",
            "services.web.ports[0]: it has no container port (target)",
        ),
        ("services: {web: {expose: ['99999']}}", "services.web.expose[0]: '99999': 99999 is not between"),
        ("services: {web: {links: [db]}}", "services.web: unknown service db"),
        (
            "services: {"
            + ", ".join(f"s{at}: {{depends_on: [s{at + 1}]}}" for at in range(1100))
            + ", s1100: {}}",
            "more than 1,024 containers in all",
        ),
        ("services: {a: {depends_on: [b]}, b: {depends_on: [a]}}", "the services have circular dependencies"),
        ("services: {web: {networks: [lan]}}", "networks: a service uses the undefined network lan"),
        (
            "services: {web: {deploy: {replicas: many}}}",
            "services.web.deploy.replicas: 'many' is not a valid number",
        ),
        (
            "services: {web: {networks: [n]}}\nnetworks: {n: {ipam: {config: [{subnet: 10.0}]}}}",
            "networks.n.ipam.config[0].subnet: ",
        ),
        (
            "services: {web: {networks: [n]}}\nnetworks: {n: {internal: perhaps}}",
            "networks.n.internal: 'perhaps' is neither true nor false",
        ),
        (
            "services: {web: {networks: {n: {ipv4_address: 10.0.0.1}}}}\nnetworks: {n: {}}",
            "services.web.networks.n.ipv4_address: 10.0.0.1 is outside the subnets",
        ),
    ],
)
def test_what_is_wrong_with_a_compose_file(write: Callable[[str, str], str], text: str, told: str) -> None:
    path = write("compose.yaml", text)
    with pytest.raises(CaptureError) as caught:
        configured(path)
    assert str(caught.value).startswith(f"{path}:")
    assert told in str(caught.value)


def test_the_place_of_a_wrong_setting_beside_a_service_with_a_similar_name(
    write: Callable[[str, str], str],
) -> None:
    text = "services:\n  web: {ports: ['80:x']}\n  web.ports: {image: nginx}\n"
    with pytest.raises(CaptureError) as caught:
        configured(path := write("compose.yaml", text))
    assert str(caught.value).startswith(f"{path}:2:17: services.web.ports[0]: ")


def test_the_place_of_a_wrong_setting(write: Callable[[str, str], str]) -> None:
    text = 'services:\n  my.web:\n    ports:\n      - "80:80"\n      - "80800:80"\n'
    with pytest.raises(CaptureError) as caught:
        configured(path := write("compose.yaml", text))
    assert str(caught.value) == (
        f"{path}:5:9: services.my.web.ports[1]: '80800:80': 80800 is not between 1 and 65535\n"
        '          - "80800:80"\n            ^~~~~~~~~~'
    )
    with pytest.raises(CaptureError) as within:
        loads_host(f"My file:\n\n{text}")
    assert ":7:9: services.my.web.ports[1]: " in str(within.value)


def test_without_pyyaml_the_extra_is_named(
    write: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *more: Any, **named: Any) -> Any:
        if name == "yaml":
            raise ImportError(name)
        return real(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match=r"pip install 'iptsim\[compose\]'"):
        configured(write("compose.yml", SHOP))


# -- words and addresses ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("8080:80", [("", 8080, 80, 6, None)]),
        ("80", [("", 0, 80, 6, "")]),
        ("127.0.0.1::80", [("127.0.0.1", 0, 80, 6, "")]),
        ("[::1]:53:53/udp", [("::1", 53, 53, 17, None)]),
        ("8000-8001:80-81/sctp", [("", 8000, 80, 132, None), ("", 8001, 81, 132, None)]),
        ("8000-8010:80", [("", 8000, 80, 6, "8000-8010")]),
    ],
)
def test_published_ports(text: str, meant: list[tuple[object, ...]]) -> None:
    assert [
        (port.address, port.host_port, port.container_port, port.proto, port.requested)
        for port in read_publish(text)
    ] == meant


def test_exposed_ports_and_links() -> None:
    assert read_expose("80-81/udp") == [ExposedPort(proto=17, port=80), ExposedPort(proto=17, port=81)]
    assert read_link("db") == Link(target="db", alias="db")
    with pytest.raises(ValueError, match="is not CONTAINER or CONTAINER:ALIAS"):
        read_link("a:b:c")


def test_networks_get_dockers_subnets_and_containers_the_lowest_address() -> None:
    daemon = DockerDaemon()
    networks: list[DockerNetwork] = []
    for number in range(16):
        networks.append(
            DockerNetwork(name=f"n{number}", bridge=f"b{number}", subnets=(free_subnet(daemon, networks),))
        )
    subnets = [str(network.subnets[0]) for network in networks]
    assert (subnets[0], subnets[14], subnets[15]) == ("172.17.0.0/16", "172.31.0.0/16", "192.168.0.0/20")
    assert free_address(networks[0], 4, {0xAC110002}) == 0xAC110003
    assert free_address(networks[0], 6, ()) is None
    small = DockerDaemon(default_address_pools=(("10.0.0.0/30", 30),))
    with pytest.raises(CaptureError, match="default-address-pools: all subnets are taken"):
        free_subnet(small, [DockerNetwork(name="n", bridge="b", subnets=(subnet_of("10.0.0.0/30"),))])


def test_a_container_must_be_in_networks_that_are_there() -> None:
    container = DockerContainer(name="web", endpoints=(Endpoint(network="lan"),))
    with pytest.raises(ValueError, match="container web is on lan, but no such network exists"):
        DockerHost(containers=(container,))


def test_a_bare_dump_tells_enough_to_write_it_again() -> None:
    for name in (
        "docker-20.10/icc-off-link",
        "docker-26.1/published",
        "docker-28.5/published",
        "docker-28.5/icc-off",
    ):
        docker = docker_host(load_host(FIXTURES / name / "iptables-save.txt"))
        assert sorted(plain(dumps(rules_for(docker, 4)))) == sorted(saved(name, 4))


# -- the command -----------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str], str]:
    status = main(["docker-rules", *words])
    out, err = capsys.readouterr()
    return status, plain(out), err


def test_the_command_prints_as_iptables_save_does(capsys: pytest.CaptureFixture[str]) -> None:
    source = str(FIXTURES / "docker-28.5/icc-on")
    assert run(capsys, source) == (0, saved("docker-28.5/icc-on", 4), "")
    assert run(capsys, source, "-6") == (0, saved("docker-28.5/icc-on", 6), "")
    assert run(capsys, source, "--icc=false")[1] == saved("docker-28.5/icc-off", 4)
    assert run(capsys, source, "--engine", "20.10")[1] == saved("docker-20.10/icc-on", 4)
    assert main(["docker-rules", source]) == 0
    assert ":FORWARD DROP [0:0]" in capsys.readouterr().out


def test_changes_are_made_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--unpublish", "web:80", "--publish", "web:8080:81")
    status, out, _ = run(capsys, str(FIXTURES / "docker-28.5/published"), *words)
    assert status == 0
    assert "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:81" in out
    status, _, err = run(capsys, str(FIXTURES / "docker-28.5/published"), *words[2:], *words[:2])
    assert (status, "host port 8080 is taken by web" in err) == (2, True)


def test_in_place_prints_everybodys_rules(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    name = "docker-28.5/docker-user"
    source = str(FIXTURES / name)
    assert run(capsys, source, "--in-place") == (0, saved(name, 4), "")
    off = run(capsys, source, "--in-place", "--icc=false")[1]
    assert "-A DOCKER-USER -i eth0 -j DROP" in off
    assert "-A DOCKER-FORWARD -i docker0 -o docker0 -j DROP" in off
    path = tmp_path / "daemon.json"
    path.write_text("{}")
    status, _, err = run(capsys, str(path), "--in-place")
    assert (status, "--in-place requires IPv4 rules" in err) == (2, True)


def test_an_archive_is_a_source(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    name = "docker-28.5/icc-off"
    path = tmp_path / "capture.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file in (FIXTURES / name).iterdir():
            data = file.read_bytes()
            member = tarfile.TarInfo(file.name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    assert run(capsys, str(path))[1] == saved(name, 4)


def test_no_rules_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty output looks like a mistake; with --iptables=false it is what dockerd does."""
    assert main(["docker-rules", str(FIXTURES / "docker-28.5/icc-on"), "--iptables=false"]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "writes no IPv4 rules" in printed.err


def test_settings_that_dockerd_refuses_are_an_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "daemon.json").write_text('{"icc": false, "iptables": false}')
    status, out, err = run(capsys, str(tmp_path / "daemon.json"))
    assert (status, out) == (2, [])
    assert "dockerd does not start with icc=false and iptables=false" in err


def test_a_missing_source_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "/nowhere/daemon.json")
    assert (status, "/nowhere/daemon.json: No such file" in err) == (2, True)


def test_a_host_without_docker_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, str(FIXTURES / "hosts/ferm"))
    assert (status, out) == (2, [])
    assert "hosts/ferm has no trace of Docker" in err
    status, out, err = run(capsys, str(FIXTURES / "docker-28.5/iptables-off"))
    assert (status, out) == (0, [])
    assert "writes no IPv4 rules" in err


def settings_of(name: str) -> Mapping[str, object]:
    daemon = docker_host(host(name)).daemon
    return {
        field: getattr(daemon, field)
        for field in ("icc", "iptables", "userland_proxy", "ip_masq", "ip_forward")
    }


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("docker-28.5/icc-off", {"icc": False}),
        ("docker-28.5/iptables-off", {"iptables": False}),
        ("docker-28.5/published-no-proxy", {"userland_proxy": False}),
        ("docker-28.5/no-masquerade", {"ip_masq": False}),
        ("docker-28.5/forward-off", {"ip_forward": False}),
    ],
)
def test_settings_are_recovered_from_captures(name: str, told: dict[str, bool]) -> None:
    assert settings_of(name).items() >= told.items()


COMMANDS = """\
$ docker network create --subnet 172.30.0.0/16 -o com.docker.network.bridge.name=br-own \\
    -o com.docker.network.host_ipv4=192.0.2.10 own
$ docker run -d --name web --expose 80 nginx
$ docker run -d --name client --link web nginx
$ docker run -d --name db --network own -p 127.0.0.1:5432:5432 postgres
"""


def test_commands_of_docker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As dockerd 28.5.2 wrote them: for an option of a network, a link, a port on a loopback address."""
    (tmp_path / "commands.txt").write_text(COMMANDS)
    assert main(["docker-rules", str(tmp_path / "commands.txt"), "--icc", "false"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for line in (
        "-A PREROUTING -d 127.0.0.1/32 ! -i lo -p tcp -m tcp --dport 5432 -j DROP",
        "-A POSTROUTING -s 172.30.0.0/16 ! -o br-own -j SNAT --to-source 192.0.2.10",
        "-A DOCKER -s 172.17.0.3/32 -d 172.17.0.2/32 -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT",
        "-A DOCKER-FORWARD -i docker0 -o docker0 -j DROP",
    ):
        assert line in lines
