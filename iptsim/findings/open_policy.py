"""INPUT that blocks nothing: its rules only accept, and so does its policy."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.dump.ruleset import Rule, tool_of
from iptsim.extensions.hidden import is_gap
from iptsim.findings.finding import SHOWN, Finding, of_policy, of_rule
from iptsim.findings.scene import Scene
from iptsim.findings.shadow import is_chosen
from iptsim.languages import message

#: At least this many rules for single ports show that somebody meant to block all others.
_RULES = 3
_HARMLESS = ("ACCEPT", "LOG", "NFLOG", "")


def blocks_nothing(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, a chain INPUT that accepts some ports, and all others by its policy."""
    for family in scene.families if scene.host.pasted is not None else ():
        chain = scene.table(family, "filter").chains.get("INPUT")
        if chain is None or chain.policy != "ACCEPT" or not scene.shows(family, "filter", "INPUT"):
            continue
        opening = [rule for rule in chain.rules if _opens_port(rule) and is_chosen(rule, scene)]
        if len(opening) < _RULES or not all(map(_is_harmless, chain.rules)):
            continue
        shown = scene.ask("internet", "host", family, proto="tcp", dport=9999)
        if shown is None or shown.verdict != "ACCEPT":
            continue
        tool = tool_of(family)
        yield Finding(
            "input-blocks-nothing",
            message("INPUT blocks nothing: its rules only accept, and so does its policy."),
            (of_policy(chain), *map(of_rule, opening[:SHOWN])),
            message(
                "What no rule matches meets the policy ACCEPT. So rules that accept single ports change nothing, and a"
                " port that does not answer is not blocked by this chain."
            ),
            message(
                "To block all else, accept replies and lo first: {commands}",
                commands=(
                    f"{tool} -I INPUT -i lo -j ACCEPT; {tool} -I INPUT -m conntrack --ctstate RELATED,ESTABLISHED"
                    f" -j ACCEPT; {tool} -P INPUT DROP"
                ),
            ),
            shown,
            family,
        )


def _opens_port(rule: Rule) -> bool:
    return rule.target_name == "ACCEPT" and bool(rule.conditions_on("dport"))


def _is_harmless(rule: Rule) -> bool:
    return rule.target_name in _HARMLESS and not is_gap(rule.target)
