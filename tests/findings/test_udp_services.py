"""Ports of services that use UDP alone, opened or published for TCP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.findings.linting import lint

RULES = "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n-A INPUT -i lo -j ACCEPT\n{}COMMIT\n"
TCP = "-A INPUT -p tcp -m tcp --dport {port} -j ACCEPT\n"
UDP = "-A INPUT -p udp -m udp --dport 51820 -j ACCEPT\n"


@pytest.mark.parametrize(
    ("rules", "is_found"),
    [
        (TCP.format(port=51820), True),  # WireGuard sends UDP only (wg(8))
        (TCP.format(port=51820) + UDP, False),
        (UDP + TCP.format(port=51820), False),
        (TCP.format(port=443), False),
        ("-A INPUT -p tcp -j DROP\n" + TCP.format(port=51820), False),
    ],
)
def test_a_port_of_wireguard_that_is_open_for_tcp_only(tmp_path: Path, rules: str, is_found: bool) -> None:
    found = lint(tmp_path, RULES.format(rules)).get("udp-service-over-tcp")
    assert (found is not None) is is_found
    if found is not None:
        assert str(found.remedy) == "iptables -I INPUT 2 -p udp --dport 51820 -j ACCEPT"


@pytest.mark.parametrize(
    ("ports", "is_found"),
    [
        ("-p 51820:51820", True),
        ("-p 51820:51820/udp", False),
        ("-p 51820:51820 -p 51820:51820/udp", False),
        ("-p 8080:80", False),
    ],
)
def test_a_container_that_publishes_wireguards_port_for_tcp(
    tmp_path: Path, ports: str, is_found: bool
) -> None:
    """Docker's documentation of `-p`: TCP is the default."""
    found = lint(tmp_path, f"docker run -d --name vpn {ports} linuxserver/wireguard\n").get(
        "udp-service-over-tcp"
    )
    assert (found is not None) is is_found
    if found is not None:
        assert str(found.remedy) == "Publish it with -p 51820:51820/udp."
