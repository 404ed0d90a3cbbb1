"""The processes of docker-proxy tell which ports are published, and for which containers."""

from __future__ import annotations

import pytest

import iptsim
from iptsim.host.model import Host

PROXY = "/usr/bin/docker-proxy -proto"
#: As dockerd starts them (moby, cmd/docker-proxy), in the output of `systemctl status docker` and of ps.
PROCESSES = f"""\
     ├─ 1095 /usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock
     ├─495 {PROXY} tcp -host-ip 0.0.0.0 -host-port 5000 -container-ip 192.168.96.2 -container-port 80
     ├─496 {PROXY} tcp -host-ip :: -host-port 5000 -container-ip 192.168.96.2 -container-port 80 -use-listen-fd
     └─498 {PROXY} tcp -host-ip 127.0.0.1 -host-port 27017 -container-ip 172.17.0.4 -container-port 27018
root 298 1 0 22:11 ? 00:00:00 {PROXY} udp -host-ip 0.0.0.0 -host-port 53 -container-ip 172.17.0.4 -container-port 5353
"""
NAMES = """\
CONTAINER ID   IMAGE     COMMAND   CREATED       STATUS       PORTS                                   NAMES
0123456789ab   nginx     "nginx"   2 hours ago   Up 2 hours   0.0.0.0:5000->80/tcp, :::5000->80/tcp   web
"""


def read(text: str) -> Host:
    return iptsim.loads_host(text)


def test_processes_show_ports_and_containers() -> None:
    host = read(PROCESSES)
    ports = {
        name: [
            (port.host_address, port.host_port, port.container_port)
            for port in one.published
            if port.family == 4
        ]
        for name, one in host.containers.items()
    }
    assert ports == {
        "172.17.0.4": [("127.0.0.1", 27017, 27018), (None, 53, 5353)],
        "192.168.96.2": [(None, 5000, 80)],
    }
    assert [one.address(4) for one in host.containers.values()] == [0xAC110004, 0xC0A86002]
    found = iptsim.explain(host, "internet", "host", dport=5000)
    delivered = found.trace.legs[0].delivered
    assert (found.verdict, delivered and delivered.name) == ("ACCEPT", "192.168.96.2")


def test_a_running_process_is_not_assumed() -> None:
    answer = str(iptsim.explain(read(PROCESSES), "host", "localhost", dport=27017).reason.text)
    assert "docker-proxy listens and opens a second connection to 172.17.0.4" in answer
    assert "assumed" not in answer


def test_the_name_of_a_container_comes_from_another_list() -> None:
    host = read(f"$ docker ps\n{NAMES}$ ps -ef | grep docker-proxy\n{PROCESSES}")
    assert host.containers["web"].address(4) == 0xC0A86002
    assert set(host.containers) == {"web", "172.17.0.4"}


@pytest.mark.parametrize(
    "line",
    [
        "1 ? Sl 0:00 /usr/bin/docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 9443 -container-ip 1>",
        "12 pts/0 S+ 0:00 grep --color=auto docker-proxy",
    ],
)
def test_a_line_that_is_cut_off_tells_nothing(line: str) -> None:
    assert not read(f"-P FORWARD DROP\n{line}\n").containers


def test_docker_refuses_an_address_on_the_default_bridge() -> None:
    """Moby, daemon/container_operations.go: runconfig.ErrUnsupportedNetworkAndIP."""
    host = read("$ docker run -d --name web --ip 172.17.0.9 -p 8080:80 nginx\n")
    assert host.containers["web"].address(4) == 0xAC110002
    assert any("Docker refuses the address 172.17.0.9 of web" in str(one) for one in host.assumptions)


FILTER = """\
$ iptables -S
-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-A FORWARD -i br-0123456789ab ! -o br-0123456789ab -j ACCEPT
-A FORWARD -i br-0123456789ab -o br-0123456789ab -j ACCEPT
"""
#: A list of two containers, and the process of the published port of each.
OF_TWO = f"""\
$ docker ps --format 'table {{{{.Names}}}}\\t{{{{.Image}}}}\\t{{{{.Ports}}}}'
NAMES     IMAGE     PORTS
shop      nginx     0.0.0.0:8443->443/tcp
names     coredns   0.0.0.0:5300->53/udp
$ ps -ef | grep docker-proxy
root 71 1 0 22:11 ? 00:00:00 {PROXY} tcp -host-ip 0.0.0.0 -host-port 8443 -container-ip 172.23.0.7 -container-port 443
root 72 1 0 22:11 ? 00:00:00 {PROXY} udp -host-ip 0.0.0.0 -host-port 5300 -container-ip 172.23.0.9 -container-port 53
"""


@pytest.mark.parametrize("nat", ["", "$ iptables -t nat -S\n-P PREROUTING ACCEPT\n-P OUTPUT ACCEPT\n"])
def test_containers_that_no_rule_mentions_have_the_addresses_of_their_processes(nat: str) -> None:
    host = read(f"{OF_TWO}{FILTER}{nat}")
    assert {name: one.address(4) for name, one in host.containers.items()} == {
        "shop": 0xAC170007,
        "names": 0xAC170009,
    }
    assert [(one.host_port, one.container_port) for one in host.containers["shop"].published] == [(8443, 443)]
    assert iptsim.explain(host, "shop", "names", proto="udp", dport=53).verdict == "ACCEPT"
    assert not any("which no rule mentions" in str(one) for one in host.assumptions)


def test_an_address_of_an_unknown_network_adds_no_container() -> None:
    two_bridges = f"{FILTER}-A FORWARD -i br-ba9876543210 ! -o br-ba9876543210 -j ACCEPT\n"
    assert not read(f"{OF_TWO}{two_bridges}").containers


def test_a_table_nat_that_is_not_shown_may_forward_a_port_to_the_container_of_its_process() -> None:
    host = read(f"{OF_TWO}{FILTER}")
    answer = iptsim.explain(host, "internet", "host", dport=8443)
    assert answer.verdict == "DEPENDS"
    assert "forwards tcp/8443 of the host to 172.23.0.7:443" in str(answer)
