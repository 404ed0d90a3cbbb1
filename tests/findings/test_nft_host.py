"""Findings about the host's own traffic on hosts with base chains of nftables, as on those with rules of iptables."""

from __future__ import annotations

import pytest

from iptsim.findings import Finding, lint
from iptsim.host.files import Source
from iptsim.paste.assembly import host_of_source

_LO, _REPLIES = 'iif "lo" accept', "ct state established,related accept"
_OUT = 'oif "lo" accept'


def found(text: str) -> list[Finding]:
    return lint(host_of_source(Source("paste", {}, text.encode())))


def codes(rules: dict[str, list[str]], family: str = "ip") -> set[str]:
    """Return what lint finds for base chains with policy drop; "in", "out" and "forward" without rules are missing."""
    hooks = {"in": "input", "out": "output", "forward": "forward"}
    chains = "".join(
        f"\tchain {name} {{\n\t\ttype filter hook {hooks[name]} priority filter; policy drop;\n"
        + "".join(f"\t\t{rule}\n" for rule in of_chain)
        + "\t}\n"
        for name, of_chain in rules.items()
    )
    return {one.code for one in found(f"table {family} fw {{\n{chains}}}\n")}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"in": []}, {"input-drops-loopback", "input-drops-replies", "closed-by-default"}),
        ({"in": [_LO]}, {"input-drops-replies", "closed-by-default"}),
        ({"in": [_REPLIES]}, {"input-drops-loopback", "closed-by-default"}),
        ({"in": [_LO, _REPLIES, "tcp dport 22 accept"]}, {"closed-by-default"}),
        ({"out": []}, {"output-drop", "output-drops-loopback"}),
        ({"out": [_OUT, "tcp dport { 80, 443 } accept"]}, {"host-without-names"}),
        ({"out": [_OUT, "tcp dport { 80, 443 } accept", "ip daddr 192.0.2.53 udp dport 53 accept"]}, set()),
        ({"in": [_LO, _REPLIES, "tcp dport 22 accept"], "out": [_OUT]},
         {"output-drop", "output-drops-replies", "closed-by-default"}),
        ({"in": [_LO, _REPLIES, "tcp dport 22 accept"], "out": [_OUT, _REPLIES]}, {"output-drop", "closed-by-default"}),
        ({"in": [_LO, _REPLIES, "tcp dport 22 ct state established accept"]},
         {"established-only", "never-matches", "closed-by-default"}),
        # a rule behind one for all of its packets; a set of which one address is left is not one
        ({"in": [_LO, _REPLIES, "ip saddr 10.0.0.0/8 drop", "ip saddr { 10.1.1.1, 10.2.2.2 } accept"]},
         {"never-matches", "closed-by-default"}),
        ({"in": [_LO, _REPLIES, "ip saddr 10.0.0.0/8 drop", "ip saddr { 10.1.1.1, 11.2.2.2 } accept"]},
         {"closed-by-default"}),
        # conditions that exclude each other; nft refuses two protocols, but lists them if another program added them
        ({"in": [_LO, _REPLIES, "tcp dport 80 tcp dport 443 accept"]}, {"never-matches", "closed-by-default"}),
        ({"in": [_LO, _REPLIES, "tcp dport 53 udp dport 53 accept"]}, {"never-matches", "closed-by-default"}),
        ({"in": [_LO, _REPLIES, "meta l4proto { tcp, udp } th dport 53 accept"]}, {"closed-by-default"}),
        # what depends on an unknown condition hides nothing
        ({"in": [_LO, _REPLIES, "limit rate 1/day drop", "tcp dport 22 accept"]}, set()),
    ],
)  # fmt: skip
def test_findings_about_the_host(rules: dict[str, list[str]], expected: set[str]) -> None:
    assert codes(rules) - {"nftables-forward-drop"} == expected


def test_a_rule_for_two_protocols_is_shown_with_both() -> None:
    rules = f"\t\t{_LO}\n\t\t{_REPLIES}\n\t\ttcp dport 53 udp dport 53 accept\n"
    base = "\t\ttype filter hook input priority filter; policy drop;\n"
    text = f"table inet fw {{\n\tchain input {{\n{base}{rules}\t}}\n}}\n"
    (dead,) = (one for one in found(text) if one.code == "never-matches")
    assert "inet fw input rule 3 never matches" in str(dead.title)
    assert str(dead.evidence[0].text) == "tcp dport 53 udp dport 53 accept"
    assert "meta l4proto { tcp, udp } th dport 53" in str(dead.remedy)


def test_a_chain_of_both_families_is_found_once() -> None:
    rules = (
        "table inet fw {\n\tchain in {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n"
    )
    both = [one for one in found(rules) if one.code in ("input-drops-loopback", "closed-by-default")]
    assert len(both) == 2
    assert str(both[0].remedy) == 'nft add rule inet fw in iifname "lo" accept'


def test_rules_of_iptables_beside_it_have_their_own_findings() -> None:
    rules = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
    native = "table ip fw {\n\tchain in {\n\t\ttype filter hook input priority 5; policy drop;\n\t}\n}\n"
    both = [one for one in found(rules + native) if one.code == "input-drops-loopback"]
    assert ["INPUT" in str(one.title) for one in both] == [True]
