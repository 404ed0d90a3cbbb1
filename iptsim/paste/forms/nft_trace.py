"""`nft monitor trace`: the packet, and the chain that decided what happens to it."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from lark import Tree
from lark.exceptions import UnexpectedInput

from iptsim.grammar import parser
from iptsim.host.nftables import HOOKS
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Ask, Facts, Piece, Segment
from iptsim.paste.prompts import Command

_NAMES = {
    "ip saddr": "from", "ip6 saddr": "from", "ip daddr": "to", "ip6 daddr": "to", "ip protocol": "proto",
    "ip6 nexthdr": "proto", "tcp sport": "sport", "udp sport": "sport", "tcp dport": "dport", "udp dport": "dport",
    "icmp type": "icmp_type", "icmpv6 type": "icmp_type", "iif": "in",
}  # fmt: skip


class Traced(NamedTuple):
    """A line of a trace.

    Attributes:
        identity: identifies the packet.
        chain: the chain's family, table and name.
        packet: the packet's fields, if the line shows it.
        rule: the rule that matched.
        result: the verdict of the rule, the chain or its policy.
    """

    identity: str
    chain: tuple[str, str, str]
    packet: dict[str, str]
    rule: str
    result: str


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the trace that starts at a line, or None."""
    found: list[Traced] = []
    end = at
    while end < len(lines) and (traced := _traced(lines[end].text.strip())) is not None:
        found.append(traced)
        end += 1
    if not found:
        return None
    ends = [one for one in found if one.result in ("drop", "queue", "stolen")]
    pieces: list[Piece] = [Facts({"nft-ruleset.json": json.dumps({"nftables": _objects(found)}).encode()})]
    packets = {one.identity: one for one in reversed(found) if one.packet}  # as it arrived
    for one in packets.values():
        fields = _question(one.packet)
        own = [end for end in ends if end.identity == one.identity]
        # an end without a packet may belong to the only packet shown
        strange = [end for end in ends if end.identity not in packets] if len(packets) == 1 else []
        assumed = {":".join(_base(found, end)): False for end in own or strange}
        if assumed:
            fields["assume"] = assumed
        if {"from", "to"} <= fields.keys():
            pieces.append(Ask(fields, lines[at].number))
    return Segment("nft monitor trace", "nft monitor trace", at, end - 1, pieces)


def _traced(text: str) -> Traced | None:
    if not text.startswith("trace id "):
        return None
    try:
        tree = parser("nft_trace").parse(text)
    except UnexpectedInput:
        return None
    identity, family, table, chain, what = tree.children
    assert isinstance(what, Tree)
    words = [str(child) for child in what.children if not isinstance(child, Tree)]
    packet = {
        str(pair.children[0]): str(pair.children[-1]).strip('"')
        for pair in what.children
        if isinstance(pair, Tree)
    }
    place = (str(family), str(table), str(chain))
    if what.data == "packet":
        return Traced(str(identity), place, packet, "", "")
    if what.data == "rule":
        return Traced(str(identity), place, {}, words[0].strip(), words[1])
    return Traced(str(identity), place, {}, "", words[0])


def _base(found: list[Traced], end: Traced) -> tuple[str, str, str]:
    """Return the base chain from which a packet reached the chain where it ended: the first of its table."""
    return next(one.chain for one in found if one.identity == end.identity and one.chain[:2] == end.chain[:2])


def _objects(found: list[Traced]) -> list[dict[str, Any]]:
    """Return the chains in the trace, and the actions of their rules, in the form of `nft -j list ruleset`."""
    objects: list[dict[str, Any]] = []
    bases = {_base(found, one) for one in found if one.result}
    for family, table, name in dict.fromkeys(one.chain for one in found):
        chain: dict[str, Any] = {"family": family, "table": table, "name": name}
        if (family, table, name) in bases:
            hook = next((hook for hook in HOOKS if hook in name.lower()), None)
            if hook is None:
                continue
            chain |= {"type": "filter", "hook": hook, "prio": 0, "policy": "accept"}
        objects.append({"chain": chain})
    for one in found:
        family, table, name = one.chain
        if one.result == "drop":
            does = "reject" if one.rule.startswith("reject") or " reject" in one.rule else "drop"
            base = _base(found, one)[2]
            entry = {"family": family, "table": table, "chain": base, "expr": [{"match": {}}, {does: None}]}
            objects.append({"rule": entry})
    return objects


def _question(packet: dict[str, str]) -> dict[str, Any]:
    """Return the packet of a trace as a question."""
    fields: dict[str, Any] = {}
    for key, value in packet.items():
        name = _NAMES.get(key)
        if name in ("sport", "dport"):
            fields[name] = int(value) if re.fullmatch(r"[0-9]{1,5}", value) else value
        elif name is not None:
            fields[name] = value
    fields.setdefault("proto", "tcp")
    if str(fields.get("in", "")).startswith("veth"):
        del fields["in"]  # a bridge port, which only the source address determines
    return fields
