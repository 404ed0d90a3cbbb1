"""Dumps as they are pasted: with prompts, cut, without their heads, with rules that can't be read."""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim
from iptsim.extensions.hidden import is_gap
from iptsim.host.files import Source
from iptsim.host.model import Host
from iptsim.netfilter.walk import walk
from iptsim.paste.assembly import host_of_source
from iptsim.question.model import Question


def read(text: str) -> Host:
    return host_of_source(Source("paste", {}, text.encode()))


def rules(text: str, table: str = "filter") -> list[str]:
    return [rule.text for rule in read(text).rulesets[4].tables[table].rules()]


def verdict(text: str, **question: object) -> str:
    host = read(text)
    return walk(host, Question(**{"proto": "tcp", **question})).verdict


def test_a_listing_by_s_with_prompts_and_other_output() -> None:
    host = read(
        "root@h [ ~ ]# curl -4 localhost\ncurl: (7) Failed to connect\nroot@h [ ~ ]# iptables -S\n"
        "-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-N X\n-A FORWARD -j X\n"
        "root@h [ ~ ]# iptables -t nat -S\n-P PREROUTING ACCEPT\n"
    )
    assert list(host.rulesets[4].tables) == ["filter", "nat"]
    assert host.pasted is not None
    assert host.pasted.summary() == (
        "read: lines 3-8 iptables -S (filter), 9-10 iptables -S (nat); left out: 1-2"
    )


def test_a_fragment_leaves_the_end_of_its_chains_open() -> None:
    fragment = "-A FORWARD -d 10.0.0.0/8 -j DROP\n"
    question = {"in": "eth1", "src": "192.168.7.9", "dport": 80}
    assert verdict(fragment, dst="10.1.2.3", **question) == "DROP"
    assert verdict(fragment, dst="8.8.8.8", **question) == "DEPENDS"


def test_a_redacted_address_is_known_as_far_as_it_is_shown() -> None:
    text = "*filter\n:INPUT DROP [0:0]\n-A INPUT -s 95.xx.xx.xx/32 -j ACCEPT\nCOMMIT\n"
    question = {"in": "eth0", "dst": "192.0.2.10", "dport": 80}
    assert verdict(text, src="8.8.8.8", **question) == "DROP"
    assert verdict(text, src="95.1.2.3", **question) == "DEPENDS"
    negated = text.replace("-s 95", "! -s 95")
    assert verdict(negated, src="8.8.8.8", **question) == "ACCEPT"


def test_a_redacted_prefix_is_known_if_all_of_its_bits_are_shown() -> None:
    """The bytes behind the prefix do not matter: the bridge has this subnet, whose packets come in there."""
    text = (
        "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -s 172.18.x.x/16 ! -o br-0123456789ab -j MASQUERADE\nCOMMIT\n"
        "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -i br-0123456789ab -j ACCEPT\n"
        "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\nCOMMIT\n"
    )
    question = {"from": "172.18.0.5", "to": "198.51.100.7", "dport": 80}
    assert verdict(text, **question) == "ACCEPT"
    # of a longer prefix, bits are redacted
    assert verdict(text.replace("x.x/16", "x.x/24"), **question) != "ACCEPT"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("-A INPUT -p tcp --dprot 80 -j ACCEPT", "-A INPUT -p tcp --dprot 80 -j ACCEPT"),
        ("-A INPUT –p tcp —dport 80 -j ACCEPT   <-- this one", "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT"),
        (
            "-A INPUT -p tcp --dport 80 -j ACCEPT   <<<<--- NOT HERE",
            "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT",
        ),
        ("-A INPUT -p tcp --dport 80 -j ACCEPT   *** new ***", "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT"),
        ("-A INPUT -i $WAN -j DROP", "-A INPUT -i $WAN -j DROP"),
        ("-A INPUT -m comment --comment ‘a b’ -j DROP", '-A INPUT -m comment --comment "a b" -j DROP'),
        ("-A INPUT -p tcp -j DNAT --to-dest 10.x.x.x", "-A INPUT -p tcp -j DNAT --to-dest 10.x.x.x"),
    ],
)
def test_a_rule_is_read_as_far_as_it_can_be(line: str, shown: str) -> None:
    assert rules(f"*filter\n:INPUT ACCEPT [0:0]\n{line}\nCOMMIT\n") == [shown]


@pytest.mark.parametrize(
    "rest", ["-m addrty", "-p tcp -m tcp --dport", "-p tcp --dport 80 -", "--src-range -m iprange"]
)
def test_a_rule_that_breaks_off_may_have_had_a_target(rest: str) -> None:
    text = f"*filter\n:FORWARD DROP [0:0]\n-A FORWARD {rest}\n-A FORWARD -j ACCEPT\nCOMMIT\n"
    assert (
        verdict(text, in_interface="eth0", src="8.8.8.8", dst="172.17.0.2", proto="tcp", dport=80)
        == "DEPENDS"
    )


def test_dots_are_rules_that_may_be_missing() -> None:
    text = "*filter\n:INPUT ACCEPT [0:0]\n...\n-A INPUT -s 10.0.0.0/8 -j DROP\nCOMMIT\n"
    question = {"in": "eth0", "dst": "192.0.2.10", "dport": 80}
    host = read(text.replace("...", "-A INPUT -i lo -j ACCEPT\n..."))
    assert [rule.position for rule in host.rulesets[4].tables["filter"].rules()] == [1, 0, 2]
    assert walk(host, Question(**{"src": "10.1.1.1", **question})).verdict == "DEPENDS"


def test_grep_hides_rules_of_other_chains() -> None:
    text = (
        "$ sudo iptables -S | grep ts-\n-N ts-forward\n-A FORWARD -j ts-forward\n"
        "-A ts-forward -i tailscale0 -j ACCEPT\n"
    )
    chains = read(text).rulesets[4].tables["filter"].chains
    assert [rule.position for rule in chains["ts-forward"].rules] == [1]
    assert [rule.position for rule in chains["FORWARD"].rules] == [0, 1, 0]


@pytest.mark.parametrize(
    ("above", "expected"),
    [
        ("These are my rules:\n\n", "DEPENDS"),
        ("# cat /etc/iptables/rules.v4\n", "ACCEPT"),
        ("$ sudo cat /etc/sysconfig/iptables\n", "ACCEPT"),
        ("I load this with iptables-restore:\n\n", "ACCEPT"),
    ],
)
def test_rules_without_the_lines_of_their_chains(above: str, expected: str) -> None:
    """iptables-save prints them, so they were left out; iptables-restore (nft, 1.8.9) makes chains with ACCEPT."""
    text = f"{above}*filter\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n"
    assert verdict(text, sender="203.0.113.9", to="host", dport=22) == "ACCEPT"
    assert verdict(text, sender="203.0.113.9", to="host", dport=8080) == expected
    answer = iptsim.explain(iptsim.loads_host(text), sender="203.0.113.9", to="host", dport=8080)
    assumed = any("policy of filter INPUT" in str(one) for one in answer.assumptions)
    assert assumed is (expected == "ACCEPT")


def test_replies_to_a_bridge_of_docker_in_an_excerpt() -> None:
    """Docker 27 writes `-o docker0 ... RELATED,ESTABLISHED` with each of these rules."""
    text = "These are left:\n\n-A FORWARD -i {0} ! -o {1} -j ACCEPT\n-A FORWARD -i {0} -o {0} -j ACCEPT\n"
    question = {"src": "172.17.0.2", "dst": "8.8.8.8", "dport": 443, "in_interface": "docker0"}
    assert verdict(text.format("docker0", "docker0"), **question) == "ACCEPT"
    assert verdict(text.format("docker0", "docker1"), **question) == "DEPENDS"


def test_dumps_without_commit_that_lack_their_chains() -> None:
    text = "# iptables-save\n*nat\n-A POSTROUTING -s 172.18.0.0/16 -j MASQUERADE\n*filter\n"
    text += "-A FORWARD -i br0 -j ACCEPT\n"
    assert rules(text, "nat")[0] == "-A POSTROUTING -s 172.18.0.0/16 -j MASQUERADE"
    assert rules(text)[0] == "-A FORWARD -i br0 -j ACCEPT"


def test_a_dump_that_was_cut_off_may_have_had_other_tables() -> None:
    text = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
    question = {"in": "eth0", "src": "8.8.8.8", "dst": "192.0.2.10", "dport": 80}
    assert verdict(text, **question) == "ACCEPT"
    assert verdict(text + "...\n", **question) == "DEPENDS"


def test_lines_of_a_dump_as_code_with_remarks() -> None:
    text = (
        "At the top of my file:\n\n`*nat` - the table\n`:PREROUTING ACCEPT [0:0]` - as it was\n"
        "`-A PREROUTING -i eth0 -p tcp --dport 2222 -j DNAT --to-destination 10.6.0.2:22`\n`COMMIT` (the end)\n"
    )
    assert rules(text, "nat") == [
        "-A PREROUTING -i eth0 -p tcp -m tcp --dport 2222 -j DNAT --to-destination 10.6.0.2:22"
    ]


@pytest.mark.parametrize("mark", ["#", "# ", "// ", "; "])
def test_a_dump_in_a_comment(mark: str) -> None:
    """It is a quotation, unless the text has other rules: then it was switched off."""
    dump = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
    quoted = "".join(f"{mark}{line}\n" for line in dump.splitlines())
    text = f"My rules were:\n\n{quoted}"
    assert verdict(text, sender="203.0.113.9", to="host", dport=80) == "DROP"
    assert any("comments" in str(one) for one in read(text).assumptions)
    assert (
        verdict(dump.replace("DROP", "ACCEPT") + quoted, sender="203.0.113.9", to="host", dport=80)
        == "ACCEPT"
    )


def test_rules_of_several_tables_without_headings() -> None:
    """Rules of nat show that those of other chains are of the table where such chains are usual."""
    text = (
        "-A PREROUTING -p tcp --dport 443 -j DNAT --to-destination 192.168.1.50\n"
        "-A PREROUTING -i eth0 -j MARK --set-mark 1\n"
        "-A PREROUTING -s 10.0.0.0/8 -i eth0 -j DROP\n"
        "-A POSTROUTING -o eth0 -j MASQUERADE\n"
        "-A FORWARD -i eth1 -j ACCEPT\n"
        "-A INPUT -i lo -j ACCEPT\n"
    )
    ruleset = read(text).rulesets[4]
    found = {
        (rule.table, rule.chain, rule.target_name) for rule in ruleset.rules() if not is_gap(rule.target)
    }
    assert found == {
        ("nat", "PREROUTING", "DNAT"),
        ("mangle", "PREROUTING", "MARK"),
        ("raw", "PREROUTING", "DROP"),
        ("nat", "POSTROUTING", "MASQUERADE"),
        ("filter", "FORWARD", "ACCEPT"),
        ("filter", "INPUT", "ACCEPT"),
    }


def test_a_rule_that_names_its_table_is_no_rest_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "paste").write_text(
        "-P FORWARD DROP\n-A FORWARD -o docker0 -p tcp --dport 80 -j ACCEPT\n"
        "-t nat -A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\n"
    )
    host = iptsim.load_host(tmp_path / "paste")
    rules = [f"{rule.table} {rule.specification}" for rule in host.rulesets[4].rules() if rule.position]
    assert rules == [
        "filter -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT",
        "nat -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
    ]
    # the address is on Docker's bridge, which the first rule names
    answer = iptsim.explain(host, "internet", "host:8080")
    assert answer.trace.legs[0].verdict == "ACCEPT"


BOTH = (
    "# Generated by iptables-save v1.8.9 (nf_tables)\n*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n"
    ":OUTPUT ACCEPT [0:0]\nCOMMIT\n# Completed on now\n# Generated by ip6tables-save v1.8.9 (nf_tables)\n*filter\n"
    ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -s ::1/128 -j DROP\nCOMMIT\n"
)


@pytest.mark.parametrize("text", [BOTH, "$ iptables-save; ip6tables-save\n" + BOTH])
def test_the_dumps_of_both_families_in_one_text(text: str) -> None:
    host = iptsim.loads_host(text)
    assert {family: len(list(ruleset.rules())) for family, ruleset in host.rulesets.items()} == {4: 0, 6: 1}
    chain = host.rulesets[4].chain("filter", "INPUT")
    assert chain is not None
    assert chain.policy == "DROP"


def test_rules_of_another_table_behind_one_that_breaks_off() -> None:
    """FORWARD is no chain of nat; without COMMIT, nothing tells where its rules end, and the next block begins."""
    text = (
        "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
        "-A POSTROUTING -s 172.18.0.0/16 ! -o br-1 -j MASQUERADE\n-A POSTROUTING -s 172.18.0.2/32 -d 172.18\n```\n```\n"
        "-A FORWARD -i br-1 -o br-1 -j ACCEPT\n-A DOCKER -d 172.18.0.2/32 ! -i br-1 -o br-1 -p tcp -j ACCEPT\n"
    )
    assert "-A FORWARD -i br-1 -o br-1 -j ACCEPT" in rules(text)
    assert "-A POSTROUTING -s 172.18.0.0/16 ! -o br-1 -j MASQUERADE" in rules(text, "nat")
    # with its COMMIT, the file is what iptables-restore refuses as a whole
    assert "filter" not in read(f"{text}COMMIT\n").rulesets[4].tables


def test_a_node_port_in_a_part_of_a_dump() -> None:
    """KUBE-SERVICES ends with the jump to KUBE-NODEPORTS (pkg/proxy/iptables/proxier.go), also where grep hides it."""
    text = (
        '-A KUBE-NODEPORTS -p tcp -m comment --comment "shop/web:" -m tcp --dport 30080 -j KUBE-XLB-AAAAAAAAAAAAAAAA\n'
        '-A KUBE-SERVICES -d 10.96.0.9/32 -p tcp -m comment --comment "shop/web: cluster IP" -m tcp --dport 80'
        " -j KUBE-MARK-MASQ\n"
    )
    trace = walk(
        read(text), Question(**{"from": "203.0.113.9", "to": "host", "proto": "tcp", "dport": 30080})
    )
    # KUBE-XLB may mark the packet for KUBE-FIREWALL, which drops it
    assert trace.verdict == "DEPENDS"
    assert "KUBE-NODEPORTS" in {step.chain for step in trace.branches[0].legs[0].all_steps}


def test_addresses_of_tailscale_are_behind_its_interface() -> None:
    """100.64.0.0/10 is the range of every tailnet (tailscale.com/kb/1015)."""
    text = (
        "-A FORWARD -j ts-forward\n"
        "-A ts-forward -o tailscale0 -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP\n"
    )
    question = {"from": "172.17.0.2", "to": "100.101.1.1", "proto": "tcp", "dport": 80, "in": "docker0"}
    assert verdict(text, **question) == "DROP"
    assert verdict(text, **{**question, "to": "198.51.100.1"}) == "DEPENDS"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# sysctl -w net.ipv4.ip_forward=0\n# iptables -S\n{}", "DROP"),
        ("# iptables -S\n{}# echo 0 > /proc/sys/net/ipv4/ip_forward\n", "DROP"),
        # in a script it is a comment
        ("#!/bin/sh\n# sysctl -w net.ipv4.ip_forward=0\niptables -A INPUT -i lo -j ACCEPT\n", "ACCEPT"),
    ],
)
def test_kernel_parameters_set_behind_the_prompt_of_root(text: str, expected: str) -> None:
    text = text.format("-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n")
    assert verdict(text, src="192.168.7.5", dst="8.8.8.8", dport=53, in_interface="eth1") == expected


def test_comments_within_a_table_are_no_commands_of_root() -> None:
    """iptables-restore(8) ignores lines with # at the start; the prompt of root begins below COMMIT."""
    text = (
        "These are my rules:\n\n*filter\n:INPUT DROP [0:0]\n# sysctl net.ipv4.ip_forward must be 1\n"
        "-A INPUT -p tcp --dport 22 -j ACCEPT\n# iptables -A INPUT -p tcp --dport 25 -j ACCEPT\n"
        "-A INPUT -p tcp --dport 80 -j ACCEPT\nCOMMIT\n# iptables -A INPUT -p tcp --dport 81 -j ACCEPT\n"
    )
    host = read(text)
    assert [rule.text.split()[-3] for rule in host.rulesets[4].tables["filter"].rules()] == ["22", "80", "81"]
    assert host.pasted is not None
    assert host.pasted.summary() == (
        "read: lines 3-9 iptables-save (filter), 10 iptables commands (filter); left out: 1"
    )
