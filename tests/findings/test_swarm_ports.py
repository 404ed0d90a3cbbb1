"""Ports between the nodes of a swarm that INPUT blocks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.findings.linting import lint

INPUT = """\
-P INPUT DROP
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
"""
JOIN = "-A INPUT -s 10.0.0.0/24 -p tcp -m tcp --dport 2377 -j ACCEPT\n"
GOSSIP = (
    "-A INPUT -s 10.0.0.0/24 -p tcp -m tcp --dport 7946 -j ACCEPT\n"
    "-A INPUT -s 10.0.0.0/24 -p udp -m udp --dport 7946 -j ACCEPT\n"
)
VXLAN = "-A INPUT -s 10.0.0.0/24 -p udp -m udp --dport 4789 -j ACCEPT\n"


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        (JOIN + GOSSIP, ["udp --dport 4789"]),
        (JOIN + VXLAN, ["tcp --dport 7946", "udp --dport 7946"]),
        (JOIN + GOSSIP + VXLAN, []),
        (GOSSIP + VXLAN, []),
        # the others from certain senders, or all that comes through a tunnel
        ("-A INPUT -p tcp -m tcp --dport 2377 -j ACCEPT\n" + GOSSIP + VXLAN, []),
        ("-A INPUT -p tcp -m tcp --dport 2377 -j ACCEPT\n-A INPUT -i wg7 -j ACCEPT\n", []),
        (JOIN + GOSSIP + "-A INPUT -i docker0 -j ACCEPT\n", ["udp --dport 4789"]),
        # many ports, among them one of a swarm
        ("-A INPUT -p tcp -m tcp --dport 1024:65535 -j ACCEPT\n", []),
    ],
)
def test_ports_between_nodes_of_a_swarm(tmp_path: Path, rules: str, missing: list[str]) -> None:
    """Docker's manual, "Use overlay networks": 2377/tcp for managers, 7946 tcp and udp, 4789/udp."""
    found = lint(tmp_path, INPUT + rules).get("swarm-port-closed")
    assert (found is None) is (not missing)
    if found is not None:
        assert re.findall(r"-p (\S+ --dport \d+)", str(found.remedy)) == missing
        assert found.shown is not None
        assert found.shown.verdict == "DROP"
