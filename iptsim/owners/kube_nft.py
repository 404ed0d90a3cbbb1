"""Kubernetes with kube-proxy's nftables mode: the service, endpoint or node port for which it wrote a rule.

All of its rules are in one table for each family. Chains are called after services:
"service-5OJB2KTY-shop/web/tcp/http".

Source: pkg/proxy/nftables/proxier.go of Kubernetes 1.29 to 1.34.
"""

from __future__ import annotations

from collections.abc import Collection

from iptsim.dump.ruleset import Rule
from iptsim.host.kube_services import NFT_TABLE, nft_service
from iptsim.languages import Message, message
from iptsim.owners.kubernetes import ADDRESSES, chosen_endpoint, named, no_endpoints
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
        return Role("kube-masquerade", _masquerading(rule.target_name))
    if rule.chain == "mark-for-masquerade":
        return Role("kube-plumbing", message("marks the packet to be masqueraded"))
    found = _LEADS.get(rule.target_name)
    return Role("kube-plumbing", found) if found else None


def _masquerading(target: str) -> Message:
    if target == "RETURN":
        return message("leaves packets without the service mark alone")
    if target == "MARK":
        return message("clears the mark before masquerading")
    return message("masquerades service traffic that carries the mark")


def _of_service(rule: Rule, scope: Scope, service: str, endpoint: str, text: str) -> Role:
    """Read a rule in a chain of a service, or of one of its endpoints."""
    target = rule.target_name
    if target == "mark-for-masquerade":
        if endpoint:
            why = message(
                "service {service}: masquerades an endpoint's connection to its own service", service=service
            )
        elif rule.chain.startswith("external-"):
            why = message("service {service}: masquerades external traffic", service=service)
        else:
            why = message("service {service}: masquerades traffic from outside the pods", service=service)
        return named("kube-masquerade", why, service)
    if endpoint:
        why = message(
            "service {service}: forwards to its endpoint {endpoint}", service=service, endpoint=endpoint
        )
        return named("kube-endpoint", why, service, endpoint=endpoint)
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
        why = message(
            "the source is in none of the loadBalancerSourceRanges of service {service}", service=service
        )
        return named("kube-source-ranges", why, service)
    if rule.chain.startswith("external-"):
        return named(
            "kube-external", message("service {service}: external traffic", service=service), service
        )
    return named("kube-service", message("service {service}", service=service), service)


def _to_service(rule: Rule, service: str, text: str) -> Role:
    """Read the entry of a service, of one of its node ports, or of the source ranges of its load balancer."""
    port = port_of(text)
    if rule.chain == "services" and rule.position > 1:
        why = message("node port {port} of service {service}", service=service, port=port)
        return named("kube-node-port", why, service, node_port=port)
    if rule.chain == "services":
        kind = "cluster IP" if rule.target_name.startswith("service-") else "external IP"
        return named(
            "kube-service", ADDRESSES[kind](f"{single(option_of(text, '-d'))} {port}", service), service
        )
    return named("kube-service", message("service {service}", service=service), service)


MAKER = Maker("kubernetes", "", claims=_claims, role=_role, comments=True)
