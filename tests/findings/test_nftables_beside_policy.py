"""Networks that nftables accepts and FORWARD's policy drops: the kernel runs all base chains of a hook."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.findings.linting import lint

SAVED = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD {policy} [0:0]
:OUTPUT ACCEPT [0:0]
{rules}COMMIT
"""
#: As LXD writes them (lxd/firewall/drivers/drivers_nftables_templates.go, nftablesNetForwardingPolicy).
LISTED = """
table inet lxd {{
    chain fwd.lxdbr0 {{
        type filter hook forward priority filter; policy accept;
        oifname "lxdbr0" accept
        {accept}
    }}
}}
"""
DOCKER = """\
:DOCKER - [0:0]
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
"""
BRIDGE = 'iifname "lxdbr0" accept'


@pytest.mark.parametrize("rules", ["", DOCKER])
def test_an_accept_of_nftables_is_not_final(tmp_path: Path, rules: str) -> None:
    text = SAVED.format(policy="DROP", rules=rules) + LISTED.format(accept=BRIDGE)
    found = lint(tmp_path, text)["forward-drop-hits-others"]
    assert "lxdbr0" in str(found.title)
    assert [str(one.text) for one in found.evidence if one.rule] == [BRIDGE]
    assert "not final" in str(found.consequence)
    assert found.shown is not None
    assert found.shown.verdict == "DROP"


@pytest.mark.parametrize(
    ("policy", "rules", "accept"),
    [
        ("ACCEPT", "", BRIDGE),
        ("DROP", "-A FORWARD -i lxdbr0 -j ACCEPT\n", BRIDGE),
        ("DROP", "", 'iifname "lxdbr0" tcp dport 22 accept'),
        ("DROP", "", 'iifname != "lxdbr0" accept'),
        ("DROP", "", 'iifname "lxdbr0" drop'),
    ],
)
def test_what_the_policy_does_not_cut_off(tmp_path: Path, policy: str, rules: str, accept: str) -> None:
    text = SAVED.format(policy=policy, rules=rules) + LISTED.format(accept=accept)
    assert "forward-drop-hits-others" not in lint(tmp_path, text)
