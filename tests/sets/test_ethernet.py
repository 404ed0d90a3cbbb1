"""The Ethernet address of a packet: known of containers, not of other machines (`-m mac`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from iptsim.dump import loads
from iptsim.host import load_host
from iptsim.sets.fates import fates

CAPTURE = Path(__file__).parent.parent.parent / "fixtures" / "captures" / "docker-28.5" / "published"
ALLOW = """*filter
:INPUT DROP
-A INPUT -m mac --mac-source 02:42:ac:11:00:09 -j ACCEPT
COMMIT
"""


@pytest.mark.parametrize(
    ("sender", "to", "verdict"),
    [
        ("internet", "192.0.2.10", "DEPENDS"),
        # of the reply, it is that of a router
        ("host", "198.51.100.7", "DEPENDS"),
        ("client", "192.0.2.10", "DROP"),
        # what the host sends to itself has no frame
        ("host", "192.0.2.10", "DROP"),
    ],
)
def test_the_address_of_a_machine_outside_is_undecided(sender: str, to: str, verdict: str) -> None:
    host = load_host(CAPTURE)
    host.rulesets[4] = loads(ALLOW, family=4)
    found = fates(host, senders=[sender], targets=[to], proto="tcp", dport=80)
    assert {one.verdict for one in found} == {verdict}
    assert {one.explanation.verdict for one in found} == {verdict}
