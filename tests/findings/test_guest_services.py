"""Guests that get no names, because INPUT blocks their queries to the program that listens on their bridge.

What is sent to an address of the host passes INPUT, not FORWARD (iptables(8)); LXD's documentation asks for
`ufw allow in on lxdbr0`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim
from iptsim.findings import Finding
from iptsim.protocols import UDP

RULES = """\
*filter
:INPUT {policy} [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
{rules}-A FORWARD -i {bridge} -j ACCEPT
-A FORWARD -o {bridge} -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 10.12.34.0/24 ! -d 10.12.34.0/24 -j MASQUERADE
COMMIT
"""


def found(folder: Path, *, bridge: str = "lxdbr0", rules: str = "", policy: str = "DROP") -> Finding | None:
    path = folder / "rules"
    path.write_text(RULES.format(bridge=bridge, rules=rules, policy=policy))
    return next((one for one in iptsim.lint(path) if one.code == "guests-without-names"), None)


@pytest.mark.parametrize("bridge", ["lxdbr0", "incusbr0", "virbr0", "lxcbr0"])
def test_the_policy_of_input_blocks_dns(tmp_path: Path, bridge: str) -> None:
    one = found(tmp_path, bridge=bridge)
    assert one is not None
    assert one.shown is not None
    assert (one.shown.verdict, one.shown.trace.legs[0].packet.dport) == ("DROP", 53)
    assert str(one.remedy) == f"iptables -I INPUT -i {bridge} -p udp -m multiport --dports 53,67 -j ACCEPT."


def test_a_rule_blocks_dns_and_ufw_has_a_command_of_its_own(tmp_path: Path) -> None:
    rules = "-A INPUT -j ufw-user-input\n-A INPUT -j REJECT --reject-with icmp-port-unreachable\n"
    one = found(tmp_path, rules=rules, policy="ACCEPT\n:ufw-user-input -")
    assert one is not None
    assert "INPUT rule 5" in str(one.evidence[0].place)
    assert "ufw allow in on lxdbr0" in str(one.remedy)


@pytest.mark.parametrize(
    ("bridge", "rules", "policy"),
    [
        ("lxdbr0", "", "ACCEPT"),
        ("lxdbr0", "-A INPUT -i lxdbr0 -j ACCEPT\n", "DROP"),
        ("lxdbr0", "-A INPUT -p udp -m udp --dport 53 -j ACCEPT\n", "DROP"),
        ("br0", "", "DROP"),  # a bridge of the host's own LAN: nothing says that anything listens
    ],
)
def test_no_alarm(tmp_path: Path, bridge: str, rules: str, policy: str) -> None:
    assert found(tmp_path, bridge=bridge, rules=rules, policy=policy) is None


def test_where_the_sockets_are_known_a_program_must_listen(tmp_path: Path) -> None:
    path = tmp_path / "rules"
    path.write_text(RULES.format(bridge="lxdbr0", rules="", policy="DROP"))
    host = iptsim.load_host(path)
    host.namespace.listed = frozenset({UDP})
    assert "guests-without-names" not in [one.code for one in iptsim.lint(host)]
