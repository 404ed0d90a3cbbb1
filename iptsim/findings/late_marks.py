"""Marks on the host's own packets that come too late for `ip rule fwmark`.

The kernel routes a packet of the host before OUTPUT, and again only if a chain of type route changed its mark. iptables
has one, OUTPUT of table mangle. Sources: ipt_mangle_out (net/ipv4/netfilter/iptable_mangle.c), nf_route_table_hook4
(net/netfilter/nft_chain_route.c).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation.places import place_of
from iptsim.extensions.targets.mark import Mark
from iptsim.findings.finding import SHOWN, Evidence, Finding, of_rule
from iptsim.findings.scene import Scene
from iptsim.host.nft_chains import NftChain
from iptsim.languages import Message, Text, message
from iptsim.passages import shell

_TABLES = ("raw", "nat", "filter", "security")
#: A rule of nftables that sets bits of the mark.
_SETS = re.compile(r"-j MARK --set-xmark (0x[0-9a-f]+)(?:/(0x[0-9a-f]+))?")
#: The priority of chains that are like those of table mangle.
_MANGLE = -150
_ALL = 0xFFFFFFFF
_WHY = message(
    "The kernel has routed the host's own packets before they reach OUTPUT. It routes them again only if their mark"
    " changes in OUTPUT of table mangle, or in an nftables chain of type route."
)


def behind_routing(scene: Scene) -> Iterator[Finding]:
    """Find marks for policy routing that are set in OUTPUT of another table than mangle, or in one of type filter."""
    for family in scene.families:
        late = [
            rule
            for table in _TABLES
            for rule in scene.rules_below(family, table, "OUTPUT")
            if isinstance(rule.target, Mark)
            and rule.target.change is not None
            and _is_routed(scene, family, rule.target.change.value)
        ]
        if late and not _marks_in_time(scene, family, late):
            yield _of_iptables(family, late)
        yield from _of_nftables(scene, family)


def _is_routed(scene: Scene, family: Family, value: int) -> bool:
    """Return whether a routing rule takes packets with a mark."""
    return bool(value) and any(
        rule.family == family and rule.fwmark is not None and value & rule.fwmask == rule.fwmark
        for rule in scene.host.namespace.rules
    )


def _marks_in_time(scene: Scene, family: Family, late: list[Rule]) -> bool:
    """Return whether OUTPUT of table mangle sets the same marks, too."""
    in_time = {
        rule.target.change.value
        for rule in scene.rules_below(family, "mangle", "OUTPUT")
        if isinstance(rule.target, Mark) and rule.target.change is not None
    }
    return all(
        isinstance(rule.target, Mark)
        and rule.target.change is not None
        and rule.target.change.value in in_time
        for rule in late
    )


def _of_iptables(family: Family, late: list[Rule]) -> Finding:
    rule = late[0]
    if rule.chain == "OUTPUT":
        remedy: Message = message(
            "Mark them in table mangle: {command}",
            command=shell(f"{tool_of(family)} -t mangle -A OUTPUT {rule.specification}"),
        )
    else:
        remedy = message("Put these rules into OUTPUT of table mangle (iptables -t mangle).")
    return _finding(place_of(rule), tuple(map(of_rule, late[:SHOWN])), remedy, family)


def _of_nftables(scene: Scene, family: Family) -> Iterator[Finding]:
    for chain in scene.base_chains:
        again = chain.family == "inet" and family != scene.families[0]
        if (chain.hook, chain.type) != ("output", "filter") or again:
            continue
        name = f"{chain.family} {chain.table} {chain.name}"
        for rule in dict(chain.rules).get(family, ()):
            found = _SETS.search(rule.words)
            value = int(found[1], 16) & int(found[2] or hex(_ALL), 16) if found is not None else 0
            if value and (_is_routed(scene, family, value) or _is_for_routing(scene, chain)):
                place = message("{chain} rule {number}", chain=name, number=rule.position)
                evidence = Evidence(place, f"-A {rule.chain} {rule.words}")
                remedy = message(
                    "Mark them in a chain of type route: {chain}",
                    chain="type route hook output priority mangle;",
                )
                yield _finding(place, (evidence,), remedy, family)
                break


def _is_for_routing(scene: Scene, chain: NftChain) -> bool:
    """Return whether the mark is probably for routing: set where mangle sets marks, in a text without routing rules."""
    return (
        scene.is_pasted
        and chain.priority == _MANGLE
        and all(rule.fwmark is None for rule in scene.host.namespace.rules)
    )


def _finding(place: Text, evidence: tuple[Evidence, ...], remedy: Message, family: Family) -> Finding:
    return Finding(
        "marked-after-routing",
        message(
            "{place} marks the host's own packets too late: a routing rule (ip rule fwmark) does not see this mark.",
            place=place,
        ),
        evidence,
        _WHY,
        remedy,
        None,
        family,
    )
