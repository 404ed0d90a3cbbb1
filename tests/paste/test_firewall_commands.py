"""Commands of firewall-cmd: what they allow and deny, with everything else unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from iptsim.host.files import Source
from iptsim.netfilter.walk import walk
from iptsim.paste.assembly import host_of_source
from iptsim.question.model import Question
from tests.findings.linting import lint

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


LISTED = """\
# firewall-cmd --list-all
public (active)
  target: default
  interfaces: eth0
  services: ssh
  ports: 443/tcp
  masquerade: no
  forward-ports:
  rich rules:
\trule family="ipv4" source address="203.0.113.0/24" port port="25" protocol="tcp" accept

"""


@pytest.mark.parametrize(
    ("commands", "dport", "expected"),
    [
        ("# firewall-cmd --add-port=8080/tcp\nsuccess\n", 8080, "ACCEPT"),
        ("# firewall-cmd --zone=public --add-port={80,8080}/tcp --add-service http\n", 8080, "ACCEPT"),
        (
            "firewall-cmd --add-port=8080/tcp\nWarning: ALREADY_ENABLED: '8080:tcp' already in 'public'\n",
            8080,
            "ACCEPT",
        ),
        # it need not have run, or failed
        ("You could try:\n\nfirewall-cmd --add-port=8080/tcp\n", 8080, "REJECT"),
        (
            "# firewall-cmd --add-port=8080\nError: INVALID_PORT: bad port (most likely missing protocol)\n",
            8080,
            "REJECT",
        ),
        ("# firewall-cmd --remove-service=ssh\nsuccess\n", 22, "REJECT"),
        ("# firewall-cmd --remove-port=443/tcp\nsuccess\n", 443, "REJECT"),
        (
            "# firewall-cmd --remove-rich-rule='rule family=ipv4 source address=203.0.113.0/24 "
            "port port=25 protocol=tcp accept'\nsuccess\n",
            25,
            "REJECT",
        ),
        ("# firewall-cmd --permanent --add-port=8080/tcp\nsuccess\n", 8080, "REJECT"),
        (
            "# firewall-cmd --permanent --add-port=8080/tcp\nsuccess\n# firewall-cmd --reload\nsuccess\n",
            8080,
            "ACCEPT",
        ),
        (
            "# firewall-cmd --permanent --add-port=8080/tcp\nsuccess\n# systemctl restart firewalld\n",
            8080,
            "ACCEPT",
        ),
        ("# firewall-cmd --add-port=8080/tcp\nsuccess\n# firewall-cmd --reload\nsuccess\n", 8080, "REJECT"),
        (
            "# firewall-cmd --add-port=8080/tcp\n# firewall-cmd --runtime-to-permanent\n# firewall-cmd --reload\n",
            8080,
            "ACCEPT",
        ),
        (
            "# firewall-cmd --permanent --set-target=ACCEPT\nsuccess\n# firewall-cmd --reload\nsuccess\n",
            9,
            "ACCEPT",
        ),
        ("# firewall-cmd --add-forward-port=port=8080:proto=tcp:toport=22\nsuccess\n", 8080, "ACCEPT"),
        # what it does is not known
        ("# firewall-cmd --add-port=8080/tcp --timeout=60\nsuccess\n", 8080, "DEPENDS"),
        ("# firewall-cmd --panic-on\nsuccess\n", 22, "DEPENDS"),
        # those of another zone, and those that a later list shows
        ("# firewall-cmd --zone=docker --add-port=8080/tcp\nsuccess\n", 8080, "REJECT"),
        (f"# firewall-cmd --remove-service=ssh\nsuccess\n{LISTED}", 22, "ACCEPT"),
    ],
)
def test_commands_below_the_zones_that_they_change(commands: str, dport: int, expected: str) -> None:
    """firewall-cmd(1): without --permanent until the next reload, with it from then on."""
    assert verdict(LISTED + commands, src="203.0.113.9", dport=dport) == expected


def test_masquerading_and_interfaces_that_commands_add() -> None:
    text = f"{LISTED}# firewall-cmd --add-masquerade --change-interface=eth1\nsuccess\n"
    host = host_of_source(Source("pasted", {}, text.encode()))
    assert [rule.text for rule in host.rulesets[4].tables["nat"].rules()] == [
        "-A POSTROUTING ! -o lo -j MASQUERADE"
    ]
    assert host.pasted is not None
    assert host.pasted.zones[0].interfaces == ("eth0", "eth1")
    assert not host.rulesets[4].warnings


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        ("", "DEPENDS"),
        ("firewall-cmd --reload\n", "ACCEPT"),
        ("Then I restarted the server.\n", "ACCEPT"),
        ("firewall-cmd --zone=public --add-port=8443/tcp\n", "ACCEPT"),  # the running rules, too
    ],
)
def test_a_permanent_change_counts_once_it_is_loaded(below: str, expected: str, tmp_path: Path) -> None:
    """Source: firewall-cmd(1), --permanent: "only loaded by firewall-cmd --reload, a restart or a reboot"."""
    text = f"firewall-cmd --permanent --zone=public --add-port=8443/tcp\n\n{below}"
    assert verdict(text, src="203.0.113.9", dport=8443) == expected
    assert ("permanent-not-loaded" in lint(tmp_path, text)) is (expected == "DEPENDS")


@pytest.mark.parametrize(
    ("below", "found"),
    [
        ("# firewall-cmd --list-all\npublic (active)\n  target: default\n  ports: 22/tcp 8443/tcp\n", False),
        ("# firewall-cmd --list-ports\n8443/tcp\n", False),
        ("# firewall-cmd --permanent --list-ports\n8443/tcp\n", True),
        ("# firewall-cmd --list-all\npublic (active)\n  target: default\n  ports: 22/tcp\n", True),
        ("# iptables -S IN_public_allow\n-A IN_public_allow -p tcp -m tcp --dport 8443 -j ACCEPT\n", False),
    ],
)
def test_a_listing_shows_whether_a_permanent_change_was_loaded(
    below: str, found: bool, tmp_path: Path
) -> None:
    """firewall-cmd(1): without --permanent, the options list what runs."""
    text = f"# firewall-cmd --permanent --add-port=8443/tcp\nsuccess\n{below}"
    assert ("permanent-not-loaded" in lint(tmp_path, text)) is found


@pytest.mark.parametrize(
    "line",
    [
        "firewall-cmd --add-port=8443/tcp && firewall-cmd --permanent --add-port=8443/tcp\n",
        "firewall-cmd --permanent --add-port=8443/tcp; firewall-cmd --add-port=8443/tcp\n",
    ],
)
def test_a_permanent_change_and_the_running_one_in_one_line(line: str, tmp_path: Path) -> None:
    assert "permanent-not-loaded" not in lint(tmp_path, line)
