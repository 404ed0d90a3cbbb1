"""TCP packets that do not fit the state of their connection are INVALID.

Expected: the comments at tcp_conntracks and tcp_valid_flags (net/netfilter/nf_conntrack_proto_tcp.c); the kernel itself
in `fixtures/kernel/an-ack-whose-syn-ack-was-not-tracked.json`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import iptsim
from iptsim.protocols import SYN

CAPTURES = Path(__file__).parents[2] / "fixtures/captures"
RULES = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
"""
ENTRY = (
    "tcp 6 100 {state} src=10.1.0.2 dst=203.0.113.9 sport=40000 dport=443 {flag}"
    "src=203.0.113.9 dst=10.1.0.2 sport=443 dport=40000 mark=0 use=1"
)
THERE: dict[str, Any] = {"src": "10.1.0.2", "sport": 40000, "dst": "203.0.113.9", "dport": 443}
BACK: dict[str, Any] = {"src": "203.0.113.9", "sport": 443, "dst": "10.1.0.2", "dport": 40000}


@pytest.mark.parametrize(
    ("state", "way", "flags", "verdict"),
    [
        # "ACK is invalid: we haven't seen a SYN/ACK yet"
        ("SYN_SENT", THERE, "ACK", "DROP"),
        ("SYN_SENT", THERE, "SYN", "ACCEPT"),
        ("SYN_SENT", BACK, "SYN,ACK", "ACCEPT"),
        # "Might be a half-open connection": it is ignored
        ("SYN_SENT", BACK, "ACK", "ACCEPT"),
        ("SYN_SENT", BACK, "FIN,ACK", "DROP"),
        ("SYN_RECV", THERE, "ACK", "ACCEPT"),
        ("ESTABLISHED", THERE, "ACK,PSH", "ACCEPT"),
        # "SYN in ORIGINAL" may signal the real connection: it is ignored
        ("ESTABLISHED", THERE, "SYN", "ACCEPT"),
        ("ESTABLISHED", BACK, "SYN", "DROP"),
        ("ESTABLISHED", THERE, "SYN,ACK", "DROP"),
        # not in tcp_valid_flags
        ("ESTABLISHED", THERE, "FIN", "DROP"),
        ("ESTABLISHED", THERE, "SYN,FIN,ACK", "DROP"),
        ("ESTABLISHED", THERE, "RST", "ACCEPT"),
        ("TIME_WAIT", THERE, "SYN", "ACCEPT"),
        ("CLOSE", BACK, "SYN", "DROP"),
    ],
)
def test_a_packet_and_the_state_of_its_connection(
    tmp_path: Path, state: str, way: dict[str, Any], flags: str, verdict: str
) -> None:
    path = tmp_path / "rules"
    path.write_text(RULES)
    entry = ENTRY.format(state=state, flag="[UNREPLIED] " if state == "SYN_SENT" else "[ASSURED] ")
    arrives = "eth1" if way is THERE else "eth0"
    answer = iptsim.explain(path, in_interface=arrives, tcp_flags=flags, conntrack=entry, reply=False, **way)
    assert answer.verdict == verdict


def test_flags_that_the_question_leaves_open_are_not_held_against_it(tmp_path: Path) -> None:
    path = tmp_path / "rules"
    path.write_text(RULES)
    entry = ENTRY.format(state="ESTABLISHED", flag="[ASSURED] ")
    assert iptsim.explain(path, in_interface="eth0", conntrack=entry, **BACK).verdict == "ACCEPT"


def test_the_connection_of_docker_proxy_begins_with_a_syn() -> None:
    """It is one of its own: only the client's segment has the flags of the question."""
    asked: dict[str, Any] = {"from": "host", "to": "::1", "dport": 8080, "tcp_flags": "SYN,ECE,CWR"}
    answer = iptsim.explain(CAPTURES / "docker-28.5/published", **asked)
    assert [
        (leg.proxy, leg.packet.tcp_flags) for leg in answer.trace.legs if leg.direction == "original"
    ] == [
        (False, 0xC2),
        (True, SYN),
    ]
