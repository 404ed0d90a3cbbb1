"""nftables' own text: tables that iptables-nft writes are rules; those of other programs are chains that may decide."""

from __future__ import annotations

import contextlib

import pytest

from iptsim.errors import IptsimError
from iptsim.host.files import Source
from iptsim.host.model import Host
from iptsim.netfilter.walk import walk
from iptsim.paste.assembly import host_of_source
from iptsim.question.model import Question


def read(text: str) -> Host:
    return host_of_source(Source("paste", {}, text.encode()))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        # each is what `nft list ruleset` of nftables 1.0 prints for the rule of iptables-nft beside it
        ("ip daddr 172.17.0.2 iifname != \"docker0\" counter drop", "-A X -d 172.17.0.2/32 ! -i docker0 -j DROP"),
        (
            "iifname != \"br0\" meta l4proto tcp tcp dport 8080 counter packets 63 bytes 3700 dnat to 172.19.0.4:3000",
            "-A X ! -i br0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.19.0.4:3000",
        ),
        ("ct state established,related accept", "-A X -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
        ("ct state ! related,established drop", "-A X -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP"),
        ("fib daddr type local counter jump DOCKER", "-A X -m addrtype --dst-type LOCAL -j DOCKER"),
        (
            "meta mark & 0x00002000 == 0x00002000 masquerade",
            "-A X -m mark --mark 0x2000/0x2000 -j MASQUERADE",
        ),
        ("tcp dport { 22, 80-90 } accept", "-A X -p tcp -m multiport --dports 22,80:90 -j ACCEPT"),
        ("ip saddr 10.0.0.0/8 oifname \"eth*\" masquerade", "-A X -s 10.0.0.0/8 -o eth+ -j MASQUERADE"),
        ("reject with tcp reset", "-A X -j REJECT --reject-with tcp-reset"),
        # what nft before 1.0.3 shows of extensions that it does not know
        ("oifname \"br0\" # xt_conntrack counter packets 0 bytes 0 accept", "-A X -o br0 # xt_conntrack -j ACCEPT"),
        ("counter packets 124 bytes 19586 # xt_REJECT", "-A X -j REJECT --reject-with icmp-port-unreachable"),
        ("limit rate 3/minute counter drop", "-A X limit rate 3/minute -j DROP"),
        ("udp sport 53 queue num 0 bypass", "-A X -p udp -m udp --sport 53 -j NFQUEUE --queue-num 0 --queue-bypass"),
        # nft prints all bits; of these, NF_CT_STATE_BIT() sets 1, 2, 4, 8 and 0x40 only
        ("ct state invalid,new,0x10,0x20,0x80,0x40000000 drop", "-A X -m conntrack --ctstate INVALID,NEW -j DROP"),
        # conditions of other extensions; iptables-nft-save prints these rules so
        ("meta l4proto icmp icmp type echo-request accept", "-A X -p icmp -m icmp --icmp-type 8 -j ACCEPT"),
        ("meta l4proto gre ip saddr 10.0.0.1 return", "-A X -s 10.0.0.1/32 -p gre -j RETURN"),
        ("ip frag-off & 0x1fff != 0 drop", "-A X -f -j DROP"),
        ("pkttype != unicast drop", "-A X -m pkttype ! --pkt-type unicast -j DROP"),
        ("ip ttl 1 meta length 100-200 drop", "-A X -m ttl --ttl-eq 1 -m length --length 100:200 -j DROP"),
        ("meta mark & 0x3 != 0x1 ct mark 0x1 accept", "-A X -m mark ! --mark 0x1/0x3 -m connmark --mark 0x1 -j ACCEPT"),
        # several alternatives are not one rule of iptables
        ("fib daddr type { local, broadcast } accept", "-A X fib daddr type local, broadcast -j ACCEPT"),
        # since nftables 0.9.9
        ("queue flags bypass,fanout to 1-3", "-A X -j NFQUEUE --queue-balance 1:3 --queue-bypass --queue-cpu-fanout"),
    ],
)  # fmt: skip
def test_a_rule_in_the_words_of_iptables(rule: str, text: str) -> None:
    table = "nat" if "dnat" in rule or "masquerade" in rule else "filter"
    host = read(f"table ip {table} {{\n  chain X {{\n    {rule}\n  }}\n}}\n")
    assert host.rulesets[4].rule(table, "X", 1).text == text


def test_a_table_of_iptables_nft_is_walked() -> None:
    text = (
        "table ip raw {\n  chain PREROUTING {\n    type filter hook prerouting priority raw; policy accept;\n"
        '    ip daddr 10.210.1.24 iifname != "br-15fc2fdf8f2c" counter drop\n  }\n}\n'
    )
    question = Question(
        **{"in": "wg0", "from": "10.210.0.7", "to": "10.210.1.24", "proto": "tcp", "dport": 80}
    )
    assert walk(read(text), question).verdict == "DROP"


def ports(text: str, *numbers: int) -> list[str]:
    host = read(text)
    fields = {"from": "internet", "to": "host", "proto": "tcp"}
    return [walk(host, Question(**fields, dport=number)).verdict for number in numbers]


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("icmp type host-prohibited", "REJECT"),
        ("icmp host-prohibited", "REJECT"),
        ("icmpx type admin-prohibited", "REJECT"),
        # nft adds a condition on the family, and does not list it (stmt_reject_gen_dependency)
        ("icmpv6 type admin-prohibited", "ACCEPT"),
    ],
)
def test_a_reject_of_the_other_family_leaves_a_packet_alone(answer: str, verdict: str) -> None:
    chain = f"type filter hook input priority 0; policy accept;\n    reject with {answer}"
    assert ports(f"table inet fw {{\n  chain in {{\n    {chain}\n  }}\n}}\n", 22) == [verdict]


INPUT = """\
table inet filter {{
  chain input {{
    type filter hook input priority filter; policy drop;
    {}
  }}
  chain ssh {{
    ip saddr {{ 198.51.100.0/24 }} tcp dport 22 accept
    ip6 saddr ::/0 accept
  }}
}}
"""


@pytest.mark.parametrize(
    ("rules", "verdicts"),
    [
        ("tcp dport 22 accept", ["ACCEPT", "DROP"]),
        ("ct state vmap { established : accept, new : jump ssh }", ["ACCEPT", "DROP"]),
        ('iif "lo" accept\n    ct state { established } accept\n    tcp dport != 22 reject', ["DROP", "REJECT"]),
        ("jump ssh\n    counter packets 1 bytes 60 log prefix \"x\" accept", ["ACCEPT", "ACCEPT"]),
        ("tcp flags & (fin | syn) == syn tcp dport 22 accept", ["ACCEPT", "DROP"]),
        ("tcp flags ! syn,rst / syn,rst accept\n    tcp flags syn / syn,rst drop", ["DEPENDS", "DEPENDS"]),
        ("tcp dport 22 meta mark set mark or 0x5\n    meta mark & 0x4 == 0x4 accept", ["ACCEPT", "DROP"]),
        ("ct mark set 0x3\n    meta mark set ct mark & 0x2\n    mark 2 accept", ["ACCEPT", "ACCEPT"]),
        ("tcp flags syn tcp option maxseg size set rt mtu\n    tcp dport 22 accept", ["ACCEPT", "DROP"]),
        ("ip daddr . tcp dport { 192.0.2.10 . 22, 192.0.2.9 . 80 } accept", ["ACCEPT", "DROP"]),
        ("iifname != { \"eth0\", \"wg0\" } drop\n    tcp dport { ssh, 443 } accept", ["ACCEPT", "DROP"]),
        ("tcp dport 22 ct helper set \"ftp\"\n    meta nftrace set 1\n    tcp dport 22 accept", ["ACCEPT", "DROP"]),
        ("meta mark set 0x7\n    meta mark set meta mark ^ 0x00000003\n    mark 4 accept", ["ACCEPT", "ACCEPT"]),
        ("ip6 nexthdr tcp accept\n    ip protocol tcp tcp dport 22 accept", ["ACCEPT", "DROP"]),
        # each fills its set with packets that have the fields
        ("update @seen { udp dport } accept\n    add @seen { ip saddr . tcp dport } accept", ["ACCEPT", "ACCEPT"]),
        ("update @seen { udp dport } accept\n    update @m { ip6 saddr : tcp dport } accept", ["DROP", "DROP"]),
        ("meta l4proto 6 meta l4proto . th dport vmap { tcp . 22 : accept, 17 . 80 : accept }", ["ACCEPT", "DROP"]),
        ("meta l4proto 6 tcp dport 22 accept", ["ACCEPT", "DROP"]),
        ("th dport 22 accept", ["ACCEPT", "DROP"]),
        ("th dport != 80 th sport > 1023 accept", ["ACCEPT", "DROP"]),
        ("icmpv6 type . icmpv6 code { packet-too-big . no-route } accept\n    tcp dport 22 accept", ["ACCEPT", "DROP"]),
        ("tcp dport 22 meter m { ip saddr limit rate 5/hour } drop\n    tcp dport < 90 accept", ["DEPENDS", "ACCEPT"]),
        ("udp dport 53 meta hour \"08:00\"-\"17:00\" drop\n    tcp dport 22 accept", ["ACCEPT", "DROP"]),
        ("tcp dport 23 ct count over 3 reject\n    tcp dport 22 accept", ["ACCEPT", "DROP"]),
        ("ip protocol vmap { tcp : jump ssh, udp : drop }", ["ACCEPT", "DROP"]),
        # `!`: none of the bits is set (nft(8), "bitmask")
        ("ct state ! new,established accept\n    tcp dport 22 ct state ! invalid accept", ["ACCEPT", "DROP"]),
        ("ct status ! dnat,snat tcp dport 22 accept\n    ct status dnat accept", ["ACCEPT", "DROP"]),
        ("fib daddr . iif type != { local, broadcast } drop\n    tcp dport 22 accept", ["ACCEPT", "DROP"]),
        ("tcp flags ! syn,rst drop\n    ip ttl > 5 tcp dport 22 accept", ["ACCEPT", "DROP"]),
        ("dup to 192.0.2.9\n    meta skuid \"clash\" return\n    tcp dport 22 accept", ["DEPENDS", "DROP"]),
        ("ip protocol tcp ip ttl 0-255 tcp dport 22 accept", ["ACCEPT", "DROP"]),
        ("meta mark & 0x3 { 1, 3 } accept", ["DROP", "DROP"]),
        # what is not known stays so
        ("meta cpu < 5 accept", ["DEPENDS", "DEPENDS"]),
        ("meta mark < 5 accept", ["ACCEPT", "ACCEPT"]),
        ("meta mark 0x00000001-0x00000005 accept", ["DROP", "DROP"]),
        ("ct state new / established,new tcp dport 22 accept", ["ACCEPT", "DROP"]),
        ("ct state established / established,new tcp dport 22 accept", ["DROP", "DROP"]),
        ("ct protocol tcp ct original protocol tcp ct l3proto ipv4 tcp dport 22 accept", ["ACCEPT", "DROP"]),
        ("ct status seen-reply,assured accept", ["DROP", "DROP"]),
        ("meta l4proto tcp ct original proto-dst { 0x16 [invalid type] } accept", ["ACCEPT", "DROP"]),
        ("meta l4proto tcp ct original proto-dst 20-30 accept", ["ACCEPT", "DROP"]),
        ("th dport vmap { 22 : accept, 80 : drop }", ["ACCEPT", "DROP"]),
        # of other protocols and families
        ("udplite dport 22 accept", ["DROP", "DROP"]),
        ("igmp type 17 accept", ["DROP", "DROP"]),
        ("esp spi 1 accept", ["DROP", "DROP"]),
        ("exthdr frag exists accept", ["DROP", "DROP"]),
        ("rt type 0 accept", ["DROP", "DROP"]),
        ("meta mark & 0x3 < 2 tcp dport 22 accept", ["DEPENDS", "DROP"]),
        ("tcp flags & (syn | ack) < 5 accept", ["DEPENDS", "DEPENDS"]),
        ("ip daddr set 192.0.2.9 accept", ["DEPENDS", "DEPENDS"]),
        ("tcp dport set 99 continue\n    tcp dport 22 accept", ["DEPENDS", "DEPENDS"]),
        ("tcp dport 99 ip daddr set 192.0.2.9 accept\n    tcp dport 22 accept", ["ACCEPT", "DROP"]),
        ("tcp dport 22 tcp flags set syn,ack\n    udp dport set 22", ["DEPENDS", "DROP"]),
        ("ip saddr set tcp dport map { 80 : 192.0.2.9 }\n    tcp dport 22 accept", ["ACCEPT", "DEPENDS"]),
        ("update @seen { ether type } accept", ["DEPENDS", "DEPENDS"]),
        # nft adds conditions on the protocol (nft --debug=netlink)
        ("update @seen { icmp id } accept", ["DROP", "DROP"]),
        ("update @seen { numgen random } accept", ["DEPENDS", "DEPENDS"]),
        ("ct state established | new accept", ["DEPENDS", "DEPENDS"]),
        ("ct status == dnat accept", ["DEPENDS", "DEPENDS"]),
        ("flow add @fast accept", ["DEPENDS", "DEPENDS"]),
        ("numgen random mod 2 vmap { 0 : continue, 1 : accept }", ["DEPENDS", "DEPENDS"]),
        ("ip saddr . tcp dport vmap { 192.0.2.1 . 22 : continue, 0.0.0.0/0 . 20-90 : accept }", ["DEPENDS", "DEPENDS"]),
        ("meta mark set mark << 2 tcp dport 22\n    accept", ["DEPENDS", "DEPENDS"]),
        ("tcp flags == syn tcp dport 22 accept", ["ACCEPT", "DROP"]),
        ("tcp dport 22 tproxy to :50080 accept\n    accept", ["DEPENDS", "DEPENDS"]),
        ("tcp dport @open accept", ["DEPENDS", "DEPENDS"]),
        ("tcp dport 22 accept\n    ...", ["ACCEPT", "DEPENDS"]),
        ("...\n    tcp dport 22 accept", ["DEPENDS", "DEPENDS"]),
        ("tcp dport 22 accept\n    jump elsewhere", ["ACCEPT", "DEPENDS"]),
    ],
)  # fmt: skip
def test_a_table_of_another_program_is_walked(rules: str, verdicts: list[str]) -> None:
    assert ports(INPUT.format(rules), 22, 80) == verdicts


BASE = "type filter hook input priority 0"


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        # files for `nft -f`, measured
        (f"table inet fw {{ chain in {{ {BASE}; policy drop; tcp dport 22 accept; }}; }}", ["ACCEPT", "DROP"]),
        (f"table inet fw {{\n chain in {{\n {BASE}\n policy drop\n tcp dport 22 accept\n }}\n}}", ["ACCEPT", "DROP"]),
        (f"table inet fw {{\n chain in {{\n {BASE}\n tcp dport 22 accept; drop\n }}\n}}", ["ACCEPT", "DROP"]),
        (f"table inet fw {{\n chain in {{\n {BASE}\n tcp dport {{\n 22,\n 23\n }} accept\n drop\n }}\n}}",
         ["ACCEPT", "DROP"]),
        (f"table inet fw {{\n chain in {{\n {BASE}\n tcp dport 22 \\\n accept\n drop\n }}\n}}", ["ACCEPT", "DROP"]),
        (
            f"define own = {{\n 22, 23 }}\ntable inet fw {{\n chain in {{\n {BASE}\n tcp dport != $own drop\n }}\n}}",
            ["ACCEPT", "DROP"],
        ),
        (f"table inet fw {{\n chain in {{\n {BASE}\n iifname != $wan drop\n }}\n}}", ["DEPENDS", "DEPENDS"]),
        (
            f"table inet fw {{\n set s {{ type inet_service; elements = {{ $own, 23 }}\n }}\n"
            f" chain in {{\n {BASE}\n tcp dport @s drop\n }}\n}}",
            ["DEPENDS", "DEPENDS"],
        ),
        # what is added later
        (
            f"table inet fw {{\n chain in {{\n {BASE}; policy drop;\n tcp dport 22 accept\n }}\n}}\n"
            "table inet fw {\n chain in {\n tcp dport 23 accept\n }\n}",
            ["ACCEPT", "DROP"],
        ),
        (
            f"add table inet fw\nadd chain inet fw in {{ {BASE}; }}\nadd chain inet fw in {{ policy drop; }}\n"
            "add rule inet fw in tcp dport 22 accept",
            ["ACCEPT", "DROP"],
        ),
        (
            f"table inet fw {{\n set s {{ type inet_service; }}\n chain in {{\n {BASE}\n tcp dport @s drop\n }}\n}}\n"
            "add element inet fw s { 80 }",
            ["DEPENDS", "DEPENDS"],
        ),
        # tables with names of iptables, but rules that iptables-nft never writes
        (f"table ip filter {{\n chain INPUT {{\n {BASE};\n tcp dport vmap {{ 80 : drop }}\n }}\n}}",
         ["ACCEPT", "DROP"]),
        (
            f"table ip filter {{\n chain INPUT {{\n {BASE};\n mark set 5 tcp dport 22 accept\n mark 5 drop\n }}\n}}",
            ["ACCEPT", "DROP"],
        ),
        # a connection has one state, never both
        (
            f"table ip filter {{\n chain INPUT {{\n {BASE};\n ct state != established | related drop\n }}\n}}",
            ["DEPENDS", "DEPENDS"],
        ),
    ],
)  # fmt: skip
def test_a_file_for_nft(text: str, verdicts: list[str]) -> None:
    assert ports(text, 22, 80) == verdicts


@pytest.mark.parametrize(
    "text", ["table ip t {" + "{" * 2000, "table ip t { chain c {" + "};" * 500, "define x = $x"]
)
def test_odd_braces_end(text: str) -> None:
    with contextlib.suppress(IptsimError):
        read(text)


def test_a_table_that_breaks_off_may_go_on() -> None:
    text = INPUT.format("tcp dport 22 accept")
    assert ports(text[: text.index("  }")], 80) == ["DEPENDS"]


def test_each_of_several_tables_counts() -> None:
    text = (
        INPUT.format("accept")
        + "\n"
        + INPUT.format("tcp dport 22 accept").replace("inet filter", "inet other")
    )
    assert ports(text.replace("}\n\ntable", "}\nThe other one:\ntable"), 22, 80) == ["ACCEPT", "DROP"]


def test_commands_of_nft_make_a_table() -> None:
    commands = """\
"add table inet custom",
"add chain inet custom input { type filter hook input priority 0 ; policy drop ; }",
"add rule inet custom input iifname lo accept",
"add rule inet custom input tcp dport 22 ct state new,established accept"
"""
    host = read(commands)
    fields = {"from": "internet", "to": "host", "proto": "tcp"}
    assert walk(host, Question(**fields, dport=80)).verdict == "DROP"
    # the other rules of the chain are not shown
    alone = read("sudo nft add rule inet filter input tcp dport 22 accept\n")
    assert walk(alone, Question(**fields, dport=80)).verdict == "DEPENDS"


def test_a_trace_decides_for_its_packet() -> None:
    host = read(
        'trace id 6d9a826f inet firewalld filter_FORWARD packet: iif "eth0" oif "br0" ip saddr 203.0.113.9 '
        "ip daddr 172.19.0.2 ip protocol tcp tcp sport 39771 tcp dport 80 tcp flags == syn\n"
        "trace id 6d9a826f inet firewalld filter_FORWARD rule reject with icmpx type admin-prohibited (verdict drop)\n"
    )
    assert host.pasted is not None
    assert host.pasted.asked[0]["assume"] == {"inet:firewalld:filter_FORWARD": False}
    assert walk(host, Question(**host.pasted.asked[0])).verdict == "REJECT"


def test_the_packet_of_a_trace_is_the_first_one_shown() -> None:
    """Later lines may show it after a translation, or break off."""
    packet = 'packet: iif "eth0" oif "br0" ip saddr 203.0.113.9 ip daddr 172.19.0.2 ip protocol tcp tcp sport'
    host = read(
        f"trace id 6d9a826f inet fw4 mangle_forward {packet} 39771 tcp dport 80 tcp flags == syn\n"
        f"trace id 6d9a826f inet fw4 forward {packet} 397"
    )
    assert host.pasted is not None
    assert [(one["sport"], one["dport"]) for one in host.pasted.asked] == [(39771, 80)]


# dockerd 29 with firewall-backend=nftables, for `-p 8080:80` on a network with the bridge br-0123456789ab
DOCKER = """\
table ip docker-bridges {
  map filter-forward-in-jumps {
    type ifname : verdict
    elements = { "docker0" : jump in__docker0,
           "br-0123456789ab" : jump in__web }
  }
  set admins {
    type ipv4_addr
    flags interval
    elements = { 198.51.100.0/24, 203.0.113.9 comment "office" }
  }
  chain filter-FORWARD {
    type filter hook forward priority filter; policy accept;
    oifname vmap @filter-forward-in-jumps
    iifname vmap { "br-0123456789ab" : jump out__web }
  }
  chain nat-PREROUTING {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local counter packets 0 bytes 0 jump published
  }
  chain nat-POSTROUTING {
    type nat hook postrouting priority srcnat; policy accept;
    iifname "br-0123456789ab" oifname != "br-0123456789ab" ip saddr 172.18.0.0/16 counter masquerade
  }
  chain published {
    iifname != "br-0123456789ab" tcp dport 8080 counter dnat to 172.18.0.2:80 comment "DNAT"
  }
  chain raw-PREROUTING {
    type filter hook prerouting priority raw; policy accept;
    ip daddr 172.18.0.2 iifname != "br-0123456789ab" counter drop
  }
  chain in__docker0 {
    counter drop
  }
  chain in__web {
    ct state established,related counter accept
    ip saddr @admins ip daddr 172.18.0.2 tcp dport 80 counter accept
    counter drop
  }
  chain out__web {
    ct state established,related counter accept
    counter accept
  }
}
"""


_NAT_WITH_GAPS = """# nft list ruleset
table ip nat {
  chain pre {
    type nat hook prerouting priority -100; policy accept;
    iifname "eth0" tcp dport 8080 dnat to 172.18.0.2:80
    ...
  }
  chain post {
    type nat hook postrouting priority 100; policy accept;
    ...
    oifname "eth0" masquerade
  }
}
table inet fw {
  chain in {
    type filter hook input priority 0; policy drop;
    tcp dport 22 accept
  }
  chain fwd {
    type filter hook forward priority 0; policy drop;
    ct status dnat accept
    ct state established accept
  }
}
"""


@pytest.mark.parametrize(("port", "verdict"), [(8080, "ACCEPT"), (22, "DEPENDS"), (25, "DEPENDS")])
def test_rules_of_nat_that_are_not_shown_count_only_for_packets_that_reach_them(
    port: int, verdict: str
) -> None:
    """Chains of type nat, as those of iptables: the first rule that translates a connection ends them."""
    host = read(_NAT_WITH_GAPS)
    question = Question(**{"from": "203.0.113.9", "to": "host", "proto": "tcp", "dport": port})
    trace = walk(host, question)
    assert trace.verdict == verdict
    assert {hinge.rule.chain for hinge in trace.hinges if hinge.rule} == (
        {"pre"} if verdict == "DEPENDS" else set()
    )
    assert any("of type nat" in str(note) for note in trace.assumptions)


@pytest.mark.parametrize(
    ("sender", "to", "port", "verdict"),
    [
        ("203.0.113.9", "host", 8080, "ACCEPT"),
        ("203.0.113.10", "host", 8080, "DROP"),
        ("203.0.113.9", "172.18.0.2", 80, "DROP"),
        ("172.18.0.2", "203.0.113.9", 443, "ACCEPT"),
        ("172.18.0.2", "172.17.0.2", 80, "DROP"),
    ],
)
def test_nat_maps_and_sets_are_evaluated(sender: str, to: str, port: int, verdict: str) -> None:
    host = read(DOCKER)
    trace = walk(host, Question(**{"from": sender, "to": to, "proto": "tcp", "dport": port}))
    assert trace.verdict == verdict
    leg = trace.legs[0]
    if to == "host" and verdict == "ACCEPT":
        assert leg.delivered is not None
        assert leg.delivered.name == "172.18.0.2"
    if port == 443:
        assert [step.verdict for step in leg.steps if step.hook == "POSTROUTING"] == ["MASQUERADE"]


@pytest.mark.parametrize(
    ("made", "rule", "verdict"),
    [
        # a set that is full takes no element, which ends the rule (nft_dynset_eval)
        ("set s { type ipv4_addr; size 1; elements = { 192.0.2.99 } }", "add @s { ip saddr }", "DEPENDS"),
        ("set s { type ipv4_addr; size 2; elements = { 192.0.2.99 } }", "add @s { ip saddr }", "ACCEPT"),
        ("set s { type ipv4_addr; size 1; elements = { 192.0.2.99 } }", "delete @s { ip saddr }", "ACCEPT"),
        # each element of a set has its statements
        ("set s { type inet_service; limit rate over 1/day; elements = { 22 } }", "tcp dport @s", "DEPENDS"),
        ("set s { type inet_service; counter; elements = { 22 } }", "tcp dport @s", "ACCEPT"),
        ("set s { typeof meta nfproto; elements = { * } }", "meta nfproto @s", "ACCEPT"),
    ],
)  # fmt: skip
def test_a_rule_depends_on_its_set(made: str, rule: str, verdict: str) -> None:
    text = f"table inet fw {{ {made}\n chain in {{\n {BASE}; policy drop;\n {rule} accept\n }}\n}}"
    assert ports(text, 22) == [verdict]


def test_a_map_that_cannot_be_read_may_contain_anything() -> None:
    text = DOCKER.replace('"docker0" : jump in__docker0', '"docker0" . 80 : jump in__docker0')
    trace = walk(read(text), Question(**{"from": "203.0.113.9", "to": "host", "proto": "tcp", "dport": 8080}))
    assert trace.verdict == "DEPENDS"


def test_a_file_of_commands_for_tables_of_iptables() -> None:
    text = """\
add table ip filter
add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }
# from the access point
add rule ip filter FORWARD iifname "wlan0" oifname "eth0" counter accept comment "out"
"""
    fields = {"from": "10.3.0.5", "to": "198.51.100.7", "proto": "tcp", "dport": 80}
    for interface, verdict in (("wlan0", "ACCEPT"), ("wlan1", "DROP")):
        # the reply has no rule
        assert walk(read(text), Question(**fields, **{"in": interface})).legs[0].verdict == verdict


def test_a_command_in_a_chain_that_is_not_shown() -> None:
    assert ports("nft add rule inet fw input tcp dport 22 accept", 22, 80) == ["DEPENDS", "DEPENDS"]


def test_a_command_inserts_before_the_rules_of_a_listing() -> None:
    # nft(8): `add rule` appends, `insert rule` prepends
    text = INPUT.format("tcp dport 22 drop") + "\n$ nft insert rule inet filter input tcp dport 22 accept\n"
    assert ports(text, 22, 80) == ["ACCEPT", "DROP"]


def test_chains_of_firewalld_without_their_table() -> None:
    text = "chain filter_FWDI_internal {\n  jump filter_FWDI_internal_pre\n  drop\n}\nchain filter_INPUT {\n  drop\n}\n"
    nftables = read(text).namespace.nftables
    assert nftables is not None
    assert not nftables.chains


def test_a_chain_that_is_listed_again_replaces_its_earlier_listing() -> None:
    before, after = INPUT.format("tcp dport 22 accept"), INPUT.format("tcp dport 80 accept")
    assert ports(before + after, 22, 80) == ["DROP", "ACCEPT"]
    assert ports(f"{before}And then:\n{after}", 22, 80) == ["DROP", "ACCEPT"]
    base = "type filter hook input priority filter; policy drop;"
    of_iptables = f"table ip filter {{{{\n chain INPUT {{{{\n {base}\n {{}}\n }}}}\n}}}}\n"
    text = of_iptables.format("tcp dport 22 accept") + of_iptables.format("tcp dport 80 accept")
    assert ports(text, 22, 80) == ["DROP", "ACCEPT"]


def test_a_queue_leaves_the_policy_to_other_packets() -> None:
    """What a program that reads the queue decides is given: here nothing but DNS replies is queued (nft(8))."""
    text = (
        "table inet own {\n  chain in {\n    type filter hook input priority 0; policy drop;\n"
        "    udp sport 53 queue num 0 bypass\n  }\n}\n"
    )
    asked = {"from": "203.0.113.9", "to": "host"}
    assert walk(read(text), Question(**asked, proto="tcp", dport=22)).verdict == "DROP"
    dns = Question(**asked, proto="udp", sport=53, dport=40000)
    assert walk(read(text), dns).verdict == "DEPENDS"


def test_a_part_of_a_table_ends_where_something_else_follows() -> None:
    log = "[85932.684185] drop: IN=eth0 OUT=br0 SRC=203.0.113.9 DST=10.0.0.7 LEN=60 PROTO=TCP SPT=4000 DPT=80 SYN"
    text = f"  chain fwd {{\n    tcp dport 443 accept\n  }}\n...\n  chain own {{\n    drop\n  }}\n{log}\n"
    pasted = read(text).pasted
    assert pasted is not None
    assert len(pasted.logged) == 1


def test_comments_of_a_file_end_with_their_lines() -> None:
    text = INPUT.format("tcp dport {\n 22, # the first; {\n 80 # the second }\n } accept # both")
    assert ports(text, 22, 80, 81) == ["ACCEPT", "ACCEPT", "DROP"]


def test_a_set_without_its_table_is_named() -> None:
    host = read("map ports {\n\ttype inet_service : verdict\n\telements = { 22 : accept }\n}\n")
    assert host.pasted is not None
    assert [one.form for one in host.pasted.segments] == ["nft list ruleset (map ports)"]


def test_a_chain_at_the_egress_of_an_interface_is_evaluated() -> None:
    """Measured with packets: it sees the replies of the host."""
    text = """\
table netdev late {
\tchain out {
\t\ttype filter hook egress device "eth0" priority 0; policy accept;
\t\ttcp sport 22 drop
\t}
}
"""
    assert ports(text, 22, 80) == ["DROP", "ACCEPT"]
    assert ports(text.replace("eth0", "eth9"), 22) == ["ACCEPT"]


def test_a_chain_at_the_ingress_of_an_interface_is_evaluated() -> None:
    # measured with packets; before 1.0.9, JSON does not tell the interface
    text = """\
table netdev early {
\tchain in {
\t\ttype filter hook ingress device "eth0" priority -500; policy accept;
\t\ttcp dport 22 drop
\t}
}
"""
    assert ports(text, 22, 80) == ["DROP", "ACCEPT"]
    assert ports(text.replace("eth0", "eth9"), 22) == ["ACCEPT"]
    assert ports(text.replace("tcp dport 22 drop", 'iifname "eth0" drop'), 22) == ["DEPENDS"]


@pytest.mark.parametrize(
    ("rules", "table"),
    [
        ('meta nfproto ipv4 tcp dport 80 dnat ip to 192.168.7.9:80 comment "!fw4: web"', "inet fw4"),
        ("tcp dport 80 dnat ip to 192.168.7.9:80", "inet nat"),
        ("tcp dport 80 dnat to 192.168.7.9:80", "ip nat"),
    ],
)
def test_an_excerpt_is_of_the_table_that_its_rules_tell(rules: str, table: str) -> None:
    """nft(8): only tables of family inet name the family of a translation; fw4 begins its comments so."""
    text = f"\tchain dstnat_wan {{\n\t\t{rules}\n\t}}\n"
    host = host_of_source(Source("paste", {}, text.encode()))
    assert host.pasted is not None
    assert host.pasted.segments[0].form == f"nft list ruleset ({table})"


def test_base_chains_without_their_table_are_assumed_to_be_of_both_families() -> None:
    """The wiki of nftables shows such parts of a file of family inet."""
    text = "chain input {{\n  type filter hook input priority 0; policy drop;\n  {}\n}}\n"
    host = read(text.format("tcp dport 22 accept"))
    assert [one.line for one in host.rulesets[4].warnings] == [1]
    for sender in ("203.0.113.9", "2001:db8::9"):
        fields = {"from": sender, "to": "host", "proto": "tcp"}
        verdicts = [walk(host, Question(**fields, dport=port)).verdict for port in (22, 80)]
        assert verdicts == ["ACCEPT", "DROP"]
    told = read(text.format("meta nfproto ipv4 tcp dport 22 accept"))
    assert not told.rulesets[4].warnings
    beside = "chain FORWARD {\n  type filter hook forward priority filter; policy drop;\n}\n"
    assert not read(beside + text.format("")).rulesets[4].warnings  # of iptables-nft


@pytest.mark.parametrize(
    "text",
    [
        # the rest of a chain whose heading was cut off tells the table
        '\t\tudp dport 68 accept comment "!fw4: Allow-DHCP-Renew"\n\t}\n\tchain output_wan {\n\t\tjump x\n\t}\n',
        # one chain of a table of iptables-nft
        "\tchain mine {\n\t\ttcp dport 22 counter packets 1 bytes 2 drop\n\t}\n",
    ],
)
def test_an_excerpt_without_base_chains_decides_nothing(text: str) -> None:
    """What is not shown of the table may block the packet."""
    fields = {"from": "internet", "to": "host", "proto": "tcp", "dport": 22}
    assert walk(read(text), Question(**fields)).verdict == "DEPENDS"


@pytest.mark.parametrize(
    ("proto", "verdict"), [("tcp", "DROP"), ("udp", "DROP"), ("icmp", "DEPENDS"), ("47", "DEPENDS")]
)
def test_ports_without_a_protocol_are_bytes_of_any_header(proto: str, verdict: str) -> None:
    """The kernel compares the third and fourth byte: the checksum of ICMP, which no question states."""
    host = read(INPUT.format("th dport 53 drop\n    accept"))
    question = Question(**{"from": "203.0.113.9", "to": "host", "proto": proto, "reply": False})
    if proto in ("tcp", "udp"):
        question = Question(
            **{"from": "203.0.113.9", "to": "host", "proto": proto, "dport": 53, "reply": False}
        )
    assert walk(host, question).verdict == verdict


@pytest.mark.parametrize(("port", "verdict"), [(8080, "ACCEPT"), (22, "DROP"), (25, "ACCEPT")])
def test_a_chain_of_type_nat_may_drop_packets(port: int, verdict: str) -> None:
    """A connection in namespaces met such a rule; iptables would reject it in table nat."""
    host = read(_NAT_WITH_GAPS.replace("    ...\n", "    tcp dport 22 drop\n", 1).replace("...", "", 1)
                .replace("policy drop", "policy accept"))  # fmt: skip
    question = Question(**{"from": "203.0.113.9", "to": "host", "proto": "tcp", "dport": port})
    assert walk(host, question).verdict == verdict


def test_a_value_that_nft_does_not_print_makes_the_rule_undecided() -> None:
    """What nft 1.0.6 prints for `ct expiration 0s drop`; in the kernel, the rule drops new connections."""
    question = Question(**{"from": "203.0.113.9", "to": "host", "proto": "tcp", "dport": 22})
    assert walk(read(INPUT.format("ct expiration  drop\n    accept")), question).verdict == "DEPENDS"


_TIMED = """
table inet filter {{
  set allowed {{
    type ipv4_addr
    flags timeout
    elements = {{ {} }}
  }}
  chain input {{
    type filter hook input priority filter; policy drop;
    ip saddr @allowed accept
  }}
}}
"""


@pytest.mark.parametrize(
    ("element", "command", "verdict"),
    [
        ("203.0.113.9 timeout 1h expires 59m", "", "ACCEPT"),
        ("203.0.113.8 timeout 1h expires 59m", "", "DROP"),
        ("203.0.113.8 timeout 1h", "# nft list ruleset", "DROP"),
        ("203.0.113.8 timeout 1h", "", "DEPENDS"),
    ],
)
def test_a_listing_shows_the_elements_that_time_out(element: str, command: str, verdict: str) -> None:
    """What is only written for nft to read is filled later."""
    question = Question(**{"from": "203.0.113.9", "to": "host", "proto": "tcp", "dport": 22})
    assert walk(read(command + _TIMED.format(element)), question).verdict == verdict
