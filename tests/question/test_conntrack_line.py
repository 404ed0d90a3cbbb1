"""A connection that the question gives as a line of `conntrack -L`."""

from __future__ import annotations

import pytest

from iptsim.cli import main
from iptsim.errors import UsageError
from iptsim.host import load_host
from iptsim.host.conntrack_entries import conntrack_entries
from iptsim.netfilter.walk import walk
from iptsim.question.model import Question
from tests.netfilter.hosts import router

HOST = "fixtures/captures/docker-28.5/icc-off"
LINE = (
    "tcp      6 431999 ESTABLISHED src=172.17.0.3 dst=172.17.0.2 sport=40001 dport=80 "
    "src=172.17.0.2 dst=172.17.0.3 sport=80 dport=40001 [ASSURED] mark=7 use=1"
)


@pytest.mark.parametrize(
    "fields",
    [
        {"from": "client", "to": "web:80"},
        {"from": "web", "to": "client", "sport": 80},
        {},
    ],
)
def test_its_packets_are_established(fields: dict[str, object]) -> None:
    trace = walk(load_host(HOST), Question(**{**fields, "conntrack": LINE, "tcp_flags": "ACK"}))
    # icc is off: a new connection between the two would be dropped
    assert trace.verdict == "ACCEPT"
    rule = trace.legs[0].steps[-1].rule
    assert rule is not None
    assert (rule.chain, rule.position) == ("DOCKER-CT", 1)


def test_an_unreplied_connection_is_new() -> None:
    line = LINE.replace("[ASSURED]", "[UNREPLIED]")
    trace = walk(load_host(HOST), Question(**{"from": "client", "to": "web:80", "conntrack": line}))
    assert trace.verdict == "DROP"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"from": "client", "to": "web:81", "conntrack": LINE},
            "the packet does not belong to this connection",
        ),
        ({"from": "client", "to": "web:80", "conntrack": "tcp 6"}, "is not a line of conntrack -L"),
        ({"from": "client", "to": "web:80", "conntrack": "tcp 6 src=x"}, "is not a conntrack entry"),
    ],
)
def test_other_lines_and_packets_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        walk(load_host(HOST), Question(**fields))


def test_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explain", HOST, "--from", "client", "--to", "web:80", "--quiet", "--expect", "accept"]
    assert main([*words, "--set", f"conntrack={LINE}", "--set", "tcp_flags=ACK"]) == 0
    capsys.readouterr()


PING = (
    "icmp 1 29 src=10.2.0.9 dst=10.1.0.9 type=8 code=0 id=4660 "
    "src=10.1.0.9 dst=10.1.0.1 type=0 code=0 id=4660 mark=0 use=1"
)
_MASQUERADING = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n"
_FORWARDING = (
    "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m state --state NEW -j DROP\nCOMMIT\n"
)


def test_a_saved_ping_is_known_by_its_identifier() -> None:
    """As the kernel does it with the entry that conntrack -L printed so."""
    host = router(_MASQUERADING + _FORWARDING)
    host.conntrack = list(conntrack_entries(PING))
    reply = {"in": "eth0", "src": "10.1.0.9", "dst": "10.1.0.1", "proto": "icmp", "icmp_type": 0}
    known, other = (walk(host, Question(**{**reply, "icmp_id": number})) for number in (4660, 4661))
    assert (known.verdict, known.legs[0].delivered and known.legs[0].delivered.name) == ("ACCEPT", "10.2.0.9")
    assert other.verdict == "DROP"


def test_whether_a_translated_connection_is_translated_hangs_on_a_nat_chain() -> None:
    """The kernel translates while a nat chain is registered: not after `nft delete table ip nat`."""
    host = router(_FORWARDING)
    host.conntrack = list(conntrack_entries(PING))
    reply = {"in": "eth0", "src": "10.1.0.9", "dst": "10.1.0.1", "proto": "icmp", "icmp_type": 0}
    trace = walk(host, Question(**{**reply, "icmp_id": 4660}))
    assert [way.verdict for way in trace.branches] == ["ACCEPT", "DROP"]
    assert [decision.match for decision in trace.hinges] == ["nat"]


@pytest.mark.parametrize(("end", "icmp_type"), [({"src": "10.2.0.9"}, 8), ({"src": "10.1.0.9"}, 0)])
def test_a_ping_given_as_a_line_is_the_request_or_the_reply(end: dict[str, str], icmp_type: int) -> None:
    question = Question(**{**end, "in": "eth0", "conntrack": PING})
    assert (question.icmp_type, question.icmp_code) == (icmp_type, 0)
