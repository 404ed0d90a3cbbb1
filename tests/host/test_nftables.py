"""Base chains of nftables: what each could do, and which are not of iptables."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from iptsim.dump import loads
from iptsim.host.dockerd import DockerDaemon
from iptsim.host.nft_chains import NftChain, NftListing, NftRuleset
from iptsim.host.nft_hints import hinted
from iptsim.host.nftables import RulesetEntry, read_nftables, without_iptables
from tests.host.laboratory import NEEDS_KERNEL
from tests.kernel.namespaces import Namespace

_MATCH = {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}}
_COUNTER = {"counter": {"packets": 0, "bytes": 0}}


def read(*items: dict[str, Any]) -> NftRuleset:
    return read_nftables(RulesetEntry.model_validate({"nftables": list(items)}))


def chain(name: str = "base", *, base: bool = True, policy: str = "accept", **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"family": "inet", "table": "t", "name": name}
    if base:
        made |= {"type": "filter", "hook": "forward", "prio": -5, "policy": policy}
    return {"chain": {**made, **fields}}


def rule(*statements: dict[str, Any], of: str = "base") -> dict[str, Any]:
    return {"rule": {"family": "inet", "table": "t", "chain": of, "expr": list(statements)}}


def effects(*rules: dict[str, Any], policy: str = "accept") -> tuple[str, ...]:
    (found,) = read(chain(policy=policy), chain("sub", base=False), *rules).chains
    return found.effects


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ({"accept": None}, ()),
        ({"drop": None}, ("drop",)),
        ({"queue": {"num": 1}}, ("drop",)),
        ({"reject": {"type": "tcp reset"}}, ("reject",)),
        ({"log": {"prefix": "x"}}, ()),
        ({"limit": {"rate": 5, "per": "second"}}, ()),
        ({"set": {"op": "add", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@s"}}, ()),
        ({"dnat": {"addr": "10.0.0.1"}}, ("change",)),
        ({"masquerade": None}, ("change",)),
        ({"notrack": None}, ("change",)),
        ({"dup": {"addr": "lo"}}, ()),
        ({"fwd": {"dev": "lo"}}, ("change",)),
        ({"tproxy": {"port": 1}}, ("change",)),
        ({"synproxy": {"mss": 1460}}, ("drop", "change")),
        ({"mangle": {"key": {"meta": {"key": "mark"}}, "value": 1}}, ("change",)),
        ({"mangle": {"key": {"ct": {"key": "zone"}}, "value": 1}}, ("change",)),
        ({"mangle": {"key": {"payload": {"protocol": "ip", "field": "ttl"}}, "value": 1}}, ("change",)),
        ({"mangle": {"key": {"meta": {"key": "nftrace"}}, "value": 1}}, ()),
        ({"xt": {"type": "match", "name": "addrtype"}}, ()),
        ({"xt": {"type": "target", "name": "LOG"}}, ()),
        ({"xt": {"type": "target", "name": "MASQUERADE"}}, ("change",)),
        ({"xt": {"type": "target", "name": "REJECT"}}, ("reject",)),
        ({"xt": {"type": "target", "name": []}}, ("change",)),
        ({"xt": None}, ("drop", "reject", "change")),
        ({"vmap": {"key": {}, "data": {"set": [[22, {"accept": None}], [23, {"drop": None}]]}}}, ("drop",)),
        ({"vmap": {"key": {}, "data": "@gone"}}, ("drop", "reject", "change")),
        ({"a statement of tomorrow": None}, ("change",)),
    ],
    ids=str,
)
def test_what_a_statement_could_do(statement: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert effects(rule(_MATCH, statement)) == expected


def test_jumps_and_verdict_maps_are_followed() -> None:
    inner = rule(_MATCH, {"drop": None}, of="sub")
    assert effects(inner) == ()
    assert effects(rule({"jump": {"target": "sub"}}), inner) == ("drop",)
    assert effects(rule(_MATCH, {"goto": {"target": "sub"}}), inner) == ("drop",)
    named = {
        "map": {"family": "inet", "table": "t", "name": "m", "elem": [["eth0", {"jump": {"target": "sub"}}]]}
    }
    assert effects(named, rule({"vmap": {"key": {}, "data": "@m"}}), inner) == ("drop",)


def test_what_no_packet_comes_to_has_no_effect() -> None:
    drop = rule({"drop": None})
    assert effects(rule(_COUNTER, {"accept": None}), drop, policy="drop") == ()
    assert effects(rule(_MATCH, {"accept": None}), drop) == ("drop",)
    assert effects(rule({"return": None}), drop, policy="drop") == ("drop",)
    assert effects(policy="drop") == ("drop",)


def test_the_policy_decides_about_what_a_chain_leaves_undecided_to_which_the_base_chain_goes() -> None:
    """nft_do_chain: `goto` from a base chain comes back to its policy, and so does `return`."""
    assert effects(rule({"goto": {"target": "sub"}}), policy="drop") == ("drop",)
    accept = rule({"accept": None})
    assert effects(rule(_MATCH, {"return": None}), accept, policy="drop") == ("drop",)
    leaving = {"vmap": {"key": {}, "data": {"set": [[80, {"goto": {"target": "sub"}}]]}}}
    assert effects(rule(leaving), accept, policy="drop") == ("drop",)


def test_chains_of_iptables_are_left_out_where_a_dump_shows_them() -> None:
    own = chain("FORWARD", family="ip", table="filter", prio=0)
    other = chain("FORWARD", family="ip", table="filter", prio=-1)
    mine = chain("FORWARD", family="inet", table="filter", prio=0)
    dump = loads("*filter\n:FORWARD ACCEPT\nCOMMIT\n", family=4)
    assert without_iptables(read(own), [dump]).chains == ()
    # not shown: another priority or family, a dump of other tables, of the legacy backend, of IPv6 alone
    assert [one.family for one in without_iptables(read(other, mine), [dump]).chains] == ["ip", "inet"]
    assert without_iptables(read(own), [loads("*nat\nCOMMIT\n", family=4)]).chains
    assert without_iptables(
        read(own), [loads(":x\n" and "*filter\n:FORWARD ACCEPT\nCOMMIT\n", family=6)]
    ).chains
    dump.backend = "legacy"
    assert without_iptables(read(own), [dump]).chains


def test_iptables_save_and_docker_tell_of_chains_that_were_not_saved() -> None:
    text = (
        "# Table `filter' contains incompatible base-chains, use 'nft' tool to list them.\n"
        "*filter\n:FORWARD ACCEPT\nCOMMIT\n# Table `nat' is incompatible, use 'nft' tool.\n"
    )
    found = hinted([loads(text, family=6)], None)
    assert found is not None
    assert [(one.family, one.table, one.hook) for one in found.chains] == [
        ("ip6", "filter", None),
        ("ip6", "nat", None),
    ]
    assert hinted([loads("*filter\nCOMMIT\n", family=4)], DockerDaemon(firewall_backend="iptables")) is None
    docker = hinted([], DockerDaemon(firewall_backend="nftables", ip6tables=False))
    assert docker is not None
    assert {(one.table, one.name, one.hook) for one in docker.chains} >= {
        ("docker-bridges", "filter-FORWARD", "forward"),
        ("docker-bridges", "nat-PREROUTING", "prerouting"),
    }
    assert {one.family for one in docker.chains} == {"ip"}


def translated(*statements: dict[str, Any]) -> dict[int, list[str]]:
    """The rules that a rule of a table of both families becomes."""
    (base,) = read(chain(), rule(*statements), {"set": {"family": "inet", "table": "t", "name": "e"}}).chains
    return {
        family: [
            f"{' '.join((one.words, *one.also))} ({one.hidden}){one.unread and f' [{one.unread}]'}"
            for one in found
        ]
        for family, found in base.rules
    }


def test_answers_of_one_family_reject_packets_of_that_family_alone() -> None:
    """Nft adds a condition on the family, and does not list it (stmt_reject_gen_dependency)."""
    assert translated({"reject": {"type": "icmp", "expr": "host-prohibited"}}) == {
        4: ["-j REJECT --reject-with icmp-host-prohibited ()"],
        6: [],
    }
    assert translated({"reject": {"type": "icmpv6", "expr": "admin-prohibited"}}) == {
        4: [],
        6: ["-j REJECT --reject-with icmp6-adm-prohibited ()"],
    }
    assert set(map(len, translated({"reject": {"type": "icmpx", "expr": "admin-prohibited"}}).values())) == {
        1
    }


def test_no_port_is_in_an_empty_set() -> None:
    port = {"payload": {"protocol": "tcp", "field": "dport"}}
    for op, expected in (("==", []), ("!=", ["-p tcp -j DROP (tcp dport @e)"])):
        statement = {"match": {"op": op, "left": port, "right": "@e"}}
        assert translated(statement, {"drop": None})[4] == expected


_MARK, _CTMARK = {"meta": {"key": "mark"}}, {"ct": {"key": "mark"}}


@pytest.mark.parametrize(
    ("written", "value", "expected"),
    [
        (_MARK, 7, "MARK --set-xmark 0x7/0xffffffff"),
        (_CTMARK, 7, "CONNMARK --set-xmark 0x7/0xffffffff"),
        (_MARK, {"|": [_MARK, 0x2000]}, "MARK --set-xmark 0x2000/0x2000"),
        (_MARK, {"|": [{"&": [_MARK, 0xFFFF0000]}, 1]}, "MARK --set-xmark 0x1/0xffff"),
        (_MARK, _CTMARK, "CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff"),
        (_MARK, {"&": [_CTMARK, 0xFF]}, "CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xff"),
        (_CTMARK, {"&": [_MARK, 0xFF]}, "CONNMARK --save-mark --nfmask 0xff --ctmask 0xffffffff"),
        (_CTMARK, {"|": [_MARK, 4]}, None),
        (_MARK, {"^": [{"|": [_MARK, 6]}, 12]}, "MARK --set-xmark 0xa/0x6"),
        ({"ct": {"key": "zone"}}, 1, None),
        (_MARK, [], None),
    ],
    ids=str,
)
def test_statements_that_change_marks(written: dict[str, Any], value: Any, expected: str | None) -> None:
    """CONNMARK's bits are those of xt_connmark.c: `ctmask` are cleared before copying, `nfmask` are copied."""
    found = translated({"mangle": {"key": written, "value": value}})
    (made,) = found[4]
    assert found[6] == [made]
    assert made == f"-j {expected} ()" if expected else " ()" in made and " set " in made


def test_a_mark_of_a_map_that_is_not_listed_has_no_translation() -> None:
    assert translated({"mangle": {"key": _MARK, "value": {"map": {"key": _MARK, "data": "@m"}}}}) == {}


def test_a_statement_without_an_equivalent_concerns_the_packets_that_meet_it() -> None:
    written = {"payload": {"protocol": "udp", "field": "dport"}}
    (base,) = read(chain(), rule({"mangle": {"key": written, "value": 53}}, {"accept": None})).chains
    assert [(one.words, one.unread) for one in dict(base.rules)[4]] == [("-p udp", "udp dport set 53")]


@pytest.mark.parametrize(
    ("about", "zone", "hook", "expected"),
    [
        ({}, 3, "prerouting", "CT --zone 3"),
        ({"dir": "original"}, 3, "output", "CT --zone-orig 3"),
        ({"dir": "reply"}, 0, "output", "CT --zone-reply 0"),
        # connection tracking has seen the packet
        ({}, 3, "forward", None),
        ({}, {"meta": {"key": "mark"}}, "prerouting", None),
    ],
)
def test_statements_that_set_a_zone(
    about: dict[str, str], zone: Any, hook: str, expected: str | None
) -> None:
    change = {"mangle": {"key": {"ct": {"key": "zone", **about}}, "value": zone}}
    (base,) = read(chain(hook=hook), rule(change)).chains
    (made,) = dict(base.rules)[4]
    assert (made.words, bool(made.unread)) == ((f"-j {expected}", False) if expected else ("", True))


def test_what_a_rule_checks_is_not_changed_before_its_last_statement() -> None:
    change = {"mangle": {"key": _MARK, "value": 1}}
    checks = {"match": {"op": "==", "left": _MARK, "right": 0}}
    assert translated(_MATCH, change, {"accept": None})[4] == [
        "-p tcp -j MARK --set-xmark 0x1/0xffffffff ()",
        "-p tcp -j ACCEPT ()",
    ]
    assert translated(checks, change, {"accept": None})[4] == [
        "-m mark --mark 0x0 -g base 1.1 ()",
        "-j MARK --set-xmark 0x1/0xffffffff ()",
        "-j ACCEPT ()",
    ]
    # an alternative of the rule would check what another one has changed
    either = {"match": {"op": "==", "left": _MARK, "right": {"set": [1, 2]}}}
    assert translated(either, change, {"jump": {"target": "sub"}}) == {}


def test_a_statement_depends_on_the_conditions_before_it_alone() -> None:
    change = {"mangle": {"key": _MARK, "value": 1}}
    assert translated(change, _MATCH, {"limit": {}}, {"accept": None})[4] == [
        "-j MARK --set-xmark 0x1/0xffffffff ()",
        "-p tcp -j ACCEPT (limit)",
    ]
    # the mark that it checks is changed before
    assert translated(change, {"match": {"op": "==", "left": _MARK, "right": 1}}, {"accept": None}) == {}
    other = {"match": {"op": "!=", "left": _MARK, "right": {"set": [1, 2]}}}
    assert translated(other, change, {"accept": None})[4] == [
        "-g base 1.1 -m mark ! --mark 0x1 -m mark ! --mark 0x2 ()",
        "-j MARK --set-xmark 0x1/0xffffffff ()",
        "-j ACCEPT ()",
    ]
    state = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "untracked"}}
    assert translated({"notrack": None}, state, {"drop": None}) == {}


def mapped(key: dict[str, Any], *elements: Any) -> dict[str, Any]:
    return {"vmap": {"key": key, "data": {"set": list(elements)}}}


def test_a_map_is_looked_up_once() -> None:
    jump, drop = {"jump": {"target": "sub"}}, {"drop": None}
    looked_up = rule(mapped(_MARK, [1, jump], [2, drop]))
    (base,) = read(chain(), looked_up).chains
    assert [one.words for one in dict(base.rules)[4]] == [
        "-m mark --mark 0x1 -j sub",
        "-m mark --mark 0x2 -j DROP",
    ]
    # what the chain changes would be looked up again
    changing = rule({"mangle": {"key": _MARK, "value": 2}}, of="sub")
    assert read(chain(), looked_up, changing).chains[0].rules == ()
    # a key that the map lacks ends the rule
    port = {"payload": {"protocol": "tcp", "field": "dport"}}
    assert translated(mapped(port, [80, {"continue": None}]), drop)[4] == [
        "-p tcp -m multiport --dports 80 -j DROP ()"
    ]
    assert translated(mapped(port, [80, {"accept": None}]), drop)[4] == [
        "-p tcp -m multiport --dports 80 -j ACCEPT ()"
    ]


def test_all_other_packets_of_a_map() -> None:
    port, jump, drop = (
        {"payload": {"protocol": "tcp", "field": "dport"}},
        {"jump": {"target": "sub"}},
        {"drop": None},
    )
    jumping = ["-p tcp -m multiport --dports 22 -j sub ()", "-p tcp -m multiport ! --dports 22 -j DROP ()"]
    assert translated(mapped(port, [22, jump], ["*", drop]))[4] == jumping
    assert translated(mapped(port, ["*", drop], [22, jump]))[4] == jumping
    assert translated(mapped(port, [22, drop], ["*", {"continue": None}]))[4] == [
        "-p tcp -m multiport --dports 22 -j DROP ()"
    ]
    # which packets continue is not translated
    assert translated(mapped(port, [22, jump], ["*", {"continue": None}]), drop) == {}


def test_several_values_of_some_bits_of_a_mark() -> None:
    def bits(op: str) -> dict[str, Any]:
        return {"match": {"left": {"&": [_MARK, 0xFF00]}, "op": op, "right": {"set": [0x100, 0x200]}}}

    one, other = "-m mark --mark 0x100/0xff00", "-m mark --mark 0x200/0xff00"
    assert translated(bits("=="), {"drop": None})[4] == [f"{one} -j DROP ()", f"{other} -j DROP ()"]
    assert translated(bits("!="), {"drop": None})[4] == [
        "-j DROP -m mark ! --mark 0x100/0xff00 -m mark ! --mark 0x200/0xff00 ()"
    ]


def test_an_element_that_matches_only_some_packets_is_unknown() -> None:
    element = {"elem": {"val": 22, "limit": {"rate": 5, "per": "second"}}}
    port = {"payload": {"protocol": "tcp", "field": "dport"}}
    statement = {"match": {"op": "==", "left": port, "right": {"set": [element]}}}
    assert translated(statement, {"drop": None})[4] == ["-p tcp -j DROP (tcp dport)"]
    assert translated(mapped(port, [element, {"drop": None}])) == {}


@pytest.mark.parametrize(
    ("statement", "hidden"),
    [
        # measured: a key that the map lacks ends the rule, and so does a connection without a flow
        ({"counter": {"map": {"key": _MARK, "data": {"set": [[5, "c"]]}}}}, "counter"),
        ({"ct helper": {"map": {"key": _MARK, "data": {"set": [[5, "h"]]}}}}, "ct helper"),
        ({"mangle": {"key": {"meta": {"key": "priority"}}, "value": {"map": {}}}}, "mangle"),
        ({"mangle": {"key": {"meta": {"key": "priority"}}, "value": "1:1"}}, ""),
        ({"flow": {"op": "add", "flowtable": "@f"}}, "flow"),
        ({"set": {"op": "update", "elem": {"payload": {"protocol": "ether", "field": "type"}}, "set": "@s"}}, "set"),
        ({"set": {"op": "update", "elem": [], "set": "@s"}}, "set"),
        ({"set": {"op": "update", "elem": {"elem": {"val": _MARK, "timeout": 9}}, "set": "@s"}}, ""),
    ],
    ids=str,
)  # fmt: skip
def test_statements_that_may_end_a_rule(statement: dict[str, Any], hidden: str) -> None:
    assert translated(statement, {"drop": None})[4] == [f"-j DROP ({hidden})"]


def test_a_statement_without_json_is_unknown() -> None:
    # nft 1.0.6
    udp = {"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": "@m"}}
    known = {"map": {"family": "inet", "table": "t", "name": "m", "elem": [[9, 1]]}}
    changing: Any = "update @m { udp dport : ip saddr }"
    (base,) = read(chain(), known, rule(udp, {"drop": None}), rule(changing, {"drop": None})).chains
    assert [one.hidden for one in dict(base.rules)[4]] == ["udp dport @m", "map"]
    unknown: Any = "xfrm what"
    assert translated(unknown, {"drop": None}) == {}


def test_a_mark_of_a_connection_that_is_read_may_end_the_rule() -> None:
    mark = {"ct": {"key": "mark"}}
    # measured: nothing behind it matches a packet without a connection
    assert translated({"mangle": {"key": mark, "value": {"|": [mark, 1]}}}, {"drop": None})[4] == [
        "-j CONNMARK --set-xmark 0x1/0x1 ()",
        "-m conntrack ! --ctstate INVALID,UNTRACKED -j DROP ()",
    ]
    assert len(translated({"mangle": {"key": mark, "value": 1}}, {"drop": None})[4]) == 2


@pytest.mark.parametrize(
    "statement",
    [
        {"vmap": {"key": _MARK, "data": {"set": True}}},
        {
            "vmap": {
                "key": {"payload": {"protocol": {}, "field": "dport"}},
                "data": {"set": [[1, {"drop": None}]]},
            }
        },
        {
            "match": {
                "op": "==",
                "left": {"payload": {"protocol": "ip", "field": "saddr"}},
                "right": {"range": []},
            }
        },
    ],
    ids=str,
)
def test_what_nft_never_prints_is_unknown(statement: dict[str, Any]) -> None:
    found = translated(statement, {"drop": None})
    assert 4 not in found or all("()" not in one for one in found[4])


@pytest.mark.parametrize(
    ("left", "right", "unknown"),
    [
        # of a packet in a tunnel
        ({"payload": {"tunnel": "gre", "protocol": "ip", "field": "saddr"}}, "10.0.0.1", (4, 6)),
        # iptables takes these for any
        ({"meta": {"key": "l4proto"}}, 0, (4, 6)),
        ({"meta": {"key": "l4proto"}}, "ip", (4, 6)),
        ({"payload": {"protocol": "icmp", "field": "type"}}, 255, (4,)),
        # of a socket that the kernel looked up early
        # iptables: local addresses are unicast too
        ({"fib": {"result": "type", "flags": ["daddr"]}}, "unicast", (6,)),
        ({"fib": {"result": "type", "flags": ["daddr"]}}, {"range": [1, 2]}, (4, 6)),
        ({"meta": {"key": "pkttype"}}, {"range": [1, 2]}, (4, 6)),
    ],
    ids=str,
)
def test_what_means_something_else_to_iptables_is_unknown(
    left: dict[str, Any], right: Any, unknown: tuple[int, ...]
) -> None:
    found = translated({"match": {"op": "==", "left": left, "right": right}}, {"drop": None})
    assert (
        tuple(family for family, rules in found.items() if any("()" not in one for one in rules)) == unknown
    )


def test_conditions_that_iptables_allows_once_in_a_rule() -> None:
    port = {"left": {"meta": {"key": "iifname"}}, "op": "!=", "right": {"set": ["lo", "eth*"]}}
    source = {"left": {"payload": {"protocol": "ip", "field": "saddr"}}, "op": "!="}
    addresses = [{"prefix": {"addr": "10.0.0.0", "len": 8}}, {"range": ["192.0.2.1", "192.0.2.9"]}]
    assert translated({"match": port}, {"match": {**source, "right": {"set": addresses}}}, {"drop": None})[
        4
    ] == ['-j DROP ! -i lo ! -i "eth+" ! -s 10.0.0.0/8 -m iprange ! --src-range 192.0.2.1-192.0.2.9 ()']


def test_an_option_twice() -> None:
    def on(field: str, value: Any, op: str = "==") -> dict[str, Any]:
        return {"match": {"left": {"payload": {"protocol": "ip", "field": field}}, "op": op, "right": value}}

    inside = on("saddr", {"prefix": {"addr": "10.0.0.0", "len": 8}})
    assert translated(inside, on("saddr", "10.1.1.1", "!="), on("daddr", "10.1.1.1"), {"drop": None})[4] == [
        "-s 10.0.0.0/8 -d 10.1.1.1 -j DROP ! -s 10.1.1.1 ()"
    ]
    marked = {"match": {"left": _MARK, "op": "==", "right": 1}}, {"mangle": {"key": _MARK, "value": 2}}
    assert translated(inside, on("saddr", "10.1.1.1", "!="), *marked, {"accept": None})[4] == [
        "-s 10.0.0.0/8 -m mark --mark 0x1 -g base 1.1 ! -s 10.1.1.1 ()",
        "-s 10.0.0.0/8 -j MARK --set-xmark 0x2/0xffffffff ()",
        "-s 10.0.0.0/8 -j ACCEPT ()",
    ]
    some = on("saddr", {"set": ["10.1.1.1", "10.1.1.2"]})
    verdicts = mapped(inside["match"]["left"], ["10.1.1.1", {"drop": None}])
    assert translated(on("saddr", "10.2.2.2", "!="), some, verdicts)[4] == [
        "! -s 10.2.2.2 -j DROP -s 10.1.1.1 -s 10.1.1.1 ()",
        "! -s 10.2.2.2 -j DROP -s 10.1.1.2 -s 10.1.1.1 ()",
    ]
    port = {"payload": {"protocol": "tcp", "field": "dport"}}
    pairs = mapped(
        {"concat": [inside["match"]["left"], port]}, [{"concat": ["10.1.1.1", 80]}, {"drop": None}]
    )
    assert translated(some, pairs)[4] == [
        f"-p tcp -s 10.1.1.{number} -j DROP -p tcp -s 10.1.1.1 -m multiport --dports 80 ()"
        for number in (1, 2)
    ]


@pytest.mark.parametrize(
    ("left", "op", "right", "expected"),
    [
        ("flags", "in", ["syn", "ack"], ["-m tcp ! --tcp-flags SYN,ACK NONE"]),
        ({"&": ["flags", ["syn", "rst"]]}, "==", "syn", ["-m tcp --tcp-flags SYN,RST SYN"]),
        ({"&": ["flags", ["syn", "rst"]]}, "!=", 0, ["-m tcp ! --tcp-flags SYN,RST NONE"]),
        # flags that iptables knows elsewhere; measured with packets that have them
        ({"&": ["flags", ["syn", "ecn"]]}, "==", "syn", ["-m tcp --tcp-flags SYN SYN -m ecn ! --ecn-tcp-ece"]),
        ({"&": ["flags", ["syn", "ecn"]]}, "!=", "syn", None),
        ("flags", "==", "syn", [
            "-m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG SYN -m ecn ! --ecn-tcp-ece ! --ecn-tcp-cwr"
        ]),
    ],
    ids=str,
)  # fmt: skip
def test_flags_of_tcp(left: Any, op: str, right: Any, expected: list[str] | None) -> None:
    flags = {"payload": {"protocol": "tcp", "field": "flags"}}
    expression = flags if left == "flags" else {"&": [flags, left["&"][1]]}
    found = translated({"match": {"op": op, "left": expression, "right": right}}, {"drop": None})[4]
    if expected is None:
        assert len(found) == 1
        assert "(tcp flags)" in found[0] or "(&)" in found[0]
    else:
        assert found == [f"-p tcp {words} -j DROP ()" for words in expected]


def test_fields_that_are_looked_up_together() -> None:
    fields = [
        {"payload": {"protocol": "ip", "field": "daddr"}},
        {"payload": {"protocol": "tcp", "field": "dport"}},
    ]
    elements = [{"concat": ["192.0.2.1", 80]}, {"concat": ["192.0.2.2", {"range": [443, 445]}]}]
    statement = {"match": {"op": "==", "left": {"concat": fields}, "right": {"set": elements}}}
    assert translated(statement, {"accept": None}) == {
        4: [
            "-p tcp -d 192.0.2.1 -m multiport --dports 80 -j ACCEPT ()",
            "-p tcp -d 192.0.2.2 -m multiport --dports 443:445 -j ACCEPT ()",
        ],
        6: [],
    }


def test_the_way_back_to_a_source_is_looked_up_in_prerouting() -> None:
    left = {"fib": {"result": "oif", "flags": ["saddr", "mark", "iif"]}}
    missing = rule({"match": {"op": "==", "left": left, "right": False}}, {"drop": None})
    (early,) = read(chain(hook="prerouting"), missing).chains
    assert [one.words for one in dict(early.rules)[6]] == ["-m rpfilter --validmark --invert -j DROP"]
    (late,) = read(chain(hook="forward"), missing).chains
    assert [one.hidden for one in dict(late.rules)[6]] == ["fib"]


@pytest.mark.kernel
class TestKernel:
    pytestmark = NEEDS_KERNEL

    def test_what_nft_prints_is_read(self) -> None:
        rules = """
table inet fw {
  map ports { type inet_service : verdict; elements = { 22 : accept, 23 : drop }
  }
  chain in { type filter hook input priority 10; policy drop;
    ct state vmap { established : accept, invalid : drop }
    tcp dport vmap @ports
  }
  chain out { type filter hook output priority 0; meta nftrace set 1
  }
}
table netdev dev {
  chain lo { type filter hook ingress device "lo" priority 0;
  }
}
"""
        with Namespace() as namespace:
            namespace.run(["iptables", "-A", "INPUT", "-j", "ACCEPT"])
            namespace.run(["nft", "-f", "-"], rules)
            printed = namespace.run(["nft", "-j", "list", "ruleset"])
            dump = namespace.run(["iptables-save"])
        found = read_nftables(RulesetEntry.model_validate(json.loads(printed)))
        others = without_iptables(found, [loads(dump, family=4)])
        assert others.tracked == {4, 6}
        # before 1.0.9 nft does not print the device of a chain
        bare: dict[str, Any] = {"devices": (), "rules": (), "listing": NftListing()}
        assert {replace(one, **bare) for one in others.chains} == {
            NftChain(family="inet", table="fw", name="in", type="filter", hook="input", priority=10, policy="drop",
                     effects=("drop",)),
            NftChain(family="inet", table="fw", name="out", type="filter", hook="output", priority=0,
                     policy="accept"),
            NftChain(family="netdev", table="dev", name="lo", type="filter", hook="ingress", priority=0,
                     policy="accept"),
        }  # fmt: skip


@pytest.mark.parametrize(
    ("left", "tracked"),
    [
        # as the reader of texts passes on what it can't read, such as masked states
        ({"ct state established / established,related drop": {}}, {4, 6}),
        ({"tcp dport 443 drop": {}}, set()),
    ],
)
def test_a_condition_that_is_not_read_may_switch_connection_tracking_on(
    left: dict[str, Any], tracked: set[int]
) -> None:
    rule = {"family": "inet", "table": "t", "chain": "c", "expr": [{"match": {"left": left}}, {"drop": None}]}
    entry = RulesetEntry.model_validate({"nftables": [{"rule": rule}]})
    assert read_nftables(entry).tracked == tracked
