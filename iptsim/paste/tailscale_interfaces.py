"""Interfaces for Tailscale's rules in a listing without -v, which hides them: those that tailscaled writes.

Source: tailscale/tailscale, util/linuxfw/iptables_runner.go (AddLoopbackRule, addBase4, addBase6, AddStatefulRule,
AddMagicsockPortRule).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Ruleset
from iptsim.extensions.hidden import Hidden, hides_interfaces
from iptsim.host.inferred_interfaces import TAILSCALE
from iptsim.paste.docker_interfaces import listed_text, remake

#: The interfaces of the rules of each chain, by what else they have; the first that fits.
_WRITTEN = {
    "ts-input": (
        (
            r"-s (?:100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.\d+\.\d+/32|fd7a:115c:a1e0:\S*/128) -j ACCEPT",
            "-i lo",
        ),
        (r"-j ACCEPT", f"-i {TAILSCALE}"),
        (r"-p udp -m udp --dport \d+ -j ACCEPT", ""),
        (r"-s 100\.115\.92\.0/23 -j RETURN", f"! -i {TAILSCALE}"),
        (r"-s 100\.64\.0\.0/10 -j DROP", f"! -i {TAILSCALE}"),
    ),
    "ts-forward": (
        (r"-j MARK --set-x?mark 0x40000(?:/\S+)?", f"-i {TAILSCALE}"),
        (r"-m mark --mark 0x40000(?:/\S+)? -j ACCEPT", ""),
        (r"-s 100\.64\.0\.0/10 -j DROP", f"-o {TAILSCALE}"),
        (r"-m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP", f"-o {TAILSCALE}"),
        (r"-j ACCEPT", f"-o {TAILSCALE}"),
    ),
}


def fill_tailscale(rulesets: Mapping[Family, Ruleset]) -> bool:
    """Give Tailscale's rules the interfaces that a listing without -v hides; return whether there are any."""
    filled = False
    for family, ruleset in rulesets.items():
        chains = ruleset.tables["filter"].chains if "filter" in ruleset.tables else {}
        for name in _WRITTEN.keys() & chains.keys():
            rules = chains[name].rules
            words = {
                at: f"{interfaces} {listed_text(rule)}"
                for at, rule in enumerate(rules)
                if (interfaces := _interfaces(name, rule)) is not None
            }
            named = {at: _named(rules[at]) for at in words}
            filled |= bool(remake(chains[name], words, family))
            for at, hidden in named.items():
                rules[at] = replace(rules[at], matches=(*rules[at].matches, *hidden))
    return filled


def _named(rule: Rule) -> list[Hidden]:
    """Return the conditions of a listed rule with names of hosts instead of addresses, which are unknown."""
    return [one for one in rule.matches if isinstance(one, Hidden) and not hides_interfaces(one)]


def _interfaces(chain: str, rule: Rule) -> str | None:
    """Return the interfaces of a rule of Tailscale, as options, by what else it has; None for another rule.

    Of its rules with addresses, only the one for the host's own may be listed with a name.
    """
    text = listed_text(rule)
    if _named(rule):
        return "-i lo" if (chain, text) == ("ts-input", "-j ACCEPT") else None
    return next((words for pattern, words in _WRITTEN[chain] if re.fullmatch(pattern, text)), None)
