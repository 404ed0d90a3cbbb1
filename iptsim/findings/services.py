"""Services of Kubernetes that have no endpoints, so that kube-proxy refuses their connections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iptsim.dump.ruleset import Rule
from iptsim.explanation import Explanation
from iptsim.findings.behind import second_address
from iptsim.findings.finding import Finding, of_rule, uses
from iptsim.findings.scene import Scene
from iptsim.languages import message, message_joined, message_many
from iptsim.owners.rule_owners import authorship
from iptsim.packet import PORT_PROTOCOLS, Family, protocol_name

#: At most this many services, and rules, are shown.
_SHOWN = 5


def without_endpoints(scene: Scene) -> Iterator[Finding]:
    """Find services without endpoints by the rules with which kube-proxy refuses their connections."""
    for family in scene.families:
        found: dict[str, list[Rule]] = {}
        for rule in scene.table(family, "filter").rules():
            if not rule.chain.startswith("KUBE-") or rule.target_name not in ("REJECT", "DROP"):
                continue
            role = authorship(rule, scene.host)[1]
            if role is not None and role.code == "kube-no-endpoints":
                found.setdefault(role.about["service"], []).append(rule)
        if found:
            yield _finding(scene, family, found)


def _finding(scene: Scene, family: Family, found: dict[str, list[Rule]]) -> Finding:
    names, rules = list(found), [rule for own in found.values() for rule in own]
    first = names[0]
    shown = next((one for one in (_refused(scene, family, rule) for rule in rules[:_SHOWN]) if one), None)
    namespace, _, name = first.partition(":")[0].rpartition("/")
    return Finding(
        "service-without-endpoints",
        message_many(
            "Service {names} of Kubernetes has no endpoints, so its connections are refused.",
            "Services {names} of Kubernetes have no endpoints, so their connections are refused.",
            len(names),
            names=message_joined(", ", names[:_SHOWN])
            if len(names) <= _SHOWN
            else message(
                "{numbers} and {count} more",
                numbers=message_joined(", ", names[:_SHOWN]),
                count=len(names) - _SHOWN,
            ),
        ),
        tuple(of_rule(rule) for rule in rules[:_SHOWN]),
        message(
            "kube-proxy writes such a rule while no ready pod matches the selector of the service, or, with"
            " externalTrafficPolicy Local, none on this node."
        ),
        message(
            "See which pods it selects, and whether they are ready: {command}",
            command=f"kubectl {f'-n {namespace} ' if namespace else ''}describe service {name}",
        ),
        shown,
        family,
    )


def _refused(scene: Scene, family: Family, rule: Rule) -> Explanation | None:
    """Return a packet that the rule refuses, if one reaches it."""
    fields: dict[str, Any] = {}
    if rule.parameters.protocol in PORT_PROTOCOLS:
        fields["proto"] = protocol_name(rule.parameters.protocol)
    for one in rule.conditions_on("dport"):
        if isinstance(one.allowed, tuple) and one.allowed and not one.negated:
            fields["dport"] = one.allowed[0][0]
    wanted = rule.parameters.destination
    to = second_address(wanted) if wanted is not None else "host"
    for sender in ("internet", "host"):
        shown = scene.ask(sender, to, family, **fields)
        if shown is not None and uses(shown, rule):
            return shown
    return None
