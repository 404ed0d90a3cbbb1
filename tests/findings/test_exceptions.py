"""Rules that block all but an exception: `! -s A -j DROP`, `! -s B -j DROP`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.findings.linting import lint

RULES = "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:DOCKER-USER -\n-A FORWARD -j DOCKER-USER\n{}COMMIT\n"
FROM_ONE = "-A INPUT ! -s 203.0.113.10/32 -p tcp -m tcp --dport 22 -j DROP\n"
FROM_OTHER = "-A INPUT ! -s 203.0.113.20/32 -p tcp -m tcp --dport 22 -j DROP\n"


@pytest.mark.parametrize(
    ("rules", "commands"),
    [
        (
            FROM_ONE + FROM_OTHER,
            "iptables -I INPUT 1 -s 203.0.113.10/32 -p tcp -m tcp --dport 22 -j ACCEPT\n"
            "iptables -I INPUT 1 -s 203.0.113.20/32 -p tcp -m tcp --dport 22 -j ACCEPT",
        ),
        (
            "-A INPUT -p tcp -m tcp ! --dport 22 -j DROP\n-A INPUT -p tcp -m tcp ! --dport 80 -j REJECT\n",
            "iptables -I INPUT 1 -p tcp -m tcp --dport 22 -j ACCEPT\n"
            "iptables -I INPUT 1 -p tcp -m tcp --dport 80 -j ACCEPT",
        ),
        (
            "-A DOCKER-USER ! -s 203.0.113.10/32 -i eth0 -j DROP\n"
            "-A DOCKER-USER ! -s 198.51.100.0/24 -i eth0 -j DROP\n",
            "iptables -I DOCKER-USER 1 -s 203.0.113.10/32 -i eth0 -j RETURN\n"
            "iptables -I DOCKER-USER 1 -s 198.51.100.0/24 -i eth0 -j RETURN",
        ),
    ],
)
def test_each_rule_blocks_what_the_other_one_excepts(tmp_path: Path, rules: str, commands: str) -> None:
    """A packet from 203.0.113.10 does not match the first rule, but the second one (iptables(8), `!`)."""
    found = lint(tmp_path, RULES.format(rules))["exceptions-blocked"]
    assert found.shown is not None
    assert found.shown.verdict in ("DROP", "REJECT")
    assert str(found.remedy).endswith(commands.replace("\n", "; "))


@pytest.mark.parametrize(
    "rules",
    [
        FROM_ONE,
        FROM_ONE + FROM_ONE,
        FROM_ONE + FROM_OTHER.replace("--dport 22", "--dport 23"),
        FROM_ONE + "-A INPUT ! -s 203.0.113.0/24 -p tcp -m tcp --dport 22 -j DROP\n",  # contains the other
        FROM_ONE + FROM_OTHER.replace("DROP", "ACCEPT"),
        "-A INPUT -s 203.0.113.0/24 -j ACCEPT\n" + FROM_ONE + FROM_OTHER,
    ],
)
def test_exceptions_that_pass(tmp_path: Path, rules: str) -> None:
    assert "exceptions-blocked" not in lint(tmp_path, RULES.format(rules))
