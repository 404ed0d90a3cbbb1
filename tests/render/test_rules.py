"""`iptsim rules`: the rules in words, without the chains that do nothing."""

from __future__ import annotations

from pathlib import Path

import iptsim
from iptsim import load_host
from iptsim.netfilter.nft_program import with_nftables
from iptsim.render.rules import idle_chains, rules_json, rules_lines
from iptsim.sources import loads_host

HEAD = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
#: ZONE leads to chains without rules only, OPEN to one with a rule; the condition of SEEN keeps a list of addresses.
RULES = (
    f"{HEAD}:ZONE - [0:0]\n:ZONE_pre - [0:0]\n:ZONE_post - [0:0]\n:OPEN - [0:0]\n:OPEN_allow - [0:0]\n:SEEN - [0:0]\n"
    "-A INPUT -j ZONE\n-A INPUT -j OPEN\n-A INPUT -j SEEN\n"
    "-A ZONE -j ZONE_pre\n-A ZONE -s 10.0.0.0/8 -m comment --comment later -g ZONE_post\n"
    "-A OPEN -j OPEN_allow\n-A OPEN_allow -p udp -j ACCEPT\n"
    "-A SEEN -m recent --set --name seen -j ZONE_pre\nCOMMIT\n"
)


def host_of(folder: Path) -> iptsim.Host:
    (folder / "rules").write_text(RULES)
    return iptsim.load_host(folder / "rules")


def test_a_chain_that_only_leads_to_chains_without_rules_has_no_effect(tmp_path: Path) -> None:
    """`recent --set` adds the source to a list, wherever the rule leads (iptables-extensions(8))."""
    table = host_of(tmp_path).rulesets[4].tables["filter"]
    assert idle_chains(table) == {"ZONE", "ZONE_pre", "ZONE_post"}


def test_chains_without_effect_are_named_in_one_line(tmp_path: Path) -> None:
    host = host_of(tmp_path)
    lines = [line.plain for line in rules_lines(host.rulesets[4], host)]
    headings = [line for line in lines if line.startswith("filter")]
    assert [line.split()[1] for line in headings] == [
        "INPUT",
        "FORWARD",
        "OUTPUT",
        "OPEN",
        "OPEN_allow",
        "SEEN",
        "3",
    ]
    assert headings[-1] == "filter   3 chains have no effect: ZONE, ZONE_pre, ZONE_post"
    at = lines.index("    1  -A INPUT -j ZONE")
    assert lines[at + 2].endswith("· no effect")
    assert not lines[at + 5].endswith("· no effect")


def test_a_chain_that_is_asked_for_is_shown(tmp_path: Path) -> None:
    host = host_of(tmp_path)
    lines = [line.plain for line in rules_lines(host.rulesets[4], host, chain="ZONE_pre")]
    assert lines == ["filter ZONE_pre   created by hand or by an unknown program", "  no rules"]


def test_rules_of_nftables_are_shown_as_nft_prints_them(tmp_path: Path) -> None:
    path = tmp_path / "paste"
    path.write_text(
        "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n"
        "\t\ttcp dport 22 accept\n\t}\n}\n"
    )
    host = load_host(path)
    ruleset = with_nftables(host.rulesets[4], host.namespace)
    lines = [line.plain for line in rules_lines(ruleset, host)]
    assert lines[:3] == [
        "inet filter input   base chain of nftables, policy DROP",
        "    1  tcp dport 22 accept",
        "       packets of protocol tcp, to port 22: accept",
    ]


def test_rules_of_nftables_as_data() -> None:
    text = """
        table inet t {
            chain sub {
                counter drop
            }
            chain in {
                type filter hook input priority 5; policy drop;
                tcp dport vmap { 22 : accept, 80 : jump sub }
            }
            chain fwd {
                type filter hook forward priority 0; policy accept;
                jump sub
            }
        }
    """
    host = loads_host(text)
    found = rules_json(with_nftables(host.rulesets[4], host.namespace), host)
    assert [(one["table"], one["chain"], one["policy"]) for one in found["chains"]] == [
        ("inet t", "in", "DROP"),
        ("inet t", "sub", None),
        ("inet t", "fwd", "ACCEPT"),
    ]
    assert [one.get("nftables", {}).get("priority") for one in found["chains"]] == [5, None, 0]
    assert [(one["chain"], one["rule"], one["text"]) for one in found["rules"]] == [
        ("in", 1, "tcp dport vmap { 22 : accept, 80 : jump sub }"),
        ("in", 1, "tcp dport vmap { 22 : accept, 80 : jump sub }"),
        ("sub", 1, "counter drop"),
        ("fwd", 1, "jump sub"),
    ]
