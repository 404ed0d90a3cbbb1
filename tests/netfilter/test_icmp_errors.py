"""ICMP errors belong to the connection of the packet that they quote (nf_conntrack_inet_error)."""

from __future__ import annotations

from typing import Any

import pytest

from iptsim.addresses import address_text
from iptsim.errors import UsageError
from iptsim.host.conntrack_entries import conntrack_entries
from iptsim.netfilter.trace import Trace
from iptsim.netfilter.walk import walk
from iptsim.question.model import Question
from iptsim.question.options import read_settings
from tests.netfilter.hosts import router

DUMP = """\
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o eth0 -j MASQUERADE
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
-A FORWARD -m conntrack --ctstate RELATED -j ACCEPT
-A FORWARD -i eth1 -o eth0 -j ACCEPT
COMMIT
"""
FIRST: dict[str, Any] = {
    "in": "eth1",
    "src": "10.2.0.9",
    "dst": "198.51.100.7",
    "proto": "udp",
    "sport": 1234,
    "dport": 53,
}
ERROR: dict[str, Any] = {
    "in": "eth0",
    "src": "10.1.0.254",
    "dst": "10.1.0.1",
    "proto": "icmp",
    "icmp_type": 3,
    "icmp_code": 4,
}
INNER: dict[str, Any] = {"src": "10.1.0.1", "dst": "198.51.100.7", "proto": "udp", "sport": 1234, "dport": 53}
#: IPv4 header and 8 bytes of UDP of the same packet.
QUOTED = "4500001c000700004011468e0a010001c633640704d200350008c69a"
LINE = (
    "udp 17 30 src=10.2.0.9 dst=198.51.100.7 sport=1234 dport=53 "
    "src=198.51.100.7 dst=10.1.0.1 sport=53 dport=1234 mark=0 use=1"
)


def ask(saved: str = "", **fields: Any) -> Trace:
    host = router(DUMP)
    host.conntrack = list(conntrack_entries(saved))
    return walk(host, Question(**fields))


def delivered_to(trace: Trace) -> str | None:
    delivered = trace.legs[0].delivered
    return address_text(4, delivered.packet.dst) if delivered else None


@pytest.mark.parametrize(
    "fields",
    [
        {"after": FIRST, "inner": INNER},
        {"after": FIRST, "payload_hex": QUOTED},
        {"after": FIRST},
        {"saved": LINE, "inner": INNER},
        {"saved": LINE, "payload_hex": QUOTED},
        {"saved": LINE, "inner": INNER, "state": "related"},
        {"conntrack": LINE},
        {"state": "related", "ct": {"orig": FIRST, "reply": {**INNER, "src": "198.51.100.7", "sport": 53,
                                                             "dst": "10.1.0.1", "dport": 1234}}},
    ],
    ids=lambda fields: "-".join(fields),
)  # fmt: skip
def test_an_error_about_a_masqueraded_packet_goes_to_its_sender(fields: dict[str, Any]) -> None:
    """As fixtures/kernel/icmp-error-of-masqueraded-nft.json has it."""
    trace = ask(**{**ERROR, **fields})
    assert (trace.verdict, delivered_to(trace)) == ("ACCEPT", "10.2.0.9")
    assert [(step.chain, step.rule and step.rule.position) for step in trace.legs[0].steps if step.table] == [
        ("FORWARD", 1)
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"after": FIRST, "inner": {**INNER, "sport": 1235}},
        {"after": FIRST, "payload_hex": QUOTED[:-12]},
        {"after": {**FIRST, "dst": "198.51.100.8"}, "inner": INNER},
        {"inner": INNER},
        {"after": FIRST, "dst": "10.1.0.1", "inner": {**INNER, "src": "10.2.0.9"}},
    ],
)
def test_an_error_about_no_known_connection_is_invalid(fields: dict[str, Any]) -> None:
    """As fixtures/kernel/icmp-error-of-unknown-nft.json has it: it stays the host's."""
    trace = ask(**{**ERROR, **fields})
    assert trace.verdict == "DROP"
    assert trace.legs[0].steps[-1].chain == "INPUT"


def test_nothing_quoted_and_nothing_known_is_said() -> None:
    trace = ask(**ERROR)
    assert trace.verdict == "DROP"
    assert any(
        "The packet that the ICMP error quotes is unknown" in note for note in map(str, trace.assumptions)
    )


def test_related_to_nobody_knows_what_is_said() -> None:
    trace = ask(**{**ERROR, "dst": "10.2.0.9"}, state="related")
    assert (trace.verdict, delivered_to(trace)) == ("ACCEPT", "10.2.0.9")
    assert any("Assumed that 10.2.0.9 opened the connection" in note for note in map(str, trace.assumptions))


def test_settings_quote_a_packet_too() -> None:
    words = [f"inner.{name}={value}" for name, value in INNER.items()]
    assert Question(**{**ERROR, **read_settings(words)}) == Question(**{**ERROR, "inner": INNER})
    assert Question(**{**ERROR, **read_settings(["inner.dst=10.0.0.1", "inner.dport=http"])}).inner == (
        Question(**{**ERROR, "inner": {"dst": "10.0.0.1", "dport": 80}}).inner
    )


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({**FIRST, "inner": INNER}, "only an ICMP error quotes a packet"),
        ({**ERROR, "icmp_type": 8, "inner": INNER}, "only an ICMP error quotes a packet"),
        ({**ERROR, "inner": {"src": "10.1.0.1"}}, "inner.dst: a value is needed"),
        ({**ERROR, "inner": {"dst": "2001:db8::1"}}, "IPv6 address, but the packet is IPv4"),
        ({**ERROR, "inner": {"dst": "nowhere"}}, "not an IP address"),
        ({**ERROR, "inner": {"dst": "10.0.0.1", "dport": 70000}}, "inner.dport"),
        (
            {**ERROR, "inner": {"dst": "10.0.0.1", "ports": 1}},
            "inner.ports: unknown field; choose from: src, dst",
        ),
    ],
)
def test_bad_quotations(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        walk(router(DUMP), Question(**fields))
