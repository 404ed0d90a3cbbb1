"""Transparent proxies (TPROXY) to which no routing rule leads: the kernel drops the packets that they take."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.explanation import Explanation
from iptsim.extensions.targets.tproxy import ToProxy, Tproxy
from iptsim.findings.behind import SOME_GUEST
from iptsim.findings.examples import header
from iptsim.findings.finding import Finding, of_rule, uses
from iptsim.findings.scene import Scene
from iptsim.languages import message
from iptsim.owners.rule_owners import rulesets_of
from iptsim.passages import shell

_LO = "lo"
#: A packet is sent from at most this many interfaces.
_INTERFACES = 4


def unrouted(scene: Scene) -> Iterator[Finding]:
    """Find rules that hand packets to a transparent proxy although the routes lead these packets out again."""
    for family in scene.families:
        for rule in _rules(scene, family):
            if (shown := _dropped(scene, family, rule)) is not None:
                yield _finding(family, rule, shown)
                break


def _rules(scene: Scene, family: Family) -> Iterator[Rule]:
    for ruleset in rulesets_of(scene.host):
        if ruleset.family == family:
            yield from (rule for rule in ruleset.rules() if isinstance(rule.target, Tproxy | ToProxy))


def _dropped(scene: Scene, family: Family, rule: Rule) -> Explanation | None:
    """Return a packet for the internet that a proxy takes and the kernel drops then."""
    uplink = scene.outside_interface(family)
    others = [name for name in scene.host.namespace.interfaces if name not in (_LO, uplink and uplink.name)]
    named = rule.parameters.in_interface
    for name in [named] if named in others else others[:_INTERFACES] or [""]:
        fields = {"facts": {"tproxy_listener": "yes"}, **header(rule), **({"in": name} if name else {})}
        shown = scene.ask(SOME_GUEST[family], "internet", family, **fields)
        if shown is not None and shown.reason.code == "proxy-unrouted" and uses(shown, rule):
            return shown
    return None


def _finding(family: Family, rule: Rule, shown: Explanation) -> Finding:
    tool = "ip" if family == 4 else "ip -6"
    changes = [step.changes["mark"] for step in shown.trace.legs[0].all_steps if "mark" in step.changes]
    packets = f"fwmark {changes[-1][1]}" if changes else f"iif {shown.question.in_interface}"
    return Finding(
        "proxy-unrouted",
        message("No routing rule leads packets to the transparent proxy, so they are dropped."),
        (of_rule(rule),),
        message(
            "A transparent proxy takes packets for other hosts. The kernel delivers them to it only if a route says"
            " that their destination is here; otherwise it drops them instead of forwarding them."
        ),
        message(
            "Lead these packets to this host: {commands}",
            commands=shell(
                f"{tool} rule add {packets} lookup 100", f"{tool} route add local default dev lo table 100"
            ),
        ),
        shown,
        family,
    )
