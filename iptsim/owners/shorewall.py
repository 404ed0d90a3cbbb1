"""Shorewall: the zones between which a packet goes, and the policy for them.

The chain for packets from zone net to zone fw is called net-fw (ZONE_SEPARATOR), net2fw until 4.6; a chain
without rules of its own is left out, and its policy is in ZONE_frwd or in the built-in chain. Source:
Shorewall/Perl/Shorewall/Chains.pm and Rules.pm, shorewall-policy(5), shorewall-rules(5).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import permutations

from iptsim.dump.rule import Rule
from iptsim.languages import message
from iptsim.owners.maker import Maker, Role, Scope, comment_of, without_comment

_MARKS = ("dynamic", "logdrop", "logreject")
#: Chains between the zones of Shorewall's examples, as named until 4.6: a fragment may show only these.
_BETWEEN_USUAL = frozenset(f"{one}2{other}" for one, other in permutations(("net", "fw", "loc", "dmz"), 2))
_OWN = frozenset({
    "dynamic", "logdrop", "logreject", "logflags", "tcpflags", "smurfs", "sfilter", "shorewall", "reject",
    "Drop", "Reject", "Broadcast", "dropBcast", "allowBcast", "dropNotSyn", "dropInvalid", "blacklst", "blacklog",
    "dhcp", "norfc1918", "rfc1918", "maclog", "rpfilter", "logsmurfs", "sfilter1", "excl0", "tcpre", "tcpost", "tcfor",
})  # fmt: skip
_ZONES = re.compile(r"(?P<source>[A-Za-z0-9_+]+?)(?:-|2)(?P<to>[A-Za-z0-9_]+)")
_OTHERS = re.compile(
    r"[A-Za-z0-9_.+]+_(?:frwd|in|fwd|out|mac|masq|dnat|iop|oop|iop|input|forward)|~(?:comb|log|excl)\d+|[@%&].+|sha-[lr]h-[0-9a-f]+"
)


#: Rules at the end of the built-in chains.
_ENDS = ("-j DROP", "-j reject", "-g reject", "-j Drop", "-j Reject")


def is_present(chains: Collection[str]) -> bool:
    """Return whether a table is Shorewall's, by the chains that it always makes, or by its usual zones."""
    return (
        "shorewall" in chains
        or sum(name in chains for name in _MARKS) == len(_MARKS)
        or not _BETWEEN_USUAL.isdisjoint(chains)
    )


def _claims(name: str, chains: Collection[str]) -> bool:
    """Return whether a chain is Shorewall's: it owns the whole table where it is present."""
    return is_present(chains) and (
        name in _OWN or _ZONES.fullmatch(name) is not None or _OTHERS.fullmatch(name) is not None
    )


def _role(rule: Rule, scope: Scope) -> Role | None:
    if not is_present(scope.chains):
        return None
    text, target = without_comment(rule), rule.target_name
    zones = _ZONES.fullmatch(rule.chain)
    if zones is not None and rule.chain not in _OWN:
        return _between(rule, zones["source"], zones["to"])
    if to := _ZONES.fullmatch(target):
        why = message("packets from zone {source} to zone {to}", source=to["source"], to=to["to"])
        return Role("shorewall-zones", why, about={"source_zone": to["source"], "zone": to["to"]})
    forward = re.fullmatch(r"(.+)_(?:frwd|fwd)", rule.chain)
    if forward is not None and target == "ACCEPT" and "-o" in text.split():
        why = message("the policy from zone {source} to this interface's zone is ACCEPT", source=forward[1])
        return Role("shorewall-policy", why, about={"source_zone": forward[1]})
    if rule.chain == "tcpflags" or target == "tcpflags":
        return Role("shorewall-tcpflags", message("drops impossible combinations of TCP flags (tcpflags)"))
    if rule.chain == "smurfs" or target == "smurfs":
        return Role(
            "shorewall-smurfs", message("drops packets whose source is a broadcast address (nosmurfs)")
        )
    if rule.chain == "dynamic" or target == "dynamic":
        return Role("shorewall-dynamic", message("the dynamic blacklist (shorewall drop, reject)"))
    if rule.chain == "sfilter" or target == "sfilter":
        return Role("shorewall-sfilter", message("drops packets with spoofed sources (sfilter)"))
    if rule.chain in ("INPUT", "FORWARD", "OUTPUT") and text in _ENDS:
        return Role("shorewall-default", message("Shorewall blocks packets that belong to no pair of zones"))
    return None


def _between(rule: Rule, source: str, to: str) -> Role | None:
    about = {"source_zone": source, "zone": to}
    text, target = without_comment(rule), rule.target_name
    refuses = target in ("DROP", "REJECT", "reject", "Drop", "Reject", "logdrop", "logreject")
    if "--ctstate" in text and "ESTABLISHED" in text and target == "ACCEPT":
        why = message("Shorewall accepts packets of established connections")
        return Role("shorewall-established", why, about=about)
    if text.startswith(("-j ", "-g ")):
        if target == "ACCEPT":
            why = message(
                "Shorewall's policy from zone {source} to zone {to} is ACCEPT", source=source, to=to
            )
            return Role("shorewall-policy", why, about=about)
        if refuses:
            why = message(
                "no rule accepts it, and Shorewall's policy from zone {source} to zone {to} blocks it",
                source=source,
                to=to,
            )
            return Role("shorewall-policy", why, about=about)
    if target in ("dynamic", "tcpflags", "smurfs"):
        return None
    if "addrtype" in text and refuses:
        why = message("Shorewall drops broadcasts before it logs packets that the policy blocks")
        return Role("shorewall-broadcast", why, about=about)
    if target == "LOG":
        return Role("shorewall-log", message("Shorewall logs packets that the policy blocks"), about=about)
    if target == "ACCEPT" or refuses or target.startswith("~log"):
        macro = comment_of(rule)
        if macro:
            why = message(
                "a rule from zone {source} to zone {to} ({macro})", source=source, to=to, macro=macro
            )
        else:
            why = message("a rule from zone {source} to zone {to}", source=source, to=to)
        return Role("shorewall-rule", why, about=about)
    return None


MAKER = Maker("shorewall", "", claims=_claims, role=_role, comments=True)
