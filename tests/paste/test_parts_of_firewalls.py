"""Parts of what ufw, fail2ban, firewalld, fw3 and nft print, as people paste them: expectations from their sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import iptsim
from iptsim.errors import CaptureError
from iptsim.netfilter.steps import Step
from iptsim.sources import loads_host
from tests.findings.linting import lint

UFW = """\
-P INPUT DROP
-P FORWARD DROP
-P OUTPUT ACCEPT
-N ufw-before-forward
-N ufw-before-input
-N ufw-user-input
-A INPUT -j ufw-before-input
-A FORWARD -j ufw-before-forward
"""


def ask(text: str, sender: str, to: str, **fields: Any) -> iptsim.Explanation:
    return iptsim.explain(loads_host(text), sender, to, **fields)


def steps(answer: iptsim.Explanation) -> list[Step]:
    return [step for step in answer.trace.legs[0].all_steps if step.rule is not None]


def test_a_listing_without_the_rules_of_its_chains() -> None:
    """The rules come chain by chain; ufw's before.rules are never empty (ufw-framework(8))."""
    assert ask(UFW, "203.0.113.9", "host:80", in_interface="eth0").verdict == "DEPENDS"
    whole = UFW + "-A ufw-before-input -i lo -j ACCEPT\n"
    assert ask(whole, "203.0.113.9", "host:80", in_interface="eth0").verdict == "DROP"


def test_a_listing_of_a_firewall_that_is_off() -> None:
    """`ufw disable` leaves the empty chains, and policies that accept (ufw-init-functions)."""
    assert ask(UFW.replace("DROP", "ACCEPT"), "203.0.113.9", "host:80").verdict == "ACCEPT"


def test_the_last_chains_of_a_listing_are_not_called_empty(tmp_path: Path) -> None:
    """Their rules may follow where the text ends."""
    begun = "# iptables -S\n-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n-N WEB\n-N LOCAL\n-A INPUT -j WEB\n"
    begun += "-A INPUT -j LOCAL\n"
    assert "empty-chain" not in lint(tmp_path, begun + "-A WEB -p tcp -j ACCEPT\n")
    assert "empty-chain" in lint(tmp_path, begun + "-A LOCAL -p tcp -j ACCEPT\n")


def test_rules_whose_first_dash_is_lost() -> None:
    """As where it was taken for the mark of a list; fw3 calls the chain for the packets of its zone."""
    rule = "A zone_wan_prerouting -p tcp -m tcp --dport 4488 -j REDIRECT --to-ports 8888\n"
    answer = ask(rule, "203.0.113.9", "host:4488", in_interface="eth0")
    places = {
        way.trace.legs[0].delivered.packet.dport for way in answer.branches if way.trace.legs[0].delivered
    }
    assert places == {4488, 8888}
    with pytest.raises(CaptureError):
        loads_host("A word about the -j option in a sentence\n")


def test_rows_of_a_listing_without_their_heading(tmp_path: Path) -> None:
    """Of table filter, only INPUT precedes FORWARD (iptables.8: the order of the built-in chains)."""
    row = "f2b-sshd   tcp  --  anywhere             anywhere             multiport dports ssh\n"
    rest = "\nChain FORWARD (policy ACCEPT)\ntarget     prot opt source               destination\n\nChain OUTPUT"
    rest += " (policy ACCEPT)\ntarget     prot opt source               destination\n\nChain f2b-sshd (9 references)\n"
    rest += "target     prot opt source               destination\nRETURN     all  --  anywhere             anywhere\n"
    found = lint(tmp_path, row + row + rest)["redundant-rule"]
    assert "f2b-sshd 9 times" in str(found.title)
    assert "redundant-rule" not in lint(tmp_path, row + rest)


ZONE = """\
# firewall-cmd --list-all --zone=public
public (active)
  target: default
  interfaces: eth0
  services: ssh
  ports: 8080/tcp
  masquerade: no
  forward-ports:
        port=80:proto=tcp:toport=8080:toaddr=
"""


def test_a_zone_beside_a_listing_of_nat() -> None:
    """The chain of firewalld in nft has priority -90, after those of iptables (nftables.py: NFT_HOOK_OFFSET)."""
    listing = "# iptables -t nat -nvL PREROUTING\nChain PREROUTING (policy ACCEPT 0 packets, 0 bytes)\n"
    listing += " pkts bytes target     prot opt in     out     source               destination\n"
    listing += (
        "    0     0 REDIRECT   tcp  --  *      *       0.0.0.0/0            0.0.0.0/0            tcp dpt:80"
    )
    text = f"{listing} redir ports 9090\n\n{ZONE}"
    redirected = next(
        step for step in steps(ask(text, "203.0.113.9", "host:80")) if step.verdict == "REDIRECT"
    )
    assert "9090" in str(redirected.rule)
    other = next(step for step in steps(ask(ZONE, "203.0.113.9", "host:80")) if step.verdict == "REDIRECT")
    assert "8080" in str(other.rule)


def test_an_address_that_stands_for_one_left_out() -> None:
    """No interface has 0.0.0.0, so a rule that translates to it does not tell the host's address."""
    rules = "-A POSTROUTING -s 10.8.0.0/24 -j SNAT --to-source 0.0.0.0\n"
    addresses = {str(one.address) for _, one in loads_host(rules).namespace.addresses(4)}
    assert "0" not in addresses


def test_branches_that_differ_in_the_source_alone() -> None:
    """-L without -v hides the interfaces of the rule that masquerades."""
    text = "Chain POSTROUTING (policy ACCEPT)\ntarget     prot opt source               destination\n"
    text += "MASQUERADE  all  --  10.0.3.0/24         !10.0.3.0/24\n"
    answer = ask(text, "10.0.3.50", "8.8.8.8:443", in_interface="lxcbr0")
    assert answer.verdict == "ACCEPT"
    assert "Where it arrives" not in str(answer.reason.text)


def test_aligned_words_of_nft() -> None:
    """Nft takes any blanks between words; a set of types is for ICMP alone."""
    text = "table inet filter {\n chain input {\n  type filter hook input priority filter; policy drop;\n"
    text += "  icmp   type { echo-request,  time-exceeded } accept\n }\n}\n"
    assert ask(text, "203.0.113.9", "host:80").verdict == "DROP"
    assert ask(text, "203.0.113.9", "host", proto="icmp").verdict == "ACCEPT"


def test_source_ports_that_nft_trusts(tmp_path: Path) -> None:
    """Who sends from port 53 reaches every port; with the state, only replies do."""
    text = "table inet filter {\n chain input {\n  type filter hook input priority filter; policy drop;\n"
    text += "  udp sport 53 {state}accept\n }\n}\n"
    assert "source-port-trusted" in lint(tmp_path, text.replace("{state}", ""))
    assert "source-port-trusted" not in lint(tmp_path, text.replace("{state}", "ct state established "))


FORWARD = "-t nat -A PREROUTING -d 203.0.113.1 -p tcp --dport 80 -j DNAT --to-destination 10.8.0.2:80"


@pytest.mark.parametrize("port", [80, 443])
def test_masquerading_of_a_forwarded_port(tmp_path: Path, port: int) -> None:
    """The web server sees the host's address where the rule is for the port that is forwarded to it."""
    text = f"iptables {FORWARD}\niptables -t nat -A POSTROUTING -p tcp --dport {port} -j MASQUERADE\n"
    text += "**iptables -t nat -A POSTROUTING -s 10.8.0.0/24 -o eth0 -j MASQUERADE\n"
    found = lint(tmp_path, text)
    assert ("clients-masqueraded" in found) is (port == 80)
    assert "masquerades-some" not in found  # other rules masquerade, too


def test_a_reset_that_a_firewall_logged(tmp_path: Path) -> None:
    """Without SYN, a packet of TCP begins no connection."""
    line = "kernel: [UFW BLOCK] IN=eth0 OUT= MAC= SRC=203.0.113.9 DST=192.0.2.1 LEN=40 TOS=0x00 PREC=0x00 TTL=54 ID=0"
    line += " DF PROTO=TCP SPT=40105 DPT=993 WINDOW=0 RES=0x00 {flags} URGP=0\n"
    for flags, ended in (("RST", True), ("ACK FIN", True), ("SYN", False)):
        path = tmp_path / "log"
        path.write_text(line.format(flags=flags))
        cause = iptsim.lint(path).cause
        assert cause is not None
        assert ("begins no connection" in str(cause.text)) is ended


def test_redirects_of_several_ports_are_told_once(tmp_path: Path) -> None:
    """One chain sends several ports to the same proxy."""
    text = "iptables -t nat -N PROXY\niptables -t nat -A OUTPUT -p tcp -j PROXY\n"
    for port in (80, 443):
        text += f"iptables -t nat -A PROXY -p tcp --dport {port} -j REDIRECT --to-ports 12345\n"
    path = tmp_path / "script"
    path.write_text(text)
    found = [one for one in iptsim.lint(path) if one.code == "redirect-takes-own"]
    assert ["80, 443" in str(one.title) for one in found] == [True]


FW3 = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j FLOWOFFLOAD{hw}
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i br-lan -j {last}
COMMIT
"""


@pytest.mark.parametrize("hw", ["", " --hw"])
@pytest.mark.parametrize(("last", "wanted"), [("ACCEPT", "ACCEPT"), ("DROP", "DROP")])
def test_connections_that_openwrt_offloads(hw: str, last: str, wanted: str) -> None:
    """The target returns XT_CONTINUE (xt_FLOWOFFLOAD.c of OpenWrt's kernels): the next rule decides."""
    answer = ask(FW3.format(hw=hw, last=last), "192.168.1.50", "8.8.8.8:443", in_interface="br-lan")
    assert answer.verdict == wanted


def test_a_listing_with_offloaded_connections() -> None:
    """-L prints the name of the target again behind the addresses, and "hw"."""
    text = "Chain FORWARD (policy DROP 0 packets, 0 bytes)\n"
    text += " pkts bytes target     prot opt in     out     source               destination\n"
    row = "    9   900 {}  all  --  {}     *       0.0.0.0/0            0.0.0.0/0            {}\n"
    text += row.format("FLOWOFFLOAD", "*", "ctstate RELATED,ESTABLISHED FLOWOFFLOAD hw")
    text += row.format("ACCEPT", "*", "ctstate RELATED,ESTABLISHED") + row.format("ACCEPT", "br-lan", "")
    assert ask(text, "192.168.1.50", "8.8.8.8:443", in_interface="br-lan").verdict == "ACCEPT"


def test_the_first_address_may_be_the_target_of_a_port_forward() -> None:
    """Then it is not the host's: the packet is forwarded."""
    text = "iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 80 -j DNAT --to-destination 10.50.0.1:8080\n"
    delivered = ask(text, "203.0.113.9", "host:80").trace.legs[0].delivered
    assert delivered is not None
    assert delivered.kind == "outside"


def test_a_heading_behind_other_words() -> None:
    """As where the title of a page and the first line of a listing are pasted without the end of the line."""
    text = "IPv4 RulesChain INPUT (policy DROP 162 packets, 11716 bytes)\npkts bytes target prot opt in out source"
    text += " destination\n0 0 ACCEPT udp -- * * 0.0.0.0/0 0.0.0.0/0 udp dpt:67\n"
    assert ask(text, "203.0.113.9", "host:67", proto="udp").verdict == "ACCEPT"
    assert ask(text, "203.0.113.9", "host:68", proto="udp").verdict == "DROP"
