"""What people paste in forums: with tags, placeholders and remarks, as terminals wrapped it, and from old systems."""

from __future__ import annotations

import pytest

from iptsim.host.files import Source
from iptsim.host.model import Host
from iptsim.paste.assembly import host_of_source

ROUTER = """\
gateway:~# iptables -v -t nat -L
Chain PREROUTING (policy ACCEPT 20 packets, 1560 bytes)
 pkts bytes target     prot opt in     out     source               destination

Chain POSTROUTING (policy ACCEPT 5 packets, 300 bytes)
 pkts bytes target     prot opt in     out     source               destination
    7   420 MASQUERADE  all  --  any    ppp0    anywhere             anywhere

Chain OUTPUT (policy ACCEPT 5 packets, 300 bytes)
 pkts bytes target     prot opt in     out     source               destination
{command}
Chain INPUT (policy DROP 9 packets, 540 bytes)
 pkts bytes target     prot opt in     out     source               destination
    3   180 ACCEPT     tcp  --  eth1   any     anywhere             anywhere             tcp dpt:msnp

Chain FORWARD (policy DROP 0 packets, 0 bytes)
 pkts bytes target     prot opt in     out     source               destination
    4   240 ACCEPT     all  --  eth1   ppp0    anywhere             anywhere

Chain OUTPUT (policy ACCEPT 251 packets, 51163 bytes)
 pkts bytes target     prot opt in     out     source               destination
"""


def read(text: str) -> Host:
    return host_of_source(Source("pasted", {}, text.encode()))


def rules(text: str, table: str, chain: str) -> list[str]:
    return [rule.text for rule in read(text).rulesets[4].tables[table].chains[chain].rules]


@pytest.mark.parametrize("command", ["gateway:~# iptables -v -t filter -L", "gateway:/etc# iptables -vL", ""])
def test_nat_of_an_old_kernel_has_no_chain_input(command: str) -> None:
    text = ROUTER.format(command=command)
    assert rules(text, "nat", "POSTROUTING") == ["-A POSTROUTING -o ppp0 -j MASQUERADE"]
    assert rules(text, "filter", "INPUT") == ["-A INPUT -i eth1 -p tcp -m tcp --dport 1863 -j ACCEPT"]
    assert rules(text, "filter", "FORWARD") == ["-A FORWARD -i eth1 -o ppp0 -j ACCEPT"]


SCRIPT = """\
#!/bin/sh
[COLOR=Blue]WAN=eth0[/COLOR]
PORTS[0]=80
iptables -P FORWARD DROP
[B]iptables -A FORWARD -i $WAN -p tcp --dport 4662 -j ACCEPT
iptables -A FORWARD -i $WAN -p udp --dport 4672 -j ACCEPT[/B]
[SIZE="3"][I]iptables -A FORWARD -m state --state ESTABLISHED -j ACCEPT[/I][/SIZE]
"""


def test_the_tags_of_a_forum() -> None:
    assert rules(SCRIPT, "filter", "FORWARD") == [
        "-A FORWARD -i eth0 -p tcp -m tcp --dport 4662 -j ACCEPT",
        "-A FORWARD -i eth0 -p udp -m udp --dport 4672 -j ACCEPT",
        "-A FORWARD -m state --state ESTABLISHED -j ACCEPT",
    ]


def test_the_index_of_an_array_is_no_tag() -> None:
    text = "for i in 1 2; do\n  iptables -A INPUT -p tcp --dport ${PORTS[i]} -j ACCEPT\ndone\n"
    [rule] = read(text).rulesets[4].tables["filter"].chains["INPUT"].rules
    assert "${PORTS[i]}" in rule.text


def test_a_rule_between_tags_in_a_sentence() -> None:
    text = "This is all that I have:\n[HTML]-A INPUT -p udp -m udp --dport 5060 -j ACCEPT [/HTML]\nHelp?\n"
    assert rules(text, "filter", "INPUT") == ["-A INPUT -p udp -m udp --dport 5060 -j ACCEPT", "-A INPUT ..."]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # 80 columns: the terminal broke the word
        (
            "  sudo iptables -A FORWARD -d 192.168.77.0/24 -m state --state ESTABLISHED,RELAT",
            "ED -i eth1 -j ACCEPT",
        ),
        ("iptables -A FORWARD -d 192.168.77.0/24 -i eth1 -m state -", "-state ESTABLISHED,RELATED -j ACCEPT"),
        ("iptables -A FORWARD -d 192.168.77.0/24 -i eth1 -m state --state EST", "ABLISHED,RELATED -j ACCEPT"),
        ("iptables -A FORWARD -d 192.168.77.0/24 -i eth1 -m state --state ESTABLISHED,RELATED", "-j ACCEPT"),
    ],
)
def test_a_command_that_a_terminal_wrapped(first: str, second: str) -> None:
    [rule] = rules(f"{first}\n{second}\n", "filter", "FORWARD")
    assert "--state RELATED,ESTABLISHED -j ACCEPT" in rule
    assert "-d 192.168.77.0/24 -i eth1" in rule


PLACEHOLDERS = """\
Chain PREROUTING (policy ACCEPT 20 packets, 1560 bytes)
 pkts bytes target     prot opt in     out     source               destination
    0     0 DNAT       tcp  --  eth1   any     anywhere              tcp dpt:10180 to:10.9.0.7:80
   12   720 ACCEPT     tcp  --  eth0   any     {my lab net}/27      anywhere            tcp dpt:www
"""


def test_a_destination_that_is_left_out() -> None:
    first, second = read(PLACEHOLDERS).rulesets[4].tables["nat"].chains["PREROUTING"].rules
    assert first.text == (
        "-A PREROUTING -i eth1 -p tcp -m tcp --dport 10180 -d ? -j DNAT --to-destination 10.9.0.7:80"
    )
    assert second.text == "-A PREROUTING -i eth0 -p tcp -m tcp --dport 80 -s {my_lab_net}/27 -j ACCEPT"


def test_names_that_iptables_looked_up() -> None:
    text = """\
Chain INPUT (policy DROP 0 packets, 0 bytes)
 pkts bytes target     prot opt in     out     source               destination
    0     0 ACCEPT     all  --  any    any     BASE-ADDRESS.MCAST.NET/4  anywhere
"""
    assert rules(text, "filter", "INPUT") == ["-A INPUT -s 224.0.0.0/4 -j ACCEPT"]


def test_routes_with_names() -> None:
    text = """\
Kernel IP routing table
Destination     Gateway         Genmask         Flags Metric Ref    Use Iface
vpn7.example.or 192.168.77.1    255.255.255.255 UGH   0      0        0 eth1
192.168.77.0    *               255.255.255.0   U     0      0        0 eth1
default         *               0.0.0.0         U     0      0        0 ppp0
"""
    routes = [
        (route.prefix_length, route.device) for route in read(text).namespace.routes if route.table == "main"
    ]
    assert (24, "eth1") in routes
    assert (0, "ppp0") in routes


def test_the_blanks_of_a_terminal_within_a_broken_word() -> None:
    line = "iptables -A FORWARD -i eth0 -o eth1 -m state --state NEW,ESTABLISHED,RELATED -j A"
    assert len(line) == 81
    text = f"{line[:80]}{' ' * 77}{line[80:]}CCEPT\n"
    assert rules(text, "filter", "FORWARD") == [
        "-A FORWARD -i eth0 -o eth1 -m state --state NEW,RELATED,ESTABLISHED -j ACCEPT"
    ]


def test_a_placeholder_in_parentheses() -> None:
    text = "Chain INPUT (policy ACCEPT)\ntarget     prot opt source               destination\n"
    [rule] = rules(f"{text}DROP       all  --  (my ip)              anywhere\n", "filter", "INPUT")
    assert rule == "-A INPUT -s (my_ip) -i ? -o ? -j DROP"


OWN = "$ iptables -S\n-P INPUT ACCEPT\n-P OUTPUT ACCEPT\n-A OUTPUT -s 78.46.3.77/32 -j {verdict}\n{more}"


@pytest.mark.parametrize(
    ("verdict", "more", "own"),
    [
        ("ACCEPT", "", True),
        ("DROP", "-A INPUT -s 78.46.3.77/32 -j DROP\n", False),
        # against spoofing
        ("ACCEPT", "-A INPUT -s 78.46.3.77/32 -i eth0 -j DROP\n", True),
    ],
)
def test_a_banned_address_is_not_the_hosts_own(verdict: str, more: str, own: bool) -> None:
    host = read(OWN.format(verdict=verdict, more=more))
    assert (host.owner_of(4, 78 << 24 | 46 << 16 | 3 << 8 | 77) == "host") is own


@pytest.mark.parametrize("to", ["1.1.1.1", "8.8.8.8"])
def test_the_route_that_the_kernel_chooses(to: str) -> None:
    """`ip route get` of an outside address tells the uplink, the router and the host's own address (ip-route(8))."""
    route = f"{to} via 10.128.0.1 dev ens4 src 10.128.0.20 uid 0\n    cache\n"
    host = read(f"$ ip route get {to}\n{route}$ iptables -S\n-P INPUT ACCEPT\n")
    assert host.owner_of(4, 10 << 24 | 128 << 16 | 20) == "host"
    [default] = [route for route in host.namespace.routes if not route.prefix_length and route.family == 4]
    assert (default.device, default.gateway) == ("ens4", 10 << 24 | 128 << 16 | 1)


@pytest.mark.parametrize(
    "way",
    [
        "from :: via 2001:db8:5::1 dev ens4 src 2001:db8:5::7 metric 1024 pref medium",
        "from :: via fe80::1 dev ens4 proto ra src 2001:db8:5::7 metric 100 pref medium",
        "via fe80::1 dev ens4 src 2001:db8:5::7 metric 1024",
    ],
)
def test_the_route_of_ipv6_that_the_kernel_chooses(way: str) -> None:
    """What iproute2 6.1 prints for a veth in a namespace, and before `from ::` came (iproute.c, print_route)."""
    get = f"$ ip -6 route get 2001:4860:4860::8888\n2001:4860:4860::8888 {way}\n"
    host = read(f"{get}$ ip6tables -S\n-P INPUT ACCEPT\n")
    assert host.owner_of(6, 0x20010DB8_00050000_00000000_00000007) == "host"
    [default] = [route for route in host.namespace.routes if not route.prefix_length and route.family == 6]
    assert default.device == "ens4"


@pytest.mark.parametrize(
    ("shown", "ways"),
    [
        # another default route, before or after
        ("default via 192.168.1.1 dev eth0", {(0, "eth0"), (32, "eth1")}),
        # the same one
        ("default via 10.0.0.254 dev eth1", {(0, "eth1")}),
        # one that is shown
        ("default via 192.168.1.1 dev eth0\n1.1.1.1 via 10.0.0.254 dev eth1", {(0, "eth0"), (32, "eth1")}),
        # that of another table
        ("default via 192.168.1.1 dev eth0 table 7", {(0, "eth0"), (0, "eth1")}),
    ],
)
def test_the_route_that_the_kernel_chooses_is_not_the_default_one_that_is_shown(
    shown: str, ways: set[tuple[int, str]]
) -> None:
    """The kernel takes the longest prefix; only without a default route is the chosen one assumed to be it."""
    get = "$ ip route get 1.1.1.1\n1.1.1.1 via 10.0.0.254 dev eth1 src 10.0.0.1 uid 0\n    cache\n"
    listed = f"$ ip route\n{shown}\n10.0.0.0/24 dev eth1 scope link\n192.168.1.0/24 dev eth0 scope link\n"
    for text in (get + listed, listed + get):
        host = read(f"{text}$ iptables -S\n-P INPUT ACCEPT\n")
        by_gateway = [one for one in host.namespace.routes if one.gateway is not None and one.family == 4]
        assert {(one.prefix_length, one.device) for one in by_gateway} == ways
        assumed = [str(one) for one in host.assumptions if "1.1.1.1" in str(one)]
        expected = "The default route is not shown; it is assumed to be the route to 1.1.1.1."
        assert assumed == ([expected] if "table" in shown else [])


def test_the_preferred_source_of_the_default_route() -> None:
    host = read(
        "$ ip route\ndefault via 10.128.0.1 dev ens4 src 10.128.0.20\n$ iptables -S\n-P INPUT ACCEPT\n"
    )
    assert host.owner_of(4, 10 << 24 | 128 << 16 | 20) == "host"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 2222 -j", "DNAT --to-destination 10.3.3.2:22"),
        ("iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 2222 -j DNAT", "--to-destination 10.3.3.2:22"),
    ],
)
def test_a_command_that_was_wrapped_at_its_target(first: str, second: str) -> None:
    assert rules(f"{first}\n{second}\nThat is all.\n", "nat", "PREROUTING") == [
        "-A PREROUTING -i eth0 -p tcp -m tcp --dport 2222 -j DNAT --to-destination 10.3.3.2:22"
    ]


def test_words_below_a_command_are_no_part_of_it() -> None:
    text = "iptables -A INPUT -p tcp --dport 80 -j ACCEPT\n--\nThanks\n"
    assert rules(text, "filter", "INPUT") == ["-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT"]
