"""Small readers: conntrack, recent lists, daemon settings, ip(8) entries, ipsets."""

from __future__ import annotations

import pytest

from iptsim.connection import Flow, Zone
from iptsim.extensions.context import Context
from iptsim.host import dockerd_options, iproute
from iptsim.host.conntrack_entries import conntrack_entries, recent_lists
from iptsim.host.foreign import RouteEntry, RuleEntry
from iptsim.host.ipsets import contains, read_ipsets
from iptsim.languages import message
from iptsim.packet import Packet
from iptsim.truth import Unknown

#: Printed by conntrack 1.4.7 and by /proc/net/nf_conntrack.
CONNTRACK = """\
tcp      6 431999 ESTABLISHED src=198.51.100.7 dst=192.0.2.10 sport=40000 dport=8080 src=172.17.0.2 dst=198.51.100.7 sport=80 dport=40000 [ASSURED] mark=7 zone=3 use=1
ipv4     2 udp      17 28 src=10.0.0.1 dst=10.0.0.2 sport=5 dport=53 packets=1 bytes=60 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=53 dport=5 packets=0 bytes=0 mark=0 use=1
icmp     1 29 src=127.0.0.1 dst=127.0.0.1 type=8 code=0 id=21507 src=127.0.0.1 dst=127.0.0.1 type=0 code=0 id=21507 mark=7 use=1
tcp      6 100 TIME_WAIT src=2001:db8::1 dst=2001:db8::2 sport=1 dport=21 src=2001:db8::2 dst=2001:db8::1 sport=21 dport=1 [ASSURED] mark=0 helper=ftp use=1
conntrack v1.4.7 (conntrack-tools): 4 flow entries have been shown.
"""  # noqa: E501


def test_conntrack() -> None:
    published, question, ping, ftp = conntrack_entries(CONNTRACK)
    one = published.connection
    assert one.original == Flow(0xC6336407, 40000, 0xC000020A, 8080, 6)
    assert one.reply == Flow(0xAC110002, 80, 0xC6336407, 40000, 6)
    assert one.status == {"CONFIRMED", "SEEN_REPLY", "ASSURED", "DNAT"}
    assert (one.mark, one.zone, published.state, published.timeout) == (7, Zone(3, 3), "ESTABLISHED", 431999)
    assert question.connection.status == {"CONFIRMED"}
    assert question.connection.packets == {"original": 1, "reply": 0}
    assert question.state is None
    assert ping.connection.original.sport == 21507
    assert (ftp.connection.family, ftp.connection.helper) == (6, "ftp")


#: /proc/net/xt_recent/ping after four packets, 75 seconds of 250 ticks before the end.
RECENT = """\
# jiffies 4295436790 uptime 2178.32
== ping
src=127.0.0.1 ttl: 64 last_seen: 4295418040 oldest_pkt: 4 4295417960, 4295417960, 4295418040, 4295418040
== empty
"""


def test_recent_lists() -> None:
    lists = recent_lists(RECENT)
    assert lists == {"ping": {0x7F000001: [75.0, 75.0, 75.32, 75.32]}, "empty": {}}
    without = recent_lists("\n".join(RECENT.splitlines()[1:]))
    assert without["ping"][0x7F000001] == [0.0, 0.0, 0.32, 0.32]


def test_daemon_options() -> None:
    words = [
        "dockerd",
        "-H",
        "fd://",
        "--icc=false",
        "--bip",
        "10.5.0.1/24",
        "-b=br9",
        "--iptables",
        "--dns",
        "1.1.1.1",
        "--dns=2.2.2.2",
        "--tls",
    ]
    assert dockerd_options.options_of(words) == {
        "icc": False, "bip": "10.5.0.1/24", "bridge": "br9", "iptables": True, "dns": ["1.1.1.1", "2.2.2.2"],
    }  # fmt: skip
    assert dockerd_options.shell_options(
        '# DOCKER_OPTS="--icc=true"\nexport DOCKER_OPTS="--icc=false --ip-masq=0"\n'
    ) == {
        "icc": False,
        "ip-masq": False,
    }
    with pytest.raises(ValueError, match="icc is 'maybe'"):
        dockerd_options.options_of(["--icc=maybe"])


def test_settings_have_an_order() -> None:
    made = dockerd_options.make_daemon(
        [("dockerd-cmdline.txt", {"icc": False}), ("daemon.json", {"icc": True, "ip-masq": False})],
        "27.1",
        [],
    )
    assert (made.icc, made.ip_masq, made.generation) == (False, False, "26")
    assert made.sources == {"icc": "dockerd-cmdline.txt", "ip_masq": "daemon.json"}


@pytest.mark.parametrize(
    ("entry", "family"),
    [
        ({"dst": "default", "gateway": "10.0.0.1"}, 4),
        ({"dst": "default", "gateway": "fe80::1"}, 6),
        ({"dst": "default", "via": {"family": "inet6", "host": "fe80::1"}}, 4),
        ({"dst": "default", "dev": "tun0"}, 4),
        ({"dst": "default", "dev": "tun0", "metric": 1024, "pref": "medium"}, 6),
        ({"dst": "2001:db8::/32"}, 6),
    ],
)
def test_families_of_routes(entry: dict[str, object], family: int) -> None:
    (route,) = iproute.routes([RouteEntry.model_validate(entry)])
    assert route.family == family


def test_rules() -> None:
    # Printed by iproute2 6.1 for:
    # ip rule add pref 100 not from 10.0.0.0/8 to 192.168.0.0/16 tos 0x10 fwmark 0x1/0xff iif eth0 table 100
    entry = {
        "priority": 100, "not": None, "src": "10.0.0.0", "srclen": 8, "dst": "192.168.0.0", "dstlen": 16,
        "tos": "0x10", "fwmark": "0x1", "fwmask": "0xff", "iif": "eth0", "iif_detached": None, "table": "100",
    }  # fmt: skip
    (rule,) = iproute.rules([RuleEntry.model_validate(entry)])
    assert (rule.negated, rule.src_length, rule.dst_length, rule.tos) == (True, 8, 16, 0x10)
    assert (rule.fwmark, rule.fwmask, rule.iif, rule.table) == (1, 0xFF, "eth0", "100")


class Nowhere:
    """Surroundings that no set asks."""


def context(source: str, **fields: str) -> Context:
    packet = Packet(4, int.from_bytes(map(int, source.split("."))), 0x0A000001, sport=1000, dport=80)
    return Context(packet, "PREROUTING", "raw", Nowhere(), **fields)  # type: ignore[arg-type]


class TestIpsets:
    def test_types_that_few_kernels_have(self) -> None:
        # ip_set_hash_mac.c, ip_set_hash_ipmark.c, ip_set_hash_netnet.c, ip_set_hash_netportnet.c
        sets = read_ipsets(
            "create m hash:mac\nadd m 02:00:00:00:00:01\n"
            "create im hash:ip,mark markmask 0x0000ff00\nadd im 10.0.0.9,0x00000500\n"
            "create nn hash:net,net\nadd nn 10.0.0.0/8,10.0.0.0/24\nadd nn 10.1.0.0/16,10.0.0.0/28 nomatch\n"
            "create npn hash:net,port,net\nadd npn 10.0.0.0/8,tcp:80,10.0.0.0/24\n"
        )
        plain = context("10.0.0.9", in_interface="eth0")
        plain.packet.mark, plain.packet.src_mac = 0x1234_05FF, "02:00:00:00:00:01"
        assert contains(sets, "m", ("src",), plain, {}) is True
        assert contains(sets, "m", ("dst",), plain, {}) == Unknown(
            message("the Ethernet address of the receiver"), "--set dst_mac=ADDRESS", ("mac", "dst")
        )
        assert contains(sets, "im", ("src", "src"), plain, {}) is True
        assert contains(sets, "nn", ("src", "dst"), plain, {}) is True
        hole = context("10.1.0.9")
        assert contains(sets, "nn", ("src", "dst"), hole, {}) is False
        assert contains(sets, "nn", ("src", "dst"), hole, {"return_nomatch": True}) is True
        assert contains(sets, "npn", ("src", "dst", "dst"), plain, {}) is True
        assert contains(sets, "npn", ("src", "src", "dst"), plain, {}) is False

    def test_hand_written_ranges(self) -> None:
        sets = read_ipsets(
            "create r hash:ip,port\nadd r 10.0.0.5-10.0.0.9,tcp:80-82\ncreate b hash:ip\nadd b 10.2.0.0/16"
        )
        assert contains(sets, "r", ("src", "dst"), context("10.0.0.9"), {}) is True
        assert contains(sets, "r", ("src", "dst"), context("10.0.0.10"), {}) is False
        assert contains(sets, "b", ("src",), context("10.2.3.4"), {}) is True

    def test_unknown_contents(self) -> None:
        first = contains(None, "blocked", ("src",), context("10.0.0.9"), {})
        again = contains(None, "blocked", ("src",), context("10.0.0.9"), {})
        other = contains(None, "blocked", ("src",), context("10.0.0.8"), {})
        assert isinstance(first, Unknown)
        assert isinstance(other, Unknown)
        assert first == again
        assert first.key != other.key
        assert str(first.reason) == "the contents of ipset blocked"
        assert isinstance(contains({}, "blocked", ("src",), context("10.0.0.9"), {}), Unknown)

    def test_a_port_that_nobody_knows(self) -> None:
        sets = read_ipsets("create p hash:ip,port\nadd p 10.0.0.9,tcp:80")
        asked = context("10.0.0.9")
        asked.packet.sport = None
        assert isinstance(contains(sets, "p", ("src", "src"), asked, {}), Unknown)
        assert contains(sets, "p", ("src", "dst"), asked, {}) is True
