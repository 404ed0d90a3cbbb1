"""Random base chains of nftables beside iptables: what iptsim says for certain, the kernel does.

A router between a client (eth0) and two guests on a bridge, as `tests/netfilter/hosts.py` has it; every address
listens on port 80. Neighbours are permanent, so that no chain can lose ARP.
"""

from __future__ import annotations

import os
import random
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.host.namespace import Route, RoutingRule
from iptsim.host.nft_chains import NftRuleset
from iptsim.host.nftables import RulesetEntry, read_nftables, without_iptables
from iptsim.paste.forms.nft import find
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Facts
from iptsim.paste.prompts import command_of
from tests.host.laboratory import NEEDS_KERNEL
from tests.kernel.namespaces import CommandError, Namespace
from tests.netfilter.hosts import ask, router

pytestmark = NEEDS_KERNEL

#: Random rulesets of each run of the test; seconds in which a connection that no chain blocks is made.
ROUNDS, PATIENCE = int(os.environ.get("IPTSIM_NFT_ROUNDS", "12")), 0.25
_ADDRESSES = {"client": "10.1.0.9", "a": "10.9.0.2", "b": "10.9.0.3"}
_QUESTIONS = [
    ("client", "10.1.0.1"), ("client", "10.9.0.2"), ("a", "10.9.0.3"), ("a", "10.9.0.1"), ("a", "10.1.0.9"),
    ("host", "10.9.0.2"),
]  # fmt: skip
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_PRIORITIES = (-310, -250, -150, -101, -1, 0, 1, 50, 110, 160, 300)
_RULES = (
    "accept", "drop", "return", "counter", "jump sub", "meta nftrace set 0", "tcp dport 80 drop", "tcp dport 80 accept",
    "tcp dport 81 drop", "tcp sport 80 drop", "tcp dport vmap { 80 : drop, 81 : accept }", "meta priority set 1:1",
    "tcp dport vmap { 80 : jump sub }", "tcp dport { 80, 443 } drop", "tcp dport != 80 accept",
    "tcp dport 79-81 return",
    'iifname "veth-*" accept', 'oifname "eth0" drop', 'iifname "eth0" jump sub', "meta l4proto tcp goto sub",
    "ct state vmap { established : accept, new : jump sub }", "ct state new drop",
    "limit rate 1/second drop", "tcp flags syn drop", "meta nfproto ipv6 drop", "log", "meta pkttype multicast drop",
    'iifname != { "eth0", "lo" } drop', 'oifname != { "br0", "veth-a" } accept', "meta l4proto != { udp, icmp } drop",
    "tcp flags & (fin|syn|rst|ack) == syn drop", "tcp flags & (syn|ack) == syn|ack drop", "tcp flags ack,rst accept",
    "tcp flags syn tcp option maxseg size set 1200", "ct direction reply drop", "ct status dnat accept",
    "ct state != { established, related } accept", "meta l4proto tcp ct original proto-dst 80 drop",
    "meta mark set ct mark",
    "ct mark set meta mark | 0x4", "ct mark & 0x4 == 0x4 drop", "meta mark set meta mark & 0xf0 | 0x2",
    "ct mark set 0x2 counter accept", "meta mark { 2, 6 } drop", "ether saddr 02:00:00:01:00:02 drop",
    "th dport 80 drop", "th sport 80 drop", "th dport != 80 accept",
    "meta l4proto tcp th dport 79-81 drop", "udp dport != { 53, 67 } drop", "icmp type != echo-request drop",
    "ip dscp cs0 ip dscp set cs1 accept", "meta mark { 0, 2 } meta mark set 6 return", "ip dscp cs1 drop",
    "ip dscp { cs0, cs2 } ip dscp set cs1 goto sub", "ct mark 0 ct mark set 0x4 jump sub",
    "meta mark 0 meta mark set 2 drop",
    "goto sub", "meta mark set 2 tcp dport 81 accept", "meta mark != { 1, 3 } meta mark set 3 drop",
    "tcp dport < 81 drop", "tcp sport >= 1024 accept", "meta length > 1000 drop", "meta length < 1000 accept",
    "tcp flags ! syn,ack drop", "tcp flags & (syn|rst) == 0x0 accept", "meta mark set 2", "meta mark 2 drop",
    "ip protocol 0 drop", "meta mark vmap { 0 : jump sub, 2 : drop }", "meta mark set meta mark ^ 0x2",
    "tcp dport vmap { 81 : accept, * : drop }", "tcp dport { 81, * } drop", "meta mark != { 2, * } drop",
    "icmp type vmap { echo-request : accept, * : drop }", "meta pkttype vmap { host : jump sub, broadcast : drop }",
    "ct direction vmap { original : accept, reply : drop }", "numgen inc mod 1 0 drop",
    "symhash mod 1 vmap { 0 : drop }",
    "symhash mod 4 vmap { 0-1 : accept, 2-3 : drop }", "meta mark set tcp dport map { 80 : 2, 81 : 1 }",
    "meta mark set meta mark map { 0 : 2, 2 : 0 }", "ct mark set tcp dport map { 80 : 2, * : 1 }", "ct mark 2 drop",
    "tcp option maxseg size 1-65535 drop", "tcp option maxseg size 0-99 accept", "meta protocol ip6 drop",
    "meta nfproto { ipv4, ipv6 } accept", "ct status { 0, 8 } accept", "reset tcp option sack-perm",
    'oifname vmap { "eth0" : accept, * : jump sub }', "ct label set 1",
    'iifname vmap { "eth0" : jump sub, "br0" : continue, * : drop }', "tcp dport vmap { 80 : jump sub, * : drop }",
    "meta mark vmap { 0 : jump sub, * : drop }", "tcp dport vmap { 80 : drop, * : continue }",
    "meta mark & 0x3 == { 0x1, 0x2 } drop", "meta mark & 0xff != { 0x1, 0x7 } accept", 'ct helper "ftp" drop',
    "tcp flags & (syn|ack|ecn|cwr) == syn drop",
    "iiftype loopback accept", "iiftype != loopback drop", "oiftype loopback drop",
    "tcp flags == syn drop", "tcp flags & (ecn|cwr) == ecn|cwr drop",
    "tcp flags != syn accept", "tcp flags == syn|ack drop",
    "tcp flags { syn, ack } drop", "tcp flags != { syn } accept",
    'iifname "eth*" jump sub', 'iifname != "veth-*" drop', 'oifname != "br0" accept', 'oifname "br*" drop',
    "iifgroup 2 drop", "iifgroup != 0 accept", "oifgroup { 0, 2 } drop", "oifgroup != 2 jump sub",
    "ct mark set ct mark | 0x1 drop", "meta mark set ct mark accept", "ct mark set meta mark accept",
    "meta mark set ct mark & 0xff or 0x1", "ct mark set 0x200", "meta mark set ct mark >> 8 meta mark 2 drop",
    "meta mark set ct mark << 1 counter accept", "ct mark set (meta mark & 0xf) << 8 drop",
    "meta mark set numgen inc mod 1 offset 2", "meta mark set jhash ip daddr mod 2 offset 1 drop",
    "ct mark set symhash mod 1 offset 3 accept", "tcp dport vmap { 81 : drop } accept",
    "tcp dport vmap { 80 : continue, 81 : accept } drop", "meta mark set tcp dport map { 80 : 2 } accept",
    "ct mark set tcp dport map { 80 : 3, 81 : 4 } drop", "meta ipsec exists drop", "meta ipsec missing jump sub",
    "tcp dport 80 ct state new,untracked meta mark set ct mark ct mark set 0x3 accept",
    "meta mark < 2 drop", "meta mark != 1-5 accept", "meta mark { 1-5, 7 } drop", "ct mark > 2 drop",
    "ct mark 0-3 drop",
    "ct state new / new,established drop", "ct state != established / established,related drop",
    "ct protocol tcp drop", "ct protocol != { udp, icmp } accept", "ct original protocol udp drop",
    "ct l3proto ipv6 drop",
    "ct l3proto ipv4 accept", "ct status seen-reply,assured drop", "ct status confirmed accept", "meta skuid 0 drop",
    "meta l4proto tcp ct original proto-dst { 80, 443 } drop", "meta l4proto tcp ct reply proto-src 70-79 drop",
    "th dport vmap { 80 : jump sub, 81 : accept }", "th dport . meta l4proto vmap { 80 . tcp : drop }",
    "tcp dport 81 tcp dport set 80", "udp dport set 53", "tcp dport 80 tcp flags set ack", "tcp dport 81 ct zone set 3",
    "udplite dport 80 drop", "esp spi 1 drop", "comp cpi 1 drop", "igmp type membership-query drop",
    "exthdr frag exists drop", "exthdr hbh missing drop", "rt type 0 drop", "frag more-fragments 1 accept",
)  # fmt: skip
_IP_RULES = (
    "ct state established accept",
    "ip saddr 10.9.0.0/24 accept",
    "ip daddr 10.9.0.2 drop",
    "ip saddr { 10.9.0.2, 10.1.0.0/16 } drop",
    "ip daddr != 10.9.0.2 accept",
    "ip saddr 10.9.0.1-10.9.0.2 tcp dport 80 accept",
    "ip daddr != { 10.9.0.1-10.9.0.2 } drop",
    "meta mark set 7",
    "meta mark & 0x2 == 0x2 drop",
    "meta mark & 0x2 != 0x2 accept",
    "fib daddr type local accept",
    "fib daddr type { local, broadcast } drop",
    "ip saddr != { 10.9.0.0/24, 10.1.0.5 } drop",
    "ip daddr . tcp dport { 10.9.0.2 . 80, 10.9.0.3 . 81 } drop",
    "ct original ip daddr 10.9.0.2 accept",
    "ct reply ip saddr != 10.9.0.3 drop",
    "meta mark 7 meta mark set meta mark | 0x8 drop",
    "ip daddr . meta l4proto . th dport vmap { 10.9.0.2 . tcp . 80 : drop, 10.9.0.3 . tcp . 80 : jump sub }",
    "ip saddr . meta l4proto . th sport { 10.9.0.2 . tcp . 80, 10.1.0.9 . udp . 80 } accept",
    "meta l4proto tcp ip daddr . meta l4proto vmap { 10.9.0.2 . tcp : accept, 10.9.0.3 . udp : drop }",
    "meta l4proto . th dport vmap { udp . 80 : accept, tcp . 79-80 : goto sub }",
    "ip protocol . ip saddr { tcp . 10.9.0.0/24 } tcp dport 80 drop",
    "numgen inc mod 1 vmap { 0 : jump sub }",
    "numgen random mod 2 offset 5 vmap { 0-6 : jump sub, 7 : drop }",
    "ip daddr . tcp dport vmap { 10.9.0.0/24 . 80 : jump sub, 10.1.0.0/24 . 81 : drop }",
    "ip daddr . tcp dport vmap { 10.9.0.0/24 . 79-80 : jump sub, 10.9.0.2 . 80-81 : drop }",
    "ip daddr & 255.255.255.254 == 10.9.0.2 drop",
    "ip daddr & 255.255.255.0 == 10.9.0.2 drop",
    "ip daddr & 255.255.255.0 != 10.9.0.2 accept",
    "ip daddr 10.9.0.2/24 drop",
    "ip saddr { 10.9.0.2, * } drop",
    "ip saddr != { 10.9.0.2, * } drop",
    "ip saddr vmap { 10.9.0.2 : accept, 10.1.0.0/16 : drop, * : goto sub }",
    "ip saddr . tcp dport vmap { 10.9.0.2 . 80 : jump sub, * : drop }",
    "meta mark set ip saddr map { 10.9.0.2 : 2, * : 1 }",
    "jhash ip saddr . ip daddr mod 2 vmap { 0 : drop, 1 : accept }",
    "ip ecn not-ect drop",
    "ip version 4 drop",
    "ip ecn != { ce, ect0 } accept",
    "icmp type destination-unreachable icmp code host-unreachable drop",
    "ct state & (established|related) == established drop",
    "ct original ip daddr vmap { 10.9.0.2 : drop, 10.9.0.3 : accept }",
    "meta l4proto vmap { tcp : jump sub, udp : drop }",
    "ip protocol vmap { udp : drop, tcp : accept }",
    'iifname . tcp dport vmap { "eth0" . 80 : drop, "br0" . 81 : accept }',
    "icmp type . icmp code { echo-request . 0 } drop",
    "icmp code 3 drop",
    "ip ttl set 65",
    "ip ttl set 1",
    "ip ttl < 10 drop",
    "ip ttl != 64 drop",
    "ip ttl 10-64 ip ttl set 70 accept",
    "ip dscp set cs1",
    "ip dscp cs1 drop",
    "ip dscp != { cs1, 4 } accept",
    "ip dscp af11 meta mark set 2",
    "ip dscp set af11 meta mark set 2 counter",
    "ip ecn set ce",
    "ip frag-off & 0x1fff != 0 drop",
    "update @seen { ip saddr }",
    "update @seen { ip saddr limit rate over 1/hour } drop",
    "fib daddr type { broadcast, anycast, multicast } drop",
    "fib daddr type != { local, anycast, blackhole } drop",
    "ip6 daddr ::1 meta hour 1 drop",
    "meta mark set ip daddr map { 10.9.0.2 : 2, 10.9.0.3 : 1 } accept",
    "th dport . ip daddr vmap { 80 . 10.9.0.2 : drop, 80 . 10.9.0.3 : accept }",
    "ip daddr @timed drop",
    "ip saddr != @timed accept",
    "ip daddr 10.9.0.2 ip daddr set 10.9.0.3 accept",
    "ip saddr set ip daddr",
    "ip saddr { 10.9.0.2, 10.1.0.0/24 } ip saddr != 10.9.0.3 ip saddr vmap { 10.9.0.0/24 : drop, 10.1.0.9 : accept }",
    "ip daddr { 10.9.0.2, 10.9.0.3 } ip daddr . tcp dport vmap { 10.9.0.2 . 80 : drop, 10.9.0.3 . 80 : jump sub }",
    "ip6 daddr set ::1",
)
_EARLY = (
    "fib saddr . iif oif missing drop",
    "fib saddr . mark . iif oif exists accept",
    "fib daddr . iif type != { local, broadcast } drop",
    "fib daddr . iif type local accept",
    "fib saddr . iif type local drop",
    "ip daddr 10.9.0.2 notrack",
    "ip daddr 10.9.0.2 notrack meta mark set ct mark drop",
    "tcp dport 80 tproxy to :9999 meta mark set ct mark accept",
    "fib daddr type vmap { local : accept, unicast : drop }",
    "meta l4proto tcp tproxy to :9999 drop",
    "tcp dport 80 meta mark set 2 tproxy to :0 accept",
    "ct zone set 3",
    "ct original zone set 3 accept",
    "ct reply zone set 3 drop",
    "ct zone set 3 notrack",
    "ip saddr 10.9.0.2 ct zone set 3 ct zone set 4",
    'ct zone set iifname map { "eth0" : 3, "br0" : 4 }',
    "ct zone set tcp dport map { 80 : 3, * : 4 } accept",
)
_BRIDGE = (
    "ether type ip drop", "ether type arp drop", "ether type != ip accept", "ip saddr 10.9.0.2 drop",
    "ip daddr 10.9.0.3 tcp dport 80 drop", "meta protocol ip accept", 'iifname "veth-a" drop', "ip protocol tcp accept",
    "ip saddr . ip daddr { 10.9.0.2 . 10.9.0.3 } drop", "ip ttl 64 drop", "ip daddr vmap { 10.9.0.2 : jump sub }",
)  # fmt: skip
_REJECTING = (
    "tcp dport 80 reject", "reject with tcp reset", "reject with icmpx admin-prohibited",
    "tcp dport 80 reject with icmp host-prohibited", "reject with icmpv6 admin-prohibited",
)  # fmt: skip
_NAT_RULES = {
    "prerouting": (
        "tcp dport 80 dnat ip to 10.9.0.3",
        "tcp dport 80 redirect to :80",
        "accept",
        "counter",
        "dnat ip to tcp dport map { 79 : 10.9.0.2, 80 : 10.9.0.3 }",
        "tcp dport 80 dnat ip to numgen random mod 1 map { 0 : 10.9.0.2 }",
        "dnat ip prefix to 10.9.0.0/30",
        "dnat ip prefix to ip daddr map { 10.1.0.0/24 : 10.9.0.0/24 }",
        "dnat ip to tcp dport map { 81 : 10.9.0.2, * : 10.9.0.3 }",
        "dnat ip to jhash ip saddr mod 1 map { 0 : 10.9.0.2 }",
        "dnat ip to jhash ip saddr mod 2 map { 0 : 10.9.0.2, 1 : 10.9.0.3 }",
        "tcp dport 80 dnat ip to 10.9.0.3 persistent",
        "dnat ip addr . port to ip daddr . tcp dport map { 10.9.0.2 . 80 : 10.9.0.3 . 80 }",
        "tcp dport 80-81 redirect to :tcp dport map { 80 : 80, 81 : 80 }",
        "tcp dport 80 dnat ip to 10.9.0.2/31",
        "tcp dport 80 dnat to :80",
        "tcp dport vmap { 80 : return, 81 : accept } dnat ip to 10.9.0.3",
        "dnat ip to tcp dport map { 79 : 10.9.0.2, 80 : 10.9.0.3 } counter",
    ),
    "output": (
        "tcp dport 80 dnat ip to 10.9.0.3",
        "ip daddr 10.1.0.0/24 dnat to 10.9.0.2",
        "accept",
        "counter",
    ),
    "postrouting": (
        "masquerade",
        "accept",
        "counter",
        "tcp dport 80 drop",
        'iifname "br0" oifname != "br0" masquerade',
        "ip saddr 10.9.0.0/24 snat ip to 10.1.0.1",
        "snat ip prefix to ip saddr map { 10.9.0.2 : 10.1.0.1/32 }",
        "meta l4proto tcp masquerade to :2000-3000 random",
        'iifname vmap { "eth0" : accept, "br0" : jump sub }',
    ),
    "input": ("accept", "counter", "drop"),
}
#: Options of `nft list ruleset`: names or numbers, as JSON or as text.
_FORMS = ("-j", "-j -nn", "-a", "-nn -y", "-S -T")
#: Packets with mark 2 have no route.
_POLICY = [
    RoutingRule(family=4, priority=0, table="local"),
    RoutingRule(family=4, priority=100, fwmark=2, table="100"),
    RoutingRule(family=4, priority=32766, table="main"),
]
_TIMED = "  set timed { type ipv4_addr; flags timeout; elements = { 10.9.0.2 timeout 1h, 10.1.0.9 } }\n"
_SEEN = "  set seen { type ipv4_addr; size 99; flags dynamic,timeout; timeout 1h; }\n"
_IPTABLES = (
    "-A INPUT -p tcp --dport 80 -j DROP", "-A FORWARD -p tcp --dport 80 -j REJECT", "-A FORWARD -s 10.9.0.2 -j DROP",
    "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT", "-A OUTPUT -p tcp -j ACCEPT", ":FORWARD DROP",
)  # fmt: skip


class Network:
    """The router, the client and the guests in the kernel."""

    def __init__(self, stack: ExitStack) -> None:
        self.spaces = {name: stack.enter_context(Namespace()) for name in ("host", *_ADDRESSES)}
        self.host = host = self.spaces["host"]
        self._run(
            host,
            "link add br0 type bridge",
            "link set br0 address 02:00:00:00:09:01",
            "link set br0 up",
            "link set lo up",
        )
        for name, far in _ADDRESSES.items():
            near = "eth0" if name == "client" else f"veth-{name}"
            host.run(
                [
                    "ip",
                    "link",
                    "add",
                    near,
                    "type",
                    "veth",
                    "peer",
                    "name",
                    "eth0",
                    "netns",
                    self.spaces[name].path,
                ]
            )
            prefix, last = far.rpartition(".")[::2]
            mac, gateway_mac = f"02:00:00:01:00:{int(last):02x}", "02:00:00:00:09:01"
            if name == "client":
                gateway_mac = "02:00:00:00:01:01"
                self._run(
                    host, f"link set {near} address {gateway_mac}", f"addr add {prefix}.1/24 dev {near}"
                )
            else:
                self._run(host, f"link set {near} master br0")
            self._run(host, f"link set {near} up")
            self._run(
                self.spaces[name], f"link set eth0 address {mac}", "link set lo up", f"addr add {far}/24 dev eth0",
                "link set eth0 up", f"neigh add {prefix}.1 lladdr {gateway_mac} dev eth0 nud permanent",
                f"route add default via {prefix}.1",
            )  # fmt: skip
            self._run(
                host, f"neigh add {far} lladdr {mac} dev {'br0' if name != 'client' else near} nud permanent"
            )
        for one, other in (("a", "b"), ("b", "a")):
            number = int(_ADDRESSES[other].rpartition(".")[2])
            self._run(
                self.spaces[one],
                f"neigh add {_ADDRESSES[other]} lladdr 02:00:00:01:00:{number:02x} dev eth0 nud permanent",
            )
        self._run(host, "route add blackhole default table 100", "rule add fwmark 2 lookup 100 priority 100")
        self._run_sysctl(
            host, "net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1", "net.ipv4.icmp_ratelimit=0"
        )
        for space in self.spaces.values():
            with space.entered():
                listener = stack.enter_context(socket.socket())
            listener.bind(("0.0.0.0", 80))
            listener.listen(4096)

    def _run(self, space: Namespace, *commands: str) -> None:
        for command in commands:
            space.run(["ip", *command.split()])
        if any(command.startswith("addr add 10.1.0.1/") for command in commands):
            space.run(["ip", "addr", "add", "10.9.0.1/24", "dev", "br0"])

    @staticmethod
    def _run_sysctl(space: Namespace, *settings: str) -> None:
        for setting in settings:
            space.run(["sysctl", "-qw", setting])

    def outcomes(self) -> list[str]:
        """Make all connections at once; return what each of them met."""
        opened = []
        for sender, target in _QUESTIONS:
            with self.spaces[sender].entered():
                one = socket.socket()
            one.setblocking(False)
            one.connect_ex((target, 80))
            opened.append(one)
        end = time.monotonic() + PATIENCE
        waiting = list(opened)
        while waiting and (left := end - time.monotonic()) > 0:
            _, ready, _ = select.select([], waiting, [], left)
            waiting = [one for one in waiting if one not in ready]
        found = []
        for one in opened:
            error = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            found.append("DROP" if one in waiting else "REJECT" if error else "ACCEPT")
            one.close()
        return found


def _rules(dice: random.Random) -> tuple[str, str]:
    """Return random rules for iptables-restore and for nft."""
    lines = dice.sample(_IPTABLES, dice.choice((0, 1, 1, 2)))
    policies = [line for line in lines if line.startswith(":")]
    dump = "\n".join(
        ["*filter", *policies, *(line for line in lines if not line.startswith(":")), "COMMIT", ""]
    )
    tables = []
    for number in range(dice.choice((1, 1, 2))):
        family = dice.choice(("ip", "inet", "inet", "ip6", "bridge", "netdev", "arp"))
        hook = dice.choice(_HOOKS)
        known: tuple[str, ...] = _RULES if family in ("ip", "inet", "bridge", "netdev") else _RULES[:5]
        if family in ("ip", "inet"):
            known += (
                *_IP_RULES,
                *(_REJECTING if hook in ("input", "forward", "output") else ()),
                *(_EARLY if hook == "prerouting" else ()),
            )
        elif family == "bridge":
            known = (*(rule for rule in known if "ct " not in rule), *_BRIDGE)  # needs conntrack for bridges
        if family == "netdev":
            side = dice.choice(("ingress", "egress"))
            hook = f"{side} device {dice.choice(('eth0', 'veth-a', 'br0'))}"
        elif family == "arp":
            hook = dice.choice(("input", "output"))
        kind, priority = "filter", dice.choice(_PRIORITIES)
        if family in ("ip", "inet") and hook in _NAT_RULES and dice.random() < 0.3:
            kind, priority, known = "nat", dice.choice((-110, -100, 0, 100)), _NAT_RULES[hook]
        elif family in ("ip", "inet") and hook == "output" and dice.random() < 0.5:
            kind = "route"
        policy = dice.choice(("accept", "accept", "accept", "drop"))
        rules, inner = (
            "\n    ".join(dice.sample(known, min(len(known), dice.choice((0, 1, 2, 3))))) for _ in range(2)
        )
        inner = (
            inner.replace("jump sub", "accept").replace("goto sub", "accept") if family != "arp" else "accept"
        )
        tables.append(
            f"table {family} t{number} {{\n{_SEEN if '@seen' in rules + inner else ''}"
            f"{_TIMED if '@timed' in rules + inner else ''}"
            f"  chain sub {{\n    {inner}\n  }}\n"
            f"  chain base {{\n    type {kind} hook {hook} priority {priority}; policy {policy};\n"
            f"    {rules}\n  }}\n}}\n"
        )
    return dump, "".join(tables)


def _read(printed: str) -> NftRuleset:
    """Return what a listing shows, as JSON or as text."""
    if printed.startswith("{"):
        return read_nftables(RulesetEntry.model_validate_json(printed))
    lines = [Line(number, text, text) for number, text in enumerate(printed.splitlines(), 1)]
    segment = find(lines, 0, command_of("# nft list ruleset"))
    if segment is None:
        return NftRuleset()
    (facts,) = (one for one in segment.pieces if isinstance(one, Facts))
    return read_nftables(RulesetEntry.model_validate_json(facts.files["nft-ruleset.json"]))


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with ExitStack() as stack:
        yield Network(stack)


def test_what_is_certain_is_what_the_kernel_does(network: Network) -> None:
    dice, certain, loaded = random.Random(os.environ.get("IPTSIM_NFT_SEED", "20261128")), 0, 0
    for _ in range(ROUNDS):
        dump, tables = _rules(dice)
        network.host.run(["nft", "flush", "ruleset"])
        network.host.run(["iptables-restore"], dump)
        try:
            network.host.run(["nft", "-f", "-"], tables)
        except CommandError:
            continue  # a kernel without this family or expression
        loaded += 1
        host = router(network.host.run(["iptables-save"]))
        host.namespace.rules += _POLICY
        host.namespace.routes.append(
            Route(family=4, destination=0, prefix_length=0, type="blackhole", table="100")
        )
        form = dice.choice(_FORMS)
        found = _read(network.host.run(["nft", *form.split(), "list", "ruleset"]))
        host.namespace.nftables = without_iptables(found, host.rulesets.values())
        for (sender, target), outcome in zip(_QUESTIONS, network.outcomes(), strict=True):
            trace = ask(
                host,
                sender=_ADDRESSES[sender] if sender == "client" else sender,
                to=target,
                dport=80,
                facts={"tproxy_listener": False},
            )
            what = f"{form} {sender} to {target}: {outcome}, iptsim {trace.verdict}\n{dump}\n{tables}"
            if trace.verdict == "DEPENDS":
                assert any(
                    hinge.nftables.effects
                    if hinge.nftables
                    else hinge.rule and hinge.rule.table not in BUILTIN_CHAINS
                    for hinge in trace.hinges
                ), what
                continue
            certain += 1
            # REJECT is the rule's verdict, also where its reply does not come back
            lost = trace.verdict == "REJECT" and any(leg.verdict != "ACCEPT" for leg in trace.legs[1:])
            # a socket takes the ICMP error about a TTL that has expired for a refusal
            expired = any(step.code == "ttl-exceeded" for step in trace.legs[0].steps)
            allowed = {trace.verdict, *(["DROP"] if lost else []), *(["REJECT"] if expired else [])}
            assert outcome in allowed, what
    assert loaded > ROUNDS / 2
    assert certain > loaded
