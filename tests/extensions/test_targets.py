"""Target extensions: how they are read and printed, where they are taken, and what they do.

Expected texts come from iptables 1.8.9 (`targets.txt`, checked against the installed tools by the kernel
test at the end); expected effects were measured in Linux 6.18, or follow from the kernel's source where that
kernel lacks the target.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from iptsim.addresses import Family, address_text, parse_address
from iptsim.connection import NO_ZONE, Connection, Flow, Zone
from iptsim.extensions.base import Target
from iptsim.extensions.context import Context
from iptsim.extensions.options import Given
from iptsim.extensions.registry import all_extensions, find_target
from iptsim.extensions.targets.reject import ANSWERS
from iptsim.extensions.verdicts import Translation, Verdict
from iptsim.languages import message
from iptsim.packet import Packet
from iptsim.partly_known import PartlyKnown, bits_of_range, some_mark
from iptsim.protocols import ACK, CWR, ECE, ICMP, ICMPV6, PROTOCOLS, PSH, RST, SYN, TCP, UDP
from iptsim.truth import Truth, Unknown
from tests.extensions import worlds

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')


class Line(NamedTuple):
    """A line of `targets.txt`; `saved` is None for a rule that is refused."""

    family: Family
    table: str
    chain: str
    rule: str
    saved: str | None

    @property
    def clause(self) -> str:
        """The rule's end, from the target's name on."""
        return self.rule.partition("-j ")[2]


def read_lines() -> Iterator[Line]:
    for text in Path(__file__).with_name("targets.txt").read_text().splitlines():
        if text.startswith("#"):
            continue
        place, rule, saved = text.split(" | ")
        family, table, chain = place.split()
        expected = rule[rule.index("-j ") :] if saved == "=" else None if saved == "refused" else saved
        yield Line(4 if family == "4" else 6, table, chain, rule, expected)


LINES = tuple(read_lines())
TAKEN = tuple(line for line in LINES if line.saved)
REFUSED = tuple(line for line in LINES if not line.saved)


def _name(line: Line) -> str:
    return f"{line.family} {line.table} {line.chain} {line.rule}"


def make(clause: str, family: Family = 4) -> Target:
    """Make the target that follows `-j `."""
    name, *words = [
        re.sub(r"\\(.)", r"\1", quoted) if quoted or not plain else plain
        for quoted, plain in _WORD.findall(clause)
    ]
    kind = find_target(name, family)
    if kind is None:
        raise ValueError(f"there is no target {name}")
    rows = {spelling: option for option in kind.options for spelling in (option.flag, *option.aliases)}
    given = []
    while words:
        option = rows.get(word := words.pop(0))
        if option is None:
            raise ValueError(f"{name} has no option {word}")
        if option.value is None:
            given.append(Given(option, option.constant))
            continue
        taken, words = words[: option.value.words], words[option.value.words :]
        if len(taken) < option.value.words:
            raise ValueError(f"{option.flag} needs a value")
        given.append(Given(option, option.value.read(taken, family)))
    return kind(**kind.gather(given))


def place(line: Line, target: Target) -> None:
    """Raise where the kernel does not take a target in the line's place."""
    tables, hooks, protocols = target.allowed_tables(), target.allowed_hooks(), target.allowed_protocols()
    words = line.rule.split()
    named = words[words.index("-p") + 1] if "-p" in words else ""
    protocol = PROTOCOLS.get(named) or (int(named) if named else None)
    if tables is not None and line.table not in tables:
        raise ValueError(f"not in table {line.table}")
    if hooks is not None and line.chain.isupper() and line.chain not in hooks:
        raise ValueError(f"not at hook {line.chain}")
    if protocols is not None and protocol not in protocols:
        raise ValueError("not beside that protocol")


class World(worlds.World):
    """Surroundings that know a few facts and remember changes to sets."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(facts)
        self.changes: list[tuple[str, tuple[str, ...], str]] = []

    def address_type(self, family: Family, address: int, interface: str | None) -> str | Unknown:
        return "UNICAST"

    def set_contains(self, name: str, directions: tuple[str, ...], context: Context, options: Any) -> Truth:
        known: Truth = self.facts.get("in_set", Unknown(f"the contents of ipset {name}"))
        return known

    def change_set(
        self,
        name: str,
        directions: tuple[str, ...],
        action: str,
        context: Context,
        *,
        overwrite: bool = False,
    ) -> bool:
        self.changes.append((name, directions, action))
        return True


def context(
    family: Family = 4,
    hook: str = "PREROUTING",
    table: str = "mangle",
    *,
    tracked: bool = True,
    world: World | None = None,
    **fields: Any,
) -> Context:
    """Make what a rule sees of a packet 10.1.0.9:4000 > 10.2.0.9:80, or of its like in IPv6."""
    src, dst = ("10.1.0.9", "10.2.0.9") if family == 4 else ("fd01::9", "fd02::9:1234")
    given = {"src": src, "dst": dst, "proto": TCP, "sport": 4000, "dport": 80, **fields}
    for side in ("src", "dst"):
        given[side] = parse_address(given[side])[1]
    packet = Packet(family, **given)
    connection = Connection(family, packet.flow, packet.flow.reversed()) if tracked else None
    return Context(
        packet, hook, table, world or World(), state="NEW" if tracked else None, connection=connection
    )


# -- reading, printing, places --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", [line for line in LINES if line.saved], ids=lambda line: f"{line[0]} {line[3]}"
)
def test_prints_what_iptables_save_prints(line: Line) -> None:
    target = make(line.clause, line.family)
    place(line, target)

    saved = f"-j {target.name} {target.save()}".rstrip()

    assert saved == line.saved
    assert make(saved.removeprefix("-j "), line.family).save() == target.save()


@pytest.mark.parametrize("line", REFUSED, ids=_name)
def test_refuses_what_iptables_or_the_kernel_refuses(line: Line) -> None:
    with pytest.raises(ValueError):
        place(line, make(line.clause, line.family))


#: Targets that Linux 6.18 does not have, or that need more than a rule; from their `_save` functions.
ELSEWHERE = (
    (
        "CLUSTERIP --new --hashmode sourceip --clustermac 01:aa:7B:47:F7:D7 --total-nodes 2 --local-node 1",
        "--new --hashmode sourceip --clustermac 01:AA:7B:47:F7:D7"
        " --total-nodes 2 --local-node 1 --hash-init 0",
    ),
    ("CLUSTERIP", ""),
    ("CT --timeout generous", "--timeout generous"),
    ("LED --led-trigger-id ssh", '--led-trigger-id "ssh"'),
    ("LED --led-trigger-id ssh --led-delay 0", '--led-trigger-id "ssh"'),
    ("LED --led-trigger-id ssh --led-delay INF", '--led-trigger-id "ssh" --led-delay inf'),
    (
        'LED --led-trigger-id "a b" --led-delay 10 --led-always-blink',
        '--led-trigger-id "a b" --led-delay 10 --led-always-blink',
    ),
    ("NFLOG --nflog-range 64", "--nflog-range 64"),
    ("SECMARK --selctx system_u:object_r:packet_t:s0", "--selctx system_u:object_r:packet_t:s0"),
    ("TRACE", ""),
    ("ULOG --ulog-nlgroup 1 --ulog-cprange 0 --ulog-qthreshold 1", ""),
    (
        'ULOG --ulog-nlgroup 2 --ulog-cprange 100 --ulog-qthreshold 5 --ulog-prefix "a b"',
        '--ulog-prefix "a b" --ulog-nlgroup 2 --ulog-cprange 100 --ulog-qthreshold 5',
    ),
)


@pytest.mark.parametrize(("clause", "saved"), ELSEWHERE)
def test_prints_targets_that_the_kernel_lacks(clause: str, saved: str) -> None:
    assert make(clause).save() == saved


@pytest.mark.parametrize(
    "clause",
    [
        "CLUSTERIP --hashmode sourceip",
        "CLUSTERIP --new --hashmode sourceip --clustermac 01:00:00:00:00:01 --total-nodes 2",
        "CLUSTERIP --new --hashmode sourceip --clustermac 02:00:00:00:00:01 --total-nodes 2 --local-node 1",
        "LED",
        "LED --led-trigger-id seventeen-octets-",
        "ULOG --ulog-nlgroup 33",
        "ULOG --ulog-qthreshold 51",
    ],
)
def test_refuses_bad_options_of_targets_that_the_kernel_lacks(clause: str) -> None:
    with pytest.raises(ValueError):
        make(clause)


@pytest.mark.parametrize(
    ("clause", "written"),
    [
        ("MARK --set-mark 0x1", ["--set-mark 0x1"]),
        ("MARK --or-mark 16", ["--or-mark 0x10"]),
        ("CONNMARK --save-mark --mask 0xff", ["--save-mark", "--mask 0xff"]),
        ("LOG --log-level warning", ["--log-level 4"]),
        ("REJECT", []),
        ("TOS --set-tos Minimize-Delay", ["--set-tos 0x10/0x3f"]),
        ("TPROXY --on-port 80", ["--on-port 80"]),
    ],
)
def test_keeps_the_form_that_was_written(clause: str, written: list[str]) -> None:
    assert make(clause).clauses() == written


def test_error_names_what_is_missing() -> None:
    with pytest.raises(ValueError, match="MARK needs one of --set-xmark, --set-mark"):
        make("MARK")
    with pytest.raises(ValueError, match="--set-mark, --or-mark are mutually exclusive"):
        make("MARK --set-mark 1 --or-mark 2")
    with pytest.raises(ValueError, match="TEE needs --gateway"):
        make("TEE --oif eth0")


# -- words ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clause", "words"),
    [
        ("CONNMARK --restore-mark", "copy the connection's mark to the packet"),
        ("CONNMARK --save-mark --mask 0xff", "copy bits 0xff of the packet's mark to the connection"),
        ("CT --notrack", "exclude from connection tracking"),
        ("CT --helper ftp --zone 5", "let the helper ftp watch the connection and track in zone 5"),
        ("DNAT --to-destination 172.17.0.2:80", "change the destination to 172.17.0.2:80"),
        ("DSCP --set-dscp-class EF", "set the DSCP to 0x2e (EF)"),
        ("LOG", "write a log line"),
        ('LOG --log-prefix "IN drop: "', 'write a log line with the prefix "IN drop: "'),
        ("MARK --set-mark 1", "set the packet's mark to 0x1"),
        ("MARK --or-mark 0x4000", "set bits 0x4000 of the packet's mark"),
        ("MARK --and-mark 0xf", "clear bits 0xfffffff0 of the packet's mark"),
        ("MASQUERADE", "change the source to the address of the outgoing interface"),
        ("NFQUEUE --queue-num 3", "hand to the program that reads queue 3"),
        ("REDIRECT --to-ports 15001", "redirect to this host, port 15001"),
        ("REJECT", "reply that the port is unreachable, and drop"),
        ("REJECT --reject-with tcp-reset", "reply with a TCP reset, and drop"),
        ("SET --add-set seen src", "add its source to ipset seen"),
        (
            "TCPMSS --clamp-mss-to-pmtu",
            "lower the segment size that TCP announces to what the path's MTU allows",
        ),
        (
            "TPROXY --on-port 15006 --tproxy-mark 1337",
            "hand to the transparent proxy on port 15006, marked 0x539",
        ),
        ("TTL --ttl-dec 1", "lower the TTL by 1"),
    ],
)
def test_says(clause: str, words: str) -> None:
    assert str(make(clause).says()) == words


@pytest.mark.parametrize(
    "line", [line for line in LINES if line.saved], ids=lambda line: f"{line[0]} {line[3]}"
)
def test_says_something(line: Line) -> None:
    words = str(make(line.clause, line.family).says())

    assert words
    assert words == words.strip()
    assert "None" not in words


# -- effects --------------------------------------------------------------------------------------------


def outcome(clause: str, where: Context) -> Verdict | Translation | Unknown:
    return make(clause, where.packet.family).apply(where)


@pytest.mark.parametrize(
    ("clause", "before", "after"),
    [
        ("--set-mark 5", 0xFF, 5),
        ("--and-mark 0xf0", 0xFF, 0xF0),
        ("--or-mark 0x10", 0x05, 0x15),
        ("--xor-mark 0xff", 0xF0, 0x0F),
        ("--set-xmark 0x3/0x1", 0x0F, 0x0D),
        ("--set-mark 0x20/0xf0", 0x0D, 0x2D),
        ("--set-xmark 0x4000/0x0", 0x4000, 0),
    ],
)
def test_mark(clause: str, before: int, after: int) -> None:
    where = context(mark=before)

    assert outcome(f"MARK {clause}", where) == Verdict("CONTINUE")
    assert where.packet.mark == after


@pytest.mark.parametrize(
    ("clause", "packet", "connection", "packet_after", "connection_after"),
    [
        ("--restore-mark", 7, 0, 0, 0),
        ("--save-mark", 9, 0, 9, 9),
        ("--save-mark --nfmask 0xff --ctmask 0xf0", 0x123, 0xAAA, 0x123, 0xA29),
        ("--restore-mark --nfmask 0xff --ctmask 0xf0", 0xAAA, 0x123, 0xA20, 0x123),
        ("--set-xmark 0xf0/0xff", 1, 0x101, 1, 0x1F0),
        ("--set-mark 1 --left-shift-mark 4", 0, 0, 0, 0x10),
        ("--save-mark --right-shift-mark 4", 0xAB, 0, 0xAB, 0xA),
        ("--restore-mark --left-shift-mark 31", 0, 3, 0x80000000, 3),
        ("--and-mark 1 --mask 0xf", 0, 0xFF, 0, 0xF0),
    ],
)
def test_connmark(
    clause: str, packet: int, connection: int, packet_after: int, connection_after: int
) -> None:
    where = context(mark=packet)
    assert where.connection is not None
    where.connection.mark = connection

    assert outcome(f"CONNMARK {clause}", where) == Verdict("CONTINUE")
    assert (where.packet.mark, where.connection.mark) == (packet_after, connection_after)


def test_connmark_without_a_connection_goes_on() -> None:
    where = context(tracked=False, mark=3)

    assert outcome("CONNMARK --restore-mark", where) == Verdict("CONTINUE")
    assert where.packet.mark == 3


@pytest.mark.parametrize(
    ("clause", "ttl", "after"),
    [
        ("set 5", 64, 5),
        ("dec 1", 64, 63),
        ("dec 20", 5, 0),
        ("inc 3", 64, 67),
        ("inc 255", 64, 255),
        ("set 0", 9, 0),
    ],
)
def test_ttl_and_hop_limit(clause: str, ttl: int, after: int) -> None:
    old, new = context(ttl=ttl), context(6, ttl=ttl)

    outcome(f"TTL --ttl-{clause}", old)
    outcome(f"HL --hl-{clause}", new)

    assert (old.packet.ttl, new.packet.ttl) == (after, after)


@pytest.mark.parametrize(
    ("clause", "before", "after"),
    [
        ("TOS --set-tos 0x10", 0xFF, 0x10),
        ("TOS --set-tos Minimize-Delay", 0xFF, 0xD0),
        ("TOS --and-tos 0x12", 0xFF, 0x12),
        ("TOS --or-tos 0x12", 0x01, 0x13),
        ("TOS --xor-tos 0x13", 0x11, 0x02),
        ("TOS --set-tos 0x12/0x34", 0xFF, 0xD9),
        ("DSCP --set-dscp 5", 0xFF, 0x17),
        ("DSCP --set-dscp-class af21", 0x01, 0x49),
        ("ECN --ecn-ip-ect 2", 0x11, 0x12),
    ],
)
def test_type_of_service(clause: str, before: int, after: int) -> None:
    where = context(tos=before)

    assert outcome(clause, where) == Verdict("CONTINUE")
    assert where.packet.tos == after


@pytest.mark.parametrize(
    ("clause", "before", "after"),
    [
        ("--ecn-tcp-remove", SYN | ECE | CWR, SYN),
        ("--ecn-tcp-ece 1", SYN, SYN | ECE),
        ("--ecn-tcp-cwr 0", SYN | ECE | CWR, SYN | ECE),
    ],
)
def test_ecn_in_tcp(clause: str, before: int, after: int) -> None:
    where = context(tcp_flags=before)
    outcome(f"ECN {clause}", where)
    assert where.packet.tcp_flags == after


def mss(size: int) -> bytes:
    return size.to_bytes(2, "big")


@pytest.mark.parametrize(
    ("family", "clause", "options", "payload", "after", "longer"),
    [
        (4, "--set-mss 900", {2: mss(1460)}, b"", {2: mss(900)}, 0),
        (4, "--set-mss 900", {2: mss(500)}, b"", {2: mss(500)}, 0),
        (4, "--set-mss 900", {3: b"\x07"}, b"", {2: mss(536), 3: b"\x07"}, 4),
        (4, "--set-mss 400", {}, b"", {2: mss(400)}, 4),
        (4, "--set-mss 900", {}, b"data", {}, 0),
        (6, "--set-mss 1400", {}, b"", {2: mss(1220)}, 4),
        (4, "--clamp-mss-to-pmtu", {2: mss(1460)}, b"", {2: mss(1360)}, 0),
        (6, "--clamp-mss-to-pmtu", {2: mss(1460)}, b"", {2: mss(1340)}, 0),
    ],
)
def test_tcpmss(
    family: Family,
    clause: str,
    options: dict[int, bytes],
    payload: bytes,
    after: dict[int, bytes],
    longer: int,
) -> None:
    where = context(family, world=World(path_mtu=1400), tcp_options=options, payload=payload, length=60)

    assert outcome(f"TCPMSS {clause}", where) == Verdict("CONTINUE")
    assert where.packet.tcp_options == after
    assert where.packet.length == 60 + longer


def test_tcpmss_says_when_the_mtu_is_not_known() -> None:
    where = context(tcp_options={2: mss(1460)})

    verdict = outcome("TCPMSS --clamp-mss-to-pmtu", where)

    assert isinstance(verdict, Verdict)
    assert verdict.kind == "CONTINUE"
    assert "not known" in str(verdict.detail)
    assert where.packet.tcp_options == {2: mss(1460)}


def test_tcpoptstrip() -> None:
    options = {2: mss(1460), 3: b"\x07", 8: bytes(8)}
    where = context(tcp_options=options)

    outcome("TCPOPTSTRIP --strip-options timestamp,wscale,md5", where)

    assert where.packet.tcp_options == {2: mss(1460), 1: b""}
    assert len(options) == 3, "the options of other packets stay"


@pytest.mark.parametrize(
    ("family", "proto", "form", "mark"),
    [
        (4, UDP, "--hmark-tuple src,dst", 539),
        (4, UDP, "--hmark-tuple src", 956),
        (4, UDP, "--hmark-tuple src,dst,sport,dport,proto", 798),
        (4, UDP, "--hmark-tuple sport,dport", 741),
        (4, UDP, "--hmark-src-prefix 24 --hmark-sport-mask 0xff00 --hmark-dport-mask 0xff", 418),
        (4, UDP, "--hmark-tuple src --hmark-sport 0x10 --hmark-dport 0x4000", 181),
        (4, UDP, "--hmark-tuple ct,src,dst,sport,dport", 798),
        (4, ICMP, "--hmark-tuple src,sport,proto", 956),
        (4, 50, "--hmark-tuple src,dst,spi", 468),
        (6, UDP, "--hmark-tuple src,dst", 748),
        (6, UDP, "--hmark-tuple src", 700),
        (6, UDP, "--hmark-tuple src,dst,sport,dport,proto", 658),
        (6, UDP, "--hmark-tuple sport,dport", 741),
        (6, UDP, "--hmark-src-prefix 120 --hmark-sport-mask 0xff00 --hmark-dport-mask 0xff", 164),
        (6, UDP, "--hmark-tuple src --hmark-sport 0x10 --hmark-dport 0x4000", 289),
        (6, UDP, "--hmark-tuple ct,src,dst,sport,dport", 658),
        (6, ICMPV6, "--hmark-tuple src,sport,proto", 700),
        (6, 50, "--hmark-tuple src,dst,spi", 102),
    ],
)
def test_hmark(family: Family, proto: int, form: str, mark: int) -> None:
    """The marks were read from the kernel's conntrack table."""
    fields: dict[str, Any] = {"proto": proto}
    if proto in (ICMP, ICMPV6):
        fields |= {"icmp_type": 8 if family == 4 else 128, "icmp_code": 0, "sport": 77, "dport": 77}
    elif proto == 50:
        fields |= {"sport": None, "dport": None, "extra": {"esp_spi": 0x12345678}}
    where = context(family, **fields)

    assert outcome(
        f"HMARK {form} --hmark-mod 1000 --hmark-rnd 0xfeedcafe --hmark-offset 5", where
    ) == Verdict("CONTINUE")
    assert where.packet.mark == mark


@pytest.mark.parametrize(
    "fields",
    [
        {"sport": None},
        {"proto": ICMP, "icmp_type": 3, "icmp_code": 1, "sport": None, "dport": None},
        {"proto": 50, "sport": None, "dport": None},
    ],
)
def test_hmark_does_not_guess(fields: dict[str, Any]) -> None:
    where = context(**fields)
    outcome("HMARK --hmark-tuple sport,dport --hmark-mod 10 --hmark-rnd 1 --hmark-offset 20", where)
    assert isinstance(where.packet.mark, PartlyKnown)
    # the range of the marks is known
    assert where.packet.mark.test(bits_of_range(20, 29)) is True


def test_hmark_of_an_untracked_connection_does_nothing() -> None:
    where = context(tracked=False, mark=9)
    outcome("HMARK --hmark-tuple ct,src --hmark-mod 10 --hmark-rnd 1", where)
    assert where.packet.mark == 9


@pytest.mark.parametrize(
    ("target", "source", "destination", "address", "translated"),
    [
        ("SNPT", "fd01::/64", "2001:db8:1:2::/64", "fd01::1:2:3:4", "2001:db8:1:2:cf46:2:3:4"),
        ("SNPT", "fd01::/48", "2001:db8:1::/48", "fd01:0:0:55::9", "2001:db8:1:cf9c::9"),
        ("SNPT", "fd01::/48", "2001:db8::/32", "fd01::7:0:0:0:9", "2001:db8:0:cf4f::9"),
        ("SNPT", "fd01::/56", "2001:db8:1:ab00::/56", "fd01::ffff:0:0:9", "2001:db8:1:ab00:ffff:2447:0:9"),
        ("SNPT", "fd01::/16", "2001:db8:77::/48", "fd01:5:6:7::1", "2001:db8:77:ced8::1"),
        ("DNPT", "fd55::/48", "2001:db8:1::/48", "fd55:0:0:12::9", "2001:db8:1:cfad::9"),
        ("DNPT", "fd55::/64", "2001:db8:1:2::/64", "fd55::ffff:1:2:3", "2001:db8:1:2:ffff:cf9a:2:3"),
    ],
)
def test_prefix_translation(
    target: str, source: str, destination: str, address: str, translated: str
) -> None:
    """The addresses were seen on the wire."""
    side = "src" if target == "SNPT" else "dst"
    where = context(6, src=address) if side == "src" else context(6, dst=address)

    assert outcome(f"{target} --src-pfx {source} --dst-pfx {destination}", where) == Verdict("CONTINUE")
    assert address_text(6, getattr(where.packet, side)) == translated


def test_prefix_translation_drops_what_has_no_room_for_the_difference() -> None:
    where = context(6, src="fd01::ffff:ffff:ffff:ffff")

    verdict = outcome("SNPT --src-pfx fd01::/64 --dst-pfx 2001:db8:1:2::/64", where)

    assert isinstance(verdict, Verdict)
    assert verdict.kind == "DROP"


@pytest.mark.parametrize(
    ("clauses", "notrack", "zone"),
    [
        (("CT --zone 3", "CT --zone 4"), False, Zone(3, 3)),
        (("CT", "CT --zone 4"), False, NO_ZONE),
        (("NOTRACK", "CT --zone 4"), True, NO_ZONE),
        (("CT --zone 4", "NOTRACK"), False, Zone(4, 4)),
        (("MARK --set-mark 0x10005", "CT --zone mark"), False, Zone(5, 5)),
        (("CT --zone-orig 6",), False, Zone(6, 0)),
        (("CT --zone-reply 6",), False, Zone(0, 6)),
        (("CT --notrack --zone 5",), True, NO_ZONE),
        (("CT --ctevents new", "CT --zone 9"), False, NO_ZONE),
    ],
)
def test_conntrack_listens_to_the_first_template(clauses: tuple[str, ...], notrack: bool, zone: Zone) -> None:
    where = context(table="raw", tracked=False)

    for clause in clauses:
        assert outcome(clause, where) == Verdict("CONTINUE")

    # conntrack looks the packet up with the mark that it has by then
    assert (where.notrack, where.zone.with_mark(some_mark(where.packet.mark))) == (notrack, zone)


def test_ct_leaves_a_tracked_packet_alone() -> None:
    where = context(table="raw")
    outcome("CT --helper ftp", where)
    outcome("NOTRACK", where)
    assert (where.notrack, where.helper) == (False, None)


def test_ct_helper() -> None:
    where = context(table="raw", tracked=False)
    outcome("CT --helper ftp", where)
    assert where.helper == "ftp"


def test_security_marks() -> None:
    where = context(table="security")
    assert where.connection is not None

    outcome("SECMARK --selctx first", where)
    outcome("CONNSECMARK --save", where)
    outcome("SECMARK --selctx second", where)
    outcome("CONNSECMARK --save", where)
    assert where.connection.secmark == "first"

    outcome("CONNSECMARK --restore", where)
    assert where.packet.secmark == "second"
    where.packet.secmark = None
    outcome("CONNSECMARK --restore", where)
    assert where.packet.secmark == "first"


def test_classify() -> None:
    where = context(hook="POSTROUTING")
    outcome("CLASSIFY --set-class 1:a", where)
    assert where.packet.priority == "0001:000a"


def test_set_changes_sets() -> None:
    world = World()
    assert outcome("SET --add-set seen src,dst --del-set new src", context(world=world)) == Verdict(
        "CONTINUE"
    )
    assert world.changes == [("seen", ("src", "dst"), "add"), ("new", ("src",), "del")]


def test_set_maps_a_mark_that_nobody_knows() -> None:
    clause = "SET --map-set marks src --map-mark"
    where = context()
    assert outcome(clause, where) == Verdict("CONTINUE")
    assert isinstance(where.packet.mark, PartlyKnown)
    where = context(world=World(in_set=False))
    assert outcome(clause, where) == Verdict("CONTINUE")
    assert where.packet.mark == 0


@pytest.mark.parametrize(
    ("clause", "hook", "asked"),
    [
        (
            "SNAT --to-source 10.0.0.1-10.0.0.4",
            "POSTROUTING",
            Translation("SNAT", "src", (0x0A000001, 0x0A000004)),
        ),
        (
            "SNAT --to-source :80-90 --random-fully --persistent",
            "POSTROUTING",
            Translation("SNAT", "src", None, (80, 90), random=True, persistent=True),
        ),
        (
            "DNAT --to-destination 10.0.0.1:80-90/70",
            "PREROUTING",
            Translation("DNAT", "dst", (0x0A000001, 0x0A000001), (80, 90), 70),
        ),
        ("MASQUERADE", "POSTROUTING", Translation("MASQUERADE", "src")),
        (
            "MASQUERADE --to-ports 1024-2000 --random",
            "POSTROUTING",
            Translation("MASQUERADE", "src", None, (1024, 2000), random=True),
        ),
        ("REDIRECT --to-ports 15001", "OUTPUT", Translation("REDIRECT", "dst", None, (15001, 15001))),
        (
            "NETMAP --to 10.3.0.0/16",
            "PREROUTING",
            Translation("NETMAP", "dst", (0x0A030000,) * 2, netmap=0xFFFF0000),
        ),
        (
            "NETMAP --to 10.3.0.0/16",
            "POSTROUTING",
            Translation("NETMAP", "src", (0x0A030000,) * 2, netmap=0xFFFF0000),
        ),
        (
            "NETMAP --to 10.3.0.0/16",
            "INPUT",
            Translation("NETMAP", "src", (0x0A030000,) * 2, netmap=0xFFFF0000),
        ),
    ],
)
def test_nat_targets_ask_for_a_translation(clause: str, hook: str, asked: Translation) -> None:
    assert outcome(clause, context(hook=hook, table="nat")) == asked


def test_reject() -> None:
    assert outcome("REJECT", context()) == Verdict("REJECT", detail="icmp-port-unreachable")
    assert outcome("REJECT", context(6)) == Verdict("REJECT", detail="icmp6-port-unreachable")
    assert outcome("REJECT --reject-with tcp-rst", context()) == Verdict("REJECT", detail="tcp-reset")


@pytest.mark.parametrize(
    ("family", "kind", "icmp"),
    [
        (4, "icmp-net-unreachable", (3, 0)),
        (4, "icmp-host-unreachable", (3, 1)),
        (4, "icmp-proto-unreachable", (3, 2)),
        (4, "icmp-port-unreachable", (3, 3)),
        (4, "icmp-net-prohibited", (3, 9)),
        (4, "icmp-host-prohibited", (3, 10)),
        (4, "icmp-admin-prohibited", (3, 13)),
        (4, "tcp-reset", None),
        (6, "icmp6-no-route", (1, 0)),
        (6, "icmp6-adm-prohibited", (1, 1)),
        (6, "icmp6-addr-unreachable", (1, 3)),
        (6, "icmp6-port-unreachable", (1, 4)),
        (6, "icmp6-policy-fail", (1, 5)),
        (6, "icmp6-reject-route", (1, 6)),
        (6, "tcp-reset", None),
    ],
)
def test_what_reject_answers(family: Family, kind: str, icmp: tuple[int, int] | None) -> None:
    assert ANSWERS[family][kind].icmp == icmp


@pytest.mark.parametrize(
    ("clause", "facts", "kind"),
    [
        ("NFQUEUE --queue-num 5", {}, "QUEUE"),
        ("NFQUEUE --queue-num 5", {"nfqueue_reader": True}, "QUEUE"),
        ("NFQUEUE --queue-num 5", {"nfqueue_reader": False}, "DROP"),
        ("NFQUEUE --queue-num 5 --queue-bypass", {"nfqueue_reader": "no"}, "ACCEPT"),
        ("NFQUEUE --queue-num 5 --queue-bypass", {"nfqueue_reader": "yes"}, "QUEUE"),
        ("TPROXY --on-port 3129", {"tproxy_listener": True}, "ACCEPT"),
        ("TPROXY --on-port 3129", {"tproxy_listener": False}, "DROP"),
        ("CLUSTERIP", {"clusterip_node": True}, "CONTINUE"),
        ("CLUSTERIP", {"clusterip_node": False}, "DROP"),
    ],
)
def test_targets_that_depend_on_a_fact(clause: str, facts: dict[str, Any], kind: str) -> None:
    verdict = outcome(clause, context(world=World(**facts)))
    assert isinstance(verdict, Verdict)
    assert verdict.kind == kind


@pytest.mark.parametrize("clause", ["NFQUEUE --queue-bypass", "TPROXY --on-port 3129", "CLUSTERIP"])
def test_unknown_without_the_fact(clause: str) -> None:
    assert isinstance(outcome(clause, context()), Unknown)


@pytest.mark.parametrize("listener", [True, None])
def test_tproxy_marks_what_it_accepts(listener: bool | None) -> None:
    where = context(world=World(tproxy_listener=listener), mark=0xF0)
    outcome("TPROXY --on-port 3129 --tproxy-mark 0x1/0xf0", where)
    assert where.packet.mark == 1


def test_clusterip_without_a_connection_drops() -> None:
    assert outcome("CLUSTERIP", context(tracked=False)) == Verdict("DROP", detail=message("no connection"))


@pytest.mark.parametrize(
    ("flags", "cookie", "kind"),
    [
        (SYN, None, "STOLEN"),
        (SYN | ECE | CWR, None, "STOLEN"),
        (ACK, None, "STOLEN"),
        (ACK | PSH, True, "STOLEN"),
        (ACK, False, "DROP"),
        (SYN | ACK, None, "CONTINUE"),
        (RST, None, "CONTINUE"),
        (RST | ACK, None, "CONTINUE"),
    ],
)
def test_synproxy(flags: int, cookie: bool | None, kind: str) -> None:
    where = context(hook="INPUT", table="filter", world=World(synproxy_cookie=cookie), tcp_flags=flags)
    verdict = outcome("SYNPROXY --mss 1460", where)
    assert isinstance(verdict, Verdict)
    assert verdict.kind == kind


@pytest.mark.parametrize(
    "clause",
    [
        "AUDIT --type accept",
        "CHECKSUM --checksum-fill",
        "IDLETIMER --timeout 5 --label x",
        "LED --led-trigger-id x",
        "LOG --log-prefix x",
        "NFLOG --nflog-group 3",
        "RATEEST --rateest-name x --rateest-interval 250ms --rateest-ewmalog 500ms",
        "TEE --gateway 10.2.0.7",
        "TRACE",
        "ULOG",
    ],
)
def test_targets_that_change_nothing(clause: str) -> None:
    where, same = context(), context()

    assert outcome(clause, where) == Verdict("CONTINUE")
    assert where.packet == same.packet
    assert where.connection == same.connection
    assert not make(clause).changes


def test_terminal_targets() -> None:
    terminal = {kind.name for kind in all_extensions() if issubclass(kind, Target) and kind.terminal}
    assert terminal == {
        "ACCEPT", "DROP", "RETURN", "QUEUE", "REJECT", "NFQUEUE", "TPROXY",
        "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP",
    }  # fmt: skip


def test_every_target_of_the_manual_exists() -> None:
    manual = {
        "AUDIT", "CHECKSUM", "CLASSIFY", "CLUSTERIP", "CONNMARK", "CONNSECMARK", "CT", "DNAT", "DNPT", "DSCP",
        "ECN", "HL", "HMARK", "IDLETIMER", "LED", "LOG", "MARK", "MASQUERADE", "NETMAP", "NFLOG", "NFQUEUE",
        "NOTRACK", "RATEEST", "REDIRECT", "REJECT", "SECMARK", "SET", "SNAT", "SNPT", "SYNPROXY", "TCPMSS",
        "TCPOPTSTRIP", "TEE", "TOS", "TPROXY", "TRACE", "TTL", "ULOG",
    }  # fmt: skip
    four, six = {"CLUSTERIP", "ECN", "TTL", "ULOG"}, {"DNPT", "HL", "SNPT"}

    assert {name for name in manual if find_target(name, 4)} == manual - six
    assert {name for name in manual if find_target(name, 6)} == manual - four


# -- the tools themselves -------------------------------------------------------------------------------


def saved_by(tool: str, line: Line) -> str | None:
    """Return what a backend prints of a rule in a new network namespace, None if it is refused."""
    command = f"{'iptables' if line.family == 4 else 'ip6tables'}-{tool}"
    inet = "inet" if line.family == 4 else "inet6"
    declared = "" if line.chain.isupper() else f":{line.chain} -\n"
    script = (
        f"ipset create s hash:ip family {inet} skbinfo timeout 600;"
        f"ipset create s2 hash:ip,port family {inet};"
        f"{command}-restore && {command}-save -t {line.table}"
    )
    run = subprocess.run(
        ["unshare", "-n", "sh", "-c", script],
        input=f"*{line.table}\n{declared}-A {line.chain} {line.rule}\nCOMMIT\n",
        capture_output=True,
        text=True,
        check=False,
    )
    rules = [text for text in run.stdout.splitlines() if text.startswith("-A")]
    return rules[0][rules[0].index("-j ") :] if run.returncode == 0 and rules else None


@pytest.mark.kernel
@pytest.mark.parametrize("tool", ["nft", "legacy"])
def test_the_tools_print_what_the_table_says(tool: str) -> None:
    if os.geteuid() != 0 or not shutil.which(f"iptables-{tool}-restore") or not shutil.which("ipset"):
        pytest.skip("needs root, iptables and ipset")

    wrong = [(line, saved) for line in LINES if (saved := saved_by(tool, line)) != line.saved]

    assert wrong == []


def test_flow_of_the_connection_is_the_packets() -> None:
    """The helper above must give HMARK's `ct` the tuple that the kernel would have."""
    where = context()
    assert where.connection is not None
    assert where.connection.original == Flow(0x0A010009, 4000, 0x0A020009, 80, TCP)
