"""Rules of nftables in the words of nft: `nft -j` and `nft list ruleset` of nftables 1.0.6 for the same rules."""

from __future__ import annotations

import json

import pytest

from iptsim.host.files import Source
from iptsim.host.nft_chains import NftRuleset
from iptsim.host.nft_text import rule_text
from iptsim.paste.assembly import host_of_source
from tests.host.laboratory import NEEDS_KERNEL
from tests.kernel.namespaces import Namespace

#: What both print alike.
_RULES = (
    'iifname "eth0" ip saddr { 10.0.0.0/8, 192.0.2.1-192.0.2.9 } tcp dport { 22, 80-90 } counter accept',
    'oifname != "br-*" ip6 daddr 2001:db8::/32 drop',
    "ct state established,related accept",
    "ct state vmap { invalid : drop, established : accept, new : jump sub }",
    "ip daddr . tcp dport { 10.0.0.1 . 22, 10.0.0.2 . 80 } goto sub",
    "meta l4proto { tcp, udp } th dport 53 return",
    "meta mark 0x00000004 ct mark set meta mark",
    "ct mark set meta mark & 0x000000ff",
    "ct mark & 0x000000ff == 0x00000002 drop",
    "fib daddr . iif type local accept",
    "fib saddr . iif oif missing drop",
    'log prefix "in: " group 5',
    "limit rate over 10/minute burst 9 packets drop",
    "update @seen { ip saddr limit rate over 5/second burst 7 packets } drop",
    "icmp type { echo-reply, echo-request } accept",
    "meta mark set tcp dport map { 22 : 0x00000001, 80 : 0x00000002 }",
    "ip dscp set cs1",
    "tcp flags & (syn | ack) == syn drop",
    "jhash ip saddr . ip daddr mod 4 vmap { 0 : accept, 1-3 : drop }",
    'tcp dport 22 reject with tcp reset comment "no more"',
    "udp dport 53 redirect to :5353",
    "tcp dport 80 dnat ip to 10.0.0.1:8080",
    "tcp dport 443 dnat ip6 to [2001:db8::1]:8443",
    "ip saddr 10.0.0.0/24 snat ip to 192.0.2.1 persistent",
    "masquerade random",
)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([{"counter": "web"}, {"accept": None}], 'counter name "web" accept'),
        ([{"comment": "last"}, {"drop": None}], 'drop comment "last"'),
        ([{"jump": None}, {"unread": None}], "jump ... ..."),
        ([{"xt": {"type": "target", "name": "TEE"}}], 'xt target "TEE"'),
        ([{"match": {"left": {"ip saddr 10.0.0.x": {}}}}], "ip saddr 10.0.0.x"),
        ([{"flow": {"op": "add", "flowtable": "@f"}}], "flow add @f"),
        ([{"queue": {"num": {"range": [0, 3]}}}], "queue to 0-3"),
        # what nft never writes must not be an error
        ([{"match": {"left": {"meta": 5}, "right": 1}}], '{"meta": 5} 1'),
        ([{"match": {"left": {"meta": {"key": []}}, "right": 1}}], "meta  1"),
        ([{"match": {"left": {"&": 3}, "op": "==", "right": 1}}], '{"&": 3} == 1'),
        (
            [{"match": {"left": {"fib": {"flags": [1, None], "result": "type"}}, "right": "local"}}],
            "fib 1 . None type local",
        ),
        ([{"masquerade": {"flags": 5}}], "masquerade 5"),
    ],
)
def test_statements_in_words(statements: list[dict[str, object]], expected: str) -> None:
    assert rule_text(statements) == expected


class TestKernel:
    pytestmark = NEEDS_KERNEL

    def test_rules_are_shown_as_nft_prints_them(self) -> None:
        nat = ("dnat", "snat", "masquerade", "redirect")
        hooks = {"a": "filter hook prerouting", "b": "nat hook prerouting", "c": "nat hook postrouting"}
        body = "set seen { type ipv4_addr; size 9; flags dynamic; }\nchain sub { }\n"
        for name, hook in hooks.items():
            of = [
                rule
                for rule in _RULES
                if {"a": not any(word in rule for word in nat), "b": "dnat" in rule or "redirect" in rule,
                    "c": "snat" in rule or "masquerade" in rule}[name]
            ]  # fmt: skip
            of = (
                [rule if "oifname" not in rule and "reject" not in rule else "" for rule in of]
                if name == "a"
                else of
            )
            body += f"chain {name} {{ type {hook} priority 0;\n" + "\n".join(of) + "\n}\n"
        others = "\n".join(rule for rule in _RULES if "oifname" in rule or "reject" in rule)
        body += f"chain d {{ type filter hook forward priority 0;\n{others}\n}}\n"
        with Namespace() as namespace:
            namespace.run(["nft", "-f", "-"], f"table inet t {{\n{body}}}\n")
            printed = namespace.run(["nft", "-j", "list", "ruleset"])
            text = namespace.run(["nft", "list", "ruleset"])
        listed = json.loads(printed)["nftables"]
        rules = [one["rule"] for one in listed if "rule" in one]
        shown = [
            rule_text([*([{"comment": one["comment"]}] if "comment" in one else []), *one["expr"]])
            for one in rules
        ]
        assert sorted(shown) == sorted(_RULES)
        # both are the same rules
        by_json, by_text = (
            {chain.name: (chain.rules, chain.effects) for chain in nftables_of(command, output).chains}
            for command, output in (("nft -j list ruleset", printed), ("nft list ruleset", text))
        )
        assert by_text == by_json
        assert all(of_both for of_both, _ in by_json.values())


def nftables_of(command: str, output: str) -> NftRuleset:
    found = host_of_source(Source("paste", {}, f"# {command}\n{output}".encode())).namespace.nftables
    assert found is not None
    return found
