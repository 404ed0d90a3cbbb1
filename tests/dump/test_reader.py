"""What the reader takes, and what it makes of it.

The expected texts are what iptables-save 1.8.9 printed after iptables-restore had read the same lines.
"""

from __future__ import annotations

import contextlib
import gc
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

import iptsim.dump
from iptsim.dump import dumps, load, loads
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.extension_names import target_names
from iptsim.dump.rule import Counters, Jump, Rule
from iptsim.dump.ruleset import Chain, Ruleset
from iptsim.errors import CaptureError, DumpErrors, DumpSyntaxError, IptsimError
from iptsim.extensions.base import Target
from iptsim.extensions.matches.tcp import Tcp
from iptsim.extensions.registry import all_extensions
from iptsim.extensions.targets.standard import Accept
from iptsim.extensions.unknown import UnknownMatch, UnknownTarget


def table(lines: str, name: str = "filter") -> str:
    """Return a dump of one table with the chains INPUT, c1 and c2, and some lines."""
    first = "PREROUTING" if name == "nat" else "INPUT"
    return f"*{name}\n:{first} ACCEPT [0:0]\n:c1 - [0:0]\n:c2 - [0:0]\n{lines}\nCOMMIT\n"


def rules(lines: str, name: str = "filter", family: int | None = None) -> list[str]:
    """Return the rules that lines of a table leave, as iptables-save prints them."""
    return [rule.text for rule in loads(table(lines, name), family=family).rules()]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        # the order of options is free
        ("-p tcp -A INPUT -j ACCEPT", "-A INPUT -p tcp -j ACCEPT"),
        ("-A INPUT -p tcp -j ACCEPT --dport 80", "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT"),
        (
            "-A INPUT -m comment -m conntrack --comment x --ctstate NEW",
            "-A INPUT -m comment --comment x -m conntrack --ctstate NEW",
        ),
        ("-A INPUT -j ACCEPT -d 10.0.0.1 -s 10.0.0.2", "-A INPUT -s 10.0.0.2/32 -d 10.0.0.1/32 -j ACCEPT"),
        # the protocol's match loads by itself, by number too
        ("-A INPUT -p 6 --dport 80", "-A INPUT -p tcp -m tcp --dport 80"),
        ("-A INPUT -p TCP --dport 80", "-A INPUT -p tcp -m tcp --dport 80"),
        # addresses in other forms than four decimal numbers
        ("-A INPUT -s 0x0a000001", "-A INPUT -s 10.0.0.1/32"),
        ("-A INPUT -s 0x0A000001/8", "-A INPUT -s 10.0.0.0/8"),
        ("-A INPUT -d 010.0.0.1", "-A INPUT -d 8.0.0.1/32"),
        ("-A INPUT -s 0xa.1", "-A INPUT -s 10.1.0.0/32"),
        ("-A INPUT -s 167772161", "-A INPUT -s 10.0.0.1/32"),
        ("-A INPUT -s 0x1", "-A INPUT -s 1.0.0.0/32"),
        # long names, abbreviations, glued values
        (
            "--append INPUT --protocol tcp --dpo 80 --jump ACCEPT",
            "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT",
        ),
        ("-A INPUT -p tcp --dport=80", "-A INPUT -p tcp -m tcp --dport 80"),
        (
            "-A INPUT --in-i eth0 --src 10.0.0.1 --dst 10.0.0.2",
            "-A INPUT -s 10.0.0.1/32 -d 10.0.0.2/32 -i eth0",
        ),
        # a later -m takes the further options of the same name
        ("-A INPUT -p tcp -m tcp -m tcp --dport 80", "-A INPUT -p tcp -m tcp -m tcp --dport 80"),
        (
            "-A INPUT -p tcp -m tcp --dport 80 -m tcp --sport 81",
            "-A INPUT -p tcp -m tcp --dport 80 -m tcp --sport 81",
        ),
        # an argument may look like an option or a negation
        ("-A INPUT -m comment --comment -A -j ACCEPT", "-A INPUT -m comment --comment -A -j ACCEPT"),
        ("-A INPUT -m comment --comment ! -j ACCEPT", '-A INPUT -m comment --comment "!" -j ACCEPT'),
        ('-A INPUT -m comment --comment "" -j c1', '-A INPUT -m comment --comment "" -j c1'),
        ('-A INPUT -m comment --comment a"b c" -j c1', '-A INPUT -m comment --comment "ab c" -j c1'),
        # negation, new and old (the old one before iptables 1.4.3)
        ("-A INPUT ! -s 10.0.0.1 ! -i eth0", "-A INPUT ! -s 10.0.0.1/32 ! -i eth0"),
        ("-A INPUT -s ! 10.0.0.1 -i ! eth0", "-A INPUT ! -s 10.0.0.1/32 ! -i eth0"),
        ("-A INPUT -p tcp --dport ! 80", "-A INPUT -p tcp -m tcp ! --dport 80"),
        ("-A INPUT -p ! tcp -j c1", "-A INPUT ! -p tcp -j c1"),
        # what restricts nothing is not printed
        ("-A INPUT -p all -i + -o + -s 0/0 -d 0.0.0.0/0", "-A INPUT"),
        ("-A c1 -o + ! -i + -j c2", "-A c1 ! -i + -j c2"),
        # blanks
        ("  \t-A INPUT \t -j  ACCEPT \t", "-A INPUT -j ACCEPT"),
        ("-A INPUT -g c1", "-A INPUT -g c1"),
        ("-A INPUT", "-A INPUT"),
        ("-A INPUT -i bond0.208 -f", "-A INPUT -i bond0.208 -f"),
    ],
)
def test_line(line: str, printed: str) -> None:
    if "-i + -o +" in line:
        line = line.replace("INPUT", "c1")
        printed = printed.replace("INPUT", "c1")
    assert rules(line) == [printed]


def test_lists_of_addresses_make_a_rule_for_each_pair() -> None:
    assert rules("-A INPUT -s 1.1.1.1,2.2.2.2,1.1.1.1 -d 3.3.3.3,4.4.4.4 -j ACCEPT") == [
        f"-A INPUT -s {source}/32 -d {destination}/32 -j ACCEPT"
        for source in ("1.1.1.1", "2.2.2.2", "1.1.1.1")
        for destination in ("3.3.3.3", "4.4.4.4")
    ]


def test_inserted_lists_of_addresses_come_in_reverse() -> None:
    assert rules(
        "-A INPUT -j DROP\n-A INPUT -j c1\n-I INPUT 2 -s 1.1.1.1,2.2.2.2 -d 3.3.3.3,4.4.4.4 -j ACCEPT"
    ) == [
        "-A INPUT -j DROP",
        "-A INPUT -s 2.2.2.2/32 -d 4.4.4.4/32 -j ACCEPT",
        "-A INPUT -s 2.2.2.2/32 -d 3.3.3.3/32 -j ACCEPT",
        "-A INPUT -s 1.1.1.1/32 -d 4.4.4.4/32 -j ACCEPT",
        "-A INPUT -s 1.1.1.1/32 -d 3.3.3.3/32 -j ACCEPT",
        "-A INPUT -j c1",
    ]


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ("-A INPUT -j c1\n-R INPUT 1 -j ACCEPT", ["-A INPUT -j ACCEPT"]),
        ("-A INPUT -j c1\n-I INPUT -j DROP", ["-A INPUT -j DROP", "-A INPUT -j c1"]),
        ("-A INPUT -j c1\n-A INPUT -j c2\n-D INPUT 1", ["-A INPUT -j c2"]),
        ("-A INPUT -s 1.1.1.1 -j c1\n-A INPUT -j c1\n-D INPUT -s 1.1.1.1/32 -j c1", ["-A INPUT -j c1"]),
        ("-A INPUT -j c1\n-F\n-A INPUT -j ACCEPT", ["-A INPUT -j ACCEPT"]),
        ("-A INPUT -j c1\n-A c1 -j c2\n-F c1", ["-A INPUT -j c1"]),
        ("-A INPUT -j c1\n-A c1 -j c2\n-E c1 new", ["-A INPUT -j new", "-A new -j c2"]),
        ("-N new\n-A new -g c1", ["-A new -g c1"]),
        ("-A INPUT -j c1\n-C INPUT -j c1", ["-A INPUT -j c1"]),
        ("-A INPUT -4 -j c1\n-A INPUT -6 -j c2", ["-A INPUT -j c1"]),
        ("-A INPUT -v --verbose -j c1", ["-A INPUT -j c1"]),
        ("-A INPUT -j c1\n-L\n-S INPUT", ["-A INPUT -j c1"]),
    ],
)
def test_commands(lines: str, left: list[str]) -> None:
    read = loads(table(lines))

    assert [rule.text for rule in read.rules()] == left
    assert all(
        rule.position == position
        for chain in read.tables["filter"].chains.values()
        for position, rule in enumerate(chain.rules, 1)
    )


def test_chains_are_deleted_and_renamed() -> None:
    read = loads(table("-X c1\n-E c2 c3\n-P INPUT DROP -c 5 6"))

    assert list(read.tables["filter"].chains) == ["INPUT", "c3"]
    assert read.chain("filter", "INPUT") == Chain("filter", "INPUT", "DROP", Counters(5, 6))
    assert list(loads(table("-X")).tables["filter"].chains) == ["INPUT"]


def test_counters() -> None:
    read = loads(
        table("[7:8] -A INPUT -j c1\n-A INPUT -c 1 2 -j c1\n-A INPUT --set-counters 3,4 -j c1\n-A INPUT")
    )

    assert [rule.counters for rule in read.rules()] == [Counters(7, 8), Counters(1, 2), Counters(3, 4), None]
    assert [rule.counters for rule in loads(table("[7:8]-A INPUT\n-Z")).rules()] == [Counters(0, 0)]


def test_a_rule_knows_where_it_stands() -> None:
    rule = loads(table("# remark\n[1:2] -A INPUT -p tcp --syn -j ACCEPT"), source="x").rule(
        "filter", "INPUT", 1
    )

    assert (rule.source, rule.line, rule.position) == ("x", 6, 1)
    assert rule.text == "-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT"
    assert isinstance(rule.matches[0], Tcp)
    assert rule.target == Accept()


def test_equal_parts_are_one_object() -> None:
    first, second = loads(table("-A INPUT -p tcp --dport 1 -j c1\n-A c2 -p tcp --dport 1 -j c1")).rules()

    assert first.matches[0] is second.matches[0]
    assert first.parameters is second.parameters


def test_rules_share_the_names_of_chains() -> None:
    """Else a large dump would have a copy for each rule. Only the first line of a shape is read word by word."""
    lines = "".join(f"-A SERVICES -d 10.0.0.{number}/32 -j SERVICE\n" for number in range(200))
    table = loads(f"*nat\n:SERVICE - [0:0]\n:SERVICES - [0:0]\n{lines}COMMIT\n").tables["nat"]
    services = table.chains["SERVICES"]
    assert len(services.rules) == 200
    assert all(rule.chain is services.name for rule in services.rules)
    assert all(rule.callee is table.chains["SERVICE"].name for rule in services.rules[1:])


def test_listing() -> None:
    """`iptables -S` names no table."""
    rules = "-A INPUT -j web\n-A web -p tcp -m tcp --dport 80 -j ACCEPT\n"
    read = loads(f"-P INPUT DROP -c 1 2\n-P FORWARD ACCEPT\n-N web\n{rules}")

    assert dumps(read) == (
        "*filter\n:INPUT DROP [1:2]\n:FORWARD ACCEPT [0:0]\n:web - [0:0]\n"
        "-A INPUT -j web\n-A web -p tcp -m tcp --dport 80 -j ACCEPT\nCOMMIT\n"
    )
    assert list(loads("-P PREROUTING ACCEPT\n-A PREROUTING -j RETURN\n", table="nat").tables) == ["nat"]


@pytest.mark.parametrize("table", BUILTIN_CHAINS)
def test_a_listing_shows_its_table_by_its_chains(table: str) -> None:
    """Filter and security have the same chains; a listing without any word on it is one of filter."""
    text = "".join(f"-P {chain} ACCEPT\n" for chain in BUILTIN_CHAINS[table]) + "-N c\n-A c -j RETURN\n"

    assert list(loads(text).tables) == ["filter" if table == "security" else table]


def test_listings_of_several_tables() -> None:
    filter_listing = "-P INPUT DROP\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-A INPUT -i lo -j ACCEPT\n"
    nat = "-P PREROUTING ACCEPT\n-P OUTPUT ACCEPT\n-P POSTROUTING ACCEPT\n-A POSTROUTING -j MASQUERADE\n"
    read = loads(f"$ iptables -S\n{filter_listing}$ iptables -t nat -S\n{nat}", lenient=True)

    assert [(rule.table, rule.chain) for rule in read.rules()] == [
        ("filter", "INPUT"),
        ("nat", "POSTROUTING"),
    ]
    assert dumps(read) == dumps(loads(filter_listing + nat))


def test_base_chain_that_is_only_named_by_a_rule() -> None:
    read = loads("*filter\n-A INPUT -j DROP\nCOMMIT\n")

    assert read.chain("filter", "INPUT") == Chain(
        "filter", "INPUT", "ACCEPT", rules=list(read.rules()), declared=False
    )
    assert read.chain("filter", "FORWARD") is None


def test_no_line_end_after_commit() -> None:
    assert dumps(loads("*filter\nCOMMIT")) == "*filter\nCOMMIT\n"


@pytest.mark.parametrize(
    ("header", "family", "backend", "version"),
    [
        ("# Generated by iptables-save v1.8.13 (nf_tables) on Tue", 4, "nf_tables", "1.8.13"),
        ("# Generated by ip6tables-save v1.8.9 (nf_tables) on Tue", 6, "nf_tables", "1.8.9"),
        ("# Generated by iptables-save v1.8.9 on Tue", 4, "legacy", "1.8.9"),
        ("# Generated by iptables-save v1.6.1 on Tue", 4, "legacy", "1.6.1"),
        ("# Generated by ip6tables-save v1.4.21 on Tue", 6, "legacy", "1.4.21"),
        ("# Generated by iptables-save v1.8.9 (legacy) on Tue", 4, "legacy", "1.8.9"),
        ("# Generated by iptables-nft-save v1.8.9 (nf_tables) on Tue", 4, "nf_tables", "1.8.9"),
        ("# Generated by xtables-save v1.8.2 on Tue", 4, "nf_tables", "1.8.2"),
        ("# a remark", 4, "nf_tables", None),
    ],
)
def test_header(header: str, family: int, backend: str, version: str | None) -> None:
    read = loads(f"{header}\n*filter\nCOMMIT\n# Completed\n")

    assert (read.family, read.backend, read.version) == (family, backend, version)
    assert (read.tables["filter"].comments, read.trailer) == ((header,), ("# Completed",))


@pytest.mark.parametrize(
    ("line", "family"),
    [
        ("-A INPUT -s 2001:db8::/32 -j ACCEPT", 6),
        ("-A INPUT ! -d ::1/128 -j ACCEPT", 6),
        ("-A INPUT -p ipv6-icmp -j ACCEPT", 6),
        ("-A INPUT -j REJECT --reject-with icmp6-port-unreachable", 6),
        ("-A INPUT -s 10.0.0.1 -j ACCEPT", 4),
        ("-A INPUT -p tcp --dport 1:2 -j ACCEPT", 4),
    ],
)
def test_family_shows_in_the_rules(line: str, family: int) -> None:
    assert loads(table(line)).family == family


def test_dump_of_both_families() -> None:
    text = (
        "# Generated by iptables-save v1.8.9 (nf_tables)\n*filter\n:INPUT DROP [0:0]\nCOMMIT\n"
        "# Generated by ip6tables-save v1.8.9 (nf_tables)\n*filter\n:INPUT ACCEPT [0:0]\n"
        "-A INPUT -s ::1/128 -j DROP\nCOMMIT\n"
    )

    assert (loads(text).family, len(list(loads(text).rules()))) == (4, 0)
    assert list(map(str, loads(text).warnings)) == [
        "line 5: ignored the IPv6 tables from here on; this is the IPv4 ruleset"
    ]
    assert [rule.text for rule in loads(text, family=6).rules()] == ["-A INPUT -s ::1/128 -j DROP"]


@pytest.mark.parametrize(
    ("header", "policy"), [("", None), ("# Generated by iptables-save v1.6.1\n", "DROP")]
)
def test_table_that_stands_twice(header: str, policy: str | None) -> None:
    """The second block takes the rules of the first away; only legacy keeps policies that it does not name."""
    read = loads(
        f"{header}*filter\n:INPUT DROP [0:0]\n:c1 - [0:0]\n-A c1\nCOMMIT\n*filter\n:c2 - [0:0]\n-A c2\nCOMMIT\n"
    )
    chain = read.chain("filter", "INPUT")

    assert [rule.text for rule in read.rules()] == ["-A c2"]
    assert (chain.policy if chain else None) == policy
    assert "table filter is given twice" in str(read.warnings[0])


def test_warnings() -> None:
    read = loads(
        "# Warning: iptables-legacy tables present, use iptables-legacy-save to see them\n"
        + table(
            ":c1 - [0:0]\n:c3 ACCEPT [0:0]\n-A INPUT -m contrack --what 1 -j NDPI --proto web\n-A INPUT -j NDPI"
        )
    )

    assert list(map(str, read.warnings)) == [
        "line 1: the host also has rules of iptables-legacy; they apply too and are not in this dump",
        "line 6: chain c1 is declared twice (first in line 4); the second declaration empties it",
        "line 7: only a built-in chain has a policy; c3 has none",
        "line 8: iptsim does not know -m contrack; its effect is left open (did you mean -m conntrack?)",
        "line 8: iptsim does not know -j NDPI; its effect is left open",
    ]


def test_unknown_extensions_keep_their_words() -> None:
    text = table(
        '-A INPUT -p tcp -m ndpi ! --proto "a b" ,c --x -m tcp --dport 80 -j NDPI --set a\n-A c1 -j NDPI'
    )
    read = loads(text)
    rule = read.rule("filter", "INPUT", 1)

    assert dumps(read) == text
    assert isinstance(rule.matches[0], UnknownMatch)
    assert rule.matches[0].words == ("!", "--proto", '"a b"', ",c", "--x")
    assert isinstance(rule.target, UnknownTarget)
    assert (rule.target.name, rule.target.words) == ("NDPI", ("--set", "a"))
    assert pickle.loads(pickle.dumps(rule)) == rule


def test_lenient_skips_what_is_no_line() -> None:
    text = f"\ufeff$ sudo iptables-save\r\nloading ...\r\n{table('-A INPUT -j ACCEPT')}root@host:~# exit\n"
    read = loads(text, lenient=True)

    assert [rule.text for rule in read.rules()] == ["-A INPUT -j ACCEPT"]
    assert len(read.warnings) == 5
    with pytest.raises(DumpSyntaxError):
        loads(table("-A INPUT --nonsense"), lenient=True)


def test_load(tmp_path: Path) -> None:
    file = tmp_path / "dump"
    file.write_text(table('-A INPUT -m comment --comment "é"'))

    assert load(file).source == str(file)
    for data, error in (
        (b"\xff\xfe*\0f\0", "the text is UTF-16, as Windows tools write it; save it as UTF-8"),
        (b"*filter\n\x89PNG", "byte 0x89 is not UTF-8; is this a dump?"),
    ):
        file.write_bytes(data)
        with pytest.raises(CaptureError, match=error):
            load(file)
    with pytest.raises(CaptureError, match="No such file or directory"):
        load(tmp_path / "missing")


def test_the_collector_is_as_it_was() -> None:
    for was in (True, False):
        (gc.enable if was else gc.disable)()
        try:
            loads("*filter\nCOMMIT\n")
            with pytest.raises(DumpSyntaxError):
                loads("nonsense\n")
            assert gc.isenabled() is was
        finally:
            gc.enable()


def test_package_exports() -> None:
    assert set(iptsim.dump.__all__) == set(dir(iptsim.dump))
    assert {name: getattr(iptsim.dump, name) for name in iptsim.dump.__all__}["Ruleset"] is Ruleset
    with pytest.raises(AttributeError):
        _ = iptsim.dump.nothing


def test_many_errors_are_cut() -> None:
    with pytest.raises(DumpErrors) as caught:
        loads(table("-A INPUT --nonsense\n" * 12))

    assert (len(caught.value.errors), caught.value.more) == (10, 2)
    assert str(caught.value).endswith("... and 2 more errors")


def test_rules_made_in_memory() -> None:
    rule = Rule(
        "filter",
        "INPUT",
        1,
        loads(table("-A INPUT")).rule("filter", "INPUT", 1).parameters,
        target=Jump("c1"),
    )

    assert rule.text == "-A INPUT -j c1"


def test_a_target_is_no_chain_though_one_is_called_so() -> None:
    """iptables-restore lets a file declare a chain LOG, but `-j LOG` is the target."""
    read = loads(table(":LOG - [0:0]\n-A INPUT -j c1\n-A INPUT -j LOG\n-A INPUT -g LOG"))

    assert [type(rule.target).__name__ for rule in read.rules()] == ["Jump", "Log", "Jump"]
    assert {one.name for one in all_extensions() if issubclass(one, Target)} <= set(target_names())


def test_indented_dump() -> None:
    text = "  *filter\n  :INPUT ACCEPT [0:0]\n  -A INPUT -j DROP\n  COMMIT\n"

    with pytest.raises(DumpErrors):
        loads(text)
    assert [rule.text for rule in loads(text, lenient=True).rules()] == ["-A INPUT -j DROP"]


def test_reading_needs_no_rich() -> None:
    code = "import sys, iptsim.dump.reader; print({'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    "text",
    [
        "*filter\n:INPUT ACCEPT [0:0]\n" + "-I INPUT -s 10.0.0.1 -j DROP\n" * 3000 + "COMMIT\n",
        "*filter\n"
        + "".join(f":chain{n} - [0:0]\n-A chain{n} -j chane{n}\n" for n in range(3000))
        + "COMMIT\n",
        "nonsense\n" * 20000,
        "*filter\n:INPUT ACCEPT [0:0]\n" + "".join(f"-A INPUT -m no{n}\n" for n in range(3000)) + "COMMIT\n",
        "*filter\n[" + "9" * 5000 + ":0] -A INPUT\nCOMMIT\n",
        '*filter\n-A INPUT -m comment --comment "' + "\\" * 9000 + "\nCOMMIT\n",
    ],
    ids=["inserts", "typing errors", "prose", "unknown matches", "digits", "backslashes"],
)
def test_hostile_text_takes_no_long_time(text: str) -> None:
    start = time.monotonic()
    with contextlib.suppress(IptsimError):
        loads(text)

    assert time.monotonic() - start < 20


def test_policies_may_stand_between_the_rules_of_a_listing() -> None:
    read = loads("-P INPUT DROP\n-A INPUT -i lo -j ACCEPT\n-P FORWARD DROP\n-A FORWARD -j ACCEPT\n")

    assert [rule.text for rule in read.rules()] == ["-A INPUT -i lo -j ACCEPT", "-A FORWARD -j ACCEPT"]
    assert list(map(str, read.warnings)) == []


def test_the_second_listing_of_a_table_replaces_the_first() -> None:
    """As the second of two blocks `*filter` does for iptables-restore."""
    listing = "-P INPUT {}\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n-N c1\n-A INPUT -s 10.0.0.{} -j c1\n"
    read = loads(listing.format("ACCEPT", 1) + listing.format("DROP", 2))

    assert [rule.text for rule in read.rules()] == ["-A INPUT -s 10.0.0.2/32 -j c1"]
    assert read.tables["filter"].chains["INPUT"].policy == "DROP"
    assert list(map(str, read.warnings)) == [
        "line 6: table filter is listed twice (first in line 1); the second listing replaces the rules of the first"
    ]


def test_a_target_is_made_when_it_is_first_used() -> None:
    rules = "".join(
        f"-A PREROUTING -p tcp -m tcp --dport {port} -j DNAT --to-destination 172.17.0.2:{port}\n"
        for port in (80, 81, 82)
    )
    first, second, third = loads(f"*nat\n:PREROUTING ACCEPT [0:0]\n{rules}COMMIT\n").rules()
    assert (third.jump, third.target_name) == (None, "DNAT")
    assert third.text.endswith("-j DNAT --to-destination 172.17.0.2:82")
    assert second.target != first.target


@pytest.mark.parametrize("target", ["DNAT --to-destination 172.17.0.2:80", "SNAT --to-source 172.17.0.2:80"])
def test_ports_of_a_translation_need_a_protocol_in_each_line(target: str) -> None:
    """Iptables v1.8.9: "DNAT: Need TCP, UDP, SCTP or DCCP with port specification"."""
    chain = "PREROUTING" if target.startswith("DNAT") else "POSTROUTING"
    head = f"*nat\n:{chain} ACCEPT [0:0]\n"
    plain = f"-A {chain} -j {target.removesuffix(':80')}\n"
    assert len(list(loads(f"{head}{plain}{plain}COMMIT\n").rules())) == 2
    with pytest.raises(DumpSyntaxError, match="works only in a rule with -p"):
        loads(f"{head}{plain}-A {chain} -j {target}\nCOMMIT\n")
