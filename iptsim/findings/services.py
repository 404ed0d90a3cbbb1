"""Services of Kubernetes without endpoints, at all or on this node, so that kube-proxy blocks their connections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.explanation import Explanation
from iptsim.findings.behind import second_address
from iptsim.findings.finding import SHOWN, Finding, of_rule, uses
from iptsim.findings.scene import Scene
from iptsim.host.kube_services import NFT_TABLE
from iptsim.host.nft_rulesets import ruleset_of
from iptsim.languages import message, message_joined, message_many
from iptsim.owners.rule_owners import authorship
from iptsim.passages import shell
from iptsim.protocols import PORT_PROTOCOLS, protocol_name

_BLOCKING = frozenset({"REJECT", "DROP", "KUBE-MARK-DROP"})
#: The chains of kube-proxy's nftables mode with services without endpoints, by a hook that leads to them.
_NFT_CHECKS = {"forward": "service-endpoints-check", "input": "nodeport-endpoints-check"}
_ROLES = frozenset({"kube-no-endpoints", "kube-no-local-endpoints"})


def without_endpoints(scene: Scene) -> Iterator[Finding]:
    """Find services without endpoints by the rules with which kube-proxy blocks their connections."""
    for family in scene.families:
        found: dict[str, dict[str, list[Rule]]] = {}
        for rule in (*_of_iptables(scene, family), *_of_nftables(scene, family)):
            role = authorship(rule, scene.host)[1]
            if role is not None and role.code in _ROLES:
                found.setdefault(role.code, {}).setdefault(role.about["service"], []).append(rule)
        for code, services in found.items():
            yield _finding(scene, family, code, services)


def _of_iptables(scene: Scene, family: Family) -> Iterator[Rule]:
    for table in ("filter", "nat"):
        for rule in scene.table(family, table).rules():
            if rule.chain.startswith("KUBE-") and rule.target_name in _BLOCKING:
                yield rule


def _of_nftables(scene: Scene, family: Family) -> Iterator[Rule]:
    """Yield the rules of kube-proxy's nftables mode, each from one of the base chains that lead to it."""
    for base in scene.base_chains:
        check = _NFT_CHECKS.get(base.hook or "")
        if base.table == NFT_TABLE and check and (ruleset := ruleset_of(base, family)) is not None:
            chain = ruleset.chain(f"{base.family} {base.table}", check)
            yield from chain.rules if chain is not None else ()


def _finding(scene: Scene, family: Family, code: str, found: dict[str, list[Rule]]) -> Finding:
    names, rules = list(found), [rule for own in found.values() for rule in own]
    first = names[0]
    shown = next((one for one in (_refused(scene, family, rule) for rule in rules[:SHOWN]) if one), None)
    namespace, _, name = first.partition(":")[0].rpartition("/")
    kubectl = f"kubectl -n {namespace}" if namespace else "kubectl"
    listed = (
        message_joined(", ", names[:SHOWN])
        if len(names) <= SHOWN
        else message(
            "{numbers} and {count} more",
            numbers=message_joined(", ", names[:SHOWN]),
            count=len(names) - SHOWN,
        )
    )
    return Finding(
        "service-without-endpoints",
        message_many(
            "Service {names} of Kubernetes has no endpoints, so its connections are refused.",
            "Services {names} of Kubernetes have no endpoints, so their connections are refused.",
            len(names),
            names=listed,
        )
        if code == "kube-no-endpoints"
        else message_many(
            "Service {names} of Kubernetes has no local endpoints: this node drops connections from outside to it.",
            "Services {names} of Kubernetes have no local endpoints: this node drops connections from outside to them.",
            len(names),
            names=listed,
        ),
        tuple(of_rule(rule) for rule in rules[:SHOWN]),
        message("kube-proxy writes such a rule while no ready pod matches the selector of the service.")
        if code == "kube-no-endpoints"
        else message(
            "kube-proxy writes such a rule if the externalTrafficPolicy of the service is Local, and none of its ready"
            " pods runs on this node. If one does, kube-proxy may know this node by another name than kubelet."
        ),
        message(
            "See which pods it selects, and whether they are ready: {command}",
            command=shell(f"{kubectl} describe service {name}"),
        )
        if code == "kube-no-endpoints"
        else message(
            "See on which nodes its ready pods run (nodeName): {command}. With externalTrafficPolicy: Cluster, every"
            " node forwards to them, but they do not see the sender's address.",
            command=shell(f"{kubectl} get endpoints {name} -o yaml"),
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
