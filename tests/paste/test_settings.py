"""Docker's settings alone are a host on which dockerd was started with them."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

import iptsim
from iptsim.errors import CaptureError
from iptsim.findings import lint
from iptsim.host.files import Source
from iptsim.host.model import Host
from iptsim.netfilter.walk import walk
from iptsim.paste.assembly import host_of_source
from iptsim.question.model import Question


def read(text: str) -> Host:
    return host_of_source(Source("paste", {}, text.encode()))


def verdict(host: Host, sender: str, to: str) -> str:
    return walk(host, Question(**{"from": sender, "to": to, "proto": "tcp"})).verdict


def test_docker_run_commands() -> None:
    host = read(
        "$ docker network create --subnet 172.30.0.0/24 backend\n"
        "$ docker run -d --name web -p 8080:80 --network backend nginx:latest\n$ docker run -it postgres\n"
    )
    assert sorted(host.containers) == ["postgres", "web"]
    assert verdict(host, "internet", "host:8080") == "ACCEPT"
    assert verdict(host, "postgres", "web:80") == "DROP"


def test_a_compose_file_between_prose() -> None:
    pytest.importorskip("yaml")
    host = read(
        "My file:\n```yaml\nservices:\n  web:\n    image: nginx\n    ports:\n      - '8080:80'\n"
        "  db:\n    image: postgres\n```\nand it does not work\n"
    )
    assert sorted(host.containers) == ["project-db-1", "project-web-1"]
    assert verdict(host, "internet", "host:8080") == "ACCEPT"
    assert host.pasted is not None
    assert host.pasted.summary() == "read: lines 3-9 a Compose file; left out: 1, 11"


def test_daemon_json_with_ipv6_and_without_its_rules() -> None:
    text = '{\n  "userland-proxy": false,\n  "ipv6": true,\n  "fixed-cidr-v6": "fd00:dead:beef::/48"\n}\n'
    assert "ipv6-rules-not-enabled" in {finding.code for finding in lint(read(text))}
    told = text.replace('"ipv6": true', '"ipv6": true, "ip6tables": true')
    assert "ipv6-rules-not-enabled" not in {finding.code for finding in lint(read(told))}
    newer = "# iptables -S\n-P FORWARD DROP\n-N DOCKER-FORWARD\n-A FORWARD -j DOCKER-FORWARD\n"  # of 28
    assert "ipv6-rules-not-enabled" not in {finding.code for finding in lint(read(text + newer))}
    listed = "# ip6tables -t nat -S\n-P PREROUTING ACCEPT\n-P POSTROUTING ACCEPT\n"
    assert "ipv6-rules-not-enabled" in {finding.code for finding in lint(read(text + listed))}
    listed += "-N DOCKER\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n"
    assert "ipv6-rules-not-enabled" not in {finding.code for finding in lint(read(text + listed))}


def test_other_json_is_not_daemon_json() -> None:
    from iptsim.errors import CaptureError

    with pytest.raises(CaptureError, match="looks like JSON"):
        read('{"name": "left-pad", "version": "1.0.0"}')


def test_a_container_that_a_sentence_mentions() -> None:
    host = read(
        "For example: `docker run -p 127.0.0.1:9200:9200 elastic`. It is never open to the outside.\n"
    )
    assert sorted(host.containers) == ["elastic"]
    assert verdict(host, "localhost", "localhost:9200") == "ACCEPT"


def test_commands_before_and_after_a_container() -> None:
    """Docker inserts its rules before those that are there; later commands change all of them."""
    drop = "iptables -P INPUT DROP\niptables -A FORWARD -j DROP\n"
    run = "docker run -d --name web -p 8080:80 nginx\n"
    assert verdict(read(drop + run), "internet", "host:8080") == "ACCEPT"
    assert verdict(read(drop + run), "internet", "host:22") == "DROP"
    user = "iptables -I DOCKER-USER -i eth0 -j DROP\n"
    assert verdict(read(run + user), "internet", "host:8080") == "DROP"
    assert verdict(read(run + "iptables -F FORWARD\niptables -P FORWARD DROP\n"), "web", "internet") == "DROP"


def test_a_compose_file_that_was_cut_off() -> None:
    pytest.importorskip("yaml")
    text = "services:\n  web:\n    image: nginx\n    ports: ['8080:80']\n    links: [db]\n    networks: [front]\n"
    host = read(text + "  cache:\n    image: 'red")
    assert "project-web-1" in host.containers
    assert verdict(host, "internet", "host:8080") == "ACCEPT"


def test_a_quoted_compose_file_with_tabs() -> None:
    pytest.importorskip("yaml")
    host = read("> > services:\n> >   web:\n> > \timage: nginx\n> > \tports:\n> > \t  - 8080:80\n")
    assert verdict(host, "internet", "host:8080") == "ACCEPT"


def test_podman_makes_no_host_of_docker() -> None:
    """Its network stack sets no policy in FORWARD, and jumps to no DOCKER-USER (netavark)."""
    host = read("$ podman run -d --name web -p 8080:80 nginx\n$ sudo iptables -P INPUT DROP\n")
    assert host.containers == {}
    assert [one.code for one in lint(host) if one.code.startswith(("forward", "docker"))] == []


MACVLAN = """\
docker network create -d macvlan --subnet=10.9.0.0/24 --gateway=10.9.0.1 -o parent={parent} lan
docker run -d --net=lan --ip=10.9.0.20 --name web -p 8080:80 nginx
"""


def test_a_container_on_macvlan_cannot_reach_its_own_host() -> None:
    """Neither way, as Docker's documentation on macvlan says; others in the LAN reach it past the host's rules."""
    host = read(MACVLAN.format(parent="eth0"))
    assert [verdict(host, *ends) for ends in (("host", "web:80"), ("web", "host:22"))] == ["DROP", "DROP"]
    assert verdict(host, "10.9.0.30", "10.9.0.20:80") == "ACCEPT"
    assert host.containers["web"].published == []  # the driver publishes no ports


def test_another_vlan_is_reached_through_its_router() -> None:
    assert verdict(read(MACVLAN.format(parent="eth0.50")), "host", "web:80") == "ACCEPT"


def test_macvlan_in_a_compose_file() -> None:
    pytest.importorskip("yaml")
    host = read(
        "services:\n  hole:\n    image: hole\n    container_name: hole\n"
        "    networks:\n      lan:\n        ipv4_address: 10.9.0.53\n"
        "networks:\n  lan:\n    driver: macvlan\n    driver_opts:\n      parent: eth0\n    ipam:\n      config:\n"
        "        - subnet: 10.9.0.0/24\n"
    )
    assert verdict(host, "host", "hole:53") == "DROP"
    assert verdict(host, "hole", "192.0.2.53:53") == "ACCEPT"


@pytest.mark.parametrize(
    ("internal", "more", "published"),
    [
        ("--internal ", "", False),
        ("", "", True),
        ("--internal ", "docker network create front\ndocker network connect front web\n", True),
    ],
)
def test_ports_of_containers_on_internal_networks_are_not_published(
    internal: str, more: str, published: bool
) -> None:
    """As dockerd 20.10, 26.1 and 28.5 did with the container `ci` of the fixtures docker/*-v6."""
    host = read(
        f"docker network create {internal}backend\n"
        f"docker run -d --name web --network backend -p 9090:80 nginx\n{more}"
    )
    assert bool(host.containers["web"].published) is published
    assert any("Ports of web are not published" in str(one) for one in host.assumptions) is not published


FLUSH = "iptables -F\niptables -X\niptables -P FORWARD DROP\niptables -A INPUT -p tcp --dport 80 -j ACCEPT\n"
RUN = "docker run -d --name web -p 80:80 nginx\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Docker's chains of table filter are gone, its DNAT is not: the FORWARD policy decides
        (RUN + FLUSH, "DROP"),
        ("Run by cron after docker:\n" + FLUSH + RUN, "DROP"),
        (FLUSH + RUN, "ACCEPT"),
    ],
)
def test_a_script_that_flushes_the_rules_of_docker(text: str, expected: str) -> None:
    host = read(text)
    assert verdict(host, "internet", "host:80") == expected
    flushed = "The commands that flush filter are assumed to have run before Docker started"
    assert any(str(one).startswith(flushed) for one in host.assumptions) is (expected == "ACCEPT")


def test_localhost_in_a_container_is_the_container(tmp_path: Path) -> None:
    path = tmp_path / "paste.txt"
    path.write_text(
        "$ docker run -d --name redis -p 6379:6379 redis\n$ docker run -d --name app -p 3000:3000 myapp\n"
        "$ docker exec -it app sh\n/app # curl localhost:6379\n"
        "curl: (7) Failed to connect to localhost port 6379 after 0 ms: Connection refused\n"
    )
    host = iptsim.load_host(path)
    assert host.pasted is not None
    assert list(host.pasted.asked) == [{"from": "app", "to": "localhost", "proto": "tcp", "dport": 6379}]
    answer = iptsim.explain(path, "app", "localhost:6379")
    assert "where redis publishes port 6379" in str(answer)


def test_a_compose_file_with_mistakes_in_a_longer_text() -> None:
    """The rest of the text is read; the file alone is refused, as by Compose."""
    pytest.importorskip("yaml")
    file = (
        "services:\n  web:\n    image: nginx\n    ports: ['80:80']\n    ports: ['8080:80']\n"
        "  one:\n    image: redis\n  two:\n    image: redis\n"
    )
    host = read(f"Mine is\n\n{file}\nand -A INPUT does not help.\n")
    assert {port.host_port for port in host.containers["project-web-1"].published} == {8080}
    with pytest.raises(CaptureError, match="duplicate"):
        read(file)
    with pytest.raises(CaptureError, match="not YAML"):
        read(f"Mine is\n\n{file.replace('nginx', '[')}\n")


def test_commands_and_settings_within_sentences() -> None:
    host = read(
        '1. Insert `{ "bridge": "none", "userland-proxy": false }` in daemon.json: `{ "icc": false }`\n'
        "2. Create one: `docker network create --subnet 172.30.0.0/24 --ipv6 --subnet fddd::/64 backend`\n"
        "3. Then `docker run -d -p 8080:80 --network backend --name web nginx`\n"
    )
    assert host.daemon is not None
    assert host.daemon.icc is False
    assert [str(one) for one in host.networks["backend"].subnets] == ["172.30.0.0/24", "fddd::/64"]
    assert verdict(host, "internet", "host:8080") == "ACCEPT"


RUNS = "docker run -d --name db --expose 5432 postgres\ndocker run -d --name app {link}app\n"


@pytest.mark.parametrize(
    "text",
    [
        '{"icc": false}\n',
        'DOCKER_OPTS="--icc=false --iptables=true"\n',
        "OPTIONS='--selinux-enabled --icc=false'\n",
        "ExecStart=/usr/bin/dockerd -H fd:// --icc=false\n",
        "ExecStart=/usr/bin/dockerd -H fd:// \\\n          --icc=false\n",
        "# dockerd --icc=false\n",
        '# grep icc /etc/docker/daemon.json\n  "icc": false,\n',
        "# docker -d --icc=false\n",
        "root  812  0.1  1.0 1500 800 ?  Ssl  10:00   0:10 /usr/bin/dockerd -H fd:// --icc=false\n",
        "           └─812 /usr/bin/dockerd -H fd:// --icc=false\n",
        'I set DOCKER_OPTS="--icc=false" in /etc/default/docker.\n',
        "The docker daemon is run with `--icc=false` in this case.\n",
        'Since then, /etc/docker/daemon.json has `"icc": false`.\n',
        "I run docker with icc=false (the only configuration that I have in daemon.json).\n",
    ],
)
def test_icc_off_and_links(text: str) -> None:
    """Without icc, only links open ports (docs.docker.com/engine/network/links)."""
    assert verdict(read(text + "\n" + RUNS.format(link="")), "app", "db:5432") == "DROP"
    linked = read(text + "\n" + RUNS.format(link="--link db:database "))
    assert (verdict(linked, "app", "db:5432"), verdict(linked, "db", "app:80")) == ("ACCEPT", "DROP")
    # the image may expose further ports
    assert verdict(linked, "app", "db:5433") == "DEPENDS"


@pytest.mark.parametrize(
    "text",
    [
        '#DOCKER_OPTS="--icc=false"\n',
        "Should I start dockerd --icc=false?\n",
        "--icc=false\n",
        'I tried DOCKER_OPTS="--icc=false" in /etc/default/docker.\n',
        "If the docker daemon is run with `--icc=false`, nothing works.\n",
        "Docker runs with `--icc=false`, later with `--icc=true`.\n",
        'You should have `"icc": false` in daemon.json.\n',
        'daemon.json has `"icc": false`, and later `"icc": true`.\n',
        'daemon.json never had `"icc": false`.\n',
        "Do I need icc=false in daemon.json?\n",
        "Setting icc=false in daemon.json breaks links.\n",
        'Revert `"icc": false` in daemon.json, and restart Docker.\n',
        'An answer suggested `"icc": false` in daemon.json.\n',
        "We set icc=false in daemon.json, then removed it.\n",
        "I have tried icc=false in daemon.json.\n",
        'Make sure that daemon.json has `"icc": false`.\n',
        'According to a guide, a daemon.json with `"icc": false` stops this.\n',
    ],
)
def test_what_is_not_said_of_dockerd(text: str) -> None:
    assert verdict(read(text + "\n" + RUNS.format(link="")), "app", "db:5432") == "ACCEPT"


def test_addresses_that_a_container_prints_are_its_own() -> None:
    """What docker run prints in the foreground comes from inside (docs.docker.com, docker run)."""
    text = "$ docker run -it debian bash -c 'ip addr'\n" + (
        "7: eth0@if8: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP\n    inet 172.17.0.9/16 scope global eth0\n"
    )
    assert verdict(read("docker run -d -p 80:80 --name web nginx\n" + text), "host", "web:80") == "ACCEPT"
    assert read(text).owner_of(4, int(IPv4Address("172.17.0.9"))) != "host"


def test_commands_that_begin_with_a_capital_letter() -> None:
    """As keyboards of phones write them."""
    assert list(read("Docker run -d --name web nginx\n").containers) == ["web"]


def test_an_address_that_docker_refuses() -> None:
    """It is outside the subnet of the network, so Docker assigns none (libnetwork, ipam)."""
    network = "docker network create --subnet 172.30.0.0/24 back\n"
    host = read(network + "docker run -d --network back --ip 172.31.0.5 --name web nginx\n")
    assert any("172.31.0.5" in str(one) for one in host.assumptions)
    assert host.owner_of(4, int(IPv4Address("172.31.0.5"))) is None


@pytest.mark.parametrize(
    ("options", "published"),
    [
        ("-dp 8080:80", "8080->80/tcp"),
        ("-itdp8080:80", "8080->80/tcp"),
        ("-p=8080:80 --rm", "8080->80/tcp"),
        ("--detach=true --publish=8080:80/udp", "8080->80/udp"),
        ("-v /tmp:/x -e A=b -P", ""),
        ("--sig-proxy=false -dit", ""),
        ("-p 8080:80 --", "8080->80/tcp"),
    ],
)
def test_options_of_docker_run(options: str, published: str) -> None:
    """Letters may share a dash, and arguments may follow at once (docs.docker.com/reference/cli/docker)."""
    host = read(f"$ docker run --name web {options} nginx -p 1:1\n")
    found = host.containers["web"].published
    assert [f"{one.host_port}->{one.container_port}/{ {6: 'tcp', 17: 'udp'}[one.proto] }" for one in found][
        :1
    ] == ([published] if published else [])


def test_containers_and_networks_are_made_in_the_order_of_their_commands() -> None:
    host = read(
        "docker network create zeta\ndocker network create --internal alpha --subnet 10.9.0.0/24 --gateway 10.9.0.254\n"
        "docker run -d --name web --network zeta nginx\ndocker run -d --name app --net zeta --network-alias api app\n"
        "docker run -d --name side --network container:web busybox\n"
    )
    assert [str(IPv4Address(host.containers[name].address(4) or 0)) for name in ("web", "app")] == [
        "172.18.0.2",
        "172.18.0.3",
    ]
    assert host.containers["app"].endpoints["zeta"].aliases == ("app", "api")
    assert host.containers["side"].namespace is host.containers["web"].namespace
    (subnet,) = (one for one in host.networks["alpha"].subnets if one.family == 4)
    assert (str(subnet), str(IPv4Address(subnet.gateway or 0))) == ("10.9.0.0/24", "10.9.0.254")


def test_services_without_networks_of_their_own() -> None:
    pytest.importorskip("yaml")
    host = read(
        'services:\n  vpn: {image: v}\n  app: {image: a, network_mode: "service:vpn"}\n'
        "  web: {image: w, network_mode: host}\n  none: {image: w, network_mode: none}\n"
    )
    assert host.containers["project-app-1"].namespace is host.containers["project-vpn-1"].namespace
    assert host.containers["project-web-1"].namespace is host.namespace
    assert verdict(host, "internet", "web:80") == "ACCEPT"
    assert verdict(host, "app", "internet:443") == "ACCEPT"
    assert verdict(host, "none", "internet:443") == "DROP"


@pytest.mark.parametrize(("value", "found"), [(0, "DROP"), (1, "ACCEPT")])
def test_kernel_parameters_beside_docker_run(value: int, found: str) -> None:
    host = read(
        f"# sysctl net.ipv4.ip_forward\nnet.ipv4.ip_forward = {value}\n\n$ docker run -d --name web nginx\n"
    )
    assert verdict(host, "web", "internet:443") == found


def test_a_file_that_a_firewall_loads_on_top_of_dockers_rules() -> None:
    """As ufw loads after.rules without flushing, Docker's FORWARD calls the DOCKER-USER of ufw-docker."""
    host = read(
        "My after.rules:\n\n*filter\n:ufw-user-forward - [0:0]\n:DOCKER-USER - [0:0]\n"
        "-A DOCKER-USER -j ufw-user-forward\n-A DOCKER-USER -j RETURN -s 192.168.0.0/16\n"
        "-A DOCKER-USER -p tcp -m tcp --dport 80 -j DROP\nCOMMIT\n\n$ docker run -d -p 8080:80 --name web nginx\n"
    )
    assert verdict(host, "internet", "host:8080") == "DROP"
    assert verdict(host, "192.168.1.5", "host:8080") == "ACCEPT"


def test_name_servers_of_containers() -> None:
    """On docker0 those of the daemon's settings, elsewhere Docker's own (docs.docker.com/engine/network)."""
    host = read(
        '{"dns": ["10.0.0.53"]}\n\n$ docker run -d --name one nginx\n$ docker run -d --name two --network n nginx\n'
    )
    assert host.containers["one"].namespace.nameservers() == ["10.0.0.53"]
    assert host.containers["two"].namespace.nameservers() == ["127.0.0.11"]
    assert verdict(host, "one", "dns") == verdict(host, "two", "dns") == "ACCEPT"


def test_a_network_whose_subnet_is_not_shown() -> None:
    host = read("$ docker run -d --name one --network lan --ip 10.9.0.7 nginx\n")
    assert [str(one) for one in host.networks["lan"].subnets] == ["10.9.0.0/24"]
    assert any("10.9.0.0/24: a guess" in str(one) for one in host.assumptions)


def test_settings_that_dockerd_refuses() -> None:
    with pytest.raises(CaptureError, match="bip"):
        read('DOCKER_OPTS="--bip nonsense"\n\n$ docker run -d nginx\n')


def test_containers_of_a_compose_project_share_its_network() -> None:
    """`icc` is about the default bridge alone (dockerd(8))."""
    host = read(
        '{ "icc": false }\n$ docker ps\n'
        "CONTAINER ID   IMAGE      COMMAND    CREATED        STATUS        PORTS                    NAMES\n"
        '1a2b3c4d5e6f   nginx      "nginx"    10 hours ago   Up 10 hours   0.0.0.0:80->80/tcp       my-app-web-1\n'
        '2a2b3c4d5e6f   postgres   "docker"   10 hours ago   Up 10 hours   5432/tcp                 my-app-db-1\n'
        '3a2b3c4d5e6f   redis      "docker"   10 hours ago   Up 10 hours   6379/tcp                 cache\n'
        '4a2b3c4d5e6f   redis      "docker"   10 hours ago   Up 10 hours   6379/tcp                 other\n'
    )
    assert "my-app_default" in host.networks
    assert verdict(host, "my-app-web-1", "my-app-db-1:5432") == "ACCEPT"
    assert verdict(host, "cache", "other:6379") == "DROP"
    assert verdict(host, "cache", "my-app-db-1:5432") == "DROP"


def test_a_container_that_did_not_start() -> None:
    host = read(
        "$ docker run -d --name db postgres\n1a2b3c\n$ docker run -d --name web -p 80:80 nginx\n2a2b3c\n"
        "docker: Error response from daemon: driver failed programming external connectivity on endpoint web.\n"
    )
    assert [*host.containers] == ["db"]


def test_a_container_that_is_stopped_again() -> None:
    start = "$ docker run -d --name web -p 80:80 nginx\n$ docker run -d --name db postgres\n"
    assert [*read(start + "$ docker stop web\n").containers] == ["db"]
    again = start + "$ docker stop web\n$ docker rm web\n$ docker run -d --name web -p 8080:80 nginx\n"
    assert verdict(read(again), "internet", "host:8080") == "ACCEPT"


def test_a_container_is_connected_to_a_second_network() -> None:
    printed = f"{'3e' * 32}\n"  # an ID
    start = f"$ docker network create --internal backend\n{printed}"
    start += f"$ docker run -d --name db --network backend postgres\n{printed}"
    for web in (
        f"$ docker run -d --name web -p 80:80 nginx\n{printed}$ docker network connect backend web\n",
        "$ docker run -d --name web -p 80:80 --network backend nginx\n$ docker network connect bridge web\n",
    ):
        host = read(start + web)
        assert verdict(host, "web", "db:5432") == "ACCEPT"
        assert verdict(host, "web", "8.8.8.8:53") == "ACCEPT"
        assert verdict(host, "db", "8.8.8.8:53") == "DROP"
        assert walk(host, Question(**{"from": "internet", "to": "host:80", "proto": "tcp"})).legs[0].delivered


def test_faulty_services_of_a_part_of_a_compose_file_are_left_out() -> None:
    pytest.importorskip("yaml")
    host = read(
        "web:\n  image: nginx\n  ports: ['80:80']\n\ndb:\n  image: postgres\n  ports: ['5432:5432\n\n"
        "cache:\n  image: redis\n"
    )
    assert sorted(host.containers) == ["project-cache-1", "project-web-1"]


@pytest.mark.parametrize("runs", ["docker run -d -p 3306:3307 --name db mariadb", "0.0.0.0:3306->3307/tcp"])
@pytest.mark.parametrize(("forward", "inside"), [("DROP", "DEPENDS"), ("ACCEPT", "ACCEPT")])
def test_a_published_port_beside_rules_without_nat(runs: str, forward: str, inside: str) -> None:
    """Docker forwards it in nat (docs.docker.com, packet filtering and firewalls), which the text does not show."""
    if not runs.startswith("docker"):
        runs = (
            "CONTAINER ID   IMAGE     COMMAND    CREATED      STATUS      PORTS                    NAMES\n"
            f'0b1c2d3e4f5a   mariadb   "mysqld"   5 days ago   Up 5 days   {runs}   db'
        )
    rules = (
        f"-P INPUT ACCEPT\n-P FORWARD {forward}\n-P OUTPUT ACCEPT\n"
        "-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN\n"
    )
    host = read(f"# docker ps\n{runs}\n\n# iptables -S\n{rules}")
    assert verdict(host, "internet", "host:3306") == inside
    assert verdict(host, "internet", "host:3307") == "ACCEPT"


def test_daemon_json_with_settings_of_other_parts_and_a_redacted_address() -> None:
    host = read(
        'In daemon.json:\n\n{\n "max-concurrent-downloads": 3,\n "default-ulimits": {},\n "ipv6": true,\n'
        ' "fixed-cidr-v6": "2001:xxxx:5000:20::/64",\n "icc": false\n}\n'
    )
    assert host.daemon is not None
    assert (host.daemon.icc, host.daemon.fixed_cidr_v6) == (False, None)
    assert any("2001:xxxx" in str(one.text) for one in next(iter(host.rulesets.values())).warnings)
    with pytest.raises(CaptureError, match="999"):  # not redacted, but wrong
        read('{"bip": "999.1.1.1/99"}')


def test_ports_that_a_text_leaves_open() -> None:
    """Only the port of the container is told; where none is, the container is there without it."""
    host = read(
        "docker run -d --name web -p $PORT:80 nginx\ndocker run -d --name db -p <port> postgres\n"
        "iptables -P INPUT DROP\n"
    )
    assert {port.container_port for port in host.containers["web"].published} == {80}
    assert not host.containers["db"].published
    assert [str(one) for one in host.assumptions if "is not known" in str(one)] == [
        "The host's port in $PORT:80 of web is not known; a free one is assumed.",
        "The published port <port> of db is not known; it is ignored.",
    ]
    assert verdict(host, "internet", "host:22") == "DROP"


def test_variables_of_a_compose_file_have_their_defaults() -> None:
    """docs.docker.com/reference/compose-file/interpolation: ${NAME:-default} is the default if NAME is unset."""
    pytest.importorskip("yaml")
    host = read(
        "services:\n  web:\n    image: nginx\n    networks:\n      front:\n        ipv4_address: ${IP}\n"
        "    ports:\n      - ${BIND:-127.0.0.1}:${PORT:-${OTHER:-8080}}:80\n"
        "networks:\n  front:\n    ipam:\n      config:\n        - subnet: x.x.x.0/24\n"
    )
    (port,) = [port for port in host.containers["project-web-1"].published if port.family == 4]
    assert (port.host_address, port.host_port, port.container_port) == ("127.0.0.1", 8080, 80)


@pytest.mark.parametrize(
    ("port", "shown"),
    [
        ("127.0.0.1:${WEB}:80", ("127.0.0.1", 32768)),
        ("${BIND}:8080:80", (None, 8080)),
        ("${BIND}:${WEB}:80", (None, 32768)),
    ],
)
def test_what_is_known_of_a_published_port_counts(port: str, shown: tuple[str | None, int]) -> None:
    pytest.importorskip("yaml")
    host = read(f"services:\n  web:\n    image: nginx\n    ports:\n      - {port}\n")
    found = [one for one in host.containers["project-web-1"].published if one.family == 4]
    assert [(one.host_address, one.host_port) for one in found] == [shown]


def test_other_settings_that_a_text_leaves_open() -> None:
    """Compose casts what variables give (compose-go, loader/interpolate.go)."""
    pytest.importorskip("yaml")
    host = read(
        "services:\n  web:\n    image: nginx\n    scale: ${MANY}\n    deploy:\n      replicas: ${COUNT:-2}\n"
        "  db:\n    image: db\n    network_mode: ${MODE}\nnetworks:\n  default:\n    internal: ${CLOSED}\n"
    )
    assert sorted(host.containers) == ["project-db-1", "project-web-1", "project-web-2"]
    assert "internal of default is not known (${CLOSED}); the default is assumed." in map(
        str, host.assumptions
    )


def test_a_compose_file_of_version_1() -> None:
    """It has `net` for network_mode, and no networks: containers are on docker0."""
    pytest.importorskip("yaml")
    host = read("web:\n  image: nginx\n  ports:\n    - 8080:80\n\ndb:\n  image: db\n  net: host\n")
    assert host.containers["project-web-1"].address(4) == int(IPv4Address("172.17.0.2"))
    assert host.containers["project-db-1"].network_mode == "host"


def test_a_sentence_about_docker_run_is_no_command() -> None:
    host = read(
        "If I use docker run -p public ip:port:port both addresses can be reached\n\n"
        "iptables -P FORWARD DROP\n"
    )
    assert not host.containers


def test_a_command_in_the_sentence_between_two_listings() -> None:
    host = read(
        "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-A INPUT -i eth1 -j DROP\n\n"
        "after running `docker run -d --name web -p 8080:80 nginx`\n\n"
        "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-N DOCKER\n-A INPUT -i eth1 -j DROP\n-A FORWARD -o docker0 -j DOCKER\n"
        "-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT\n"
    )
    found = {finding.code: str(finding.title) for finding in lint(host)}
    assert found["firewall-bypassed"] == (
        "8080/tcp (web) is published, so a firewall in INPUT does not protect it: its packets never pass INPUT."
    )


def test_docker_warns_that_iptables_does_not_see_bridged_packets() -> None:
    """The words are those of moby, daemon/info_unix.go."""
    sysctls = read(
        " WARNING: bridge-nf-call-iptables is disabled\n WARNING: bridge-nf-call-ip6tables is disabled\n"
    ).namespace.sysctls
    names = ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables")
    assert [sysctls[name] for name in names] == ["0", "0"]


FORWARDING = "WARNING: IPv4 forwarding is disabled. Networking will not work."


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (FORWARDING, "0"),
        (f"Mar  1 10:00:00 gw dockerd[812]: {FORWARDING}", "0"),
        (f'time="2025-03-01T10:00:00Z" level=warning msg="{FORWARDING}"', "0"),
        # what sysctl shows counts, before or after the warning
        (f"{FORWARDING}\n$ sysctl net.ipv4.ip_forward\nnet.ipv4.ip_forward = 1", "1"),
        (
            f"$ sysctl net.ipv4.ip_forward\nnet.ipv4.ip_forward = 1\n\n$ docker run -it debian\n{FORWARDING}",
            "1",
        ),
        (f"{FORWARDING}\n$ cat /proc/sys/net/ipv4/ip_forward\n1", "1"),
        # only quoted, so forwarding is assumed
        (f'I no longer see "{FORWARDING}" when I run it.', "1"),
        ("It says WARNING: IPv4 forwarding is disabled, although it is not.", "1"),
    ],
)
def test_docker_warns_that_the_host_does_not_forward(text: str, value: str) -> None:
    """The words are those of moby, daemon/info_unix.go, and docker/cli."""
    host = read(f"{text}\n$ iptables -S\n-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n")
    assert host.namespace.sysctls["net.ipv4.ip_forward"] == value


def test_warnings_name_the_text() -> None:
    """Its rules are those that dockerd would write; the lines are those of the text."""
    host = read('{\n "ipv6": true,\n "fixed-cidr-v6": "2001:xxxx::/64"\n}\n')
    assert [ruleset.source for ruleset in host.rulesets.values() if ruleset.warnings] == ["paste"]


@pytest.mark.parametrize(
    ("port", "containers"),
    [
        *(("198.51.100.7", ["db"]), ("99999:80", ["db"]), ("1:2:3:4", ["db"])),
        *(("...", ["db", "web"]), ("80", ["db", "web"])),
    ],
)
def test_a_published_port_that_docker_refuses(port: str, containers: list[str]) -> None:
    """It starts no container then (docker/go-connections, nat.ParsePortSpec); the others are read all the same."""
    text = f"docker run -d --name web -p {port} nginx\ndocker run -d --name db postgres\n"
    assert sorted(read(text).containers) == containers
