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
