"""The reason of an answer names the program's own terms, the rule's comment, and the prefix of its LOG rule.

Whether a rule decides is the walk's business and tested there against the kernel; here are the words.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim
from iptsim.explanation.case import packets_text
from tests.docker.hosts import FIXTURES

HOSTS = FIXTURES / "hosts"


@pytest.mark.parametrize(
    ("host", "sender", "to", "dport", "told", "advice"),
    [
        (
            "ufw", "internet", "host", 8080,
            "No `ufw allow` covers it, and the default of ufw for incoming packets is deny. "
            'The kernel log may show it with the prefix "[UFW BLOCK]".',
            "To allow it: ufw allow 8080/tcp.",
        ),
        ("ufw", "203.0.113.99", "host", 80, ": set by `ufw deny from 203.0.113.96/27`.", ""),
        (
            "firewalld", "internet", "host", 444, ": no service, port or rule of firewalld zone public allows it.",
            "To allow it: firewall-cmd --zone=public --add-port=444/tcp.",
        ),
        (
            "fail2ban", "203.0.113.99", "host", 22, ": fail2ban's jail sshd has banned 203.0.113.99.",
            "To allow it: fail2ban-client set sshd unbanip 203.0.113.99.",
        ),
        (
            "kube", "internet", "nodeport/30080", None,
            "It is sent to node port 30080/tcp of service default/web:http. "
            "It is forwarded to one of 2 endpoints: 10.244.0.10:8080, 10.244.0.11:8080.", "",
        ),
        (
            "kube", "internet", "nodeport/30090", None,
            "It is forwarded to endpoint 10.244.0.10:8443, the only one on this node (externalTrafficPolicy Local).",
            "",
        ),
        (
            "podman-netavark", "internet", "host", 8080,
            "It is sent to published port 8080/tcp of the network front.", "",
        ),
    ],
)  # fmt: skip
def test_reasons_of_captured_hosts(
    host: str, sender: str, to: str, dport: int | None, told: str, advice: str
) -> None:
    answer = iptsim.explain(HOSTS / host, sender, to, dport=dport)
    reason = (answer.classes[-1].explanation if answer.classes else answer).reason
    assert told in reason.text
    assert reason.advice == advice


DUMP = """\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:LOGDROP - [0:0]
-A INPUT -i lo -j LOG --log-prefix "loopback: "
-A INPUT -p tcp -m tcp --dport 80 -m comment --comment "public web site" -j ACCEPT
-A INPUT -p tcp -m tcp --dport 23 -j LOGDROP
-A LOGDROP -j LOG --log-prefix "telnet: "
-A LOGDROP -m comment --comment "unused since 2020" -j DROP
COMMIT
"""


def test_comments_and_log_prefixes(tmp_path: Path) -> None:
    (tmp_path / "dump").write_text(DUMP)

    def text(dport: int) -> str:
        return iptsim.explain(tmp_path / "dump", "internet", "host", dport=dport).reason.text

    assert 'Its comment: "public web site".' in text(80)
    assert 'Its comment: "unused since 2020". The kernel log shows it with the prefix "telnet:".' in text(23)
    assert "log" not in text(22)


SHOREWALL = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:loc-fw - [0:0]
:reject - [0:0]
:shorewall - [0:0]
-A INPUT -i eth1 -j loc-fw
-A INPUT -g reject
-A loc-fw -p tcp -m tcp --dport 22 -j ACCEPT
-A loc-fw -j reject
-A reject -p tcp -j REJECT --reject-with tcp-reset
-A reject -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""
CSF = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT DROP [0:0]
:DENYOUT - [0:0]
:LOCALINPUT - [0:0]
:LOCALOUTPUT - [0:0]
:LOGDROPOUT - [0:0]
-A OUTPUT ! -o lo -j LOCALOUTPUT
-A OUTPUT ! -o lo -j LOGDROPOUT
-A LOCALOUTPUT ! -o lo -j DENYOUT
-A DENYOUT -d 203.0.113.66/32 ! -o lo -j LOGDROPOUT
-A LOGDROPOUT -j REJECT --reject-with icmp-port-unreachable
COMMIT
"""


@pytest.mark.parametrize(
    ("rules", "sender", "to", "interface", "told"),
    [
        (SHOREWALL, "192.168.7.5", "host", "eth1", "Shorewall's policy from zone loc to zone fw blocks it"),
        (SHOREWALL, "internet", "host", "eth0", "Shorewall blocks packets that belong to no pair of zones"),
        (CSF, "host", "203.0.113.66", None, "CSF denies 203.0.113.66 (csf.deny)"),
        (CSF, "host", "203.0.113.67", None, "no port list of CSF allows it (TCP_OUT, UDP_OUT)"),
        (
            CSF,
            "10.7.0.2",
            "203.0.113.67",
            "eth1",
            "CSF sets this policy, and has no rules for forwarded packets",
        ),
    ],
)
def test_a_chain_that_ends_many_paths_gets_the_reason_of_its_caller(
    rules: str, sender: str, to: str, interface: str | None, told: str, tmp_path: Path
) -> None:
    """Shorewall's reject and CSF's LOGDROPOUT block packets for whatever reason a rule leads there."""
    path = tmp_path / "rules"
    path.write_text(rules)
    answer = iptsim.explain(path, sender, to, dport=8080, in_interface=interface)
    assert told in answer.reason.text


def test_conditions_that_cannot_be_read_are_one_phrase(tmp_path: Path) -> None:
    path = tmp_path / "paste"
    path.write_text("iptables -A INPUT -p tcp -m one --a 1 -m set ! --match-set $NAME src -j DROP\n")
    rule = next(iter(iptsim.load_host(path).rulesets[4].rules()))
    assert str(packets_text(rule)) == "tcp packets that match -m one and ! --match-set $NAME src"
