"""Two listings of the same chains: the rules whose counters grew in between."""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim

LISTING = """\
Chain INPUT (policy ACCEPT {input} packets, 900 bytes)
 pkts bytes target     prot opt in     out     source               destination

Chain FORWARD (policy DROP {policy} packets, 5000 bytes)
 pkts bytes target     prot opt in     out     source               destination
{accept:>5}  1200 ACCEPT     tcp  --  *      *       0.0.0.0/0            0.0.0.0/0            tcp dpt:80
{drop:>5}   840 DROP       udp  --  *      *       0.0.0.0/0            0.0.0.0/0            udp dpt:53

Chain OUTPUT (policy ACCEPT 7 packets, 900 bytes)
 pkts bytes target     prot opt in     out     source               destination
"""


@pytest.mark.parametrize(
    ("after", "title", "evidence"),
    [
        ({"policy": 64}, "the policy of filter FORWARD blocked 4 packets", ["4 packets more"]),
        (
            {"drop": 13, "accept": 30},
            "filter FORWARD rule 2 blocked 1 packet.",
            ["1 packet more", "10 packets more"],
        ),
        ({"accept": 30}, "no rule and no policy blocked a packet", ["10 packets more"]),
        ({}, "", []),
    ],
)
def test_what_grew_is_named(after: dict[str, int], title: str, evidence: list[str], tmp_path: Path) -> None:
    before = {"input": 5, "policy": 60, "accept": 20, "drop": 12}
    path = tmp_path / "paste.txt"
    path.write_text(
        f"# iptables -nvL\n{LISTING.format(**before)}# iptables -nvL\n{LISTING.format(**before | after)}"
    )
    found = [one for one in iptsim.lint(path) if one.code == "counters-grew"]
    assert [title in str(one.title) for one in found] == ([True] if title else [])
    texts = [str(one.text) for finding in found for one in finding.evidence]
    assert [text.rpartition(": ")[2] for text in texts] == evidence


def test_rows_whose_chain_is_not_shown_count_once(tmp_path: Path) -> None:
    head, row = LISTING.splitlines()[1], "  812 48720 DROP  tcp -- * * 0.0.0.0/0 0.0.0.0/0 tcp dpt:8080"
    path = tmp_path / "paste.txt"
    path.write_text(f"{head}\n{row}\n")
    found = [one for one in iptsim.lint(path) if one.code == "counted-drops"]
    assert [str(one.title) for one in found] == [
        "Most of the blocked packets were blocked by the rule in line 2: 812 packets."
    ]
    assert len(found[0].evidence) == 1


SAVED = """\
-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-N MINE
-A FORWARD -j MINE
-A FORWARD -i lan7 -j ACCEPT
-A MINE -s 203.0.113.0/24 -j DROP
-A MINE -j RETURN
"""


@pytest.mark.parametrize(
    ("without", "gone"),
    [
        (["-A MINE -s 203.0.113.0/24 -j DROP\n"], ["-A MINE -s 203.0.113.0/24 -j DROP"]),
        ([], []),
        (
            ["-A FORWARD -j MINE\n", "-A MINE -s 203.0.113.0/24 -j DROP\n", "-A MINE -j RETURN\n"],
            [],
        ),  # another host
    ],
)
def test_rules_that_are_gone_in_the_later_listing(
    without: list[str], gone: list[str], tmp_path: Path
) -> None:
    later = SAVED
    for rule in without:
        later = later.replace(rule, "")
    path = tmp_path / "paste.txt"
    path.write_text(f"before:\n# iptables -S\n{SAVED}after:\n# iptables -S\n{later}")
    found = [one for one in iptsim.lint(path) if one.code == "rules-gone"]
    assert [str(one.text) for finding in found for one in finding.evidence] == gone
