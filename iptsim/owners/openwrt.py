"""OpenWrt's firewall up to 21.02 (fw3): its zones, and what they do with packets that no rule is for.

Source: openwrt/firewall3, zones.c, forwards.c, rules.c, defaults.c: chain names, comments, and chains for the user's
own rules, which are usually empty.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from iptsim.dump.rule import Rule
from iptsim.languages import message
from iptsim.owners.maker import Maker, Role, Scope, comment_of, without_comment

_WAYS = r"(?:input|output|forward|prerouting|postrouting)"
_CUSTOM = r"(?:input|output|forwarding|prerouting|postrouting)_(?:\S+_)?rule"
_CHAINS = (
    rf"zone_\S+_(?:{_WAYS}|mssfix|notrack|(?:src|dest)_(?:ACCEPT|REJECT|DROP))|{_CUSTOM}|delegate_(?:{_WAYS}|notrack)"
    "|syn_flood"
)
_ZONE = re.compile(rf"zone_(?P<zone>\S+)_(?P<way>{_WAYS})")
_END = re.compile(r"zone_(?P<zone>\S+)_(?P<side>src|dest)_(?P<policy>ACCEPT|REJECT|DROP)")
_FORWARDING = re.compile(
    r"!fw3: (?:Zone|Forwarding) (?P<source>\S+) (?:to|->) (?P<to>\S+?)(?: forwarding policy)?"
)
_OF_ZONES = re.compile(r"zone_\S+_(?:input|forward)")


def _claims(name: str, chains: Collection[str]) -> bool:
    return name in ("reject", "mssfix", "notrack") and _has_zones(frozenset(chains))


@lru_cache(maxsize=8)
def _has_zones(chains: frozenset[str]) -> bool:
    return any(map(_OF_ZONES.fullmatch, chains))


def _role(rule: Rule, scope: Scope) -> Role | None:
    if not _has_zones(scope.chains):
        return None
    target, comment = rule.target_name, comment_of(rule)
    if re.fullmatch(_CUSTOM, target):
        return Role("openwrt-custom", message("OpenWrt's chain for rules of the user"))
    if end := _END.fullmatch(rule.chain):
        about = {"zone": end["zone"]}
        if end["policy"] == "ACCEPT":
            return Role("openwrt-interface", message("an interface of zone {zone}", **about), about=about)
        return Role("openwrt-policy", message("zone {zone} blocks what no rule allows", **about), about=about)
    if zone := _ZONE.fullmatch(rule.chain):
        return _of_zone(rule, zone["zone"], zone["way"], comment)
    if rule.chain in ("FORWARD", "INPUT", "delegate_forward", "delegate_input") and (
        without_comment(rule) == "-j reject"
    ):
        return Role("openwrt-default", message("no zone of OpenWrt's firewall allows it"))
    return None


def _of_zone(rule: Rule, name: str, way: str, comment: str) -> Role | None:
    target, about = rule.target_name, {"zone": name}
    if forwarding := _FORWARDING.fullmatch(comment):
        why = message(
            "zone {source} may forward to zone {to}", source=forwarding["source"], to=forwarding["to"]
        )
        return Role("openwrt-forwarding", why, about=about)
    if comment.startswith("!fw3: "):
        why = message("the rule {name} of zone {zone}", name=comment.removeprefix("!fw3: "), zone=name)
        return Role("openwrt-rule", why, about=about)
    if (end := _END.fullmatch(target)) and way in ("input", "forward"):
        why = (
            message(
                "zone {zone}: the default for packets to the router is {policy}",
                zone=name,
                policy=end["policy"],
            )
            if way == "input"
            else message(
                "zone {zone}: the default for forwarded packets is {policy}", zone=name, policy=end["policy"]
            )
        )
        return Role("openwrt-policy", why, about=about)
    if target == "MASQUERADE":
        return Role(
            "openwrt-masquerade", message("masquerades what leaves through zone {zone}", **about), about=about
        )
    return None


MAKER = Maker("openwrt", _CHAINS, claims=_claims, role=_role, comments=True)
