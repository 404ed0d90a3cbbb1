"""Rate limits for pings behind a rule for established connections: they see the first echo request only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.explanation.places import place_of
from iptsim.findings.examples import states_of
from iptsim.findings.finding import Finding, of_rule
from iptsim.findings.remedy import deletion
from iptsim.findings.scene import Scene
from iptsim.languages import message
from iptsim.protocols import ICMP


def limited(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, limits for ICMP behind a rule that accepts established connections."""
    if not scene.is_pasted or 4 not in scene.families:
        return
    for name in ("INPUT", "FORWARD"):
        rules = scene.rules(4, "filter", name)
        established = next((rule for rule in rules if accepts_established(rule)), None)
        if established is None:
            continue
        for rule in rules[rules.index(established) + 1 :]:
            if rule.parameters.protocol == ICMP and any(
                one.name in ("limit", "hashlimit") for one in rule.matches
            ):
                shown = _next_ping(scene, 4) if name == "INPUT" else None
                yield _finding(scene, 4, established, rule, shown)
                break


def accepts_established(rule: Rule) -> bool:
    """Return whether a rule accepts all packets of established connections."""
    states = [states_of(match) for match in rule.matches if match.predicates()]
    alone = replace(rule, matches=()).is_unconditional
    return rule.target_name == "ACCEPT" and alone and len(states) == 1 and "ESTABLISHED" in states[0]


def _next_ping(scene: Scene, family: Family) -> Explanation | None:
    """Walk a later echo request of a ping that was replied to."""
    return scene.ask("internet", "host", family, proto="icmp", icmp_type=8, state="established")


def _finding(
    scene: Scene, family: Family, established: Rule, rule: Rule, shown: Explanation | None
) -> Finding:
    tool, position = tool_of(family), established.position
    return Finding(
        "limit-sees-first-only",
        message(
            "The limit of {place} sees only the first packet of a ping: {earlier} accepts the rest.",
            place=place_of(rule),
            earlier=place_of(established),
        ),
        (of_rule(established), of_rule(rule)),
        message(
            "conntrack treats a ping that got a reply as an established connection, as long as it continues. So"
            " the limit counts pings, not their packets."
        ),
        message(
            "Put the limit first: {commands}",
            commands=f"{deletion(scene, family, rule)}; {tool} -I {rule.chain} {position} {rule.specification}",
        ),
        shown,
        family,
    )
