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


#: Two rules of kill switches: what leaves by tun0 does not match the first one, but the second one.
BY_ONE, BY_OTHER = "-A {} ! -o tun0 -j REJECT\n", "-A {} ! -o wg0 -j REJECT\n"


@pytest.mark.parametrize(
    ("chain", "between"),
    [
        ("OUTPUT", ""),
        ("OUTPUT", "-A {} -o lo -j ACCEPT\n"),
        ("OUTPUT", "-A {} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"),
        ("FORWARD", "-A {} -m limit --limit 1/sec -j LOG\n"),
    ],
)
def test_each_rule_blocks_the_interface_that_the_other_one_excepts(
    tmp_path: Path, chain: str, between: str
) -> None:
    found = lint(tmp_path, (between + BY_ONE + BY_OTHER).format(*[chain] * 3))["exceptions-blocked"]
    at = 2 if between else 1
    assert str(found.remedy).endswith(
        f"iptables -I {chain} {at} -o tun0 -j ACCEPT; iptables -I {chain} {at} -o wg0 -j ACCEPT"
    )


def test_exceptions_of_a_chain_that_no_shown_rule_calls(tmp_path: Path) -> None:
    rows = "    0     0 DROP       all  --  !{:6} *       0.0.0.0/0            0.0.0.0/0            mark match 0x4\n"
    listing = (
        "Chain guard (1 references)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
    )
    found = lint(tmp_path, listing + rows.format("eth1") + rows.format("eth2"))["exceptions-blocked"]
    assert "iptables -I guard 1 -i eth1 -m mark --mark 0x4 -j RETURN" in str(found.remedy)


@pytest.mark.parametrize(
    "rules",
    [
        BY_ONE + BY_ONE,
        BY_ONE + "-A {} -o tun0 -j ACCEPT\n" + BY_OTHER,
        "-A {} -j ACCEPT\n" + BY_ONE + BY_OTHER,
        BY_ONE + BY_OTHER.replace("-j", "-p udp -j"),
        BY_ONE + "-A {} ! -o tun+ -j REJECT\n",  # matches tun0, too
        BY_ONE + "-A {} ! -i wg0 -j REJECT\n",
        (BY_ONE + BY_OTHER).replace("-j", "-m limit --limit 2/sec -j"),  # the tokens may be used up
        (BY_ONE + BY_OTHER).replace("-j", "-m statistic --mode random --probability 0.2 -j"),
    ],
)
def test_interfaces_that_pass(tmp_path: Path, rules: str) -> None:
    assert "exceptions-blocked" not in lint(tmp_path, rules.replace("{}", "FORWARD"))


def test_the_host_leaves_by_no_interface(tmp_path: Path) -> None:
    rules = (BY_ONE + BY_OTHER).replace("{}", "OUTPUT")
    assert "unless" not in str(lint(tmp_path, rules)["output-drop"].title)
