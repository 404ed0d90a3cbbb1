"""Matches from addrtype to length: how they are written, and what they hold for.

How iptables prints a clause, and what it refuses, is in `clauses_a_l.t`; printed by iptables 1.8.9. The
truth tables were measured with packets on a Linux 6.18 kernel, both backends, unless a test says otherwise.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest

from iptsim.addresses import Family, parse_address
from iptsim.connection import Connection, Flow
from iptsim.dump.reader import loads
from iptsim.dump.rule import Rule
from iptsim.dump.writer import rule_text
from iptsim.errors import IptsimError
from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Masked
from iptsim.extensions.context import Context
from iptsim.extensions.matches.cluster import node
from iptsim.extensions.rates import HASHLIMIT_SCALE, LIMIT_SCALE, parse_rate
from iptsim.extensions.wire import transport_offset, wire_bytes
from iptsim.packet import Packet
from iptsim.protocols import ACK, CWR, ECE, ICMP, ICMPV6, SYN, TCP, UDP, URG
from iptsim.truth import Truth, Unknown, negate
from tests.extensions.worlds import World


class Line(NamedTuple):
    """A line of `clauses_a_l.t`; `printed` is empty for a clause that is refused."""

    family: Family
    chain: str
    clause: str
    printed: str


def lines() -> Iterator[Line]:
    family: Family = 4
    chain = ""
    for line in Path(__file__).with_name("clauses_a_l.t").read_text().splitlines():
        if line.startswith(":"):
            family, chain = (4 if line[1] == "4" else 6), line[3:]
        elif not line.startswith("#"):
            clause, printed, _ = line.split(";")
            yield Line(family, chain, clause, clause if printed == "=" else printed)


TAKEN = [line for line in lines() if line.printed]
REFUSED = [line for line in lines() if not line.printed]


def read(family: Family, chain: str, clause: str) -> Rule:
    dump = f"*mangle\n:{chain} ACCEPT [0:0]\n-A {chain} {clause}\nCOMMIT\n"
    return next(loads(dump, family=family).rules())


def printed(family: Family, chain: str, clause: str) -> str:
    return rule_text(read(family, chain, clause)).removeprefix(f"-A {chain} ")


class TestPrinting:
    @pytest.mark.parametrize("line", TAKEN, ids=lambda line: f"{line.family} {line.clause}")
    def test_as_iptables_save_prints_it(self, line: Line) -> None:
        assert printed(line.family, line.chain, line.clause) == line.printed

    @pytest.mark.parametrize("line", TAKEN, ids=lambda line: f"{line.family} {line.clause}")
    def test_what_is_printed_means_the_same(self, line: Line) -> None:
        written = read(line.family, line.chain, line.clause)
        assert read(line.family, line.chain, line.printed).matches == written.matches

    @pytest.mark.parametrize("line", TAKEN, ids=lambda line: f"{line.family} {line.clause}")
    def test_has_words_for_people(self, line: Line) -> None:
        for match in read(line.family, line.chain, line.clause).matches:
            assert match.says() or match.name == "comment"
            assert all(predicate.text for predicate in match.predicates())

    @pytest.mark.parametrize("line", REFUSED, ids=lambda line: f"{line.family} {line.clause}")
    def test_refused(self, line: Line) -> None:
        """By iptables itself, or by the kernel alone: then it is read, and marked."""
        try:
            rule = read(line.family, line.chain, line.clause)
        except IptsimError:
            return
        assert rule.refused

    @pytest.mark.parametrize(
        ("family", "clause"),
        [
            # since 1.8.10 another thing than "any" (commit 5b5430d6 of iptables)
            (4, "-p icmp -m icmp --icmp-type 255/255"),
            # the mask has holes, and iptables would lose it
            (4, "-m conntrack --ctorigsrc 10.0.0.0/255.0.255.0"),
            (6, "-m ipv6header --header hop,dst,prot"),
            (6, "-m ipv6header ! --header 44 --soft"),
            # the names of groups and labels are those of the machine that wrote the file
            (4, "-m devgroup --src-group lan"),
            (4, "-m devgroup --src-group 0x0"),
            (4, '-m connlabel --label "bulk-traffic"'),
            # iptables would print these so that they mean something else
            (4, "-p ah -m ah ! --ahspi 0:4294967295"),
            (4, "-p esp -m esp ! --espspi 0:4294967295"),
            (4, "-m connbytes --connbytes 0:0 --connbytes-mode packets --connbytes-dir reply"),
            (4, '-m hashlimit --hashlimit-upto 3/min --hashlimit-burst 5 --hashlimit-name "web 1"'),
            # from the tests of iptables: the kernel here has no xt_ipvs
            (4, "-m ipvs --ipvs"),
            (4, "-m ipvs ! --ipvs"),
            (6, "-m ipvs --vaddr 2001:db8::1"),
            (6, "-m ipvs ! --vaddr 2001:db8::/64"),
            (4, "-m ipvs ! --vport 443"),
            (4, "-m ipvs ! --vmethod IPIP"),
            (6, "-m ipvs --vproto 6 --vaddr 2001:db8::/64 --vport 22 --vdir ORIGINAL --vmethod GATE"),
            (4, '-m bpf --object-pinned "/sys/fs/bpf/filter"'),
        ],
    )
    def test_kept_as_written(self, family: Family, clause: str) -> None:
        assert printed(family, "PREROUTING", clause) == clause

    @pytest.mark.parametrize(
        ("clause", "expected"),
        [
            ("-m ipvs --vproto tcp", "-m ipvs --vproto 6"),
            ("-m ipvs --vport http", "-m ipvs --vport 80"),
            ("-m ipvs --vdir reply --ipvs", "-m ipvs --vdir REPLY"),
        ],
    )
    def test_ipvs_as_the_tests_of_iptables_have_it(self, clause: str, expected: str) -> None:
        assert printed(4, "PREROUTING", clause) == expected

    @pytest.mark.parametrize(
        ("burst", "expected"), [("1500kb", "1mb"), ("150kb", "200kb"), ("1000000", "1000kb")]
    )
    def test_hashlimit_prints_a_burst_of_octets_in_whole_units(self, burst: str, expected: str) -> None:
        clause = "-m hashlimit --hashlimit-upto 100kb/s --hashlimit-burst {} --hashlimit-name web"
        assert printed(4, "PREROUTING", clause.format(burst)) == clause.format(expected)

    @pytest.mark.parametrize("clause", ["-m ipvs", "-m ipvs ! --ipvs --vport 80", "-m ipvs --vdir BOTH"])
    def test_ipvs_refused(self, clause: str) -> None:
        with pytest.raises(IptsimError):
            read(4, "PREROUTING", clause)

    @pytest.mark.parametrize(
        ("clause", "message"),
        [
            ("-m cpu", "cpu needs --cpu"),
            ("-m addrtype --limit-iface-in", "addrtype needs --src-type or --dst-type"),
            (
                "-p icmp -m icmp --icmp-type echo-re",
                "ambiguous ICMP type 'echo-re': echo-reply or echo-request",
            ),
            (
                "-m cluster --cluster-total-nodes 2 --cluster-local-node 3 --cluster-hash-seed 5",
                "the local node is not among the 2 nodes",
            ),
            ('-m bpf --bytecode "1,48 0 0 9"', "the last instruction is not a return"),
            (
                '-m bpf --bytecode "4,0 0 0 1,97 0 0 2,22 0 0 0,22 0 0 0"',
                "instruction 1 reads memory word 2 before it is written",
            ),
        ],
    )
    def test_the_complaint_says_what_is_wrong(self, clause: str, message: str) -> None:
        with pytest.raises(IptsimError) as caught:
            read(4, "PREROUTING", clause)
        assert message in str(caught.value)


class Surroundings(World):
    """Surroundings with stated facts and address types."""

    def __init__(self, facts: dict[str, Any] | None = None, types: dict[str, str] | None = None) -> None:
        super().__init__(facts)
        self.types = {parse_address(text)[1]: name for text, name in (types or {}).items()}
        self.asked: list[str | None] = []

    def address_type(self, family: Family, address: int, interface: str | None) -> str | Unknown:
        self.asked.append(interface)
        return self.types.get(address, Unknown("the type of that address"))


def packet4(**fields: Any) -> Packet:
    base: dict[str, Any] = {"family": 4, "src": 0x0A090001, "dst": 0x0A090002, "sport": 1000, "dport": 80}
    return Packet(**(base | fields))


def packet6(**fields: Any) -> Packet:
    base: dict[str, Any] = {
        "family": 6,
        "src": parse_address("fd09::1")[1],
        "dst": parse_address("fd09::2")[1],
        "proto": UDP,
        "sport": 1000,
        "dport": 53,
    }
    return Packet(**(base | fields))


def context_of(packet: Packet, surroundings: Surroundings | None = None, **fields: Any) -> Context:
    base: dict[str, Any] = {"hook": "OUTPUT", "table": "mangle"}
    return Context(packet, surroundings=surroundings or Surroundings(), **(base | fields))


def match_of(clause: str, family: Family = 4, chain: str = "OUTPUT") -> Match:
    return read(family, chain, clause).matches[0]


def holds(clause: str, context: Context, chain: str = "OUTPUT") -> Truth:
    """Return whether a clause's match holds; the first condition that does not decides."""
    unknown: Truth = True
    for predicate in match_of(clause, context.packet.family, chain).predicates():
        truth = predicate.test(context)
        assert predicate.got(context)
        if truth is False:
            return False
        if isinstance(truth, Unknown):
            unknown = truth
    return unknown


def table(text: str, packets: dict[str, Packet]) -> Iterator[tuple[str, Packet, bool]]:
    """Yield clause, packet, truth of a table of rows `clause | packets for which it holds`."""
    for row in filter(None, map(str.strip, text.splitlines())):
        clause, _, names = row.partition("|")
        for name, packet in packets.items():
            yield clause.strip(), packet, name in names.split()


def rows(text: str, packets: dict[str, Packet]) -> pytest.MarkDecorator:
    found = list(table(text, packets))
    names = {id(packet): name for name, packet in packets.items()}
    ids = [f"{clause} [{names[id(packet)]}]" for clause, packet, _ in found]
    return pytest.mark.parametrize(("clause", "packet", "expected"), found, ids=ids)


HEADERS4 = {
    "syn": packet4(length=40, tos=1),
    "ece": packet4(length=40, tos=0x28, tcp_flags=SYN | ECE),
    "ececwr": packet4(length=40, tos=3, tcp_flags=SYN | ECE | CWR),
    "ones": packet4(length=60, fragment="last", payload=b"\xff" * 40, sport=None, dport=None),
    "zeros": packet4(length=60, fragment="last", payload=bytes(40), sport=None, dport=None),
    "tiny": packet4(length=28, fragment="last", payload=bytes(8), sport=None, dport=None),
}


@rows(
    """
    -p tcp -m ecn --ecn-tcp-ece                 | ece ececwr ones
    -p tcp -m ecn ! --ecn-tcp-ece               | syn zeros
    -p tcp -m ecn --ecn-tcp-ece ! --ecn-tcp-cwr | ece
    -m ecn --ecn-ip-ect 1                       | syn
    -m ecn ! --ecn-ip-ect 1                     | ece ececwr ones zeros tiny
    -m dscp --dscp 10                           | ece
    -m dscp ! --dscp-class AF11                 | syn ececwr ones zeros tiny
    -m length --length 40                       | syn ece ececwr
    -m length ! --length 0:65535                |
    -m length --length 60:40                    |
    -m length ! --length 60:40                  | syn ece ececwr ones zeros tiny
    """,
    HEADERS4,
)
def test_header_fields(clause: str, packet: Packet, expected: bool) -> None:
    assert holds(clause, context_of(packet)) is expected


@rows(
    """
    -p icmp -m icmp --icmp-type 8     | echo echo8/3 first
    -p icmp -m icmp ! --icmp-type 8   | frag-needed 255
    -p icmp -m icmp --icmp-type 8/0   | echo first
    -p icmp -m icmp ! --icmp-type 8/0 | echo8/3 frag-needed 255
    -p icmp -m icmp --icmp-type any   | echo echo8/3 frag-needed first 255
    -p icmp -m icmp ! --icmp-type any |
    -p icmp -m icmp --icmp-type 3/4   | frag-needed
    -p icmp -m icmp --icmp-type 3/255 |
    """,
    {
        "echo": packet4(proto=ICMP, icmp_type=8, icmp_code=0),
        "echo8/3": packet4(proto=ICMP, icmp_type=8, icmp_code=3),
        "frag-needed": packet4(proto=ICMP, icmp_type=3, icmp_code=4),
        "first": packet4(proto=ICMP, icmp_type=8, icmp_code=0, fragment="first"),
        "last": packet4(proto=ICMP, icmp_type=8, icmp_code=0, fragment="last"),
        "255": packet4(proto=ICMP, icmp_type=255, icmp_code=0),
    },
)
def test_icmp(clause: str, packet: Packet, expected: bool) -> None:
    assert holds(clause, context_of(packet)) is expected


@rows(
    """
    -p ipv6-icmp -m icmp6 --icmpv6-type 128   | echo echo/3
    -p ipv6-icmp -m icmp6 ! --icmpv6-type 128 | unreachable 255
    -p ipv6-icmp -m icmp6 --icmpv6-type 128/0 | echo
    -p ipv6-icmp -m icmp6 ! --icmpv6-type 1/4 | echo echo/3 255
    -p ipv6-icmp -m icmp6 --icmpv6-type 255   | 255
    """,
    {
        "echo": packet6(proto=ICMPV6, icmp_type=128, icmp_code=0),
        "echo/3": packet6(proto=ICMPV6, icmp_type=128, icmp_code=3),
        "unreachable": packet6(proto=ICMPV6, icmp_type=1, icmp_code=4),
        "255": packet6(proto=ICMPV6, icmp_type=255, icmp_code=0),
        "last": packet6(proto=ICMPV6, icmp_type=128, icmp_code=0, fragment="last"),
    },
)
def test_icmp6(clause: str, packet: Packet, expected: bool) -> None:
    assert holds(clause, context_of(packet)) is expected


@rows(
    """
    -p esp -m esp                         | esp5
    -p esp -m esp --espspi 5              | esp5
    -p esp -m esp ! --espspi 5            |
    -p esp -m esp ! --espspi 0:4294967295 |
    -p esp -m esp --espspi 6:1            |
    -p esp -m esp ! --espspi 6:1          | esp5
    -p ah -m ah --ahspi 5                 | ah5
    -p ah -m ah ! --ahspi 1:4             | ah5
    """,
    {
        "esp5": packet4(proto=50, extra={"esp_spi": 5}),
        "esp-last": packet4(proto=50, extra={"esp_spi": 5}, fragment="last"),
        "ah5": packet4(proto=51, extra={"ah_spi": 5}),
    },
)
def test_ipsec(clause: str, packet: Packet, expected: bool) -> None:
    assert holds(clause, context_of(packet)) is expected


@rows(
    """
    -p dccp -m dccp                                  | request data 10 12
    -p dccp -m dccp --dccp-types REQUEST             | request
    -p dccp -m dccp ! --dccp-types REQUEST           | data 10 12
    -p dccp -m dccp --dccp-types INVALID             | 10 12
    -p dccp -m dccp ! --dccp-types INVALID,DATA      | request
    -p dccp -m dccp --sport 1 --dport 2              | request data 10 12
    -p dccp -m dccp ! --sport 1                      |
    -p dccp -m dccp ! --sport 0:65535                |
    """,
    {
        "request": packet4(proto=33, sport=1, dport=2, extra={"dccp_type": "REQUEST", "dccp_options": (32,)}),
        "data": packet4(proto=33, sport=1, dport=2, extra={"dccp_type": 2, "dccp_options": ()}),
        "10": packet4(proto=33, sport=1, dport=2, extra={"dccp_type": 10}),
        "12": packet4(proto=33, sport=1, dport=2, extra={"dccp_type": 12}),
        "last": packet4(proto=33, sport=1, dport=2, extra={"dccp_type": 2}, fragment="last"),
    },
)
def test_dccp(clause: str, packet: Packet, expected: bool) -> None:
    assert holds(clause, context_of(packet)) is expected


@pytest.mark.parametrize(
    ("options", "negated", "expected"),
    [((32,), False, True), ((), False, False), ("32,2", False, True), (32, True, False), ((), True, True)],
)
def test_dccp_option(options: Any, negated: bool, expected: bool) -> None:
    packet = packet4(proto=33, sport=1, dport=2, extra={"dccp_options": options})
    clause = f"-p dccp -m dccp {'! ' if negated else ''}--dccp-option 32"
    assert holds(clause, context_of(packet)) is expected


@rows(
    """
    -m iprange --src-range 10.9.0.1-10.9.0.3   | udp
    -m iprange --src-range 10.9.0.2-10.9.0.3   |
    -m iprange ! --src-range 10.9.0.3-10.9.0.1 | udp
    -m iprange --src-range 10.9.0.3-10.9.0.1   |
    -m iprange --dst-range 10.9.0.2            | udp
    -m iprange --src-range 10.9.0.1 ! --dst-range 10.9.0.2 |
    """,
    {"udp": packet4(proto=UDP)},
)
def test_iprange(clause: str, packet: Packet, expected: bool) -> None:
    assert holds(clause, context_of(packet)) is expected


def fragment(offset: int, more: int, reserved: int = 0) -> bytes:
    return (offset << 3 | reserved << 1 | more).to_bytes(2, "big") + (7).to_bytes(4, "big")


AH5 = (51, bytes.fromhex("0000 00000005 00000001 00000000"))
HOP = (0, bytes.fromhex("0502 0000 0100"))
DST = (60, bytes.fromhex("0104 00000000"))
LONG_DST = (60, bytes.fromhex("00 c204 00000000 0502 0000 010100"))
HEADERS6 = {
    "plain": packet6(),
    "ah": packet6(extension_headers=(AH5,)),
    "ah-res": packet6(extension_headers=((51, b"\0\3" + AH5[1][2:]),)),
    "esp": packet6(proto=50, extra={"esp_spi": 5}),
    "none": packet6(proto=59),
    "hop": packet6(extension_headers=(HOP,)),
    "dst": packet6(extension_headers=(DST,)),
    "long": packet6(extension_headers=(LONG_DST,)),
    "hopdst": packet6(extension_headers=(HOP, DST)),
    "first": packet6(extension_headers=((44, fragment(0, 1)),), fragment="first"),
    "middle": packet6(extension_headers=((44, fragment(10, 1)),), fragment="middle"),
    "last": packet6(extension_headers=((44, fragment(20, 0)),), fragment="last"),
    "reserved": packet6(extension_headers=((44, fragment(0, 1, 1)),), fragment="first"),
}


@rows(
    """
    -m ah                           | ah ah-res
    -m ah --ahspi 5                 | ah ah-res
    -m ah ! --ahspi 5               |
    -m ah ! --ahspi 0:4294967295    |
    -m ah --ahlen 16                | ah ah-res
    -m ah ! --ahlen 16              |
    -m ah --ahlen 24                |
    -m ah --ahres                   | ah
    -p esp -m esp --espspi 5        | esp
    -m dst                          | dst long hopdst
    -m dst --dst-len 8              | dst hopdst
    -m dst ! --dst-len 8            | long
    -m dst --dst-len 16             | long
    -m dst --dst-opts 1:4           | dst hopdst
    -m dst --dst-opts 1             | dst hopdst
    -m dst --dst-opts 0             | long
    -m dst --dst-opts 0,194:4       | long
    -m dst --dst-opts 0,194:5       |
    -m dst --dst-opts 0,194,5:2,1:1 | long
    -m dst --dst-opts 0,194,5:2,1:1,0 |
    -m dst --dst-opts 194:4         |
    -m hbh                          | hop hopdst
    -m hbh --hbh-opts 5:2           | hop hopdst
    -m hbh --hbh-opts 5:2,1:0       | hop hopdst
    -m hbh --hbh-opts 5:2,1:0,0     |
    -m hbh --hbh-len 8 --hbh-opts 5 | hop hopdst
    -m frag                         | first middle last reserved
    -m frag --fragid 7              | first middle last reserved
    -m frag ! --fragid 7            |
    -m frag --fragid 8:9            |
    -m frag --fragres               | first middle last
    -m frag --fragfirst             | first reserved
    -m frag --fragmore              | first middle reserved
    -m frag --fraglast              | last
    -m frag --fraglen 99            | first middle last reserved
    -m frag ! --fraglen 8           | first middle last reserved
    -m frag --fragfirst --fraglast  |
    -m ipv6header --header prot     | plain
    -m ipv6header ! --header prot   | ah ah-res esp none hop dst long hopdst first middle last reserved
    -m ipv6header --header frag,prot | first middle last reserved
    -m ipv6header --header hop,prot  | hop
    -m ipv6header --header auth,prot | ah ah-res
    -m ipv6header --header esp       | esp
    -m ipv6header --header none      | none
    -m ipv6header --header hop --soft | hop hopdst
    -m ipv6header --header hop,dst --soft | hopdst
    -m ipv6header ! --header hop,dst --soft | plain ah ah-res esp none first middle last reserved
    -m ipv6header --header none,prot --soft |
    -m ipv6header ! --header none,prot --soft | esp
    -m hl --hl-eq 64                | plain ah ah-res esp none hop dst long hopdst first middle last reserved
    -m hl ! --hl-eq 64              |
    -m hl --hl-lt 64                |
    -m hl --hl-gt 63                | plain ah ah-res esp none hop dst long hopdst first middle last reserved
    """,
    HEADERS6,
)
def test_ipv6_headers(clause: str, packet: Packet, expected: bool) -> None:
    assert holds(clause, context_of(packet)) is expected


@pytest.mark.parametrize(
    ("clause", "kind", "expected"),
    [
        ("-m frag --fragfirst", "first", True),
        ("-m frag --fragfirst", "middle", False),
        ("-m frag --fragmore", "middle", True),
        ("-m frag --fraglast", "last", True),
        ("-m frag --fraglast", "first", False),
    ],
)
def test_a_fragment_has_its_header_without_saying(clause: str, kind: str, expected: bool) -> None:
    assert holds(clause, context_of(packet6(fragment=kind))) is expected


@pytest.mark.parametrize(
    ("mac", "source", "expected"),
    [
        ("00:11:22:33:44:55", "2001:db8::211:22ff:fe33:4455", True),
        ("00:11:22:33:44:55", "2001:db8::11:22ff:fe33:4455", False),
        ("02:11:22:33:44:55", "2001:db8::211:22ff:fe33:4455", False),
        ("02:11:22:33:44:55", "2001:db8::11:22ff:fe33:4455", True),
        ("02:11:22:33:44:55", "2001:db8::1", False),
    ],
)
def test_eui64(mac: str, source: str, expected: bool) -> None:
    packet = packet6(src=parse_address(source)[1], src_mac=mac)
    assert holds("-m eui64", context_of(packet, hook="PREROUTING"), "PREROUTING") is expected


def connection4(**fields: Any) -> Connection:
    flow = Flow(0x0A090001, 1000, 0x0A090002, 53, UDP)
    return Connection(4, flow, flow.reversed(), **fields)


UDP40 = packet4(proto=UDP, dport=53, payload=b"x" * 12, length=40)


@pytest.mark.parametrize(
    ("clause", "new", "untracked"),
    [
        ("-m connmark --mark 0", True, False),
        ("-m connmark ! --mark 0", False, False),
        ("-m connmark ! --mark 5", True, False),
        ("-m helper --helper ftp", False, False),
        ("-m helper ! --helper ftp", True, True),
        ('-m helper --helper ""', False, False),
        ('-m helper ! --helper ""', True, True),
        ("-m connlabel --label 5", False, False),
        ("-m connlabel ! --label 5", True, True),
        ("-m connlabel --label 6 --set", True, False),
        ("-m connlabel ! --label 7 --set", False, True),
        ("-m connlimit --connlimit-above 0", True, True),
        ("-m connlimit --connlimit-upto 0", False, False),
        ("-m connbytes --connbytes 1:1 --connbytes-dir both --connbytes-mode packets", True, False),
        ("-m connbytes --connbytes 1:1 --connbytes-dir original --connbytes-mode packets", True, False),
        ("-m connbytes --connbytes 1:1 --connbytes-dir reply --connbytes-mode packets", False, False),
        ("-m connbytes --connbytes 0:0 --connbytes-dir reply --connbytes-mode packets", True, False),
        ("-m connbytes ! --connbytes 1 --connbytes-dir reply --connbytes-mode packets", True, False),
        ("-m connbytes --connbytes 40:40 --connbytes-dir both --connbytes-mode bytes", True, False),
        ("-m connbytes --connbytes 40:40 --connbytes-dir both --connbytes-mode avgpkt", True, False),
        ("-m connbytes ! --connbytes 5:40 --connbytes-dir both --connbytes-mode avgpkt", False, False),
        ("-m connbytes ! --connbytes 1:1 --connbytes-dir both --connbytes-mode packets", True, False),
        ("-m connbytes ! --connbytes 1 --connbytes-dir both --connbytes-mode packets", False, False),
        ("-m connbytes ! --connbytes 2 --connbytes-dir both --connbytes-mode packets", True, False),
        ("-m connbytes --connbytes 0:5 --connbytes-dir reply --connbytes-mode avgpkt", True, False),
        (
            "-m cluster --cluster-total-nodes 4 --cluster-local-node 3 --cluster-hash-seed 0xdeadbeef",
            True,
            False,
        ),
        (
            "-m cluster --cluster-total-nodes 4 ! --cluster-local-node 1 --cluster-hash-seed 0xdeadbeef",
            True,
            False,
        ),
    ],
)
def test_connection(clause: str, new: bool, untracked: bool) -> None:
    fresh = context_of(UDP40, state="NEW", connection=connection4())
    assert holds(clause, fresh) is new
    assert holds(clause, context_of(UDP40, state="INVALID")) is untracked


class TestConnection:
    """Beyond the first packet; the sources are the kernel's xt_connbytes.c, xt_helper.c, xt_connlabel.c."""

    @pytest.mark.parametrize(
        ("amount", "mode", "side", "expected"),
        [
            ("10:10", "packets", "original", False),
            ("11:11", "packets", "original", True),
            ("5:5", "packets", "reply", True),
            ("16:16", "packets", "both", True),
            ("1040:1040", "bytes", "original", True),
            ("94:94", "avgpkt", "original", True),
            ("1000", "bytes", "reply", False),
            ("500:", "bytes", "reply", True),
        ],
    )
    def test_connbytes_adds_the_packet(self, amount: str, mode: str, side: str, expected: bool) -> None:
        connection = connection4(packets={"original": 10, "reply": 5}, bytes={"original": 1000, "reply": 500})
        context = context_of(UDP40, state="ESTABLISHED", connection=connection)
        clause = f"-m connbytes --connbytes {amount} --connbytes-dir {side} --connbytes-mode {mode}"
        assert holds(clause, context) is expected

    def test_connbytes_depends_on_counters_that_nobody_saved(self) -> None:
        context = context_of(UDP40, state="ESTABLISHED", connection=connection4())
        clause = "-m connbytes --connbytes 10 --connbytes-dir both --connbytes-mode bytes"
        assert isinstance(holds(clause, context), Unknown)

    @pytest.mark.parametrize("status", ["", "CONFIRMED"])
    def test_ctexpire_depends_on_what_no_capture_holds(self, status: str) -> None:
        """Of a new connection the kernel compares the timeout with its clock (nf_ct_expires): seen on Linux 6.18.

        With a timeout of 600 seconds it is 0 only if the machine has been up for more than 15 minutes.
        """
        connection = connection4(status=frozenset({status} - {""}))
        context = context_of(UDP40, state="NEW", connection=connection)
        assert isinstance(holds("-m conntrack ! --ctexpire 0:10", context), Unknown)
        connection.expires = 0
        assert holds("-m conntrack ! --ctexpire 0:10", context) is False

    def test_connbytes_notes_a_length_that_was_left_open(self) -> None:
        packet = packet4(proto=UDP, defaults=frozenset({"length"}))
        context = context_of(packet, state="NEW", connection=connection4())
        holds("-m connbytes --connbytes 10 --connbytes-dir both --connbytes-mode bytes", context)
        assert context.consulted == {"length"}

    @pytest.mark.parametrize(
        ("wanted", "helper", "expected"),
        [("ftp", "ftp", True), ("ftp-2121", "ftp", True), ("ftp", "ftp-2121", False), ("sip", "ftp", False)],
    )
    def test_helper_is_compared_as_far_as_the_kernels_name_goes(
        self, wanted: str, helper: str, expected: bool
    ) -> None:
        context = context_of(UDP40, connection=connection4(related=True, master_helper=helper))
        assert holds(f"-m helper --helper {wanted}", context) is expected
        assert holds(f"-m helper ! --helper {wanted}", context) is not expected

    def test_helper_of_a_related_connection_may_not_be_known(self) -> None:
        context = context_of(UDP40, connection=connection4(related=True))
        assert isinstance(holds("-m helper --helper ftp", context), Unknown)

    def test_connlabel_set_is_seen_by_the_next_rule(self) -> None:
        context = context_of(UDP40, connection=connection4())
        (predicate,) = match_of("-m connlabel --label 6 --set").predicates()
        assert predicate.test(context) is True
        assert holds("-m connlabel --label 6", context) is False
        assert predicate.effect is not None
        predicate.effect(context)
        assert holds("-m connlabel --label 6", context) is True

    def test_connlabel_by_name_needs_the_table_of_names(self) -> None:
        connection = connection4(labels=frozenset({4}))
        named = Surroundings({"connlabels": {"bulk-traffic": 4}})
        clause = "-m connlabel --label bulk-traffic"
        assert isinstance(holds(clause, context_of(UDP40, connection=connection)), Unknown)
        assert holds(clause, context_of(UDP40, named, connection=connection)) is True

    def test_connmark_compares_the_masked_mark_with_the_whole_value(self) -> None:
        context = context_of(UDP40, connection=connection4(mark=0x1FF))
        assert holds("-m connmark --mark 0xff/0xff", context) is True
        assert holds("-m connmark --mark 0x1ff/0xff", context) is False

    @pytest.mark.parametrize(
        ("clause", "whose"),
        [
            ("-m connlimit --connlimit-above 2", "its source"),
            ("-m connlimit --connlimit-above 2 --connlimit-mask 24", "the /24 network of its source"),
            ("-m connlimit --connlimit-upto 2 --connlimit-daddr", "its destination"),
        ],
    )
    def test_connlimit_depends(self, clause: str, whose: str) -> None:
        truth = holds(clause, context_of(UDP40, connection=connection4()))
        assert isinstance(truth, Unknown)
        assert whose in str(truth.reason)


@pytest.mark.parametrize(
    ("source", "of_four", "of_seven"),
    [
        ("10.9.0.1", 3, 3), ("10.9.0.3", 3, 5), ("10.9.0.4", 1, 7), ("10.9.0.5", 4, 6), ("10.9.0.6", 2, 3),
        ("10.9.0.7", 1, 7), ("10.9.0.8", 4, 5), ("10.9.0.9", 4, 2), ("fd09::1", 4, 5), ("fd09::9", 4, 5),
    ],
)  # fmt: skip
def test_cluster_nodes(source: str, of_four: int, of_seven: int) -> None:
    family, address = parse_address(source)
    assert node(address, family, 4, 0xDEADBEEF) + 1 == of_four
    assert node(address, family, 7, 5) + 1 == of_seven


@pytest.mark.parametrize(
    ("source", "of_four"),
    [
        ("fd09:1::1", 4), ("2001:db8::1", 3), ("2001:db8:5::9", 3), ("fe00::1", 2), ("3ffe:1234::1", 3),
        ("2a00:1450::7", 4),
    ],
)  # fmt: skip
def test_cluster_looks_at_the_first_word_of_an_ipv6_address(source: str, of_four: int) -> None:
    assert node(parse_address(source)[1], 6, 4, 0xDEADBEEF) + 1 == of_four


class TestAddrtype:
    """The types that a routing table gives are the surroundings' concern; kernel: xt_addrtype.c."""

    @pytest.mark.parametrize(
        ("clause", "expected"),
        [
            ("-m addrtype --dst-type LOCAL", True),
            ("-m addrtype ! --dst-type LOCAL", False),
            ("-m addrtype --dst-type UNICAST,BROADCAST", False),
            ("-m addrtype --dst-type UNICAST,LOCAL", True),
            ("-m addrtype --src-type LOCAL", False),
            ("-m addrtype ! --src-type LOCAL --dst-type LOCAL", True),
        ],
    )
    def test_ipv4(self, clause: str, expected: bool) -> None:
        types = {"10.9.0.1": "UNICAST", "10.9.0.2": "LOCAL"}
        assert holds(clause, context_of(packet4(), Surroundings(types=types))) is expected

    @pytest.mark.parametrize(
        ("clause", "expected"),
        [
            ("-m addrtype --dst-type LOCAL", True),
            ("-m addrtype --dst-type UNICAST", True),
            ("-m addrtype --dst-type UNICAST,LOCAL", True),
            ("-m addrtype --dst-type MULTICAST,LOCAL", False),
            ("-m addrtype --dst-type UNREACHABLE", False),
            ("-m addrtype ! --dst-type UNREACHABLE", True),
            ("-m addrtype --dst-type UNSPEC", False),
            ("-m addrtype --dst-type ANYCAST", False),
        ],
    )
    def test_ipv6(self, clause: str, expected: bool) -> None:
        assert holds(clause, context_of(packet6(), Surroundings(types={"fd09::2": "LOCAL"}))) is expected

    def test_unknown_stays_unknown_behind_a_negation(self) -> None:
        for clause in ("-m addrtype --dst-type LOCAL", "-m addrtype ! --dst-type LOCAL"):
            assert isinstance(holds(clause, context_of(packet4())), Unknown)

    @pytest.mark.parametrize(
        ("limit", "chain", "asked"),
        [
            ("", "FORWARD", None),
            (" --limit-iface-in", "FORWARD", "eth0"),
            (" --limit-iface-out", "FORWARD", "eth1"),
        ],
    )
    def test_the_interface_that_is_asked_about(self, limit: str, chain: str, asked: str | None) -> None:
        surroundings = Surroundings(types={"10.9.0.2": "LOCAL"})
        context = context_of(packet4(), surroundings, hook=chain, in_interface="eth0", out_interface="eth1")
        assert holds(f"-m addrtype --dst-type LOCAL{limit}", context, chain) is True
        assert set(surroundings.asked) == {asked}


class TestFacts:
    @pytest.mark.parametrize(("clause", "expected"), [("-m cpu --cpu 1", True), ("-m cpu ! --cpu 1", False)])
    def test_cpu(self, clause: str, expected: bool) -> None:
        assert holds(clause, context_of(packet4(), Surroundings({"cpu": 1}))) is expected
        assert isinstance(holds(clause, context_of(packet4())), Unknown)

    @pytest.mark.parametrize(
        ("clause", "groups", "expected"),
        [
            ("-m devgroup --src-group 0x1", {"eth0": 1}, True),
            ("-m devgroup ! --src-group 0x1", {"eth0": 1}, False),
            ("-m devgroup --src-group 0x1/0xff", {"eth0": 0x101}, True),
            ("-m devgroup --src-group default", {"eth0": "default"}, True),
            ("-m devgroup --src-group 0", {"eth0": "default"}, True),
            ("-m devgroup --src-group lan", {"eth0": "lan"}, True),
            ("-m devgroup --src-group lan", {"eth0": "wan"}, False),
            ("-m devgroup ! --src-group lan", {"eth0": "wan"}, True),
            ("-m devgroup --src-group lan", {"eth0": 3}, None),
            ("-m devgroup --src-group 3", {"eth0": "lan"}, None),
            ("-m devgroup --src-group 0", {}, None),
        ],
    )
    def test_devgroup(self, clause: str, groups: dict[str, Any], expected: bool | None) -> None:
        surroundings = Surroundings({"interface_groups": groups})
        context = context_of(packet4(), surroundings, hook="PREROUTING", in_interface="eth0")
        truth = holds(clause, context, "PREROUTING")
        assert isinstance(truth, Unknown) if expected is None else truth is expected

    @pytest.mark.parametrize(
        ("clause", "fact", "expected"),
        [
            ("--path system.slice", {"cgroup": "system.slice/nginx.service"}, True),
            ("--path system.slice/nginx.service", {"cgroup": "system.slice"}, False),
            ("--path system", {"cgroup": "system.slice"}, False),
            ("! --path system", {"cgroup": "system.slice"}, True),
            ("--path /", {"cgroup": "user.slice"}, True),
            ("--cgroup 1", {"classid": 1}, True),
            ("! --cgroup 1", {"classid": 1}, False),
        ],
    )
    def test_cgroup(self, clause: str, fact: dict[str, Any], expected: bool) -> None:
        sent = packet4(local_socket=True)
        assert holds(f"-m cgroup {clause}", context_of(sent, Surroundings(fact))) is expected
        assert isinstance(holds(f"-m cgroup {clause}", context_of(sent)), Unknown)

    @pytest.mark.parametrize("clause", ["--path a", "! --path a", "--cgroup 1", "! --cgroup 1"])
    def test_cgroup_without_a_socket_never_holds(self, clause: str) -> None:
        surroundings = Surroundings({"cgroup": "a", "classid": 1})
        forwarded = context_of(packet4(), surroundings, hook="POSTROUTING")
        first = context_of(packet4(), surroundings, hook="INPUT", state="NEW")
        later = context_of(packet4(), surroundings, hook="INPUT", state="ESTABLISHED")
        assert holds(f"-m cgroup {clause}", forwarded, "POSTROUTING") is False
        assert holds(f"-m cgroup {clause}", first, "INPUT") is False
        assert isinstance(holds(f"-m cgroup {clause}", later, "INPUT"), Unknown)

    @pytest.mark.parametrize(
        ("clause", "expected"), [("--ipvs", False), ("! --ipvs", True), ("--vport 80", False)]
    )
    def test_ipvs(self, clause: str, expected: bool) -> None:
        assert isinstance(holds(f"-m ipvs {clause}", context_of(packet4())), Unknown)
        assert holds(f"-m ipvs {clause}", context_of(packet4(), Surroundings({"ipvs": "no"}))) is expected

    @pytest.mark.parametrize(
        ("clause", "packet"),
        [
            ("-p ah -m ah --ahspi 5", packet4(proto=51)),
            ("-p ah -m ah ! --ahspi 5", packet4(proto=51)),
            ("-p esp -m esp --espspi 5", packet4(proto=50)),
            ("-p dccp -m dccp --dccp-types DATA", packet4(proto=33)),
            ("-p dccp -m dccp --dccp-option 5", packet4(proto=33)),
            ("-p icmp -m icmp --icmp-type 8", packet4(proto=ICMP)),
            ("-p icmp -m icmp --icmp-type 8/1", packet4(proto=ICMP, icmp_type=8)),
            ("-p tcp -m ecn --ecn-tcp-ece", packet4(fragment="last")),
            ("-m hashlimit --hashlimit-upto 3/min --hashlimit-name a", packet4()),
            ("-m bpf --object-pinned /sys/fs/bpf/a", packet4()),
        ],
    )
    def test_what_nobody_stated_is_unknown(self, clause: str, packet: Packet) -> None:
        truth = holds(clause, context_of(packet))
        assert isinstance(truth, Unknown)
        assert truth.reason
        assert negate(truth) == truth

    def test_equal_keys_only_for_equal_questions(self) -> None:
        packet = packet4(proto=50)
        keys = set()
        for clause in ("--espspi 5", "! --espspi 5", "--espspi 6"):
            truth = holds(f"-p esp -m esp {clause}", context_of(packet))
            assert isinstance(truth, Unknown)
            keys.add(truth.key)
        assert len(keys) == 2


TO_SYMBOLS = [
    ("-m length --length 40:60", "length", ((40, 60),)),
    ("-m dscp --dscp 0x0a", "tos", Masked(0x28, 0xFC)),
    ("-m ecn --ecn-ip-ect 2", "tos", Masked(2, 3)),
    ("-p tcp -m ecn --ecn-tcp-cwr", "tcp_flags", Masked(CWR, CWR)),
    ("-p icmp -m icmp --icmp-type 8", "icmp_type", Masked(0x800, 0xFF00)),
    ("-m iprange --src-range 10.0.0.1-10.0.0.9", "src", ((0x0A000001, 0x0A000009),)),
]


@pytest.mark.parametrize(("clause", "field", "allowed"), TO_SYMBOLS)
def test_conditions_on_one_field_say_so(clause: str, field: str, allowed: Any) -> None:
    (predicate,) = match_of(clause).predicates()
    assert (predicate.field, predicate.allowed) == (field, allowed)


class TestBpf:
    PROGRAMS: ClassVar = {
        "any": "1,6 0 0 1",
        "proto 6": "4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0",
        "port 53": "4,40 0 0 22,21 0 1 53,6 0 0 1,6 0 0 0",
        "40 octets or more": "4,128 0 0 0,53 0 1 40,6 0 0 1,6 0 0 0",
        "ethertype": "4,32 0 0 4294963200,21 0 1 2048,6 0 0 1,6 0 0 0",
        "port 53 behind the header": "5,177 0 0 0,72 0 0 2,21 0 1 53,6 0 0 1,6 0 0 0",
        "proto 17 from the network header": "4,48 0 0 4293918729,21 0 1 17,6 0 0 1,6 0 0 0",
        "memory": "5,0 0 0 10,2 0 0 3,96 0 0 3,21 0 0 10,22 0 0 0",
        "odd protocol less one": "4,48 0 0 9,84 0 0 1,20 0 0 1,22 0 0 0",
        "division by 0": "4,48 0 0 9,60 0 0 0,22 0 0 0,22 0 0 0",
        "negated ttl": "3,48 0 0 8,132 0 0 0,22 0 0 0",
    }
    HOLDS: ClassVar = {
        "any": "udp tcp short", "proto 6": "tcp", "port 53": "udp", "40 octets or more": "tcp",
        "ethertype": "udp tcp short", "port 53 behind the header": "udp",
        "proto 17 from the network header": "udp short", "memory": "udp tcp short",
        "odd protocol less one": "tcp", "division by 0": "", "negated ttl": "udp tcp short",
    }  # fmt: skip
    PACKETS: ClassVar = {
        "udp": packet4(proto=UDP, dport=53, payload=b"hello", length=33),
        "tcp": packet4(proto=TCP, length=40),
        "short": packet4(proto=UDP, fragment="last", payload=b"ab", length=22),
    }

    @pytest.mark.parametrize("program", PROGRAMS)
    @pytest.mark.parametrize("packet", PACKETS)
    def test_as_the_kernel_runs_it(self, program: str, packet: str) -> None:
        clause = f'-m bpf --bytecode "{self.PROGRAMS[program]}"'
        assert holds(clause, context_of(self.PACKETS[packet])) is (packet in self.HOLDS[program].split())

    def test_open_octets_make_it_unknown_only_where_they_matter(self) -> None:
        packet = packet4(proto=TCP)
        sequence = '-m bpf --bytecode "4,32 0 0 24,21 0 1 7,6 0 0 1,6 0 0 0"'
        masked = '-m bpf --bytecode "5,40 0 0 6,84 0 0 8191,21 0 1 0,6 0 0 1,6 0 0 0"'
        truth = holds(sequence, context_of(packet))
        assert isinstance(truth, Unknown)
        assert "bytes 24 to 27" in str(truth.reason)
        # the don't-fragment bit is open, but masked out
        assert holds(masked, context_of(packet)) is True

    def test_fields_with_a_default_are_noted(self) -> None:
        context = context_of(packet4(defaults=frozenset({"ttl", "tos"})))
        holds('-m bpf --bytecode "4,48 0 0 8,21 0 1 64,6 0 0 1,6 0 0 0"', context)
        assert context.consulted == {"ttl"}

    def test_mark(self) -> None:
        clause = '-m bpf --bytecode "4,32 0 0 4294963220,21 0 1 7,6 0 0 1,6 0 0 0"'
        assert holds(clause, context_of(packet4(mark=7))) is True
        assert holds(clause, context_of(packet4(mark=8))) is False


class TestWire:
    """Header layouts of RFC 791, 8200, 9293, 768, 792, 4302."""

    def test_udp_over_ipv4(self) -> None:
        packet = packet4(proto=UDP, sport=0x1234, dport=53, payload=b"hi", length=30, ttl=9, tos=0x10)
        header = "4510001e 00000000 09110000 0a090001 0a090002"
        assert wire_bytes(packet).data == bytes.fromhex(f"{header} 12340035 000a0000 6869")

    def test_tcp_with_options(self) -> None:
        packet = packet4(tcp_flags=SYN, tcp_options={2: b"\x05\xb4", 4: b"", 1: b""}, length=48)
        data = wire_bytes(packet).data
        assert data[20:24].hex() == "03e80050"
        assert data[32:34].hex() == "7002"
        assert data[40:48].hex() == "020405b4 0402 01 00".replace(" ", "")

    def test_icmp_echo(self) -> None:
        packet = packet4(proto=ICMP, icmp_type=8, icmp_code=0, sport=0x77, length=28)
        assert wire_bytes(packet).data[20:].hex() == "0800000000770000"

    def test_ipv6_with_headers(self) -> None:
        packet = packet6(extension_headers=(HOP, AH5), length=72, payload=b"")
        data = wire_bytes(packet).data
        assert data[:8].hex() == "6000000000200040"
        assert data[40:48].hex() == "3300" + HOP[1].hex()
        assert data[48:64].hex() == "1102" + AH5[1].hex()
        assert data[64:68].hex() == "03e80035"
        assert transport_offset(packet) == 64

    def test_ipv6_fragment_header(self) -> None:
        packet = packet6(fragment="middle", length=56, extra={"fragment_offset": 1480, "fragment_id": 5})
        assert wire_bytes(packet).data[40:48].hex() == "110005c900000005"

    @pytest.mark.parametrize(
        ("packet", "length"),
        [
            (packet4(length=40), 40),
            (packet4(length=60), 60),
            (packet4(payload=b"x" * 100, length=60), 140),
            (packet4(proto=UDP, payload=b"x", length=60, defaults=frozenset({"length"})), 29),
            (packet6(length=100), 100),
        ],
    )
    def test_length(self, packet: Packet, length: int) -> None:
        assert len(wire_bytes(packet).data) == length
        assert len(wire_bytes(packet).known) == length

    def test_what_is_open(self) -> None:
        known = wire_bytes(packet4(tcp_flags=ACK, length=44)).known
        assert known[4:8].hex() == "0000bfff"
        assert known[24:34].hex() == "0000000000000000ffff"
        assert known[38:40].hex() == "ffff"
        assert known[40:].hex() == "00000000"
        assert wire_bytes(packet4(tcp_flags=ACK | URG)).known[38:40].hex() == "0000"

    def test_what_is_stated_is_known(self) -> None:
        extra = {"ip_id": 7, "ip_df": 1, "tcp_seq": 9, "tcp_ack": 8, "tcp_window": 100}
        data, known, _ = wire_bytes(packet4(extra=extra, length=40))
        assert data[4:8].hex() == "00074000"
        assert data[24:32].hex() == "0000000900000008"
        assert known[4:8].hex() == known[24:28].hex() == "ffffffff"


class TestRates:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("100/s", "100/sec"), ("7/min", "7/min"), ("60/min", "1/sec"), ("86400/day", "1/sec"),
            ("9999/s", "10000/sec"), ("333/hour", "333/hour"), ("13/d", "13/day"), ("5/MIN", "5/min"),
            ("5", "5/sec"), ("777/min", "777/min"), ("05/s", "5/sec"),
        ],
    )  # fmt: skip
    def test_printed_as_iptables_does(self, text: str, expected: str) -> None:
        assert str(parse_rate(text)) == expected

    @pytest.mark.parametrize("text", ["0/s", "5/x", "5/", "10001/s", "", "/s", "x"])
    def test_refused(self, text: str) -> None:
        with pytest.raises(ValueError):
            parse_rate(text)

    @pytest.mark.parametrize("scale", [LIMIT_SCALE, HASHLIMIT_SCALE])
    @pytest.mark.parametrize("unit", ["second", "minute", "hour", "day"])
    def test_what_is_printed_reads_back(self, scale: int, unit: str) -> None:
        for amount in [*range(1, 500), *range(501, 10_000, 97)]:
            rate = parse_rate(f"{amount}/{unit}", scale)
            assert parse_rate(str(rate), scale) == rate


TOOLS = all(map(shutil.which, ("unshare", "iptables-nft-restore", "ip6tables-nft-restore")))


def restore(family: Family, chain: str, clauses: list[str]) -> list[str] | None:
    """Return how iptables-save prints the clauses; None if iptables-restore refuses them."""
    command = "iptables-nft" if family == 4 else "ip6tables-nft"
    dump = "*mangle\n" + "".join(f"-A {chain} {clause}\n" for clause in clauses) + "COMMIT\n"
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", f"{command}-restore && {command}-save -t mangle"],
        input=dump,
        capture_output=True,
        text=True,
    )
    saved = [line.removeprefix(f"-A {chain} ") for line in done.stdout.splitlines() if line.startswith("-A")]
    return None if done.returncode else saved


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0 or not TOOLS, reason="needs root and the netfilter tools")
class TestAgainstTheTools:
    @pytest.mark.parametrize(("family", "chain"), sorted({(line.family, line.chain) for line in TAKEN}))
    def test_printed(self, family: Family, chain: str) -> None:
        # rules with the same hashlimit table can't be loaded together
        mine = [line for line in TAKEN if (line.family, line.chain) == (family, chain)]
        shared = [line for line in mine if "hashlimit" not in line.clause]
        assert restore(family, chain, [line.clause for line in shared]) == [line.printed for line in shared]
        for line in mine:
            if "hashlimit" in line.clause:
                assert restore(family, chain, [line.clause]) == [line.printed]

    @pytest.mark.parametrize("line", REFUSED, ids=lambda line: f"{line.family} {line.clause}")
    def test_refused(self, line: Line) -> None:
        assert restore(line.family, line.chain, [line.clause]) is None
