"""Reachability: compared with connections that were really made, and which connections are checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import iptsim
from iptsim.addresses import address_text
from iptsim.reach import MOST, OTHER_PORT, Reach, Reachability, reachability
from tests.test_captures import FIXTURES, probes

ICC_OFF = FIXTURES / "docker-28.5/icc-off"
CAPTURES = ["docker-20.10/icc-on", "docker-28.5/icc-off", "docker-28.5/two-networks", "docker-28.5/published",
            "hosts/docker-many", "hosts/libvirt"]  # fmt: skip
RULES = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:SERVICES - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -m multiport --dports 80,8000:8080 -j REJECT --reject-with tcp-reset
-A INPUT -p tcp -m tcp ! --dport 23 -j SERVICES
-A INPUT -p tcp -m tcp --sport 1234 -j DROP
-A FORWARD -p tcp -m tcp --dport 3306 -j ACCEPT
-A SERVICES -p udp -m udp --dport 53 -j ACCEPT
-A SERVICES -p tcp -m tcp --dport 7000 -m limit --limit 1/sec -j ACCEPT
COMMIT
"""


def find(table: Reachability, sender: str, receiver: str, what: str) -> Reach | None:
    return next(
        (one for one in table if (one.sender, one.receiver, one.row.what) == (sender, receiver, what)), None
    )


def address(row: Reach) -> str:
    assert row.explanation is not None
    packet = row.explanation.trace.legs[0].packet
    return address_text(packet.family, packet.dst)


# the kernel's own answers: what came of the connections that were made when the host was captured
@pytest.mark.parametrize("capture", CAPTURES)
def test_verdicts_are_those_of_the_connections_that_were_made(capture: str) -> None:
    table = reachability(FIXTURES / capture)
    named = {one.port for one in table}
    compared = 0
    for probe in probes(FIXTURES / capture):
        if probe["outcome"] not in ("open", "filtered") or "port" not in probe or probe.get("to") is None:
            continue
        proto = probe.get("proto", "tcp")
        row = find(table, probe["from"], probe["to"], f"{probe['port']}/{proto}")
        if row is None and proto == "tcp" and probe["port"] not in named:
            row = find(table, probe["from"], probe["to"], "other ports")
        if row is not None and row.verdict and address(row) == probe["dst_ip"]:
            assert (row.verdict == "ACCEPT") == (probe["outcome"] == "open"), probe
            compared += 1
    assert compared >= 3


def test_a_row_says_which_rule_decides() -> None:
    row = find(iptsim.reachability(ICC_OFF), "client", "web", "80/tcp")
    assert row is not None
    assert (row.verdict, row.reason, row.at) == ("DROP", "icc-disabled", "")
    assert row.rule is not None
    # the last event of the kernel's own trace of this packet (probes.json)
    assert row.rule.text == "-A DOCKER-FORWARD -i docker0 -o docker0 -j DROP"
    assert row.place == f"filter DOCKER-FORWARD rule {row.rule.position}"
    assert row.as_json() == {
        "from": "client", "to": "web", "proto": "tcp", "dport": 80, "what": "80/tcp",
        "verdict": "DROP", "outcome": "blocked",
        "reason": "icc-disabled", "at": None, "note": None,
        "rule": {"table": "filter", "chain": "DOCKER-FORWARD", "rule": row.rule.position, "line": row.rule.line,
                 "text": row.rule.text},
    }  # fmt: skip


def test_the_table_is_data() -> None:
    table = reachability(ICC_OFF)
    out = json.loads(json.dumps(table.as_json()))
    assert (out["schema"], out["family"], out["left_out"]) == ("iptsim.reachability/1", 4, 0)
    assert len(out["rows"]) == len(table) == len(list(table))


def test_ports_that_rules_for_the_host_name_are_asked(tmp_path: Path) -> None:
    dump = tmp_path / "rules.txt"
    dump.write_text(RULES)
    table = reachability(dump)
    outside = {
        one.row.what: one.verdict for one in table if one.sender == "internet" and one.receiver == "host"
    }
    # by reading the rules; of a range the first port represents all
    assert outside == {
        "22/tcp": "ACCEPT", "80/tcp": "REJECT", "8000/tcp": "REJECT", "7000/tcp": "DEPENDS",
        "53/udp": "DROP",  # only TCP is led to SERVICES
        "other ports": "DROP", "icmp": "DROP",
    }  # fmt: skip
    unsure = find(table, "internet", "host", "7000/tcp")
    assert unsure is not None
    assert (unsure.reason, unsure.at) == ("undecided-match", "")


def test_what_cannot_be_asked_says_why() -> None:
    table = reachability(ICC_OFF, 6)
    # the containers of this host have no IPv6 addresses (docker-inspect.json)
    row = find(table, "internet", "web", "80/tcp")
    assert row is not None
    assert (row.verdict, row.reason, row.rule, row.at, row.place) == ("", "", None, "", "")
    assert row.note == "container web has no IPv6 address"
    assert row.as_json()["verdict"] is None


def test_published_ports_of_ipv6_are_asked() -> None:
    table = reachability(FIXTURES / "docker-28.5/ipv6", 6)
    assert {one.port for one in table if one.receiver == "host"} > {OTHER_PORT}
    assert all(one.proto != "icmp" for one in table)


def test_names_that_mean_others_too_are_told_apart() -> None:
    # one guest of this host is called dns, a word that represents the sender's resolver
    table = reachability(FIXTURES / "hosts/kube")
    row = find(table, "internet", "dns@cni0", "other ports")
    assert row is not None
    assert row.at == "dns"
    assert all(one.receiver != "dns" for one in table)


def test_too_many_questions_are_counted() -> None:
    whole = reachability(FIXTURES / "docker-28.5/two-networks")
    assert whole.left_out == 0
    assert 10 < len(whole) <= MOST
    part = reachability(FIXTURES / "docker-28.5/two-networks", most=10)
    assert (len(part), part.left_out) == (10, len(whole) - 10)
    # for debugging, connections from outside come first
    assert {one.sender for one in part} == {"internet", "host"}


LISTENING = FIXTURES / "docker-28.5/listening"


def test_open_refused_and_blocked_are_apart() -> None:
    """As the connections that were really made there found; the kernel refused those to ports without a program."""
    table = reachability(LISTENING)
    outcomes = {(one.sender, one.receiver, one.port): one.outcome for one in table}
    seen = 0
    for probe in probes(LISTENING):
        outcome = outcomes.get((probe["from"], probe["to"], probe.get("port")))
        # docker-proxy accepts what it then can't pass on
        if outcome is None or (not probe.get("server") and probe["outcome"] == "open"):
            continue
        assert outcome == {"open": "open", "refused": "refused"}[probe["outcome"]], probe["to"]
        seen += 1
    assert seen > 5
    refused = find(table, "internet", "host", "8082/tcp")
    assert refused is not None
    assert (refused.verdict, refused.as_json()["outcome"]) == ("ACCEPT", "refused")
    blocked = find(table, "internet", "web", "81/tcp")
    assert blocked is not None
    assert blocked.outcome == "blocked"


def test_ports_on_which_programs_listen_are_asked_about() -> None:
    asked = {(one.receiver, one.port) for one in reachability(LISTENING)}
    # 5432 is bound to 127.0.0.1: only the host itself could reach it
    assert {("host", 22), ("host", 9100), ("client", 7000), ("web", 81)} <= asked
    assert ("host", 5432) not in asked


def test_a_port_that_the_host_forwards_to_another_machine_is_checked(tmp_path: Path) -> None:
    dump = tmp_path / "rules.txt"
    dump.write_text(
        "*nat\n:PREROUTING ACCEPT [0:0]\n:net_dnat - [0:0]\n-A PREROUTING -i eth0 -j net_dnat\n"
        "-A net_dnat -p tcp -m tcp --dport 8080 -j DNAT --to-destination 192.168.1.5:80\nCOMMIT\n"
        "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n"
        "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\n"
        "-A FORWARD -d 192.168.1.5/32 -p tcp -m tcp --dport 80 -j ACCEPT\n"
        "COMMIT\n"
    )
    found = {(row.sender, row.row.what): (row.verdict, row.at) for row in iptsim.reachability(dump)}
    assert found["internet", "8080/tcp"] == ("ACCEPT", "outside")
