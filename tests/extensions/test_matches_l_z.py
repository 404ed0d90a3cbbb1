"""The matches from `limit` to `udp`: what they print, refuse and mean.

What is printed and refused was seen with iptables 1.8.9, what matches with Linux 6.18: rules with these
clauses, packets over a veth pair, and the rules' counters.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iptsim.addresses import parse_address
from iptsim.dump.reader import loads
from iptsim.dump.recipe import Misread, Recipe
from iptsim.dump.words import split
from iptsim.errors import UsageError
from iptsim.extensions.base import Match
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.matches.u32 import _least
from iptsim.extensions.registry import find_match
from iptsim.packet import Packet
from iptsim.protocols import ACK, SYN
from iptsim.truth import Truth, Unknown
from tests.extensions import worlds


def bind(clause: str, family: int = 4) -> Match:
    """Make the match of `NAME --option words ...`, as a rule has it behind `-m`.

    Raises:
        ValueError: a value means nothing, an option may not be negated, or the options do not go together.
    """
    words = split(clause)
    assert words is not None
    extension = find_match(words[0], family)
    assert extension is not None, words[0]
    rows, texts, at, negated = [], [], 1, False
    while at < len(words):
        if words[at] == "!":
            at, negated = at + 1, True
            continue
        option = next(row for row in extension.options if words[at] in (row.flag, *row.aliases))
        if negated and not option.negatable:
            raise ValueError(f"! before {option.flag}")
        at += 1
        missing = at == len(words) or words[at][:1] in ("-", "!")
        count = 0 if option.value is None or (option.value.optional and missing) else option.value.words
        texts += words[at : at + count]
        rows.append((option, negated, count))
        at, negated = at + count, False
    try:
        model = Recipe(extension, tuple(rows), ListingForm(family=family)).make(texts)
    except Misread as error:
        raise ValueError(str(error)) from None
    assert isinstance(model, Match)
    return model


def saved(clause: str, family: int = 4) -> str:
    match = bind(clause, family)
    return f"{match.name} {match.save()}".strip()


class World(worlds.World):
    """Surroundings that know what a test tells them."""

    def __init__(self, facts: dict[str, Any] | None = None, **known: Any) -> None:
        super().__init__(facts)
        self.known = known

    def recent(self, name: str) -> dict[int, list[float]] | None:
        lists: dict[str, dict[int, list[float]]] | None = self.known.get("recent")
        return None if lists is None else lists.get(name, {})

    def set_contains(self, name: str, directions: tuple[str, ...], context: Context, options: Any) -> Truth:
        answer: Truth = self.known["sets"].get((name, directions, options["return_nomatch"]), False)
        return answer

    def reverse_path(self, context: Context, **options: bool) -> Truth:
        answer: Truth = self.known["path"][frozenset(name for name, on in options.items() if on)]
        return answer


def packet(src: str = "10.1.0.9", dst: str = "10.1.0.1", **fields: Any) -> Packet:
    family, source = parse_address(src)
    values = {"sport": 40000, "dport": 80, "length": 60, **fields}
    return Packet(family, source, parse_address(dst)[1], **values)


def packet6(**fields: Any) -> Packet:
    return packet("2001:db8:1::9", "2001:db8:1::1", **fields)


def truth(match: Match, seen: Packet, world: World | None = None, **where: Any) -> Truth:
    """Return what all conditions of a match say together, as the walk puts them together."""
    values = {"hook": "INPUT", "table": "filter", "in_interface": "eth0", **where}
    context = Context(seen, surroundings=world or World(), **values)
    answer: Truth = True
    for predicate in match.predicates():
        assert predicate.got(context)
        one = predicate.test(context)
        if one is False:
            return False
        if one is not True:
            answer = one
    return answer


# -- printing -----------------------------------------------------------------------------------------

#: Clause and what iptables-save 1.8.9 prints for it, without `-m`. Where it needs more than the clause
#: to load, `IN` says so: what precedes `-m`, and table and chain.
CANONICAL = [
    ("limit", "limit --limit 3/hour"),
    ("limit --limit 10", "limit --limit 10/sec"),
    ("limit --limit 10/minute --limit-burst 7", "limit --limit 10/min --limit-burst 7"),
    ("limit --limit 10/minute --limit-burst 5", "limit --limit 10/min"),
    ("limit --limit-burst 20", "limit --limit 3/hour --limit-burst 20"),
    ("mac --mac-source 0:aa:bb:1:2:03", "mac --mac-source 00:aa:bb:01:02:03"),
    ("mac ! --mac-source 00:aa:BB:cc:dd:ee", "mac ! --mac-source 00:aa:bb:cc:dd:ee"),
    ("mark --mark 10", "mark --mark 0xa"),
    ("mark ! --mark 1/0xff", "mark ! --mark 0x1/0xff"),
    ("multiport --destination-ports http,443,1000:2000", "multiport --dports 80,443,1000:2000"),
    ("multiport ! --source-ports 21", "multiport ! --sports 21"),
    ("multiport --ports 53", "multiport --ports 53"),
    ("multiport --dports 1:2,3:4,5:6,7:8,9:10,11:12,13:14,15", None),
    ("osf --genre Linux --ttl 2 --log 1", None),
    ("osf ! --genre Linux --ttl 0 --log 0", None),
    ("owner --uid-owner root", "owner --uid-owner 0"),
    (
        "owner ! --uid-owner 0:1000 --gid-owner 5 --suppl-groups",
        "owner ! --uid-owner 0-1000 --gid-owner 5 --suppl-groups",
    ),
    (
        "owner --uid-owner 0x10 ! --gid-owner 4-5 --socket-exists",
        "owner --socket-exists --uid-owner 16 ! --gid-owner 4-5",
    ),
    ("owner ! --socket-exists", None),
    ("physdev ! --physdev-in eth+ --physdev-is-in", "physdev --physdev-is-in ! --physdev-in eth+"),
    (
        "physdev ! --physdev-is-bridged ! --physdev-is-out --physdev-out x.1 --physdev-in y",
        "physdev --physdev-in y ! --physdev-is-out --physdev-out x.1 ! --physdev-is-bridged",
    ),
    ("pkttype --pkt-type host", "pkttype --pkt-type unicast"),
    ("pkttype ! --pkt-type MULTICAST", "pkttype ! --pkt-type multicast"),
    ("policy --dir in", "policy --dir in --pol ipsec"),
    ("policy --dir in --pol none --proto esp", "policy --dir in --pol none"),
    (
        "policy --dir in --pol ipsec --proto 50 --mode tunnel --reqid 7 --spi 16 --tunnel-src 10.0.0.5/8 "
        "! --tunnel-dst 10.1.0.1",
        "policy --dir in --pol ipsec --reqid 7 --spi 0x10 --proto esp --mode tunnel ! --tunnel-dst 10.1.0.1 "
        "--tunnel-src 10.0.0.5/8",
    ),
    (
        "policy --dir in --pol ipsec --strict --proto ipcomp --next ! --proto ah --mode tunnel "
        "--tunnel-dst 1.2.3.4 --next --reqid 3",
        None,
    ),
    ("quota ! --quota 0x10", "quota ! --quota 16"),
    ("quota --quota 18446744073709551615", None),
    ("realm --realm 5", "realm --realm 0x5"),
    ("realm ! --realm 0x1/0xff", None),
    ("realm --realm cosmos", None),
    (
        "recent --name a.b --rcheck --seconds 60 --hitcount 4 --reap --rttl --rdest --mask 255.255.255.0",
        "recent --rcheck --seconds 60 --reap --hitcount 4 --rttl --name a.b --mask 255.255.255.0 --rdest",
    ),
    (
        "recent ! --update --mask 255.255.255.255",
        "recent ! --update --name DEFAULT --mask 255.255.255.255 --rsource",
    ),
    ("recent --remove --mask 24", "recent --remove --name DEFAULT --mask 0.0.0.24 --rsource"),
    ("rpfilter", None),
    (
        "rpfilter --invert --loose --accept-local --validmark",
        "rpfilter --loose --validmark --accept-local --invert",
    ),
    ("sctp --source-port 80 ! --dport 90:", "sctp --sport 80 ! --dport 90:65535"),
    ("sctp --chunk-types ANY init,data", "sctp --chunk-types any DATA,INIT"),
    ("sctp ! --chunk-types all DATA:iUbE,ABORT:T,SHUTDOWN_COMPLETE:t", None),
    ("sctp --chunk-types any DATA:B,DATA:u", "sctp --chunk-types any DATA:uB"),
    ("sctp --chunk-types only ASCONF,ASCONF_ACK,PAD", "sctp --chunk-types only ASCONF_ACK,PAD,ASCONF"),
    ("sctp --chunk-types only ALL", None),
    ("sctp --chunk-types any NONE", None),
    (
        "socket --nowildcard --transparent --restore-skmark",
        "socket --transparent --nowildcard --restore-skmark",
    ),
    ("state --state ESTABLISHED,new", "state --state NEW,ESTABLISHED"),
    ("state ! --state UNTRACKED,INVALID", "state ! --state INVALID,UNTRACKED"),
    ("statistic --mode random --probability 0.5", "statistic --mode random --probability 0.50000000000"),
    (
        "statistic --mode random ! --probability .3333333",
        "statistic --mode random ! --probability 0.33333329996",
    ),
    ("statistic --mode random --probability 1e-3", "statistic --mode random --probability 0.00100000016"),
    ("statistic --mode nth ! --every 3 --packet 2", None),
    ("string --algo bm --string abc", 'string --string "abc" --algo bm'),
    (
        'string --algo kmp --from 10 --to 20 ! --string "a b\\"c" --icase',
        'string ! --string "a b\\"c" --algo kmp --from 10 --to 20 --icase',
    ),
    (
        'string --algo bm --hex-string "|03|www|09|net|00|"',
        'string --hex-string "|03777777096e657400|" --algo bm',
    ),
    ('string --algo bm --hex-string "ab|63 64|"', 'string --string "abcd" --algo bm'),
    ('string --algo bm --hex-string "ab\\\\|cd"', 'string --string "ab|cd" --algo bm'),
    ('string --algo bm --hex-string "|41||42|"', 'string --string "A|42" --algo bm'),
    ('string --algo bm --string "end\\\\"', 'string --hex-string "|656e645c|" --algo bm'),
    ('string --algo bm --string "mid\\\\dle"', 'string --string "mid\\\\dle" --algo bm'),
    ('string --algo bm --string "é"', 'string --hex-string "|c3a9|" --algo bm'),
    ("string --algo bm --to 0 --from 0 --string a", 'string --string "a" --algo bm --to 0'),
    ("tcpmss --mss :1500", "tcpmss --mss 0:1500"),
    ("tcpmss ! --mss 1400:1500", None),
    (
        "time --timestart 8:0 --datestop 2030",
        "time --timestart 08:00:00 --timestop 23:59:59 --datestop 2030-01-01T00:00:00",
    ),
    (
        "time ! --weekdays Sat,7 ! --monthdays 31,2 --datestop 2030",
        "time --monthdays 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30 "
        "--weekdays Mon,Tue,Wed,Thu,Fri --datestop 2030-01-01T00:00:00",
    ),
    (
        "time --datestart 2024-02-31 --datestop 2025-03-04T5:06:07",
        "time --datestart 2024-03-02T00:00:00 --datestop 2025-03-04T05:06:07",
    ),
    (
        "time --datestop 2030 --kerneltz --contiguous --timestart 23:00 --timestop 1:00",
        "time --timestart 23:00:00 --timestop 01:00:00 --datestop 2030-01-01T00:00:00 --kerneltz "
        "--contiguous",
    ),
    ("time --weekdays 1,2,3,4,5,6,7 --datestop 2030", "time --datestop 2030-01-01T00:00:00"),
    ("tos --tos 16", "tos --tos 0x10/0xff"),
    ("tos ! --tos minimize-delay", "tos ! --tos 0x10/0x3f"),
    ("tos --tos 0xff/0x0f", None),
    ("ttl --ttl 7", "ttl --ttl-eq 7"),
    ("ttl ! --ttl-eq 5", None),
    ("ttl --ttl-gt 5", None),
    ("u32 --u32 6&0xFF=1", 'u32 --u32 "0x6&0xff=0x1"'),
    (
        'u32 ! --u32 " 0>>22&0x3C@12>>26&0x3C @ 8=1,2, 5 : 8 && 010=7:7"',
        'u32 ! --u32 "0x0>>0x16&0x3c@0xc>>0x1a&0x3c@0x8=0x1,0x2,0x5:0x8&&0x8=0x7"',
    ),
    ("udp --source-port domain --destination-port 100:", "udp --sport 53 --dport 100:65535"),
    ("udp", None),
    ("udp --dport 60000:29", None),
    ("udp ! --sport 9:5", None),
    ("udp --sport : --dport 5", "udp --dport 5"),
    ("udp --dport 0:65535", "udp"),
]
CANONICAL6 = [
    ("mh --mh-type bu", "mh --mh-type 5"),
    ("mh ! --mh-type 1:coti", "mh ! --mh-type 1:2"),
    ("mh --mh-type ho", "mh --mh-type 1"),
    ("mh --mh-type home-test:", "mh --mh-type 3:255"),
    ("mh --mh-type 0:255", "mh"),
    (
        "policy --dir in --mode tunnel --tunnel-src 2001:db8::/32 --tunnel-dst ::1",
        "policy --dir in --pol ipsec --mode tunnel --tunnel-dst ::1 --tunnel-src 2001:db8::/32",
    ),
    ("recent --set --mask ffff::", "recent --set --name DEFAULT --mask ffff:: --rsource"),
    (
        "rt --rt-type 0 --rt-segsleft 1:5 --rt-len 40 --rt-0-res --rt-0-addrs ::1,2001:db8::1 "
        "--rt-0-not-strict",
        None,
    ),
    ("rt ! --rt-len 8 ! --rt-segsleft 3 ! --rt-type 2", "rt ! --rt-type 2 ! --rt-segsleft 3 ! --rt-len 8"),
    ("rt --rt-segsleft :5", "rt --rt-segsleft 0:5"),
    ("rt --rt-segsleft 0:4294967295", "rt"),
    ("srh", None),
    (
        "srh --srh-next-hdr 17 --srh-hdr-len-eq 8 --srh-segs-left-gt 2 --srh-last-entry-lt 3 --srh-tag 5 "
        "--srh-psid ::1/64 --srh-nsid 2001:db8::1 ! --srh-lsid 2001:db8::/32",
        "srh --srh-next-hdr 17 --srh-hdr-len-eq 8 --srh-segs-left-gt 2 --srh-last-entry-lt 3 --srh-tag 5 "
        "--srh-psid ::1/64 --srh-nsid 2001:db8::1/128 ! --srh-lsid 2001:db8::/32",
    ),
    ("tos --tos 3", "tos --tos 0x03/0xff"),
]
#: Needs something that must be made first: an ipset, a rate estimator, an accounting object.
CANONICAL_WITH_HELP = [
    ("nfacct --nfacct-name web.in", None),
    ("set --set foo.b srcs,dst", "set --match-set foo.b src,dst"),
    ("set --match-set foo src --update-counters", "set --match-set foo src"),
    (
        "set ! --match-set foo src,dst --packets-lt 5 ! --bytes-eq 0x9 ! --update-subcounters "
        "--return-nomatch ! --update-counters",
        "set ! --match-set foo src,dst --return-nomatch ! --update-counters ! --update-subcounters "
        "--packets-lt 5 ! --bytes-eq 9",
    ),
    (
        "rateest --rateest foo --rateest-gt --rateest-bps 1000",
        "rateest --rateest foo --rateest-gt --rateest-bps 1000bit",
    ),
    (
        "rateest --rateest foo ! --rateest-lt --rateest-pps 0x10",
        "rateest --rateest foo ! --rateest-lt --rateest-pps 16",
    ),
    (
        "rateest --rateest foo --rateest-eq --rateest-bps 2.5mbit",
        "rateest --rateest foo --rateest-eq --rateest-bps 2500Kbit",
    ),
    (
        "rateest --rateest1 foo --rateest-lt --rateest2 bar --rateest-bps1 --rateest-bps2",
        "rateest --rateest1 foo --rateest-lt --rateest-bps --rateest2 bar",
    ),
    (
        "rateest --rateest1 foo --rateest-delta --rateest-bps1 2.5mbit --rateest-lt --rateest2 bar "
        "--rateest-bps2 2kBps",
        "rateest --rateest-delta --rateest1 foo --rateest-bps1 2500Kbit --rateest-lt --rateest-bps2 16000bit "
        "--rateest2 bar",
    ),
]
ALL_CANONICAL = [
    (family, row[0], row[1] or row[0])
    for family, rows in ((4, CANONICAL), (6, CANONICAL6), (4, CANONICAL_WITH_HELP))
    for row in rows
]


@pytest.mark.parametrize(("family", "clause", "canonical"), ALL_CANONICAL)
def test_prints_like_iptables_save(family: int, clause: str, canonical: str) -> None:
    assert saved(clause, family) == canonical
    assert saved(canonical, family) == canonical


@pytest.mark.parametrize(
    "clause",
    [
        "statistic --mode random --probability 0.333333",  # before 1.4.20
        "time --timestart 08:00:00 --timestop 17:30:05 --datestop 2038-01-19T03:14:07",
        "time --weekdays Mon --datestop 2038-01-19T03:14:07 --utc",
        "time --weekdays Mon --datestop 2038-01-19T03:14:07 --localtz",
    ],
)
def test_keeps_what_other_versions_print(clause: str) -> None:
    assert saved(clause) == clause


@pytest.mark.parametrize("clause", ["time --monthdays 0", "time --weekdays 8"])
def test_days_that_there_are_not_hold_never(clause: str) -> None:
    """As iptables 1.8.9 takes them; it prints no value, which it would not take. A number keeps the meaning."""
    printed = saved(clause)
    assert printed == saved(printed)
    assert truth(bind(clause), packet(), World({"time": "2024-12-24T18:00:00"})) is False


def test_days_beside_those_that_there_are() -> None:
    """As iptables 1.8.9 prints it."""
    assert saved("time --monthdays 0,3,") == "time --monthdays 3 --datestop 2038-01-19T03:14:07"
    assert saved("time --weekdays 8,Monday") == "time --weekdays Mon --datestop 2038-01-19T03:14:07"


@pytest.mark.parametrize(
    ("family", "clause", "canonical"),
    [
        (6, "mh ! --mh-type 0:255", "mh ! --mh-type 0:255"),
        (6, "rt ! --rt-segsleft :", "rt ! --rt-segsleft 0:4294967295"),
        (4, "tcp ! --sport :", "tcp ! --sport 0:65535"),
        (4, "udp ! --dport :", "udp ! --dport 0:65535"),
    ],
)
def test_a_negated_whole_range_is_a_condition(family: int, clause: str, canonical: str) -> None:
    """As iptables prints it since 1.8.11 (commits 83f60fb3, a0e5dad3, a86eb41e); before, it lost the condition."""
    assert saved(clause, family) == canonical


@pytest.mark.parametrize(
    ("clause", "version", "expected"),
    [
        # xtables_print_mac prints small letters since 1.8.7 (commit 1bdb5535 of iptables)
        ("mac --mac-source 00:AA:BB:CC:DD:EE", "1.8.6", "mac --mac-source 00:AA:BB:CC:DD:EE"),
        ("mac --mac-source 00:AA:BB:CC:DD:EE", "1.8.7", "mac --mac-source 00:aa:bb:cc:dd:ee"),
        # --mask came with 1.4.15 (74ded725)
        ("recent --set --name SSH --rsource", "1.4.14", "recent --set --name SSH --rsource"),
        (
            "recent --set --name SSH --rsource",
            "1.4.15",
            "recent --set --name SSH --mask 255.255.255.255 --rsource",
        ),
        # the last offset is printed unless it is the default since 1.8.9 (1bfb1d91), before unless it is 0
        ('string --string "a" --algo bm', "1.8.8", 'string --string "a" --algo bm --to 65535'),
        ('string --string "a" --algo bm --to 65535', "1.8.9", 'string --string "a" --algo bm'),
    ],
)
def test_prints_as_the_version_of_the_dump_does(clause: str, version: str, expected: str) -> None:
    header = f"# Generated by iptables-save v{version} on Mon Jan  1 00:00:00 2024\n"
    dump = f"{header}*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m {clause}\nCOMMIT\n"

    assert [rule.text for rule in loads(dump).rules()] == [f"-A INPUT -m {expected}"]


#: What `iptables-save` shows was loaded with this: what precedes `-m`, table and chain.
PLACES = {
    "multiport": ("-p tcp", "filter", "INPUT"), "osf": ("-p tcp", "filter", "INPUT"),
    "tcpmss": ("-p tcp", "filter", "INPUT"), "sctp": ("-p sctp", "filter", "INPUT"),
    "udp": ("-p udp", "filter", "INPUT"), "mh": ("-p mh", "filter", "INPUT"),
    "owner": ("", "filter", "OUTPUT"), "rpfilter": ("", "raw", "PREROUTING"),
    "physdev": ("", "filter", "FORWARD"),
}  # fmt: skip


@pytest.mark.kernel
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("iptables-nft-restore") or not shutil.which("unshare"),
    reason="needs root, unshare and iptables",
)
def test_the_table_above_is_what_the_installed_iptables_prints() -> None:
    version = subprocess.run(
        ["iptables-nft-restore", "--version"], capture_output=True, text=True, check=True
    )
    if "v1.8.9" not in version.stdout:
        pytest.skip("the table was taken from iptables 1.8.9")
    wrong = []
    for family, clause, canonical in ALL_CANONICAL[: len(CANONICAL) + len(CANONICAL6)]:
        before, table, chain = PLACES.get(clause.split()[0], ("", "filter", "INPUT"))
        tool = f"ip{'6' if family == 6 else ''}tables-nft"
        done = subprocess.run(
            ["unshare", "-n", "sh", "-c", f"{tool}-restore && {tool}-save -t {table}"],
            input=f"*{table}\n-A {chain} {before} -m {clause}\nCOMMIT\n",
            capture_output=True,
            text=True,
            check=False,
        )
        rules = [line for line in done.stdout.splitlines() if line.startswith("-A")]
        if done.returncode or not rules[0].endswith(f"-m {canonical}"):
            wrong.append((clause, done.stderr or rules))
    assert not wrong


@pytest.mark.parametrize(
    "clause",
    [
        "limit --limit 10/fortnight",
        "limit --limit 0/sec",
        "limit --limit 20000/sec",
        "limit ! --limit 2/sec",
        "limit --limit-burst 10001",
        "mac",
        "mac --mac-source 00:aa:bb:cc:dd",
        "mac --mac-source 00:aa:bb:cc:dd:gg",
        "mark --mark 0x1/",
        "mark --mark 4294967296",
        "mark",
        "multiport",
        "multiport --dports 1:2,3:4,5:6,7:8,9:10,11:12,13:14,15:16",
        "multiport --dports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16",
        "multiport --dports :80",
        "multiport --dports 80:80",
        "multiport --dports 90:80",
        "multiport --dports 80,",
        "multiport --ports 65536",
        "multiport --ports 53 --dports 3",
        "osf --ttl 2",
        "osf --genre Linux --ttl 3",
        "owner",
        "owner --suppl-groups",
        "owner --uid-owner 5-4",
        "owner --uid-owner 5-",
        "owner --uid-owner 4294967295",
        "owner --gid-owner root --gid-owner 5",
        "physdev",
        "physdev --physdev-in a123456789012345",
        "pkttype",
        "pkttype --pkt-type outgoing",
        "policy --pol ipsec",
        "policy --dir in --pol none --strict --proto esp",
        "policy --dir in --pol ipsec --proto tcp",
        "policy --dir in --pol ipsec --tunnel-src 1.2.3.4",
        "policy --dir in --pol ipsec --tunnel-src 1.2.3.4 --mode transport",
        "policy --dir in --pol ipsec --tunnel-src 1.2.3.4 ! --mode tunnel",
        "policy --dir in --pol ipsec --strict",
        "policy --dir in --pol ipsec --strict --next --reqid 2",
        "policy --dir in --pol ipsec --next --proto esp",
        "policy --dir in --pol ipsec --reqid 1 --reqid 2",
        "policy --dir in --dir out --pol ipsec",
        "policy --dir in --strict --reqid 1" + 4 * " --next --reqid 2",
        "quota",
        "quota --quota abc",
        "rateest",
        "rateest --rateest foo --rateest-bps 3",
        "rateest --rateest-lt --rateest-bps 3",
        "rateest --rateest foo --rateest-lt",
        "recent --name x",
        "recent --set --rcheck",
        "recent --set --rttl",
        "recent --set --hitcount 3",
        "recent --remove --seconds 3",
        "recent --rcheck --reap",
        "recent --rcheck --seconds 0",
        "recent --rcheck --hitcount 65536",
        "recent --rcheck --name a/b",
        'recent --rcheck --name ""',
        "sctp --chunk-types any DATA:Q",
        "sctp --chunk-types some DATA",
        "sctp --chunk-types any FOO",
        "set",
        "set --match-set foo sr",
        "set --match-set foo src,dst,src,dst,src,dst,src",
        "set --match-set foo src ! --packets-lt 5",
        "set --match-set foo src --packets-gt 5 --packets-lt 3",
        "state",
        "state --state DNAT",
        "statistic --mode foo --every 1 --packet 0",
        "statistic --mode random",
        "statistic --mode random --probability 1.1",
        "statistic --mode random --every 3 --packet 0",
        "statistic --mode nth ! --every 3",
        "statistic --mode nth --packet 3",
        "statistic --mode nth --every 3 --packet 3",
        "statistic --mode nth --every 0 --packet 0",
        "statistic --mode nth --probability 0.1",
        "string --algo bm",
        "string --string a",
        "string --algo xx --string a",
        'string --algo bm --string ""',
        "string --algo bm --string a --hex-string b",
        "string --algo bm --from 50 --to 20 --string a",
        "string --algo bm --from 70000 --string a",
        f"string --algo bm --string {'a' * 129}",
        'string --algo bm --hex-string "|0|"',
        'string --algo bm --hex-string "|41 4|"',
        'string --algo bm --hex-string "|zz|"',
        'string --algo bm --hex-string "abc|41"',
        'string --algo bm --hex-string "a|  41 42  |b"',
        'string --algo bm --hex-string "||"',
        'string --algo bm --hex-string "a||b"',
        'string --algo bm --hex-string "a\\\\"',
        'string --algo bm --hex-string "|41\\\\|"',
        "tcpmss",
        "tcpmss --mss 5:3",
        "tcpmss --mss 5:6:7",
        "tcpmss --mss 70000",
        "time --timestart 24:00",
        "time --timestart 8",
        "time --timestart 1:00 --timestop 2:00 --contiguous",
        "time --contiguous",
        "time --datestart 1969",
        "time --datestart 2039",
        "time --datestart 2024-13",
        "time --weekdays 0",
        "time --weekdays mo",
        "time --monthdays 32",
        "time --kerneltz --utc",
        "tos --tos 256",
        "tos --tos Fast",
        "ttl",
        "ttl ! --ttl-gt 5",
        "ttl --ttl-gt 256",
        "ttl --ttl-gt 2 --ttl-lt 4",
        'u32 --u32 ""',
        "u32 --u32 1",
        "u32 --u32 =3",
        "u32 --u32 1=",
        "u32 --u32 1=2,",
        "u32 --u32 1=2:",
        'u32 --u32 "1=2 3"',
        "u32 --u32 1=2&3=4",
        "u32 --u32 1=2&&",
        "u32 --u32 1==1",
        "u32 --u32 1=1=1",
        "u32 --u32 1|2=3",
        "u32 --u32 6>5=1",
        "u32 --u32 -6=1",
        "u32 --u32 09=1",
        "u32 --u32 4294967296=3",
        "u32 --u32 1<<32=3",
        "u32 --u32 1>>32=3",
        f"u32 --u32 {'&&'.join(f'{n}={n}' for n in range(11))}",
        f"u32 --u32 1={','.join(map(str, range(11)))}",
        f"u32 --u32 {'&'.join(map(str, range(11)))}=1",
    ],
)
def test_refuses_what_iptables_or_the_kernel_refuses(clause: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        bind(clause)


@pytest.mark.parametrize(
    "clause",
    [
        "rt --rt-0-addrs ::1",
        "rt ! --rt-type 0 --rt-0-res",
        "rt --rt-type 0 --rt-0-not-strict",
        f"rt --rt-type 0 --rt-0-addrs {','.join(['::1'] * 17)}",
        "mh --mh-type 5:3",
        "mh --mh-type 256",
        "srh --srh-next-hdr tcp",
        "srh --srh-hdr-len-gt 256",
        "srh --srh-tag 65536",
    ],
)
def test_refuses_in_ipv6(clause: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        bind(clause, 6)


@pytest.mark.parametrize(
    ("name", "family", "there"),
    [
        ("mh", 4, False), ("rt", 4, False), ("srh", 4, False), ("osf", 6, False), ("realm", 6, False),
        ("ttl", 6, False), ("tos", 6, True), ("udplite", 4, False),
    ],
)  # fmt: skip
def test_families(name: str, family: int, there: bool) -> None:
    assert (find_match(name, family) is not None) is there


ALL_HOOKS = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}


@pytest.mark.parametrize(
    ("clause", "hooks"),
    [
        ("mac --mac-source 0:0:0:0:0:1", {"PREROUTING", "INPUT", "FORWARD"}),
        ("owner --uid-owner 0", {"OUTPUT", "POSTROUTING"}),
        ("osf --genre Linux", {"PREROUTING", "INPUT", "FORWARD"}),
        ("realm --realm 0", {"INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}),
        ("rpfilter", {"PREROUTING"}),
        ("socket", {"PREROUTING", "INPUT"}),
        ("policy --dir in", {"PREROUTING", "INPUT", "FORWARD"}),
        ("policy --dir out", {"FORWARD", "OUTPUT", "POSTROUTING"}),
        ("physdev --physdev-in a", ALL_HOOKS),
        ("physdev --physdev-is-bridged", ALL_HOOKS),
        ("physdev --physdev-out a", ALL_HOOKS - {"OUTPUT"}),
        ("physdev ! --physdev-out a", ALL_HOOKS - {"OUTPUT"}),
        ("physdev --physdev-is-out", ALL_HOOKS - {"OUTPUT"}),
        ("physdev --physdev-out a --physdev-is-bridged", ALL_HOOKS),
        ("physdev --physdev-out a ! --physdev-is-bridged", ALL_HOOKS - {"OUTPUT"}),
        ("mark --mark 1", ALL_HOOKS),
    ],
)
def test_hooks(clause: str, hooks: set[str]) -> None:
    assert (bind(clause).allowed_hooks() or ALL_HOOKS) == hooks


@pytest.mark.parametrize(("family", "clause", "canonical"), ALL_CANONICAL)
def test_words(family: int, clause: str, canonical: str) -> None:
    says = str(bind(clause, family).says())
    assert says == says.strip()
    assert says or canonical == "udp"
    assert "None" not in says
    assert "  " not in says


# -- meaning ------------------------------------------------------------------------------------------

MSS = {2: (1460).to_bytes(2, "big")}


@pytest.mark.parametrize(
    ("clause", "fields", "expected"),
    [
        ("mark --mark 0x1/0xff", {"mark": 0x301}, True),
        ("mark --mark 0x1", {"mark": 0x301}, False),
        ("mark ! --mark 0x1", {"mark": 0x301}, True),
        ("mark --mark 0x1ff/0xff", {"mark": 0x1FF}, False),
        ("mac --mac-source 02:aa:aa:aa:aa:aa", {"src_mac": "02:AA:aa:aa:aa:aa"}, True),
        ("mac ! --mac-source 02:aa:aa:aa:aa:aa", {"src_mac": "02:aa:aa:aa:aa:aa"}, False),
        ("mac ! --mac-source 02:aa:aa:aa:aa:aa", {"src_mac": "02:aa:aa:aa:aa:ab"}, True),
        ("multiport --dports 22,80", {}, True),
        ("multiport --dports 1:79,81:90", {}, False),
        ("multiport ! --dports 1:79,81:90", {}, True),
        ("multiport --sports 80", {}, False),
        ("multiport --ports 80", {}, True),
        ("multiport ! --ports 80", {}, False),
        ("multiport --dports 80", {"fragment": "middle"}, False),
        ("multiport ! --dports 99", {"fragment": "last"}, False),
        ("multiport --dports 80", {"fragment": "first"}, True),
        ("pkttype --pkt-type broadcast", {"pkttype": "broadcast"}, True),
        ("pkttype ! --pkt-type unicast", {"pkttype": "multicast"}, True),
        ("osf --genre Linux", {"tcp_flags": ACK}, False),
        ("osf ! --genre Linux", {"tcp_flags": ACK}, False),
        ("quota --quota 59", {}, False),
        ("quota ! --quota 59", {}, True),
        ("statistic --mode random --probability 0", {}, False),
        ("statistic --mode random ! --probability 0", {}, True),
        ("statistic --mode random --probability 1", {}, True),
        ("statistic --mode nth --every 1 --packet 0", {}, True),
        ("statistic --mode nth ! --every 1 --packet 0", {}, False),
        ("tcpmss --mss 1400:1500", {"tcp_options": MSS}, True),
        ("tcpmss ! --mss 1400:1500", {"tcp_options": MSS}, False),
        ("tcpmss --mss 1400:1500", {}, False),
        ("tcpmss ! --mss 1400:1500", {}, True),
        ("tcpmss --mss 0:65535", {"tcp_options": {2: b"\x05"}}, False),
        ("tos --tos 0x10", {"tos": 0x10}, True),
        ("tos --tos 0x10", {"tos": 0x11}, False),
        ("tos --tos Minimize-Delay", {"tos": 0x50}, True),
        ("tos --tos Minimize-Delay", {"tos": 0x11}, False),
        ("tos ! --tos Minimize-Delay", {"tos": 0x11}, True),
        ("ttl --ttl-eq 64", {}, True),
        ("ttl ! --ttl-eq 64", {}, False),
        ("ttl --ttl-lt 64", {}, False),
        ("ttl --ttl-lt 65", {}, True),
        ("ttl --ttl-gt 64", {}, False),
        ("ttl --ttl-lt 0", {"ttl": 0}, False),
        ("ttl --ttl-gt 255", {"ttl": 255}, False),
        ("udp", {"proto": 17}, True),
        ("udp", {"proto": 17, "fragment": "middle"}, False),
        ("udp --sport 1:100 --dport 80", {"proto": 17}, False),
        ("udp ! --dport 53", {"proto": 17}, True),
        ("policy --dir in --pol none", {}, True),
        ("policy --dir in --pol ipsec", {}, False),
        ("policy --dir in --pol ipsec --reqid 7", {}, False),
        ("policy --dir in --pol none", {"extra": {"ipsec": "in"}}, False),
        ("policy --dir in --pol none", {"extra": {"ipsec": "out"}}, True),
        ("policy --dir in", {"extra": {"ipsec": "in,out"}}, True),
        ("socket", {"proto": 47}, False),
        ("socket", {"proto": 1, "icmp_type": 8}, False),
        ("recent --set", {}, True),
        ("recent ! --set", {}, False),
    ],
)
def test_from_the_packet(clause: str, fields: dict[str, Any], expected: bool) -> None:
    assert truth(bind(clause), packet(**fields)) is expected


def test_mac_without_an_ethernet_frame() -> None:
    for clause in ("mac --mac-source 0:0:0:0:0:1", "mac ! --mac-source 0:0:0:0:0:1"):
        assert truth(bind(clause), packet(), in_interface="lo") is False
    keys = []
    for clause in (
        "--mac-source 0:0:0:0:0:1",
        "! --mac-source 00:00:00:00:00:01",
        "--mac-source 0:0:0:0:0:2",
    ):
        answer = truth(bind(f"mac {clause}"), packet())
        assert isinstance(answer, Unknown)
        keys.append(answer.key)
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("hook", ["OUTPUT", "POSTROUTING"])
def test_what_this_host_sends_is_a_unicast_frame_to_netfilter(hook: str) -> None:
    sent = packet(dst="10.1.0.255", proto=17, pkttype="broadcast", local_socket=True)
    where: dict[str, Any] = {"hook": hook, "in_interface": None, "out_interface": "eth0"}
    assert truth(bind("pkttype --pkt-type unicast"), sent, **where) is True
    assert truth(bind("pkttype --pkt-type broadcast"), sent, **where) is False


@pytest.mark.parametrize(
    ("clause", "fields", "expected"),
    [
        ("owner --uid-owner 0", {"uid": 0}, True),
        ("owner --uid-owner 1000-2000", {"uid": 2000}, True),
        ("owner --uid-owner 1000-2000", {"uid": 2001}, False),
        ("owner ! --uid-owner 1000-2000", {"uid": 2001}, True),
        ("owner --uid-owner 0 --gid-owner 5", {"uid": 0, "gid": 6}, False),
        ("owner --uid-owner 0 ! --gid-owner 5", {"uid": 0, "gid": 6}, True),
        ("owner --socket-exists", {"uid": 0}, True),
        ("owner ! --socket-exists", {"uid": 0}, False),
        ("owner --gid-owner 5 --suppl-groups", {"gid": 5}, True),
        ("owner --uid-owner 0", {"local_socket": False}, False),
        ("owner ! --uid-owner 0", {"local_socket": False}, True),
        ("owner ! --uid-owner 0 ! --socket-exists", {"local_socket": False}, True),
        ("owner --uid-owner 0 ! --socket-exists", {"local_socket": False}, False),
        ("owner --socket-exists", {"local_socket": False}, False),
        ("owner ! --gid-owner 5", {"local_socket": False}, True),
        ("owner ! --gid-owner 5 --suppl-groups", {"local_socket": False}, False),
    ],
)
def test_owner(clause: str, fields: dict[str, Any], expected: bool) -> None:
    sent = packet(**{"local_socket": True, **fields})
    assert truth(bind(clause), sent, hook="OUTPUT", in_interface=None) is expected


@pytest.mark.parametrize(
    ("clause", "fields", "decide"),
    [
        ("owner --uid-owner 0", {}, "--set uid=N"),
        ("owner ! --gid-owner 0", {"uid": 0}, "--set gid=N"),
        ("owner --uid-owner proxy", {"uid": 13}, "the number instead of proxy"),
        ("owner --gid-owner 5 --suppl-groups", {"gid": 6}, "--assume owner=yes"),
    ],
)
def test_owner_unknown(clause: str, fields: dict[str, Any], decide: str) -> None:
    answer = truth(bind(clause), packet(local_socket=True, **fields), hook="OUTPUT", in_interface=None)
    assert isinstance(answer, Unknown)
    assert str(answer.decide) == decide
    assert answer.key


#: The bridge ports that br_netfilter reports, and the physdev options that then hold.
PHYSDEV = [
    (
        {"physical_in": "p1", "physical_out": "p2", "bridged": True},
        {
            "--physdev-is-in",
            "--physdev-is-out",
            "--physdev-is-bridged",
            "--physdev-in p1",
            "--physdev-in +",
            "--physdev-out p2",
            "--physdev-out +",
        },
    ),
    (
        {"physical_in": "p1"},
        {
            "--physdev-is-in",
            "! --physdev-is-out",
            "! --physdev-is-bridged",
            "--physdev-in p1",
            "--physdev-in +",
        },
    ),
    (
        {},
        {
            "! --physdev-is-in",
            "! --physdev-is-out",
            "! --physdev-is-bridged",
            "! --physdev-in p1",
            "! --physdev-in +",
            "! --physdev-out p2",
            "! --physdev-out +",
        },
    ),
]


@pytest.mark.parametrize(("where", "holding"), PHYSDEV)
def test_physdev(where: dict[str, Any], holding: set[str]) -> None:
    options = [
        "--physdev-is-in", "--physdev-is-out", "--physdev-is-bridged", "--physdev-in p1", "--physdev-in +",
        "--physdev-out p2", "--physdev-out +",
    ]  # fmt: skip
    clauses = options + [f"! {option}" for option in options]
    found = {clause for clause in clauses if truth(bind(f"physdev {clause}"), packet(), **where)}
    assert found == holding


@pytest.mark.parametrize(
    ("clause", "state", "expected"),
    [
        ("state --state NEW,RELATED", "NEW", True),
        ("state ! --state NEW,RELATED", "NEW", False),
        ("state ! --state NEW,RELATED", "INVALID", True),
        ("state --state INVALID", "UNTRACKED", False),
    ],
)
def test_state(clause: str, state: str, expected: bool) -> None:
    assert truth(bind(clause), packet(), state=state) is expected


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ("--rcheck", True),
        ("! --rcheck", False),
        ("--update --seconds 10", True),
        ("--update --seconds 4", False),
        ("! --update --seconds 4", True),
        ("--rcheck --hitcount 3", True),
        ("--rcheck --hitcount 4", False),
        ("--rcheck --hitcount 2 --seconds 60", True),
        ("--rcheck --hitcount 3 --seconds 60", False),
        ("--remove", True),
        ("--rcheck --rdest", False),
        ("--remove --rdest", False),
        ("! --remove --rdest", True),
        ("--rcheck --rdest --mask 255.255.255.0", True),
        ("--rcheck --name empty", False),
    ],
)
def test_recent(clause: str, expected: bool) -> None:
    ages = [5.0, 50.0, 500.0]
    net = parse_address("10.1.0.0")[1]
    world = World(recent={"DEFAULT": {net + 9: ages, net: ages}})
    assert truth(bind(f"recent {clause}"), packet(), world) is expected


def test_recent_unknown() -> None:
    looked = truth(bind("recent --rcheck --name ssh"), packet())
    assert isinstance(looked, Unknown)
    assert str(looked.reason) == "whether 10.1.0.9 is in the recent list ssh"
    seen = {
        "--seconds 60": "in the last 60 seconds",
        "--hitcount 4": "at least 4 times",
        "--seconds 60 --hitcount 4": "at least 4 times in the last 60 seconds",
    }
    for clause, words in seen.items():
        often = truth(bind(f"recent --rcheck {clause} --name ssh"), packet())
        assert isinstance(often, Unknown)
        assert str(often.reason) == f"whether the recent list ssh has seen 10.1.0.9 {words}"
    assert looked.key == truth(bind("recent ! --rcheck --name ssh"), packet()).key  # type: ignore[union-attr]
    updated = truth(bind("recent --update --name ssh"), packet())
    assert isinstance(updated, Unknown)
    assert updated.key == ()
    world = World(recent={"DEFAULT": {parse_address("10.1.0.9")[1]: [1.0]}})
    assert isinstance(truth(bind("recent --rcheck --rttl"), packet(), world), Unknown)


def test_set() -> None:
    world = World(sets={("web", ("src", "dst"), False): True, ("web", ("src", "dst"), True): False})
    assert truth(bind("set --match-set web src,dst"), packet(), world) is True
    assert truth(bind("set ! --match-set web src,dst"), packet(), world) is False
    assert truth(bind("set --match-set web src,dst --return-nomatch"), packet(), world) is False
    assert truth(bind("set --match-set other src --packets-gt 5"), packet(), world) is False
    assert isinstance(truth(bind("set --match-set web src,dst --packets-gt 5"), packet(), world), Unknown)


def test_rpfilter() -> None:
    world = World(path={frozenset(): False, frozenset({"loose"}): True, frozenset({"accept_local"}): True})
    assert truth(bind("rpfilter"), packet(), world) is False
    assert truth(bind("rpfilter --invert"), packet(), world) is True
    assert truth(bind("rpfilter --loose --invert"), packet(), world) is False
    assert truth(bind("rpfilter --accept-local"), packet(), world) is True


def test_realm_and_socket_take_facts() -> None:
    assert truth(bind("realm --realm cosmos"), packet(), World({"realm": 0})) is True
    assert truth(bind("realm ! --realm 0x1/0xff"), packet(), World({"realm": 0x101})) is False
    assert isinstance(truth(bind("realm --realm 0"), packet()), Unknown)
    assert isinstance(truth(bind("realm --realm isp"), packet(), World({"realm": 0})), Unknown)
    assert truth(bind("socket"), packet(), World({"socket": True})) is True
    assert truth(bind("socket"), packet(), World({"socket": "no"})) is False
    assert isinstance(truth(bind("socket"), packet()), Unknown)


@pytest.mark.parametrize(
    ("clause", "reason", "decide"),
    [
        ("limit --limit 3/min", "whether the rate limit 3/min still has tokens", "--assume limit=yes"),
        ("quota --quota 60", "whether the quota of 60 bytes is used up", "--assume quota=yes"),
        (
            "statistic --mode random --probability 0.25",
            "chance: 25.00% of the packets match",
            "--assume statistic=yes",
        ),
    ],
)
def test_undecided_each_time_again(clause: str, reason: str, decide: str) -> None:
    answer = truth(bind(clause), packet())
    assert isinstance(answer, Unknown)
    assert (str(answer.reason), answer.decide, answer.key) == (reason, decide, ())


def test_statistic_nth_by_the_packets_that_came_before() -> None:
    match, inverse = (bind(f"statistic --mode nth {no}--every 3 --packet 2") for no in ("", "! "))
    seen = [truth(match, packet(), World({"nth": before})) for before in range(6)]
    assert seen == [False, False, True, False, False, True]
    assert [truth(inverse, packet(), World({"nth": before})) for before in range(3)] == [True, True, False]
    assert isinstance(truth(match, packet()), Unknown)


@pytest.mark.parametrize(
    ("clause", "moment", "expected"),
    [
        ("--timestart 08:00 --timestop 17:00", "2024-05-06T08:00:00", True),
        ("--timestart 08:00 --timestop 17:00", "2024-05-06T17:00:01", False),
        ("--timestart 23:00 --timestop 01:00", "2024-05-06T23:30:00", True),
        ("--timestart 23:00 --timestop 01:00", "2024-05-06T12:00:00", False),
        # 2024-05-06 is a Monday
        ("--weekdays Mon --timestart 23:00 --timestop 01:00", "2024-05-06T00:30:00", True),
        ("--weekdays Mon --timestart 23:00 --timestop 01:00", "2024-05-07T00:30:00", False),
        ("--weekdays Mon --timestart 23:00 --timestop 01:00 --contiguous", "2024-05-07T00:30:00", True),
        ("--weekdays Mon --timestart 23:00 --timestop 01:00 --contiguous", "2024-05-06T00:30:00", False),
        ("--weekdays Mon --timestart 23:00 --timestop 01:00 --contiguous", "2024-05-06T23:30:00", True),
        ("--monthdays 31 --timestart 23:00 --timestop 01:00 --contiguous", "2024-06-01T00:30:00", True),
        ("! --weekdays Sat,Sun", "2024-05-06T12:00:00", True),
        ("! --weekdays Mon", "2024-05-06T12:00:00", False),
        ("! --monthdays 6", "2024-05-06T12:00:00", False),
        ("--monthdays 6", "2024-05-06T12:00:00", True),
        ("--datestart 2024-05-06T12:00:01", "2024-05-06T12:00:00", False),
        ("--datestop 2024-05-06T12", "2024-05-06T12:00:00.5", True),
        ("--datestop 2024-05-06T12", "2024-05-06T12:00:01", False),
        ("--weekdays Mon", "2024-05-07T01:00:00+02:00", True),
    ],
)
def test_time(clause: str, moment: str, expected: bool) -> None:
    match = bind(f"time {clause}")
    assert truth(match, packet(), World({"time": moment})) is expected
    assert truth(match, packet(), World({"time": datetime.fromisoformat(moment)})) is expected


def test_time_unknown_and_by_the_kernel_zone() -> None:
    night = datetime(2024, 5, 6, 23, 30, tzinfo=UTC)
    assert isinstance(truth(bind("time --weekdays Mon"), packet()), Unknown)
    assert isinstance(
        truth(bind("time --weekdays Mon --kerneltz"), packet(), World({"time": night})), Unknown
    )
    ahead = World({"time": night, "kernel_timezone": 60})
    assert truth(bind("time --weekdays Mon --kerneltz"), packet(), ahead) is False
    assert truth(bind("time --weekdays Mon"), packet(), ahead) is True


@pytest.mark.parametrize(
    ("clause", "facts", "extra"),
    [
        ("statistic --mode nth --every 3 --packet 0", {"nth": "many"}, {}),
        ("time --weekdays Mon", {"time": "noon"}, {}),
        ("realm --realm 0", {"realm": "isp"}, {}),
        ("sctp --chunk-types any DATA", {}, {"sctp_chunks": "DATUM"}),
    ],
)
def test_a_fact_that_makes_no_sense_is_named(
    clause: str, facts: dict[str, Any], extra: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=next(iter([*facts, *extra]))):
        truth(bind(clause), packet(extra=extra), World(facts))


#: Clauses, and those of them that hold for a packet's chunks; the negated ones hold for the others.
SCTP_CLAUSES = ["any DATA,INIT", "all DATA,SACK", "only DATA,SACK", "any DATA:Be", "all DATA:Be"]
SCTP_CLAUSES += ["only DATA:Be,SACK", "any NONE", "all NONE", "only NONE", "any ALL", "all ALL", "only ALL"]
ALWAYS = {"all NONE", "any ALL", "only ALL"}


@pytest.mark.parametrize(
    ("chunks", "holding"),
    [
        (("INIT",), {"any DATA,INIT"}),
        (("DATA:BE",), {"any DATA,INIT", "only DATA,SACK"}),
        (
            "SACK,DATA:B",
            {
                "any DATA,INIT",
                "all DATA,SACK",
                "only DATA,SACK",
                "any DATA:Be",
                "all DATA:Be",
                "only DATA:Be,SACK",
            },
        ),
        (("DATA:E", "DATA:B"), {"any DATA,INIT", "only DATA,SACK", "any DATA:Be", "all DATA:Be"}),
    ],
)
def test_sctp_chunks(chunks: Any, holding: set[str]) -> None:
    seen = packet(proto=132, extra={"sctp_chunks": chunks})
    for clause in SCTP_CLAUSES:
        assert truth(bind(f"sctp --chunk-types {clause}"), seen) is (clause in holding | ALWAYS)
        assert truth(bind(f"sctp ! --chunk-types {clause}"), seen) is (clause not in holding | ALWAYS)
        later = packet(proto=132, extra={"sctp_chunks": chunks}, fragment="middle")
        assert truth(bind(f"sctp ! --chunk-types {clause}"), later) is False


def test_sctp_chunks_that_nobody_named() -> None:
    match = bind("sctp --chunk-types only INIT")
    assert truth(match, packet(proto=132), state="NEW") is True
    assert isinstance(truth(match, packet(proto=132), state="ESTABLISHED"), Unknown)


# -- data ---------------------------------------------------------------------------------------------


def whole(payload: bytes = b"", **fields: Any) -> Packet:
    """Make a TCP packet of which all is known that its header and payload can tell."""
    size = 40 + len(payload)
    return packet(**{"tcp_flags": SYN, "length": size, "payload": payload, **fields})


@pytest.mark.parametrize(
    ("clause", "payload", "expected"),
    [
        # an IP and a TCP header of 20 bytes each: the payload begins at 40
        ("--string abcd", b"abcd", True),
        ("! --string abcd", b"abcd", False),
        ("--string abcd --to 44", b"abcd", True),
        ("--string abcd --to 43", b"abcd", False),
        ("--string abcd --from 40 --to 44", b"abcd", True),
        ("--string abcd --from 41", b"abcd", False),
        ("--string abcd --from 41", b"abcdabcd", True),
        ("--string abcd", b"ABcd", False),
        ("--string abcd --icase", b"ABcd", True),
        ("--string ABCD --icase --from 40", b"abcd", True),
        ("--string abcdefghi", b"abcdefgh", False),
        ('--hex-string "|4500|"', b"", True),
        ('--hex-string "|4500|" --to 2', b"", True),
        ('--hex-string "|4500|" --to 1', b"", False),
        ("--string abcd --to 0", b"abcd", False),
        # Latin-1 letters have a case to the kernel, but for the multiplication sign's neighbours
        ('--hex-string "|e9e9e9|" --icase --from 40', b"\xc9\xe9\xc9", True),
        ('--hex-string "|dfdfdf|" --icase --from 40', b"\xbf\xdf\xbf", True),
        ('--hex-string "|f7f7f7|" --icase --from 40', b"\xd7\xd7\xd7", False),
    ],
)
@pytest.mark.parametrize("algorithm", ["bm", "kmp"])
def test_string(algorithm: str, clause: str, payload: bytes, expected: bool) -> None:
    assert truth(bind(f"string --algo {algorithm} {clause}"), whole(payload)) is expected


def test_string_in_data_that_the_question_leaves_open() -> None:
    match = bind("string --algo bm --string BitTorrent")
    answer = truth(match, packet(length=60, defaults=frozenset({"payload"})))
    assert isinstance(answer, Unknown)
    assert "BitTorrent" in str(answer.reason)
    # no room for it: the open parts of the header are too short
    assert truth(match, packet(length=40)) is False
    # a checksum may be anything
    assert isinstance(truth(bind('string --algo bm --hex-string "|abcd|"'), packet(length=40)), Unknown)
    # a sequence number, too, but that is not meant
    assert truth(bind("string --algo bm --string abcd"), packet(length=40)) is False


@pytest.mark.parametrize(
    ("tests", "expected"),
    [
        ("6&0xFF=6", True),
        ("6&0xFF=17", False),
        ("0>>22&0x3C@0>>16=40000", True),
        ("0>>22&0x3C@0&0xFFFF=1:79,81:90", False),
        ("0>>22&0x3C@12>>26&0x3C@0=0x61626364", True),
        ("0>>22&0x3C@12>>26&0x3C@1=0:0xffffffff", False),
        ("40=0x61626364", True),
        ("40=0x61626300:0x616263ff", True),
        ("41=0:0xffffffff", False),
        ("4294967295=0:0xffffffff", False),
        ("0=5:3", False),
        ("0&0@0>>28=4", True),
        ("0@0=0:0xffffffff", False),
        ("8<<8>>24=6,17&&4&0x1FFF=0", True),
        ("0>>24<<4=0x450", True),
        ("2=0x002c0000:0x002cffff", True),
    ],
)
def test_u32(tests: str, expected: bool) -> None:
    seen = whole(b"abcd")
    assert truth(bind(f'u32 --u32 "{tests}"'), seen) is expected
    assert truth(bind(f'u32 ! --u32 "{tests}"'), seen) is not expected


def test_u32_on_open_bits() -> None:
    seen = whole(b"abcd")
    # the identification is open: half of it, none of it, all that it may be
    assert isinstance(truth(bind('u32 --u32 "4>>16=0:0x7fff"'), seen), Unknown)
    assert truth(bind('u32 --u32 "4>>16=0x10000:0xffffffff"'), seen) is False
    assert truth(bind('u32 --u32 "4>>16=0:0xffff"'), seen) is True
    assert isinstance(truth(bind('u32 --u32 "4>>16@0=1"'), seen), Unknown)
    # a test that fails settles it, whatever is open
    assert truth(bind('u32 --u32 "4>>16=1&&6&0xFF=17"'), seen) is False


def test_looking_at_data_notes_the_defaults_in_it() -> None:
    seen = whole(b"abcd", defaults=frozenset({"ttl", "tos"}))
    context = Context(seen, "INPUT", "filter", World())
    (predicate,) = bind('u32 --u32 "8>>24=64"').predicates()
    assert predicate.test(context) is True
    assert context.consulted == {"ttl"}


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.sets(st.integers(0, 31), max_size=6))
def test_the_least_number_with_given_bits(low: int, value: int, open_bits: set[int]) -> None:
    known = 0xFFFFFFFF & ~sum(1 << bit for bit in open_bits)
    value &= known
    possible = {value}
    for bit in open_bits:
        possible |= {number | 1 << bit for number in possible}
    assert _least(low, value, known) == min((number for number in possible if number >= low), default=None)


# -- IPv6 headers -------------------------------------------------------------------------------------


def routing(kind: int, left: int, rest: int, *addresses: int) -> tuple[int, bytes]:
    """Make a routing header; `rest` are the four bytes before the addresses."""
    content = bytes([kind, left]) + rest.to_bytes(4, "big")
    return 43, content + b"".join(address.to_bytes(16, "big") for address in addresses)


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ("", True),
        ("--rt-type 0", True),
        ("! --rt-type 0", False),
        ("--rt-segsleft 1:2", True),
        ("! --rt-segsleft 1", False),
        ("--rt-segsleft 5:3", False),
        ("--rt-len 40", True),
        ("! --rt-len 40", False),
        ("--rt-type 0 --rt-0-res", False),
        ("--rt-type 0 --rt-0-addrs ::a,::b", True),
        ("--rt-type 0 --rt-0-addrs ::a", False),
        ("--rt-type 0 --rt-0-addrs ::a --rt-0-not-strict", True),
        ("--rt-type 0 --rt-0-addrs ::b --rt-0-not-strict", True),
        ("--rt-type 0 --rt-0-addrs ::b,::a --rt-0-not-strict", False),
    ],
)
def test_rt(clause: str, expected: bool) -> None:
    match = bind(f"rt {clause}".strip(), 6)
    assert truth(match, packet6(extension_headers=(routing(0, 1, 7, 10, 11),))) is expected
    assert truth(match, packet6()) is False


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ("", True),
        ("--srh-next-hdr 60", True),
        ("! --srh-next-hdr 60", False),
        ("--srh-hdr-len-eq 6", True),
        ("--srh-hdr-len-gt 6", False),
        ("! --srh-hdr-len-lt 6", True),
        ("--srh-segs-left-eq 1", True),
        ("! --srh-segs-left-gt 0", False),
        ("--srh-last-entry-lt 3", True),
        # the kernel compares the tag with its bytes swapped: 5 on the wire
        ("--srh-tag 5", False),
        ("--srh-tag 1280", True),
        ("! --srh-tag 1280", False),
        ("--srh-psid ::c", True),
        ("! --srh-psid ::c", False),
        ("--srh-nsid ::a", True),
        ("--srh-nsid ::/124", True),
        ("--srh-lsid ::b", False),
        ("! --srh-lsid ::b", True),
    ],
)
def test_srh(clause: str, expected: bool) -> None:
    header = routing(4, 1, 0x02000005, 10, 11, 12)
    match = bind(f"srh {clause}".strip(), 6)
    assert truth(match, packet6(extension_headers=(header, (60, bytes(6))))) is expected
    assert truth(match, packet6(extension_headers=(routing(0, 1, 0, 10),))) is False


def test_srh_of_ends_and_bad_headers() -> None:
    first = packet6(extension_headers=(routing(4, 1, 0x01000000, 10, 11),))
    last = packet6(extension_headers=(routing(4, 0, 0x01000000, 10, 11),))
    for no in ("", "! "):
        assert truth(bind(f"srh {no}--srh-psid ::b", 6), first) is False
        assert truth(bind(f"srh {no}--srh-nsid ::b", 6), last) is False
    bad = packet6(extension_headers=(routing(4, 2, 0x01000000, 10, 11),))
    assert truth(bind("srh", 6), bad) is False
    short = packet6(extension_headers=(routing(4, 1, 0x03000000, 10, 11),))
    assert isinstance(truth(bind("srh --srh-psid ::b", 6), short), Unknown)


def test_mh() -> None:
    seen = packet6(proto=135, extra={"mh_type": 2})
    assert truth(bind("mh --mh-type 1:2", 6), seen) is True
    assert truth(bind("mh ! --mh-type 1:2", 6), seen) is False
    assert truth(bind("mh", 6), packet6(proto=135)) is True
    assert isinstance(truth(bind("mh --mh-type 1", 6), packet6(proto=135)), Unknown)
    later = packet6(proto=135, extra={"mh_type": 2}, fragment="last")
    assert truth(bind("mh ! --mh-type 1", 6), later) is False


@pytest.mark.parametrize(
    ("backend", "version", "expected"),
    [
        # one comparison of both ports: nft --debug=netlink shows `cmp neq reg 1 0x...` of four bytes
        ("nf_tables", "1.8.9", True),
        ("nf_tables", "1.8.10", True),
        # mended in 1.8.11; before 1.8.8 the match was not native
        ("nf_tables", "1.8.11", False),
        ("nf_tables", "1.8.7", False),
        ("nf_tables", None, False),
        ("legacy", "1.8.9", False),
    ],
)
@pytest.mark.parametrize("name", ["tcp", "udp"])
def test_two_negated_ports_of_some_releases(
    name: str, backend: str, version: str | None, expected: bool
) -> None:
    match = bind(f"{name} ! --sport 40000 ! --dport 53")
    where: dict[str, Any] = {"backend": backend, "version": version}
    proto = 6 if name == "tcp" else 17
    one, both, none = (
        packet(proto=proto, dport=port, sport=source)
        for port, source in ((80, 40000), (53, 40000), (80, 4000))
    )
    assert truth(match, one, **where) is expected
    assert truth(match, both, **where) is False
    assert truth(match, none, **where) is True
    ranges = bind(f"{name} ! --sport 40000:40001 ! --dport 53")
    assert truth(ranges, one, **where) is False
