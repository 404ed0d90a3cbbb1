"""Rules of nftables about numbers in the header, ranges that are looked up, and transparent proxies."""

from __future__ import annotations

from typing import Any

import pytest

from iptsim.host.nft_chains import NftProxy
from iptsim.host.nft_rules import Translator
from tests.host.test_nftables import chain, read, rule, translated

_MARK = {"meta": {"key": "mark"}}
_SET_MARK = {"mangle": {"key": _MARK, "value": 1}}
_ACCEPT: dict[str, Any] = {"accept": None}


def field(name: str, op: str, right: Any) -> dict[str, Any]:
    protocol, _, key = name.rpartition(" ")
    left = {"meta": {"key": key}} if protocol == "meta" else {"payload": {"protocol": protocol, "field": key}}
    return {"match": {"left": left, "op": op, "right": right}}


def _bits(op: str, address: str, mask: str) -> dict[str, Any]:
    left = {"&": [{"payload": {"protocol": "ip", "field": "daddr"}}, mask]}
    return {"match": {"left": left, "op": op, "right": address}}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (field("ip ttl", "==", 1), "-m ttl --ttl-eq 1"),
        (field("ip ttl", "!=", 64), "-m ttl ! --ttl-eq 64"),
        (field("ip ttl", "<", 5), "-m ttl --ttl-lt 5"),
        (field("ip ttl", ">=", 64), "-m ttl --ttl-gt 63"),
        (field("ip ttl", "==", {"range": [5, 9]}), "-m ttl --ttl-lt 10 -m ttl --ttl-gt 4"),
        (field("ip dscp", "==", "cs1"), "-m dscp --dscp-class CS1"),
        (field("ip dscp", "==", "lephb"), "-m dscp --dscp 1"),
        (field("ip dscp", "!=", {"set": ["af11", 4]}), "-m dscp ! --dscp-class AF11 -m dscp ! --dscp 4"),
        (field("ip length", "<=", 40), "-m length --length 0:40"),
        (field("meta length", "!=", {"range": [10, 20]}), "-m length ! --length 10:20"),
        (field("tcp sport", "<", 1024), "-p tcp -m multiport --sports 0:1023"),
        (field("tcp dport", ">", 1023), "-p tcp -m multiport --dports 1024:65535"),
        ({"match": {"left": {"&": [{"payload": {"protocol": "ip", "field": "frag-off"}}, 0x1FFF]}, "op": "!=",
                    "right": 0}}, "-f"),
        ({"match": {"left": {"payload": {"protocol": "tcp", "field": "flags"}}, "op": "!",
                    "right": ["fin", "syn"]}}, "-p tcp -m tcp --tcp-flags FIN,SYN NONE"),
    ],
    ids=str,
)  # fmt: skip
def test_numbers_in_the_header(condition: dict[str, Any], expected: str) -> None:
    (found,) = translated(condition, {"drop": None})[4]
    options = found.removesuffix(" ()").replace("-j DROP", "").split()
    assert options == expected.split()


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        # measured: the kernel matches all packets, or none
        (field("ip ttl", "==", {"range": [0, 255]}), ["-j DROP ()"]),
        (field("ip ttl", "!=", {"range": [0, 255]}), []),
        (field("ip ttl", "<=", 255), ["-j DROP ()"]),
        (field("ip ttl", ">", 255), ["-j DROP (ip ttl)"]),
        (_bits("==", "10.0.0.1", "255.0.255.0"), []),
        (_bits("!=", "10.0.0.1", "255.0.255.0"), ["-j DROP ()"]),
        (_bits("==", "10.0.0.0", "255.0.255.0"), ["-d 10.0.0.0/255.0.255.0 -j DROP ()"]),
        (_bits("==", "10.0.0.0", "999.1.1.1"), ["-j DROP (&)"]),
        # a range of protocols
        (field("meta l4proto", "==", {"range": [1, 17]}), ["-j DROP (l4proto)"]),
    ],
    ids=str,
)  # fmt: skip
def test_conditions_that_all_packets_meet_or_none(condition: dict[str, Any], expected: list[str]) -> None:
    assert translated(condition, {"drop": None})[4] == expected


def test_a_range_of_protocols_leaves_the_protocol_open() -> None:
    """Measured: `tcp dport 80 meta l4proto 1-17` matches TCP."""
    found = translated(field("tcp dport", "==", 80), field("meta l4proto", "==", {"range": [1, 17]}), _ACCEPT)
    assert found[4] == ["-p tcp -m multiport --dports 80 -j ACCEPT (l4proto)"]


@pytest.mark.parametrize("also", [[], [{"payload": {"protocol": "th", "field": "dport"}}]])
def test_the_protocol_of_an_ipv4_header_is_looked_up_in_ipv4_alone(also: list[Any]) -> None:
    """Nft adds a condition on the family, and does not list it; measured with packets of IPv6."""
    protocol = {"payload": {"protocol": "ip", "field": "protocol"}}
    key = {"concat": [protocol, *also]} if also else protocol
    element: Any = {"concat": ["tcp", 80]} if also else "tcp"
    found = translated({"vmap": {"key": key, "data": {"set": [[element, {"drop": None}]]}}})
    assert len(found[4]) == 1
    assert found[6] == []


def test_a_field_of_the_other_family() -> None:
    assert translated(field("ip6 hoplimit", "==", 255), {"drop": None}) == {
        4: [],
        6: ["-m hl --hl-eq 255 -j DROP ()"],
    }
    hops = {"mangle": {"key": {"payload": {"protocol": "ip6", "field": "hoplimit"}}, "value": 64}}
    # nft adds a condition on the family, and does not list it
    assert translated(hops, _ACCEPT) == {4: [], 6: ["-j HL --hl-set 64 ()", "-j ACCEPT ()"]}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ttl", 65, "-j TTL --ttl-set 65"),
        ("dscp", "cs1", "-j DSCP --set-dscp-class CS1"),
        ("dscp", 5, "-j DSCP --set-dscp 5"),
        ("ecn", "ce", "-j TOS --set-tos 3/3"),
        ("length", 5, None),
    ],
)
def test_statements_that_change_the_header(name: str, value: Any, expected: str | None) -> None:
    change = {"mangle": {"key": {"payload": {"protocol": "ip", "field": name}}, "value": value}}
    assert translated(change) == {4: [f"{expected} ()" if expected else " () [ip length set 5]"], 6: []}


def test_what_is_checked_before_a_change_is_not_checked_after_it() -> None:
    change = {"mangle": {"key": {"payload": {"protocol": "ip", "field": "ttl"}}, "value": 1}}
    assert translated(field("ip ttl", "==", 64), change, _ACCEPT) == {
        4: ["-m ttl --ttl-eq 64 -g base 1.1 ()", "-j TTL --ttl-set 1 ()", "-j ACCEPT ()"],
        6: [],
    }


@pytest.mark.parametrize(
    ("first", "second", "walked"),
    [
        ({"prefix": {"addr": "10.0.0.0", "len": 24}}, {"prefix": {"addr": "10.1.0.0", "len": 24}}, True),
        ({"prefix": {"addr": "10.0.0.0", "len": 24}}, "10.0.0.9", False),
        ({"range": ["10.0.0.1", "10.0.0.5"]}, "10.0.0.6", True),
    ],
)
def test_areas_that_overlap_are_looked_up_again(first: Any, second: Any, *, walked: bool) -> None:
    key = {"concat": [{"payload": {"protocol": "ip", "field": "daddr"}}, {"meta": {"key": "mark"}}]}
    elements = [[{"concat": [one, 7]}, {"jump": {"target": "sub"}}] for one in (first, second)]
    (base,) = read(chain(), rule({"vmap": {"key": key, "data": {"set": elements}}})).chains
    assert (4 in dict(base.rules)) is walked


def test_a_transparent_proxy() -> None:
    """Without a proxy that listens, the rest of the rule does not apply (nft_tproxy_eval)."""
    proxy = {"tproxy": {"family": "ip", "addr": "127.0.0.1", "port": 7893}}
    made = Translator({"base": [[_SET_MARK, proxy, _ACCEPT]]}, {}, "prerouting").of("base", 4) or ()
    where = NftProxy("127.0.0.1", 7893)
    assert [(one.words, one.proxy) for one in made] == [
        ("-j MARK --set-xmark 0x1/0xffffffff", None),
        ("-p tcp", where),
        ("-p udp", where),
        ("-p tcp -j ACCEPT", where),
        ("-p udp -j ACCEPT", where),
    ]
