"""Ports that INPUT accepts for established connections only, so that no connection to them can begin."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.hidden import is_gap
from iptsim.findings.examples import header, states_of
from iptsim.findings.finding import SHOWN, Finding, blocked_at, of_rule, takes_port
from iptsim.findings.native_chains import chains_of, has_only_nftables
from iptsim.findings.scene import Scene
from iptsim.languages import message, message_joined
from iptsim.passages import shell

_REPLIES = {"ESTABLISHED", "RELATED"}


def only(scene: Scene) -> Iterator[Finding]:
    """Find rules that accept a port of the host in the state ESTABLISHED, if no rule accepts new connections to it."""
    seen: list[int] = []
    for family in scene.families:
        rules = scene.rules_below(family, "filter", "INPUT")
        if has_only_nftables(scene, family):
            rules = [rule for _, own in chains_of(scene, family, "input") for rule in own]
        if any(is_gap(rule.target) for rule in rules):
            continue
        accepting = [rule for rule in rules if _accepts_new(rule)]
        found: list[tuple[Rule, Explanation]] = []
        for rule in rules:
            fields = {name: value for name, value in header(rule).items() if name != "state"}
            if not _is_for_established(rule) or "dport" not in fields:
                continue
            if any(takes_port(other, fields["dport"]) for other in accepting):
                continue
            shown = scene.ask("internet", "host", family, **fields)
            if shown is not None and blocked_at(shown, "INPUT") is not None:
                found.append((rule, shown))
        numbers = [rule.position for rule, _ in found]
        # a chain of family inet has rules for both address families
        if found and (numbers != seen or found[0][0].table in BUILTIN_CHAINS):
            seen = numbers
            yield _finding(family, found[:SHOWN])


def _is_for_established(rule: Rule) -> bool:
    """Return whether a rule accepts packets to one port, but only those of known connections."""
    states = {state for match in rule.matches for state in states_of(match)}
    one_port = any(
        isinstance(one.allowed, tuple)
        and len(one.allowed) == 1
        and one.allowed[0][0] == one.allowed[0][1]
        and not one.negated
        for one in rule.conditions_on("dport")
    )
    return rule.target_name == "ACCEPT" and bool(states) and states <= _REPLIES and one_port


def _accepts_new(rule: Rule) -> bool:
    """Return whether a rule accepts new connections, be it from some addresses or by some interfaces only."""
    states = {state for match in rule.matches for state in states_of(match)}
    return (
        rule.target_name == "ACCEPT"
        and rule.parameters.in_interface != "lo"
        and (not states or "NEW" in states)
    )


def _finding(family: Family, found: list[tuple[Rule, Explanation]]) -> Finding:
    shown = found[0][1]
    asked = [one.question for _, one in found]
    port = f"{asked[0].proto}/{asked[0].dport}"
    command = (
        f"{tool_of(family)} -I INPUT -p {asked[0].proto} --dport {asked[0].dport}"
        " -m conntrack --ctstate NEW -j ACCEPT"
    )
    rule = found[0][0]
    native = rule.table not in BUILTIN_CHAINS
    if native:
        where = f"{rule.table} {rule.chain}"
        command = f"nft insert rule {where} {asked[0].proto} dport {asked[0].dport} ct state new accept"
    return Finding(
        "established-only",
        message(
            "INPUT accepts {ports} only for established connections, and no new ones.",
            ports=message_joined(", ", [f"{one.proto}/{one.dport}" for one in asked]),
        ),
        tuple(of_rule(rule) for rule, _ in found),
        message(
            "The first packet of a connection to {port} is in the state NEW. As INPUT blocks it, no connection is ever"
            " established, and the rule never matches.",
            port=port,
        ),
        shell(command),
        shown,
        family,
        () if native else (command,),
    )
