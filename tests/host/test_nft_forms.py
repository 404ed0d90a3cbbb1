"""Further statements and conditions of nftables as iptables has them; tests/kernel compares them with packets."""

from __future__ import annotations

from typing import Any

import pytest

from iptsim.host.nft_moments import moment_options
from tests.host.test_nftables import chain, read, rule, translated

_DROP: dict[str, Any] = {"drop": None}
_PACKET, _CONNECTION = {"meta": {"key": "mark"}}, {"ct": {"key": "mark"}}
_PORT = {"payload": {"protocol": "tcp", "field": "dport"}}


def _meta(key: str, op: str, right: Any) -> dict[str, Any]:
    return {"match": {"left": {"meta": {"key": key}}, "op": op, "right": right}}


def _set(key: Any, value: Any) -> dict[str, Any]:
    return {"mangle": {"key": key, "value": value}}


def _words(hook: str, *statements: dict[str, Any]) -> list[str]:
    (base,) = read(chain(hook=hook), rule(*statements)).chains
    return [" ".join(filter(None, (one.words, *one.also, one.hidden))) for one in dict(base.rules)[4]]


@pytest.mark.parametrize(
    ("hook", "condition", "expected"),
    [
        # nft_meta_store_ifname: without an interface the name is empty, which no name equals
        ("output", _meta("iifname", "==", "br-*"), []),
        ("output", _meta("iif", "!=", "lo"), ["-j DROP"]),
        ("input", _meta("oifname", "==", "eth0"), []),
        # ... but there is no group, which ends the rule
        ("output", _meta("iifgroup", "!=", 2), []),
        ("input", _meta("iifgroup", "==", {"set": [2, "default"]}),
         ["-m devgroup --src-group 0x2 -j DROP", "-m devgroup --src-group 0x0 -j DROP"]),
        ("forward", _meta("oifgroup", "!=", 2), ["-m devgroup ! --dst-group 0x2 -j DROP"]),
        ("input", _meta("iifgroup", "==", "lan"), ["-j DROP iifgroup"]),
        ("input", _meta("ipsec", "==", True), ["-m policy --dir in --pol ipsec -j DROP"]),
        ("output", {"match": {"left": {"rt": {"key": "ipsec"}}, "op": "==", "right": False}},
         ["-m policy --dir out --pol none -j DROP"]),
        ("input", _meta("day", "==", {"set": ["Saturday", "Sunday"]}),
         ["-m time --weekdays Sat,Sun --kerneltz -j DROP"]),
        ("input", _meta("hour", "==", {"range": ["08:00", "17:30"]}),
         ["-m time --timestart 08:00 --timestop 17:30 --kerneltz -j DROP"]),
    ],
    ids=str,
)  # fmt: skip
def test_interfaces_moments_and_ipsec(hook: str, condition: dict[str, Any], expected: list[str]) -> None:
    assert _words(hook, condition, _DROP) == expected


def test_moments_that_iptables_cannot_express() -> None:
    assert moment_options("hour", ["17:00"], negated=True) is None
    assert moment_options("hour", [5], negated=False) is None
    assert moment_options("day", [9], negated=False) is None
    assert moment_options("day", [6], negated=True) == ["-m time ! --weekdays Sat --kerneltz"]
    assert moment_options(
        "time", [{"range": ["2026-01-02 03:04:05", "2026-02-03 04:05:06"]}], negated=False
    ) == ["-m time --datestart 2026-01-02T03:04:05 --datestop 2026-02-03T04:05:06 --kerneltz"]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (_set(_PACKET, {">>": [_CONNECTION, 8]}),
         "-j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff --right-shift-mark 8"),
        (_set(_PACKET, {"&": [{">>": [_CONNECTION, 8]}, 0xF]}),
         "-j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xf00 --right-shift-mark 8"),
        (_set(_CONNECTION, {"<<": [{"&": [_PACKET, 0xF]}, 4]}),
         "-j CONNMARK --save-mark --nfmask 0xf --ctmask 0xffffffff --left-shift-mark 4"),
        (_set(_PACKET, {"<<": [3, 4]}), "-j MARK --set-xmark 0x30/0xffffffff"),
    ],
    ids=str,
)  # fmt: skip
def test_marks_that_are_shifted(statement: dict[str, Any], expected: str) -> None:
    assert translated(statement)[4] == [f"{expected} ()"]


@pytest.mark.parametrize(
    "value",
    [
        {"<<": [{">>": [_CONNECTION, 8]}, 8]},
        {"|": [{">>": [_CONNECTION, 8]}, 1]},
        {"<<": [_PACKET, 1]},
        {"<<": [_CONNECTION, 32]},
    ],
    ids=str,
)
def test_marks_that_iptables_cannot_compute(value: dict[str, Any]) -> None:
    (made,) = translated(_set(_PACKET, value))[4]
    assert made.startswith(" () [meta mark set ")


def test_a_mark_by_chance_has_each_of_its_values() -> None:
    numbers = {"numgen": {"mode": "inc", "mod": 2, "offset": 5}}
    assert translated(_set(_PACKET, numbers))[4] == [
        "-m statistic --mode nth --every 2 --packet 0 -j MARK --set-xmark 0x5/0xffffffff ()",
        "-j MARK --set-xmark 0x6/0xffffffff ()",
    ]
    hashed = {"jhash": {"mod": 2, "expr": {"payload": {"protocol": "ip", "field": "saddr"}}}}
    assert translated(_set(_PACKET, hashed))[4] == [
        "-j MARK --set-xmark 0x0/0xffffffff (jhash ip saddr mod 2 0)",
        "-j MARK --set-xmark 0x1/0xffffffff ()",
    ]
    many = translated(_set(_PACKET, {"numgen": {"mode": "inc", "mod": 1000}}))
    assert many[4] == [" () [meta mark set numgen inc mod 1000]"]


def test_what_follows_a_map_is_for_the_keys_that_it_has() -> None:
    """nft_lookup_eval: a key that the map lacks ends the rule."""
    marks = {"map": {"key": _PORT, "data": {"set": [[22, 1], [80, 2]]}}}
    assert translated(_set(_PACKET, marks), {"accept": None})[4] == [
        "-p tcp -m multiport --dports 22 -j MARK --set-xmark 0x1/0xffffffff ()",
        "-p tcp -m multiport --dports 80 -j MARK --set-xmark 0x2/0xffffffff ()",
        "-p tcp -m multiport --dports 22,80 -j ACCEPT ()",
    ]


def test_the_type_of_an_address() -> None:
    types = {"set": ["broadcast", "anycast", "multicast"]}
    found = translated({"match": {"left": {"fib": {"result": "type", "flags": ["daddr"]}}, "op": "==", "right": types}},
                       _DROP)  # fmt: skip
    assert len(found[4]) == 3
    # no address of IPv6 is a broadcast address
    assert found[6] == [
        "-m addrtype --dst-type ANYCAST -j DROP ()",
        "-m addrtype --dst-type MULTICAST -j DROP ()",
    ]


def test_flags_that_are_one_of_several_values() -> None:
    flags = {"payload": {"protocol": "tcp", "field": "flags"}}
    found = translated(
        {"match": {"left": flags, "op": "==", "right": {"set": ["syn", {"|": ["syn", "ack"]}]}}}, _DROP
    )
    assert [one.partition(" -m ecn")[0] for one in found[4]] == [
        "-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG SYN",
        "-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG SYN,ACK",
    ]


def test_a_rule_that_counts_says_what_it_counts() -> None:
    limit = {"limit": {"rate": 3, "per": "minute"}}
    address = {"payload": {"protocol": "ip", "field": "saddr"}}
    update = {"set": {"op": "update", "elem": address, "set": "@seen", "stmt": [limit]}}
    assert translated(update, _DROP)[4] == ["-j DROP (limit rate 3/minute)"]
    meter = {"meter": {"key": address, "name": "m", "stmt": limit}}
    assert translated(meter, _DROP)[4] == ["-j DROP (limit rate 3/minute)"]
    assert translated({"ct count": {"val": 20, "inv": True}}, _DROP)[4] == ["-j DROP (ct count over 20)"]


def test_a_translation_of_the_port_alone_and_to_a_prefix() -> None:
    def nat(value: dict[str, Any]) -> list[str]:
        tcp = _meta("l4proto", "==", "tcp")
        (base,) = read(chain(hook="prerouting", type="nat"), rule(tcp, {"dnat": value})).chains
        return [one.words for one in dict(base.rules).get(4, ())]

    assert nat({"port": 8080}) == ["-p tcp -j DNAT --to-destination :8080"]
    prefix = {"prefix": {"addr": "10.0.0.4", "len": 31}}
    assert nat({"family": "ip", "addr": prefix, "port": 80}) == [
        "-p tcp -j DNAT --to-destination 10.0.0.4-10.0.0.5:80"
    ]


def test_chains_of_bridges() -> None:
    """tests/kernel compares them with frames; interfaces are ports there, which the walk does not name."""

    def of_bridge(*statements: dict[str, Any]) -> list[str] | None:
        of = {"family": "bridge", "table": "t"}
        entries: list[dict[str, Any]] = [
            {"chain": {**of, "name": "base", "type": "filter", "hook": "forward", "prio": 0}},
            {"rule": {**of, "chain": "base", "expr": list(statements)}},
        ]
        (base,) = read(*entries).chains
        found = dict(base.rules).get(4)
        return None if found is None else [" ".join(filter(None, (one.words, one.hidden))) for one in found]

    address = {"payload": {"protocol": "ip", "field": "saddr"}}
    assert of_bridge({"match": {"op": "==", "left": address, "right": "10.0.0.1"}}, _DROP) == [
        "-s 10.0.0.1 -j DROP"
    ]
    kind = {"payload": {"protocol": "ether", "field": "type"}}
    assert of_bridge({"match": {"op": "==", "left": kind, "right": "ip"}}, _DROP) == ["-j DROP"]
    assert of_bridge({"match": {"op": "==", "left": kind, "right": "arp"}}, _DROP) == []
    assert of_bridge(_meta("iifname", "==", "veth0"), _DROP) == ["-i veth0 -j DROP"]
    assert of_bridge(_meta("oifname", "==", "veth0"), _DROP) == ["-j DROP oifname"]
    sender = {"payload": {"protocol": "ether", "field": "saddr"}}
    assert of_bridge({"match": {"op": "==", "left": sender, "right": "02:00:00:00:00:01"}}, _DROP) == [
        "-m mac --mac-source 02:00:00:00:00:01 -j DROP"
    ]
    assert of_bridge(_meta("pkttype", "==", "host"), _DROP) == ["-j DROP pkttype"]
    new = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "new"}}
    assert of_bridge(new, _DROP) == ["-j DROP ct state"]
    assert of_bridge({"reject": None}) is None
