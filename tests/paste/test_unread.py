"""What could not be read among rules never makes an answer more certain; patches show what they make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import iptsim
from iptsim.extensions.hidden import Hidden
from iptsim.host.files import Source
from iptsim.paste.assembly import host_of_source

LISTING = """\
Chain INPUT (policy ACCEPT)
target     prot opt source               destination
ACCEPT     tcp  --  10.0.0.0/8           0.0.0.0/0            tcp dpt:22
{line}
ACCEPT     tcp  --  0.0.0.0/0            0.0.0.0/0            tcp dpt:80

Chain OUTPUT (policy ACCEPT)
target     prot opt source               destination
"""
DUMP = """\
the rules of my host:
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j ACCEPT
{line}
-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT
COMMIT
"""


def verdict(folder: Path, text: str, target: str = "host:80") -> str:
    path = folder / "paste.txt"
    path.write_text(text)
    return iptsim.explain(path, "203.0.113.9", target).verdict


@pytest.mark.parametrize(
    ("text", "line", "wanted"),
    [
        (LISTING, "the usual drops of our site", "DEPENDS"),
        (LISTING, "DR0P all 0.0.0.0/0 anywhere", "DEPENDS"),
        (LISTING, "# the web server:", "ACCEPT"),
        (LISTING, "<- this one is for ssh", "ACCEPT"),
        (DUMP, "A INPUT -p tcp --dport 80 -j DROP", "DEPENDS"),
        (DUMP, "and for the web:", "ACCEPT"),
    ],
)
def test_a_line_among_the_rules(text: str, line: str, wanted: str, tmp_path: Path) -> None:
    assert verdict(tmp_path, text.format(line=line)) == wanted


PATCH = """\
--- before
+++ after
@@ -1,{old} +1,{new} @@
 *filter
 :INPUT ACCEPT [0:0]
 :FORWARD ACCEPT [0:0]
 :OUTPUT ACCEPT [0:0]
--A INPUT -p tcp -m tcp --dport 80 -j DROP
+-A INPUT -p tcp -m tcp --dport 81 -j DROP
 COMMIT
"""


def test_a_patch_shows_the_rules_that_it_makes(tmp_path: Path) -> None:
    text = PATCH.format(old=6, new=6)
    assert verdict(tmp_path, text) == "ACCEPT"
    assert verdict(tmp_path, text, "host:81") == "DROP"


def test_between_the_hunks_of_a_patch_rules_are_left_out(tmp_path: Path) -> None:
    start = PATCH.format(old=5, new=5).removesuffix(" COMMIT\n")
    rest = "@@ -20,2 +20,2 @@\n -A INPUT -p tcp -m tcp --dport 82 -j DROP\n COMMIT\n"
    assert verdict(tmp_path, start + rest, "host:82") == "DEPENDS"
    assert verdict(tmp_path, start + rest, "host:81") == "DROP"


def test_a_rule_that_a_patch_adds_to_a_listing(tmp_path: Path) -> None:
    line = "+DROP       tcp  --  0.0.0.0/0            0.0.0.0/0            tcp dpt:80"
    assert "DROP" in {verdict(tmp_path, LISTING.format(line=line))} | _ways(tmp_path / "paste.txt")


def _ways(path: Path) -> set[str]:
    return {way.verdict for way in iptsim.explain(path, "203.0.113.9", "host:80").branches}


def test_the_table_among_combined_options(tmp_path: Path) -> None:
    path = tmp_path / "paste.txt"
    path.write_text(
        "$ sudo iptables -nvLt mangle\nChain PREROUTING (policy ACCEPT 0 packets, 0 bytes)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
    )
    assert list(iptsim.load_host(path).rulesets[4].tables) == ["mangle"]


POST_UP = """\
[Interface]
PostUp = A=$(ip route | awk '{{print $3}}'); HOME=192.168.0.0/16; iptables -A OUTPUT -d $HOME -j ACCEPT; {more}
PostUp = iptables -P OUTPUT DROP
"""


def test_variables_that_are_set_before_commands_of_the_same_line(tmp_path: Path) -> None:
    path = tmp_path / "wg0.conf"
    path.write_text(POST_UP.format(more="true"))
    assert iptsim.explain(path, "host", "192.168.7.7:443").verdict == "ACCEPT"
    assert iptsim.explain(path, "host", "192.0.2.77:443").verdict == "DROP"
    path.write_text(POST_UP.format(more="HOME=$(cat /etc/home); iptables -I OUTPUT -d $HOME -j DROP"))
    assert iptsim.explain(path, "host", "192.168.7.7:443").verdict == "DEPENDS"


def test_rules_of_several_tables_that_grep_printed(tmp_path: Path) -> None:
    """Kubernetes refuses a node port without endpoints in filter, and forwards it in nat."""
    path = tmp_path / "paste.txt"
    path.write_text(
        "# iptables-save | grep 31218\n"
        '-A KUBE-SERVICES -p tcp -m comment --comment "default/web:http has no endpoints" -m addrtype --dst-type LOCAL'
        " -m tcp --dport 31218 -j REJECT --reject-with icmp-port-unreachable\n"
        '-A KUBE-NODEPORTS -p tcp -m comment --comment "default/web:http" -m tcp --dport 31218 -j KUBE-MARK-MASQ\n'
    )
    tables = iptsim.load_host(path).rulesets[4].tables
    assert "KUBE-SERVICES" in tables["filter"].chains
    assert "KUBE-NODEPORTS" in tables["nat"].chains
    assert "KUBE-NODEPORTS" not in tables["filter"].chains
    (found,) = [one for one in iptsim.lint(path) if one.code == "service-without-endpoints"]
    assert "default/web:http" in str(found.title)
    assert found.shown is not None


def test_a_file_that_only_adds_chains_is_no_whole_host(tmp_path: Path) -> None:
    """Without built-in chains it is for iptables-restore --noflush: Docker's FORWARD jumps to DOCKER-USER."""
    path = tmp_path / "after.rules"
    path.write_text("*filter\n:DOCKER-USER - [0:0]\n-A DOCKER-USER -i eth0 -j DROP\nCOMMIT\n")
    arriving: Any = {"in": "eth0"}
    assert iptsim.explain(path, "203.0.113.9", "172.17.0.2:80", **arriving).verdict == "DROP"


CUT = """\
-P INPUT DROP
-P FORWARD DROP
-P OUTPUT ACCEPT
-N ufw-after-input
-N ufw-before-input
-A INPUT -j ufw-before-input
-A INPUT -j ufw-after-input
-A ufw-before-input -i lo -j ACCEPT
-A OUTPUT -j ufw-{cut}
"""


@pytest.mark.parametrize(("cut", "wanted"), [("a", "DEPENDS"), ("after-input", "DROP")])
def test_a_listing_that_is_cut_in_the_name_of_a_chain(cut: str, wanted: str, tmp_path: Path) -> None:
    assert verdict(tmp_path, CUT.format(cut=cut)) == wanted


@pytest.mark.parametrize(("cut", "wanted"), [("ACCE", "DEPENDS"), ("ACCEPT", "ACCEPT"), ("RETURN", "DROP")])
def test_a_listing_that_is_cut_in_the_name_of_a_target(cut: str, wanted: str, tmp_path: Path) -> None:
    """`iptables -S` declares every chain with -N, so no jump leads to another one; and rules may follow."""
    path = tmp_path / "paste"
    path.write_text(
        f"-P FORWARD DROP\n-N mine\n-A FORWARD -j mine\n-A FORWARD -j ACCEPT -i lo\n-A mine -j {cut}\n"
    )
    arriving: Any = {"in": "eth0"}
    assert iptsim.explain(path, "203.0.113.9", "172.17.0.2:80", **arriving).verdict == wanted


def test_commands_in_the_log_of_a_program(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(
        "2026-02-26T17:47:12Z DEBUG [firewall] /usr/sbin/iptables --policy OUTPUT DROP\n"
        "2026-02-26T17:47:13Z DEBUG [firewall] /usr/sbin/iptables --append OUTPUT -o tun0 -j ACCEPT\n"
    )
    assert iptsim.explain(path, "host", "198.51.100.9:443").verdict == "DROP"


def test_direct_rules_of_firewalld(tmp_path: Path) -> None:
    """Lower priorities come first; equal ones in the order in which they were added (firewalld.direct(5))."""
    path = tmp_path / "paste"
    add = "firewall-cmd --permanent --direct --add-rule ipv4 filter DOCKER-USER"
    path.write_text(
        "firewall-cmd --permanent --direct --add-chain ipv4 filter DOCKER-USER\n"
        f"{add} 10 -j REJECT -m comment --comment 'all others'\n"
        f"{add} 1 -j RETURN -s 10.0.0.0/8\n{add} 1 -j RETURN -s 172.16.0.0/12\n"
        "firewall-cmd --direct --add-rule ipv4 filter INPUT 0 -p tcp --dport 82 -j DROP\n"
        "firewall-cmd --direct --passthrough ipv4 -A INPUT -p tcp --dport 81 -j DROP\n"
    )
    chain = iptsim.load_host(path).rulesets[4].chain("filter", "DOCKER-USER")
    assert chain is not None
    assert [rule.target_name for rule in chain.rules] == ["RETURN", "RETURN", "REJECT"]
    assert "10.0.0.0/8" in chain.rules[0].text
    assert iptsim.explain(path, "203.0.113.9", "host:81").verdict == "DROP"
    assert iptsim.explain(path, "203.0.113.9", "host:82").verdict == "DROP"


def test_direct_rules_are_where_firewalld_calls_them(tmp_path: Path) -> None:
    path = tmp_path / "paste"
    path.write_text(
        "-P INPUT ACCEPT\n-N INPUT_direct\n-A INPUT -p tcp -m tcp --dport 82 -j ACCEPT\n-A INPUT -j INPUT_direct\n\n"
        "firewall-cmd --direct --add-rule ipv4 filter INPUT 0 -p tcp --dport 82:83 -j DROP\n"
    )
    assert iptsim.explain(path, "203.0.113.9", "host:82").verdict != "DROP"
    assert iptsim.explain(path, "203.0.113.9", "host:83").verdict == "DROP"
    # also where only the jump to firewalld's chain is shown
    path.write_text(path.read_text().replace("-N INPUT_direct\n", ""))
    assert iptsim.explain(path, "203.0.113.9", "host:82").verdict != "DROP"


def test_a_match_without_its_unreadable_option_is_one_condition(tmp_path: Path) -> None:
    path = tmp_path / "anonymised.txt"
    line = "-A INPUT -s 10.0.0.7/32 -p tcp -m mac --mac-source XX:XX:XX:XX:XX:XX -m tcp --dport 80 -j DROP"
    path.write_text(DUMP.format(line=line))
    host = iptsim.load_host(path)
    rule = host.rulesets[4].tables["filter"].chains["INPUT"].rules[1]
    unread = [match.words for match in rule.matches if isinstance(match, Hidden)]
    assert unread == ["-m mac --mac-source XX:XX:XX:XX:XX:XX"]
    assert sum("XX:XX" in str(one) for one in host.rulesets[4].warnings) == 1
    answer = iptsim.explain(host, "10.0.0.7", "host:80")
    assert answer.verdict == "DEPENDS"
    assert len(answer.trace.hinges) == 1


@pytest.mark.parametrize(
    "words",
    ["so iptables -A INPUT ", "`iptables -F` ", "fail2ban.utils x -- exec: ", "ping from 10.0.0.1 ", "-a "],
)
def test_a_line_longer_than_any_that_was_typed_is_a_gap(words: str) -> None:
    """No form is tried on it; that would take hours."""
    text = f"-A INPUT -i lo -j ACCEPT\n{words * 20_000}\n-A INPUT -j DROP\n"
    host = host_of_source(Source("paste", {}, text.encode()))
    rules = [rule.text for rule in host.rulesets[4].tables["filter"].rules()]
    assert rules.index("-A INPUT -i lo -j ACCEPT") + 1 < rules.index("-A INPUT -j DROP")
