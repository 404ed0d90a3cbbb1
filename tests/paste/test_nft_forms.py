"""Rules of nftables in all forms in which nft lists them: each line is what nftables 1.0.6 prints for one rule.

The kernel judges what they mean: `tests/kernel/test_nftables.py` reads the same forms of random rules.
"""

from __future__ import annotations

from typing import Any

import pytest

from iptsim.addresses import Family
from iptsim.host.nft_rules import Translator
from iptsim.paste.nft_rules import translated
from tests.paste.test_nft import ports

_SETS = {"m": [["10.0.0.1", 1], ["*", 2]]}


def rules(statements: Any, hook: str = "forward", family: Family = 4) -> list[str] | None:
    """Return the rules of iptables for a rule of nftables."""
    nat = hook in ("dnat", "snat")
    hook = {"dnat": "prerouting", "snat": "postrouting"}.get(hook, hook)
    found = Translator({"base": [statements], "sub": []}, _SETS, hook, nat=nat).of("base", family)
    return None if found is None else [" ".join((one.words, *one.also, one.hidden)).strip() for one in found]


def of_text(
    text: str, hook: str = "forward", family: Family = 4, *, is_listing: bool = True
) -> list[str] | None:
    return rules(list(translated(text, 0, 1, is_listing=is_listing).statements), hook, family)


@pytest.mark.parametrize(
    ("named", "numeric", "expected"),
    [
        ("tcp flags syn", "tcp flags 0x2", "-p tcp -m tcp ! --tcp-flags SYN NONE"),
        ("tcp flags syn / fin,syn,rst,ack", "tcp flags 0x2 / 0x1,0x2,0x4,0x10",
         "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN"),
        ("tcp flags ! syn,ack", "tcp flags ! 0x2,0x10", "-p tcp -m tcp --tcp-flags SYN,ACK NONE"),
        ("tcp flags == syn | ack", "tcp flags == 0x2 | 0x10",
         "-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG SYN,ACK -m ecn ! --ecn-tcp-ece ! --ecn-tcp-cwr"),
        ("ct state established,related", "ct state 0x2,0x4", "-m conntrack --ctstate ESTABLISHED,RELATED"),
        ("ct status snat,dnat", "ct status 0x10,0x20", "-m conntrack --ctstate SNAT,DNAT"),
        ("ct direction reply", "ct direction 1", "-m conntrack --ctdir REPLY"),
        ("meta nfproto ipv4", "meta nfproto 2", ""),
        ("meta protocol ip", "meta protocol 0x0800", ""),
        ("meta pkttype broadcast", "meta pkttype 1", "-m pkttype --pkt-type broadcast"),
        ("fib daddr type local", "fib daddr type 2", "-m addrtype --dst-type LOCAL"),
        ("ip ecn ce", "ip ecn 3", "-m ecn --ecn-ip-ect 3"),
        ('tcp dport "ssh"', "tcp dport 22", "-p tcp -m multiport --dports 22"),
        ('tcp dport . ip saddr { "ssh" . 10.0.0.1 }', "tcp dport . ip saddr { 22 . 10.0.0.1 }",
         "-p tcp -m multiport --dports 22 -s 10.0.0.1"),
    ],
)  # fmt: skip
def test_numbers_are_read_as_what_they_mean(named: str, numeric: str, expected: str) -> None:
    target = [f"{expected} -j ACCEPT".strip()]
    assert of_text(f"{named} accept") == of_text(f"{numeric} accept") == target


@pytest.mark.parametrize(
    ("key", "op", "value", "expected"),
    [
        # what `nft -j -nn` prints
        ({"payload": {"protocol": "tcp", "field": "flags"}}, "in", [4, 16], "-p tcp -m tcp ! --tcp-flags RST,ACK NONE"),
        ({"ct": {"key": "state"}}, "in", [2, 4], "-m conntrack --ctstate ESTABLISHED,RELATED"),
        ({"ct": {"key": "state"}}, "!=", {"set": [2, 4]}, "-m conntrack ! --ctstate ESTABLISHED,RELATED"),
        ({"meta": {"key": "protocol"}}, "==", 8, ""),
        ({"meta": {"key": "nfproto"}}, "!=", 10, ""),
        ({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, "==", "0", "-m rpfilter --invert"),
        # bits that no name has
        ({"ct": {"key": "state"}}, "==", 6, "ct state"),
        ({"payload": {"protocol": "tcp", "field": "flags"}}, "in", 0x1FF, "-p tcp tcp flags"),
    ],
)  # fmt: skip
def test_numbers_in_json(key: dict[str, Any], op: str, value: Any, expected: str) -> None:
    match = {"match": {"left": key, "op": op, "right": value}}
    (found,) = rules([match, {"drop": None}], "prerouting") or []
    assert found is not None
    assert found.replace("-j DROP", "").split() == expected.split()


@pytest.mark.parametrize(
    ("text", "numeric", "expected"),
    [
        ("reject with icmp host-prohibited", "reject with icmp 10", "icmp-host-prohibited"),
        ("reject with icmpx admin-prohibited", "reject with icmpx 3", "icmp-admin-prohibited"),
    ],
)
def test_what_a_rejection_replies(text: str, numeric: str, expected: str) -> None:
    assert of_text(text) == of_text(numeric) == [f"-j REJECT --reject-with {expected}"]


def test_a_prefix_with_more_bits_is_a_mask_in_a_listing() -> None:
    # measured: nft lists `ip daddr & 255.255.254.0 == 10.2.0.9` like that, and `nft -f` clears the bits
    rule = "ip daddr 10.2.0.9/23 drop"
    assert of_text(rule) == of_text(f"{rule} # handle 5", is_listing=False) == []
    assert of_text("ip daddr != 10.2.0.9/23 drop") == ["-j DROP"]
    assert of_text(rule, is_listing=False) == ["-d 10.2.0.0/23 -j DROP"]
    left = {"payload": {"protocol": "ip", "field": "daddr"}}
    prefix = {"prefix": {"addr": "10.2.0.9", "len": 23}}
    for op, found in (("==", []), ("!=", ["-j DROP"])):
        assert rules([{"match": {"left": left, "op": op, "right": prefix}}, {"drop": None}]) == found
    assert of_text("ip saddr & 0.0.0.255 == 0.0.0.9 drop") == ["-s 0.0.0.9/0.0.0.255 -j DROP"]


@pytest.mark.parametrize(
    ("text", "hook", "four", "six"),
    [
        # elements for all other packets
        ("ip saddr { 10.0.0.1, * } drop", "forward", ["-j DROP"], []),
        ("tcp dport { 22, * } drop", "forward", ["-p tcp -j DROP"], ["-p tcp -j DROP"]),
        ("tcp dport vmap { 22 : accept, * : drop }", "forward",
         ["-p tcp -m multiport --dports 22 -j ACCEPT", "-p tcp -j DROP"],
         ["-p tcp -m multiport --dports 22 -j ACCEPT", "-p tcp -j DROP"]),
        # a packet that comes back from the chain is not looked up again
        ("tcp dport vmap { 22 : jump sub, * : drop }", "forward",
         ["-p tcp -m multiport --dports 22 -j sub", "-p tcp -m multiport ! --dports 22 -j DROP"],
         ["-p tcp -m multiport --dports 22 -j sub", "-p tcp -m multiport ! --dports 22 -j DROP"]),
        # of several marks, the last one remains
        ("meta mark set ip saddr map @m", "forward",
         ["-j MARK --set-xmark 0x2/0xffffffff", "-s 10.0.0.1 -j MARK --set-xmark 0x1/0xffffffff"], []),
        ("dnat ip to tcp dport map { 80 : 10.0.0.1, * : 10.0.0.2 }", "dnat",
         ["-p tcp -m multiport --dports 80 -j DNAT --to-destination 10.0.0.1",
          "-p tcp -j DNAT --to-destination 10.0.0.2"],
         []),
        # whole networks, addresses for one family
        ("dnat ip prefix to 10.0.0.0/24", "dnat", ["-j NETMAP --to 10.0.0.0/24"], []),
        ("snat ip prefix to ip saddr map { 10.141.11.0/24 : 192.168.2.0/24 }", "snat",
         ["-s 10.141.11.0/24 -j NETMAP --to 192.168.2.0/24"], []),
        ("dnat ip6 to fd00::1", "dnat", [], ["-j DNAT --to-destination fd00::1"]),
        ("dnat ip to 10.0.0.1-10.0.0.9 persistent", "dnat",
         ["-j DNAT --to-destination 10.0.0.1-10.0.0.9 --persistent"], []),
        ("meta l4proto tcp masquerade to :1024-65535", "snat", ["-p tcp -j MASQUERADE --to-ports 1024-65535"],
         ["-p tcp -j MASQUERADE --to-ports 1024-65535"]),
        # a hash of which nothing is known: each result is possible, and one of them is sure
        ("dnat ip to jhash ip saddr mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }", "dnat",
         ["-j DNAT --to-destination 10.0.0.1 jhash ip saddr mod 2 0", "-j DNAT --to-destination 10.0.0.2"], []),
        ("numgen random mod 2 0 drop", "forward", ["-m statistic --mode random --probability 0.50000000000 -j DROP"],
         ["-m statistic --mode random --probability 0.50000000000 -j DROP"]),
        # the header that follows that of IPv6
        ("ip6 nexthdr tcp accept", "forward", [], ["-p tcp -m ipv6header --header protocol -j ACCEPT"]),
        ("ip protocol tcp accept", "forward", ["-p tcp -j ACCEPT"], []),
        ("icmp type destination-unreachable icmp code frag-needed accept", "forward",
         ["-p icmp -m icmp --icmp-type 3/4 -j ACCEPT"], []),
        ("meta skuid != 0 drop", "output", ["-m owner --socket-exists ! --uid-owner 0 -j DROP"],
         ["-m owner --socket-exists ! --uid-owner 0 -j DROP"]),
        ("synproxy mss 1460 wscale 7 timestamp sack-perm", "input", ["-p tcp -j SYNPROXY --mss 1460"],
         ["-p tcp -j SYNPROXY --mss 1460"]),
        ("log flags tcp sequence,options flags ip options drop", "forward", ["-j DROP"], ["-j DROP"]),
        ('log prefix "x" group 5 snaplen 100 queue-threshold 5 drop', "forward", ["-j DROP"], ["-j DROP"]),
        # what people write for nft to read
        ("ct state vmap { established:accept, invalid:drop } # the usual", "forward",
         ["-m conntrack --ctstate ESTABLISHED -j ACCEPT", "-m conntrack --ctstate INVALID -j DROP"],
         ["-m conntrack --ctstate ESTABLISHED -j ACCEPT", "-m conntrack --ctstate INVALID -j DROP"]),
        ('tcp  dport 22 accept comment "a # b" # c', "forward",
         ['-p tcp -m multiport --dports 22 -m comment --comment "a # b" -j ACCEPT'],
         ['-p tcp -m multiport --dports 22 -m comment --comment "a # b" -j ACCEPT']),
        ("iiftype loopback accept", "input", ["-i lo -j ACCEPT"], ["-i lo -j ACCEPT"]),
        ("ip version 4 accept", "input", ["-j ACCEPT"], []),
        ("skuid 0 accept", "output", ["-m owner --uid-owner 0 -j ACCEPT"], ["-m owner --uid-owner 0 -j ACCEPT"]),
        ("icmp type address-mask-request drop", "input", ["-p icmp -m icmp --icmp-type 17 -j DROP"], []),
        # the mark of the socket, not of the packet
        ("socket mark 255 accept", "input", ["-j ACCEPT socket mark 255 accept"], ["-j ACCEPT socket mark 255 accept"]),
        # not the address of the packet
        ("ipsec in ip saddr 10.0.0.1 drop", "forward", ["-j DROP ipsec in ip saddr 10.0.0.1 drop"],
         ["-j DROP ipsec in ip saddr 10.0.0.1 drop"]),
    ],
)  # fmt: skip
def test_what_a_rule_does_to_each_family(
    text: str, hook: str, four: list[str] | None, six: list[str] | None
) -> None:
    assert of_text(text, hook) == four
    assert of_text(text, hook, 6) == six


@pytest.mark.parametrize(
    "text",
    ["tcp flags 0xfff drop", "ip saddr & 999.1.1.1 == 1.2.3.4 drop", "ip saddr 1.2.3.4/99 drop", "ip saddr {} drop",
     "jhash mod 0 vmap { 0 : drop }", "numgen inc mod 999999999 vmap { 0 : drop }", "dnat to : drop",
     "tcp dport . drop",
     "dnat ip prefix to 1.2.3.4/99", "reject with icmp 99999999999", "log flags bogus drop", "x" * 9999],
)  # fmt: skip
def test_what_nft_never_lists(text: str) -> None:
    for hook in ("forward", "dnat"):
        found = of_text(text, hook)
        assert found != ["-j DROP"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('tcp dport { 22 comment "ssh, from home", { 80, 443 } } accept',
         "-p tcp -m multiport --dports 22,80,443 -j ACCEPT"),
        ("pkttype host accept", "-m pkttype --pkt-type unicast -j ACCEPT"),
        ("tcp flags { fin } drop",
         "-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG FIN -m ecn ! --ecn-tcp-ece ! --ecn-tcp-cwr -j DROP"),
        ("meta ipsec exists accept", "-m policy --dir in --pol ipsec -j ACCEPT"),
        ("rt ipsec missing drop", "-m policy --dir out --pol none -j DROP"),
        ('meta hour "08:00"-"17:00" drop', "-m time --timestart 08:00 --timestop 17:00 --kerneltz -j DROP"),
        ('meta day { "Sunday" } drop', "-m time --weekdays Sun --kerneltz -j DROP"),
        ("iifgroup 2 drop", "-m devgroup --src-group 0x2 -j DROP"),
        ('limit name "few" drop', "-j DROP limit"),
        ('quota name "day" drop', "-j DROP quota"),
        ("quota over 5 mbytes drop", "-j DROP quota"),
        ("ct count over 5 drop", "-j DROP ct count over 5"),
        ("meter m { ip saddr limit rate over 5/second } drop", "-j DROP limit rate over 5/second"),
        ('counter name "web" accept', "-j ACCEPT"),
        ("meta mark set 0x1 or 0x2", "-j MARK --set-xmark 0x3/0xffffffff"),
        # measured: "and" binds more than "or"
        ("meta mark set meta mark and 0xf0 or 0x1", "-j MARK --set-xmark 0x1/0xffffff0f"),
        ("meta mark set meta mark or 0xf0 and 0x11", "-j MARK --set-xmark 0x10/0x10"),
        ("ct mark set (meta mark & 0xf) << 8",
         "-j CONNMARK --save-mark --nfmask 0xf --ctmask 0xffffffff --left-shift-mark 8"),
    ],
)  # fmt: skip
def test_further_forms(text: str, expected: str) -> None:
    assert of_text(text, "output" if "rt ipsec" in text else "input") == [expected]


_UNNAMED = """\
table inet t {
\tchain base {
\t\ttype filter hook input priority filter; policy accept;
\t\tip saddr 198.51.100.7 jump {
\t\t\ttcp dport 22 accept
\t\t\ttcp dport { 80, 81 } return; tcp dport 82 accept
\t\t\tdrop
\t\t}
\t\ttcp dport { 80, 443 } drop
\t}
}
"""


def test_a_chain_without_a_name_is_called_by_its_rule() -> None:
    """Measured: a packet that it does not take continues with the next rule."""
    assert ports(_UNNAMED, 22, 80, 81, 82, 443) == ["ACCEPT", "DROP", "ACCEPT", "ACCEPT", "DROP"]
    assert ports(_UNNAMED.replace("198.51.100.7", "10.1.0.8"), 22, 80, 443) == ["ACCEPT", "DROP", "DROP"]


def test_a_translation_without_the_word_to() -> None:
    assert of_text("tcp dport 222 dnat 10.0.0.9:ssh", "dnat", is_listing=False) == [
        "-p tcp -m multiport --dports 222 -j DNAT --to-destination 10.0.0.9:22"
    ]


def test_an_address_and_a_port_of_two_maps() -> None:
    text = "dnat to tcp dport map { 80 : 10.0.0.1, 81 : 10.0.0.2 } : tcp dport map { 80 : 8080, 81 : 8081 }"
    assert of_text(text, "dnat") == [
        "-p tcp -m multiport --dports 80 -j DNAT --to-destination 10.0.0.1:8080",
        "-p tcp -m multiport --dports 81 -j DNAT --to-destination 10.0.0.2:8081",
    ]
    assert of_text(text.replace("81 : 8081", "82 : 8081"), "dnat") is None
