"""Kubernetes with kube-proxy's nftables mode: the service, endpoint or node port for which it wrote a rule.

All of its rules are in one table for each family. Chains are called after services:
"service-5OJB2KTY-shop/web/tcp/http".

Source: pkg/proxy/nftables/proxier.go of Kubernetes 1.29 to 1.34.
"""

from __future__ import annotations

from collections.abc import Collection

from iptsim.dump.rule import Rule
from iptsim.host.kube_services import NFT_TABLE, nft_service
from iptsim.languages import message
from iptsim.owners.kubernetes import (
    ADDRESSES,
    chosen_endpoint,
    external,
    forwards,
    masquerade,
    masquerading,
    named,
    no_endpoints,
    node_port,
    not_in_ranges,
)
from iptsim.owners.maker import Maker, Role, Scope, comment_of, option_of, port_of, single, without_comment

_LEADS = {
    "services": message("leads to the services"),
    "firewall-check": message("leads to the source ranges of load balancers"),
    "masquerading": message("leads to the rules that masquerade service traffic"),
    "mark-for-masquerade": message("marks the packet to be masqueraded"),
    "nodeport-endpoints-check": message("leads to the services without endpoints"),
    "service-endpoints-check": message("leads to the services without endpoints"),
    "cluster-ips-check": message("leads to the check of cluster IPs"),
}
_BASE = frozenset({
    "filter-prerouting", "filter-input", "filter-forward", "filter-output", "filter-output-post-dnat",
    "nat-prerouting", "nat-output", "nat-postrouting",
})  # fmt: skip
_OWN = frozenset({*_LEADS, *_BASE, "reject-chain"})


def _claims(name: str, chains: Collection[str]) -> bool:
    return not _OWN.isdisjoint(chains) and (name in _OWN or nft_service(name) is not None)


def _role(rule: Rule, scope: Scope) -> Role | None:
    if rule.table.partition(" ")[2] != NFT_TABLE:
        return None
    text = without_comment(rule)
    here = nft_service(rule.chain)
    if here is not None:
        return _of_service(rule, scope, here.service, here.endpoint, text)
    called = nft_service(rule.target_name)
    if called is not None:
        return _to_service(rule, called.service, text)
    if rule.chain.endswith("-endpoints-check"):
        return no_endpoints(
            comment_of(rule) or f"{single(option_of(text, '-d'))} {port_of(text)}".strip(),
            local="DROP" in text,
        )
    if rule.chain == "cluster-ips-check":
        if rule.target_name == "REJECT":
            why = message("kube-proxy rejects packets to a port of a cluster IP that no service has")
        else:
            why = message("kube-proxy drops packets to a cluster IP that no service has")
        return Role("kube-cluster-ip", why)
    if rule.chain == "masquerading":
        return masquerading(rule.target_name)
    if rule.chain == "mark-for-masquerade":
        return Role("kube-plumbing", message("marks the packet to be masqueraded"))
    found = _LEADS.get(rule.target_name)
    return Role("kube-plumbing", found) if found else None


def _of_service(rule: Rule, scope: Scope, service: str, endpoint: str, text: str) -> Role:
    """Read a rule in a chain of a service, or of one of its endpoints."""
    target = rule.target_name
    if target == "mark-for-masquerade":
        if rule.chain.startswith("external-"):
            why = message("service {service}: masquerades external traffic", service=service)
            return named("kube-masquerade", why, service)
        return masquerade(service, own=bool(endpoint))
    if endpoint:
        return forwards(service, endpoint)
    chosen = nft_service(target)
    if chosen is not None and chosen.endpoint:
        if "@" in text:
            why = message(
                "service {service}: session affinity keeps a client at {endpoint}",
                service=service,
                endpoint=chosen.endpoint,
            )
            return named("kube-affinity", why, service, endpoint=chosen.endpoint)
        each = [one for one in scope.rules(rule.table, rule.chain) if one.position == rule.position]
        place = next((place for place, one in enumerate(each) if one is rule), None)
        return chosen_endpoint(service, chosen.endpoint, place, len(each))
    if target == "DROP" and rule.chain.startswith("firewall-"):
        return not_in_ranges(service)
    if rule.chain.startswith("external-"):
        return external(service)
    return named("kube-service", message("service {service}", service=service), service)


def _to_service(rule: Rule, service: str, text: str) -> Role:
    """Read the entry of a service, of one of its node ports, or of the source ranges of its load balancer."""
    port = port_of(text)
    if rule.chain == "services" and rule.position > 1:
        return node_port(service, port)
    if rule.chain == "services":
        kind = "cluster IP" if rule.target_name.startswith("service-") else "external IP"
        return named(
            "kube-service", ADDRESSES[kind](f"{single(option_of(text, '-d'))} {port}", service), service
        )
    return named("kube-service", message("service {service}", service=service), service)


MAKER = Maker("kubernetes", "", claims=_claims, role=_role, comments=True)
