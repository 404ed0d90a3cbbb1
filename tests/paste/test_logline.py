"""Lines of the kernel's log, of TRACE, conntrack and tcpdump become the packet in question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import iptsim
from iptsim.addresses import parse_address
from iptsim.cli import main
from iptsim.errors import UsageError
from iptsim.host.files import Source
from iptsim.host.logged_lines import Visit
from iptsim.host.model import Host
from iptsim.netfilter.walk import walk
from iptsim.owners.log_prefixes import logged_by
from iptsim.paste.assembly import host_of_source
from iptsim.paste.forms.logline import record_of
from iptsim.paste.lines import lines_of
from iptsim.paste.packet_from_line import fields_of_line
from iptsim.paste.pieces import Ask
from iptsim.paste.splitting import split
from iptsim.question.model import Question

BLOCKED = (
    "Jan  1 12:00:00 gw kernel: [ 12.5] [UFW BLOCK] IN=eth0 OUT= MAC=02:42:ac:11:00:02:02:42:ac:11:00:03:08:00 "
    "SRC=203.0.113.9 DST=192.0.2.10 LEN=60 TOS=0x00 PREC=0x00 TTL=52 ID=7 DF PROTO=TCP SPT=40000 DPT=5432 "
    "WINDOW=64240 RES=0x00 SYN URGP=0"
)


def read(text: str) -> Host:
    return host_of_source(Source("paste", {}, text.encode()))


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (
            BLOCKED,
            {
                "in": "eth0", "from": "203.0.113.9", "to": "192.0.2.10", "proto": "tcp", "sport": 40000,
                "dport": 5432, "ttl": 52, "length": 60,
            },
        ),
        (
            "IN= OUT=eth0 SRC=fe80::1 DST=2001:db8::9 LEN=104 TC=0 HOPLIMIT=64 PROTO=ICMPv6 TYPE=128 CODE=0 ID=1 SEQ=1",
            {"from": "host", "to": "2001:db8::9", "proto": "icmpv6", "length": 104, "icmp_type": 128, "icmp_code": 0},
        ),
        (
            "IN=br0 OUT= MAC=<filtered> SRC=xx.xx.xx.xx DST=yy.yy.yy.yy LEN=40 PROTO=UDP SPT=5 DPT=53 LEN=20",
            {"in": "br0", "from": "internet", "to": "host", "proto": "udp", "sport": 5, "dport": 53, "length": 40},
        ),
        (
            "IN=br0 OUT= SRC=[redacted] DST=[server] LEN=40 PROTO=UDP SPT=5 DPT=53 LEN=20",
            {"in": "br0", "from": "internet", "to": "host", "proto": "udp", "sport": 5, "dport": 53, "length": 40},
        ),
        (
            "IN=br0 OUT= MAC=<filtered> SRC=xx DST=yy LEN=60 TC=0 HOPLIMIT=64 PROTO=UDP SPT=5 DPT=53 LEN=20",
            {
                "in": "br0", "from": "internet", "to": "host", "family": 6, "proto": "udp", "sport": 5, "dport": 53,
                "length": 60,
            },
        ),
        (
            "12:34:56.78 eth0  In  IP 203.0.113.9.40000 > 192.0.2.10.80: Flags [P.], seq 1:9, length 8",
            {
                "in": "eth0", "from": "203.0.113.9", "to": "192.0.2.10", "proto": "tcp", "sport": 40000,
                "dport": 80, "tcp_flags": "PSH,ACK",
            },
        ),
        (
            "udp      17 29 src=172.17.0.7 dst=10.8.1.2 sport=34143 dport=8125 [UNREPLIED] src=10.8.1.2 "
            "dst=172.17.0.7 sport=8125 dport=34143 mark=0 use=1",
            {"from": "172.17.0.7", "to": "10.8.1.2", "proto": "17", "sport": 34143, "dport": 8125},
        ),
        (
            "tcp 10.0.0.1:4321 -> 10.0.0.2:80",
            {"proto": "tcp", "from": "10.0.0.1", "sport": 4321, "to": "10.0.0.2", "dport": 80},
        ),
        (
            "IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 7",
            {"from": "10.0.0.1", "to": "10.0.0.2", "proto": "icmp", "icmp_type": 8},
        ),
    ],
)  # fmt: skip
def test_the_packet_of_a_line(line: str, fields: dict[str, Any]) -> None:
    assert fields_of_line(line) == fields


def test_a_line_without_a_packet() -> None:
    with pytest.raises(UsageError, match="no packet in it"):
        fields_of_line("hello world")


def verdict(text: str, **fields: Any) -> str:
    host = read(text)
    assert host.pasted is not None
    return walk(host, Question(**{**host.pasted.asked[0], **fields})).verdict


def test_a_prefix_that_names_a_verdict_tells_what_became_of_the_packet() -> None:
    assert verdict(BLOCKED) == "DROP"
    assert verdict(BLOCKED, dport=80) == "DEPENDS"
    assert verdict(BLOCKED.replace("[UFW BLOCK] ", "")) == "DEPENDS"


def test_with_rules_the_line_is_only_the_question() -> None:
    rules = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 5432 -j ACCEPT\n-A INPUT -j DROP\nCOMMIT\n"
    host = read(rules + BLOCKED + "\n")
    assert [rule.position for rule in host.rulesets[4].rules()] == [1, 2]


@pytest.mark.parametrize(
    ("out", "address", "chain"),
    [("", "198.51.100.20", "INPUT"), ("eth1", "198.51.100.20", "FORWARD"), ("", "192.0.2.10", "INPUT")],
)
def test_a_packet_that_leaves_by_no_interface_is_for_the_host(
    out: str, address: str, chain: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`OUT=` is empty in INPUT, and in PREROUTING, whose rules the source shows to log nothing."""
    path = tmp_path / "rules"
    path.write_text("*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\nCOMMIT\n")
    line = BLOCKED.replace("DST=192.0.2.10", f"DST={address}").replace("OUT=", f"OUT={out}")
    main(["explain", str(path), "--packet", line])
    assert f"filter {chain}, policy DROP" in capsys.readouterr().out


def test_trace_lines_show_the_rules_that_matched() -> None:
    packet = "IN=docker0 OUT= SRC=10.2.94.2 DST=10.3.249.19 LEN=60 PROTO=TCP SPT=49802 DPT=8080 SYN"
    host = read(
        f"[1.1] TRACE: raw:PREROUTING:rule:2 {packet}\n[1.2] TRACE: raw:PREROUTING:policy:3 {packet}\n"
        f"[1.3] TRACE: nat:PREROUTING:rule:1 {packet}\n[1.4] TRACE: nat:KUBE-SERVICES:rule:16 {packet}\n"
    )
    chain = host.rulesets[4].chain("nat", "PREROUTING")
    assert chain is not None
    assert [(rule.position, rule.target_name) for rule in chain.rules if rule.position] == [
        (1, "KUBE-SERVICES")
    ]
    assert verdict_of(host) == "DEPENDS"


def verdict_of(host: Host) -> str:
    assert host.pasted is not None
    return walk(host, Question(**host.pasted.asked[0])).verdict


def test_a_packet_that_input_logged_was_for_the_host() -> None:
    host = read(BLOCKED.replace("DST=192.0.2.10", "DST=198.51.100.77"))
    assert host.pasted is not None
    found = walk(host, Question(**host.pasted.asked[0]))
    assert found.verdict == "DROP"
    assert found.legs[0].steps[-1].hook == "INPUT"
    broadcast = read(BLOCKED.replace("DST=192.0.2.10", "DST=198.51.100.255"))
    assert broadcast.owner_of(4, (198 << 24) + (51 << 16) + (100 << 8) + 255) != "host"


TRACED = (
    "TRACE: {place} IN=docker0 OUT=eth0 MAC=02:42 SRC=172.17.0.4 DST=192.0.2.53 LEN=51 TTL=64 ID=9 PROTO=UDP SPT=4000 "
    "DPT=53 LEN=31\n"
)


def test_a_trace_line_that_breaks_off_before_its_addresses() -> None:
    """It names its rule, and belongs to the packet of the line before if what it shows of it is the same."""
    text = (
        TRACED.format(place="filter:FORWARD:rule:1") + "TRACE: filter:OWN:rule:7 IN=docker0 OUT=eth0 MAC=02:4"
    )
    pasted = read(text).pasted
    assert pasted is not None
    assert [line.visit for line in pasted.logged] == [
        Visit("filter", "FORWARD", "rule", 1),
        Visit("filter", "OWN", "rule", 7),
    ]
    pasted = read(text.replace("OWN:rule:7 IN=docker0", "OWN:rule:7 IN=docker1")).pasted
    assert pasted is not None
    assert len(pasted.logged) == 1


def test_a_port_in_which_a_line_breaks_off() -> None:
    """It may be the start of a longer one."""
    line = "[UFW BLOCK] IN=eth0 OUT= SRC=203.0.113.9 DST=192.0.2.10 PROTO=TCP SPT=4000 DPT=80"
    for text, port in ((f"{line}\n", 80), (line, None)):
        pasted = read(text).pasted
        assert pasted is not None
        assert pasted.asked[0].get("dport") == port


def test_rules_that_only_a_trace_shows_are_compared(tmp_path: Path) -> None:
    """A rule's number is not its place among those that are known."""
    path = tmp_path / "paste"
    before_routing = TRACED.replace("OUT=eth0", "OUT=")
    places = ("mangle:PREROUTING:rule:4", "mangle:OWN:rule:3")
    path.write_text("".join(before_routing.format(place=place) for place in places))
    assert iptsim.lint(path) == []


def test_a_line_without_a_protocol_is_told() -> None:
    line = "kernel: [dropped] IN=eth0 OUT= SRC=203.0.113.9 DST=192.0.2.10 LEN=60 TTL=52 ID=7"
    told = "The kernel's log does not show the protocol; it is assumed to be TCP."
    assert told in map(str, read(line).assumptions)
    assert told not in map(str, read(BLOCKED).assumptions)


def logged(
    line: str, rules: str = "-P INPUT DROP\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n"
) -> tuple[str, str | None]:
    """Return the verdict and the deciding chain for the packet of a logged line beside rules."""
    host = read(f"{rules}\n{line}\n")
    assert host.pasted is not None
    trace = walk(host, Question(**host.pasted.asked[0]))
    step = trace.deciding_leg.deciding
    assert step is not None
    return trace.verdict, step.chain


@pytest.mark.parametrize("device", ["eth0", "enp3s0", "docker0", "wg0", "br0"])
def test_a_line_without_an_interface_to_leave_by_is_about_a_packet_to_the_host(device: str) -> None:
    """Man page iptables-extensions(8), LOG; the kernel logs no OUT= only before routing and in INPUT."""
    line = f"[IPT] IN={device} OUT= SRC=192.168.7.33 DST=192.168.7.12 PROTO=TCP SPT=40000 DPT=80 SYN"
    assert logged(line) == ("DROP", "INPUT")


def test_a_line_with_the_mac_of_all_machines_is_about_a_broadcast() -> None:
    mac = "MAC=ff:ff:ff:ff:ff:ff:00:11:22:33:44:55:08:00"
    line = f"[IPT] IN=eth0 OUT= {mac} SRC=192.168.7.254 DST=192.168.7.255 PROTO=UDP SPT=138 DPT=138"
    host = read(f"-P INPUT DROP\n-P FORWARD ACCEPT\n\n{line}\n")
    own = {one.address for _, one in host.namespace.addresses(4)}
    assert parse_address("192.168.7.255")[1] not in own
    assert parse_address("192.168.7.254")[1] not in own  # the sender's
    assert logged(line) == ("DROP", "INPUT")


@pytest.mark.parametrize(
    "before",
    [
        '*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j LOG --log-prefix "[IPT] "\nCOMMIT\n',
        '-t nat -A PREROUTING -j LOG --log-prefix "[IPT] "\n',
    ],
)
def test_a_line_logged_before_routing_does_not_say_whose_address_it_is(before: str) -> None:
    before = before if before.startswith("*") else f"iptables {before}"
    line = "[IPT] IN=eth0 OUT= SRC=192.168.7.33 DST=192.168.9.12 PROTO=TCP SPT=40000 DPT=80 SYN"
    rules = f"{before}*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
    assert logged(line, rules) == ("ACCEPT", "FORWARD")


def test_interfaces_get_the_addresses_of_packets_that_arrived_there() -> None:
    """The LAN of an inner interface is not where the default route leads."""
    line = "[IPT] IN=eth1 OUT= SRC=192.168.7.33 DST=192.168.7.12 PROTO=TCP SPT=40000 DPT=80 SYN"
    host = read(f"-P INPUT DROP\n-P FORWARD DROP\n-A FORWARD -i eth1 -o eth0 -j ACCEPT\n\n{line}\n")
    own = {(one.name, address.address) for one, address in host.namespace.addresses(4)}
    assert ("eth1", parse_address("192.168.7.12")[1]) in own
    assert "The source shows that eth1 has the address 192.168.7.12/24." in map(str, host.assumptions)


def test_a_prefix_without_a_space_behind_it() -> None:
    """The kernel writes the prefix as it is, and IN= directly behind it (nf_log_syslog.c)."""
    found = record_of(
        "kernel: DROP-IN_IN= OUT=ppp0 PHYSOUT=x SRC=192.0.2.1 DST=8.8.4.4 PROTO=ICMP TYPE=11 CODE=1"
    )
    assert found is not None
    assert (found.prefix, found.hook, found.pairs["OUT"]) == ("DROP-IN_", "OUTPUT", "ppp0")


def test_the_source_of_what_the_host_sends_is_its_own() -> None:
    """OUTPUT sees only packets of the host itself, before any translation of their source."""
    host = read("kernel: X IN= OUT=ppp0 SRC=198.51.100.9 DST=8.8.4.4 PROTO=TCP SPT=4000 DPT=53 SYN\n")
    assert [one.address for one in host.namespace.interfaces["ppp0"].addresses] == [
        parse_address("198.51.100.9")[1]
    ]


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("Shorewall:OUTPUT:REJECT:", "interface ppp0"),
        ("Shorewall:net2fw:DROP:", "in chain net2fw"),
        ("refused connection: ", "allowedTCPPorts"),
        ("rpfilter drop: ", "checkReversePath"),
    ],
)
def test_the_program_that_logged_a_packet(prefix: str, said: str) -> None:
    """FAQ 17 of Shorewall; the modules of NixOS's firewall."""
    assert said in str(logged_by(prefix, ["ppp0"]))


TO_GATEWAY = (
    "kernel: [1.9] [UFW BLOCK] IN=docker_gwbridge OUT= PHYSIN=veth1 MAC=02:42:ff:53:8c:77:02:42:ac:25:57:09:08:00 "
    "SRC=172.20.64.3 DST=172.20.64.1 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=1 DF PROTO=TCP SPT=58848 DPT=3306 "
    "WINDOW=29200 RES=0x00 SYN URGP=0"
)


@pytest.mark.parametrize(
    ("commands", "verdict"),
    [
        ("iptables -F DOCKER-USER\niptables -I DOCKER-USER -s 172.20.0.0/16 -j ACCEPT", "DROP"),
        # they replace what logged it
        ("iptables -F\niptables -A FORWARD -j ACCEPT", "ACCEPT"),
        ("iptables -I INPUT -i docker_gwbridge -j ACCEPT", "ACCEPT"),
    ],
)
def test_commands_for_other_chains_do_not_change_what_became_of_a_logged_packet(
    commands: str, verdict: str
) -> None:
    """The hook of a packet to the host is INPUT; the host has the address to which INPUT got a packet."""
    assert verdict_of(read(f"{TO_GATEWAY}\n\n{commands}\n")) == verdict


@pytest.mark.parametrize(
    ("bold", "plain"),
    [
        ("PROTO=TCP** SPT=40123** DPT=443", "PROTO=TCP SPT=40123 DPT=443"),
        ("PROTO=TCP **SPT=40123 **DPT=443", "PROTO=TCP SPT=40123 DPT=443"),
        ("SRC=10.1.**.** DST=10.2.**.** PROTO=UDP", "SRC=10.1.**.** DST=10.2.**.** PROTO=UDP"),
    ],
)
def test_fields_in_bold(bold: str, plain: str) -> None:
    """Stars that replace bytes of an address are not marks of bold text."""
    line = "[BLOCK] IN= OUT=eth0 {} LEN=60"
    found = record_of(line.format(f"SRC=192.0.2.1 {bold}" if "SRC" not in bold else bold))
    expected = record_of(line.format(f"SRC=192.0.2.1 {plain}" if "SRC" not in plain else plain))
    assert found is not None
    assert found == expected
    assert found.pairs["SRC"] == ("10.1.**.**" if "**." in bold else "192.0.2.1")


@pytest.mark.parametrize("flags", ["S", "S.", "U", "P."])
def test_the_flags_of_tcpdump_are_no_tags_of_a_forum(flags: str) -> None:
    line = f"11:20:33.10 IP 192.0.2.7.40112 > 203.0.113.5.3306: Flags [{flags}], seq 1, win 29200, length 0"
    [segment], left_out = split(lines_of(line))
    assert (segment.form, left_out) == ("tcpdump", [])
    assert [one.text for one in lines_of("[B]bold[/B] and [s]struck[/s]")] == ["bold and struck"]


def test_an_error_in_a_capture_is_not_the_packet_in_question() -> None:
    error = "11:20:33.11 IP 192.0.2.1 > 192.0.2.7: ICMP host 203.0.113.5 unreachable - admin prohibited, length 68"
    sent = "11:20:33.12 IP 192.0.2.7.40112 > 203.0.113.5.3306: Flags [S], seq 1, win 29200, length 0"
    [segment], _ = split(lines_of(f"{error}\n{sent}\n{error}"))
    assert [one.line for one in segment.pieces if isinstance(one, Ask)] == [2]
    [alone], _ = split(lines_of(error))
    assert [one.line for one in alone.pieces if isinstance(one, Ask)] == [1]


@pytest.mark.parametrize(("to", "asked"), [("198.51.100.9", "198.51.100.9"), ("*.*.*.*", "internet")])
def test_a_packet_of_the_host_leaves_by_the_interface_of_its_line(to: str, asked: str) -> None:
    """Its source is then an address of that interface, and rules for both match it."""
    rules = "Chain OUTPUT (policy DROP 0 packets, 0 bytes)\n pkts bytes target prot opt in out source destination\n"
    rule = "    0     0 ACCEPT  tcp  --  *      tap7    203.0.113.64/26  0.0.0.0/0  tcp spt:4001 state NEW\n"
    line = f"OUT: IN= OUT=tap7 SRC=203.0.113.70 DST={to} LEN=52 TTL=64 ID=3 DF PROTO=TCP SPT=4001 DPT=80 SYN URGP=0\n"
    host = read(f"{rules}{rule}\n{line}")
    assert host.pasted is not None
    question = host.pasted.asked[0]
    assert question["to"] == asked
    assert walk(host, Question(**question)).legs[0].verdict == "ACCEPT"


def test_a_port_in_a_logged_line_shows_that_its_interface_is_a_bridge() -> None:
    """The kernel writes PHYSIN= and PHYSOUT= for bridged packets alone (nf_log_syslog.c, dump_ipv4_packet)."""
    rules = "-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n"
    line = "IN=lan7 OUT=lan7 PHYSIN=eno1 PHYSOUT=tap0 SRC=192.168.0.210 DST=192.168.0.90 PROTO=ICMP TYPE=8 CODE=0"
    asked = Question(**{"from": "192.168.0.210", "to": "192.168.0.90", "proto": "icmp", "in": "lan7"})
    assert walk(read(f"{rules}{line}\n"), asked).verdict == "DROP"
    routed = line.replace("PHYSIN=eno1 PHYSOUT=tap0 ", "")
    assert walk(read(f"{rules}{routed}\n"), asked).verdict == "DEPENDS"


IN_TUNNEL = BLOCKED.replace("IN=eth0 OUT=", "IN=wg0 OUT=eth0").replace(
    "SRC=203.0.113.9 DST=192.0.2.10", "SRC=10.9.0.2 DST=198.51.100.7"
)


@pytest.mark.parametrize(
    ("command", "port", "verdict"),
    [
        ("iptables -A FORWARD -i wg0 -j ACCEPT", 5432, "DROP"),  # comes after the rules of ufw
        ("iptables -A FORWARD -i wg0 -j ACCEPT", 80, "DEPENDS"),  # ufw has more rules
        ("iptables -I FORWARD -i wg0 -j ACCEPT", 5432, "ACCEPT"),
        ("iptables -F; iptables -A FORWARD -i wg0 -j ACCEPT", 5432, "ACCEPT"),
    ],
)
def test_commands_add_to_the_rules_that_a_log_proves(command: str, port: int, verdict: str) -> None:
    host = read(f"PostUp = {command}\n\n{IN_TUNNEL}\n")
    asked = Question(sender="10.9.0.2", to="198.51.100.7", proto="tcp", dport=port, **{"in": "wg0"})
    assert walk(host, asked).verdict == verdict


def test_a_prefix_that_is_of_no_program_may_be_of_the_commands() -> None:
    host = read(f"iptables -A FORWARD -i wg0 -j ACCEPT\n\n{IN_TUNNEL.replace('[UFW BLOCK]', 'DROPPED:')}\n")
    asked = Question(sender="10.9.0.2", to="198.51.100.7", proto="tcp", dport=5432, **{"in": "wg0"})
    assert walk(host, asked).verdict == "ACCEPT"


def test_the_line_that_a_text_is_about_comes_first() -> None:
    group = BLOCKED.replace("DST=192.0.2.10", "DST=224.0.0.251")
    often = BLOCKED.replace("DPT=5432", "DPT=23")
    lines = [group, often, often.replace("SPT=40000", "SPT=40001"), BLOCKED]

    def first(text: str) -> Any:
        host = read("\n".join([*lines, text]))
        assert host.pasted is not None
        return host.pasted.asked[0]["dport"]

    assert first("Why?") == 23
    assert first("My database is on port 5432.") == 5432
