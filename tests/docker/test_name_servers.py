"""Which name servers containers of Docker ask (libnetwork/internal/resolvconf/resolvconf.go; docs.docker.com, DNS)."""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim
from iptsim.docker.dockerd.resolver import inherited
from iptsim.docker.sources.files import settings_of_file
from iptsim.errors import IptsimError
from iptsim.sources import loads_host

COMMANDS = """\
$ cat /etc/resolv.conf
nameserver {server}

docker network create back
docker run -d --name web nginx
docker run -d --name app --dns 9.9.9.9 --dns 1.1.1.1 nginx
docker run -d --name db --network back --dns 9.9.9.9 postgres
docker run -d --name q --network back postgres
"""
COMPOSE = """\
services:
  web:
    image: nginx
    network_mode: bridge
    dns: {servers}
"""


@pytest.mark.parametrize(
    ("text", "ipv6", "servers"),
    [
        ("nameserver 127.0.0.1\nnameserver 10.0.0.53\n", False, ["10.0.0.53"]),
        ("nameserver 10.0.0.53\nnameserver fd00::53\n", False, ["10.0.0.53"]),
        ("nameserver 10.0.0.53\nnameserver fd00::53\n", True, ["10.0.0.53", "fd00::53"]),
        ("nameserver ::1\nnameserver 127.0.0.1\n", False, ["8.8.8.8", "8.8.4.4"]),
        ("nameserver 127.0.0.53\n", False, None),  # dockerd reads the file of systemd-resolved instead
    ],
)
def test_what_the_default_bridge_inherits(text: str, ipv6: bool, servers: list[str] | None) -> None:
    found = inherited(text, ipv6=ipv6)
    assert found == (None if servers is None else "".join(f"nameserver {one}\n" for one in servers))


def asked(text: str, sender: str) -> str:
    """Return the destination of a container's DNS query."""
    return iptsim.explain(loads_host(text), sender, "dns").target


def test_docker_run() -> None:
    text = COMMANDS.format(server="10.0.0.53")
    assert asked(text, "web") == "dns 10.0.0.53"
    assert asked(text, "app") == "dns 9.9.9.9"
    with pytest.raises(IptsimError, match="no IPv4 name server is known"):
        asked(COMMANDS.format(server="127.0.0.53"), "web")


@pytest.mark.parametrize(
    ("sender", "servers"), [("db", "it asks 9.9.9.9."), ("q", "servers 10.0.0.53, from the host")]
)
def test_whom_dockers_own_resolver_asks(sender: str, servers: str) -> None:
    answer = iptsim.explain(loads_host(COMMANDS.format(server="10.0.0.53")), sender, "dns")
    assert servers in str(answer.reason.text)


@pytest.mark.parametrize("servers", ["9.9.9.9", "[9.9.9.9, 1.1.1.1]"])
def test_compose(servers: str) -> None:
    assert asked(COMPOSE.format(servers=servers), "web") == "dns 9.9.9.9"


def test_a_redacted_server_is_not_known(tmp_path: Path) -> None:
    host = loads_host(COMPOSE.format(servers="9.9.x.x"))
    assert any("dns of web is not known (9.9.x.x)" in str(one) for one in host.assumptions)
    path = tmp_path / "compose.yaml"
    path.write_text(COMPOSE.format(servers="dns.example"))
    with pytest.raises(IptsimError, match=r"'dns\.example' is not an address"):
        settings_of_file(str(path))
