"""Placeholders, cuts and wrapped lines in commands: what is missing is unknown, all else is read."""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim
from iptsim.host.files import Source
from iptsim.netfilter.walk import walk
from iptsim.paste.assembly import host_of_source
from iptsim.question.model import Question


def verdict(text: str, **question: object) -> str:
    host = host_of_source(Source("pasted", {}, text.encode()))
    return walk(host, Question(**{"proto": "tcp", **question})).verdict


@pytest.mark.parametrize("value", ["<port>", "$PORT", "[your port]", "YOUR_PORT", "{{ port }}"])
def test_a_placeholder_for_a_port_is_unknown_and_the_rule_keeps_its_target(value: str) -> None:
    text = f"iptables -P INPUT DROP\niptables -A INPUT -p tcp --dport {value} -j ACCEPT\n"
    packet = {"in_interface": "eth0", "src": "8.8.8.8", "dst": "192.0.2.10"}
    assert verdict(text, **packet, proto="tcp", dport=80) == "DEPENDS"
    assert verdict(text, **packet, proto="udp", dport=80) == "DROP"


@pytest.mark.parametrize(
    "option", ["-s <your ip>", "-s $IP", "-s YOUR_IP", "-s ", "-i <interface>", "-i ethX", "-i ext_if"]
)
def test_a_placeholder_for_an_address_or_an_interface_is_unknown(option: str) -> None:
    text = f"iptables -P INPUT DROP\niptables -A INPUT {option} -p tcp --dport 22 -j ACCEPT\n"
    packet = {"in_interface": "eth0", "src": "8.8.8.8", "dst": "192.0.2.10"}
    assert verdict(text, **packet, dport=22) == "DEPENDS"
    assert verdict(text, **packet, dport=80) == "DROP"


@pytest.mark.parametrize("mark", ["...", "[snip]", "iptables ... -j ACCEPT", "# ... and others"])
def test_commands_that_were_cut_out_may_decide(mark: str) -> None:
    text = f"iptables -P INPUT DROP\n{mark}\niptables -A INPUT -p tcp --dport 80 -j ACCEPT\n"
    packet = {"in_interface": "eth0", "src": "8.8.8.8", "dst": "192.0.2.10"}
    assert verdict(text, **packet, dport=443) == "DEPENDS"


def test_what_was_cut_out_of_a_command_is_unknown() -> None:
    text = "iptables -P INPUT DROP\niptables -A INPUT -i eth0 ... -j ACCEPT\n"
    packet = {"src": "8.8.8.8", "dst": "192.0.2.10", "dport": 80}
    assert verdict(text, **packet, in_interface="eth0") == "DEPENDS"
    assert verdict(text, **packet, in_interface="eth1") == "DROP"


def test_commands_without_the_name_of_the_program() -> None:
    text = (
        "iptables -P INPUT DROP\n-t nat -A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 8080\n"
        "-A INPUT -p tcp --dport 8080 -j ACCEPT\n"
    )
    packet = {"in_interface": "eth0", "src": "8.8.8.8", "dst": "192.0.2.10"}
    assert verdict(text, **packet, dport=80) == "ACCEPT"
    assert verdict(text, **packet, dport=81) == "DROP"


def test_a_wrapped_command() -> None:
    text = "iptables -P INPUT DROP\niptables -A INPUT -p tcp -m tcp\n  --dport 80 -j ACCEPT\n"
    packet = {"in_interface": "eth0", "src": "8.8.8.8", "dst": "192.0.2.10"}
    assert verdict(text, **packet, dport=80) == "ACCEPT"
    assert verdict(text, **packet, dport=81) == "DROP"


def test_commands_that_a_sentence_quotes_are_no_commands() -> None:
    text = 'iptables -P INPUT DROP\n"iptables -A INPUT -j ACCEPT" and "iptables -L" did not help.\n'
    packet = {"in_interface": "eth0", "src": "8.8.8.8", "dst": "192.0.2.10"}
    assert verdict(text, **packet, dport=80) == "DROP"


LISTING = """Chain INPUT (policy DROP)
target     prot opt source               destination
ACCEPT     tcp  --                       0.0.0.0/0            tcp dpt:80
ACCEPT     udp  --
ACCEPT     icmp --  0.0.0.0/0            0.0.0.0/0
"""


def test_an_empty_column_and_a_row_that_breaks_off_are_unknown() -> None:
    packet = {"in_interface": "eth0", "src": "8.8.8.8", "dst": "192.0.2.10"}
    assert verdict(LISTING, **packet, dport=80) == "DEPENDS"
    assert verdict(LISTING, **packet, dport=81) == "DROP"
    assert verdict(LISTING, **packet, proto="udp", dport=81) == "DEPENDS"


def test_a_heading_whose_policy_was_cut_out() -> None:
    text = LISTING.replace("policy DROP", "policy ...")
    assert verdict(text, in_interface="eth0", src="8.8.8.8", dst="192.0.2.10", dport=81) == "DEPENDS"


def test_a_heading_that_breaks_off() -> None:
    text = LISTING.replace("(policy DROP)", "(policy DROP 12 pack...")
    assert verdict(text, in_interface="eth0", src="8.8.8.8", dst="192.0.2.10", dport=81) == "DROP"


def test_rules_as_items_of_a_list_end_with_commas() -> None:
    text = "-P INPUT DROP,\n-A INPUT -p tcp --dport 80 -j ACCEPT,\n"
    packet = {"in_interface": "eth0", "src": "8.8.8.8", "dst": "192.0.2.10"}
    assert [verdict(text, **packet, dport=port) for port in (80, 81)] == ["ACCEPT", "DROP"]


def test_numbered_rules_of_which_some_were_left_out() -> None:
    rules = ("2 -A KUBE-X -p udp -j DROP", "3 -A KUBE-X -p icmp -j DROP", "6 -A INPUT -p tcp -j DROP")
    packet = {"in_interface": "eth0", "src": "8.8.8.8", "dst": "192.0.2.10"}
    assert verdict("\n".join(f"  {rule}" for rule in rules), **packet, dport=80) == "DROP"


def test_an_ipv6_address_in_brackets_is_no_placeholder() -> None:
    """As iptables prints it: `--to-destination [fd01::2]:80` (libxt_NAT.c)."""
    command = "ip6tables -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination [fd01::2]:80"
    packet = {"in_interface": "eth0", "src": "2001:db8:ffff::9", "dst": "2001:db8:2::10"}
    assert verdict(f"{command}\n", **packet, dport=80) == "ACCEPT"


def test_routes_to_single_machines_show_no_address_of_the_host(tmp_path: Path) -> None:
    """Their gateway and source are replaced; the host has some address nevertheless."""
    routes = "203.0.113.53 via <GATEWAY> dev ens5 proto dhcp src <ADDRESS> metric 100\n"
    (tmp_path / "paste").write_text(f"-P OUTPUT ACCEPT\n-P INPUT ACCEPT\n\n$ ip route\n{routes}")
    host = iptsim.load_host(tmp_path / "paste")
    assert iptsim.explain(host, "host", "203.0.113.53", proto="udp", dport=53).verdict == "ACCEPT"
