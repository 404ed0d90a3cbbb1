"""Commands of firewall-cmd: what they allow and deny, with everything else unknown."""

from __future__ import annotations

import pytest

from iptsim.host.files import Source
from iptsim.netfilter.walk import walk
from iptsim.paste.assembly import host_of_source
from iptsim.question.model import Question

COMMANDS = """
# firewall-cmd --permanent --zone=public --add-port=8080/tcp
# firewall-cmd --zone=public --add-rich-rule='
  rule family="ipv4"
  source address="172.18.0.1/24"
  port protocol="tcp" port="80" accept'
# firewall-cmd --permanent --zone=public --add-rich-rule='rule family="ipv4" port port="3306" protocol="tcp" drop'
# firewall-cmd --reload
# firewall-cmd --permanent --zone=trusted --add-source=10.0.0.0/8
"""


def verdict(text: str, **question: object) -> str:
    host = host_of_source(Source("pasted", {}, text.encode()))
    packet = {"proto": "tcp", "in_interface": "eth0", "dst": "192.0.2.10", **question}
    return walk(host, Question(**packet)).verdict


@pytest.mark.parametrize(
    ("src", "dport", "expected"),
    [
        ("8.8.8.8", 8080, "ACCEPT"),
        ("172.18.0.9", 80, "ACCEPT"),
        ("8.8.8.8", 80, "DEPENDS"),
        ("8.8.8.8", 3306, "DROP"),
        ("10.1.2.3", 8080, "DEPENDS"),
    ],
)
def test_what_the_commands_set(src: str, dport: int, expected: str) -> None:
    assert verdict(COMMANDS, src=src, dport=dport) == expected


def test_a_listed_zone_counts_more_than_the_commands() -> None:
    text = f"{COMMANDS}\npublic (active)\n  target: default\n  interfaces: eth0\n  services: ssh\n  ports: \n"
    assert [verdict(text, src="8.8.8.8", dport=port) for port in (22, 8080)] == ["ACCEPT", "REJECT"]
