"""Kubernetes: the service, endpoint or node port for which kube-proxy wrote a rule, and the rules of the kubelet.

kube-proxy writes the service into a comment of each rule: "default/web:http", followed by what is special about the
rule. Sources: pkg/proxy/iptables/proxier.go of Kubernetes 1.19 to 1.31, pkg/kubelet's kubelet_network_linux.go, and
kube-router's netpol (k3s), pkg/controllers/netpol.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from iptsim.dump.rule import Rule
from iptsim.host.kube_services import SERVICE
from iptsim.languages import Message, message
from iptsim.owners.maker import Maker, Role, Scope, comment_of, single, without_comment

_OTHER_WORDS = re.compile(r"(?:for|LOCAL traffic for) ([a-z0-9.-]+/[a-z0-9.-]+(?::[A-Za-z0-9.-]+)?) external")
#: A comment in which the service's namespace was removed.
_WITHOUT = re.compile(r"(\S+) has no endpoints")
ADDRESSES: dict[str, Callable[[str, str], Message]] = {
    "cluster IP": lambda place, service: message(
        "cluster IP {place} of service {service}", place=place, service=service
    ),
    "loadbalancer IP": lambda place, service: message(
        "load balancer IP {place} of service {service}", place=place, service=service
    ),
    "external IP": lambda place, service: message(
        "external IP {place} of service {service}", place=place, service=service
    ),
}
_PLUMBING = {
    "KUBE-SERVICES": message("leads to the services"),
    "KUBE-EXTERNAL-SERVICES": message("leads to the externally visible services"),
    "KUBE-NODEPORTS": message("leads to the node ports"),
    "KUBE-PROXY-FIREWALL": message("leads to the source ranges of load balancers"),
    "KUBE-FORWARD": message("leads to the rules for forwarded packets of services"),
    "KUBE-POSTROUTING": message("leads to the rules that masquerade service traffic"),
    "KUBE-FIREWALL": message("leads to the kubelet's rules that protect local addresses"),
    "KUBE-MARK-MASQ": message("marks the packet to be masqueraded"),
    "KUBE-MARK-DROP": message("marks the packet to be dropped"),
    "KUBE-ROUTER-INPUT": message("leads to the network policies"),
    "KUBE-ROUTER-FORWARD": message("leads to the network policies"),
    "KUBE-ROUTER-OUTPUT": message("leads to the network policies"),
}


def _role(rule: Rule, scope: Scope) -> Role | None:
    target = rule.target_name
    if not rule.chain.startswith("KUBE-") and not target.startswith("KUBE-"):
        return None
    comment, text = comment_of(rule), without_comment(rule)
    found = SERVICE.fullmatch(comment)
    if found is not None:
        return _of_service(rule, scope, found["service"], found["rest"] or "")
    if without := _WITHOUT.fullmatch(comment):
        return no_endpoints(without[1], local=False)
    if other := _OTHER_WORDS.search(comment):
        return _external(rule, other[1])
    if rule.chain.startswith("KUBE-EXT-") and (service := _service_of(scope, target)):
        return external(service)
    if role := _policy_role(rule, comment):
        return role
    if role := _of_chain(rule, text):
        return role
    return Role("kube-plumbing", _PLUMBING[target]) if target in _PLUMBING else None


def named(code: str, why: Message, service: str, **about: str) -> Role:
    """Return a role that belongs to a service."""
    return Role(code, why, about={"service": service, **about})


def _of_service(rule: Rule, scope: Scope, service: str, rest: str) -> Role:
    chain, target, text = rule.chain, rule.target_name, without_comment(rule)
    if "no endpoints" in rest or "no local endpoints" in rest:
        return no_endpoints(service, local="local" in rest)
    if rest.startswith("->"):
        return endpoint_role(rule, scope, service, rest.removeprefix("->").strip())
    if "not accepted by" in rest or target == "KUBE-MARK-DROP":
        return not_in_ranges(service)
    if "health check node port" in rest:
        return named("kube-health", message("service {service}: its health check", service=service), service)
    if target == "KUBE-MARK-MASQ":
        return masquerade(service, own=chain.startswith("KUBE-SEP-"))
    if chain == "KUBE-NODEPORTS":
        return node_port(service, _port(text))
    if chain.startswith("KUBE-SEP-") and target == "DNAT":
        return forwards(service, text.rpartition("--to-destination ")[2].split()[0])
    address_of = ADDRESSES.get(rest.replace("load balancer", "loadbalancer"))
    address = re.search(r"(?:^|[^!] )-d (\S+)", text)
    if chain.startswith("KUBE-FW-"):
        why = message("the source is in the loadBalancerSourceRanges of service {service}", service=service)
        return named("kube-source-ranges", why, service)
    if address_of is not None and address is not None:
        place = f"{single(address[1])} {_port(text)}"
        return named("kube-service", address_of(place, service), service)
    if rule.chain.startswith(("KUBE-SVC-", "KUBE-SVL-", "KUBE-XLB-")) and target.startswith("KUBE-SEP-"):
        return endpoint_role(rule, scope, service, _endpoint_of(scope, target))
    return named("kube-service", message("service {service}", service=service), service)


def no_endpoints(service: str, *, local: bool) -> Role:
    """Return the role of a rule that refuses packets to a service without endpoints, or without local ones."""
    if local:
        why = message(
            "service {service} has no endpoint on this node, and its externalTrafficPolicy is Local",
            service=service,
        )
    else:
        why = message("service {service} has no endpoints, as no pod is ready for it", service=service)
    return named("kube-no-local-endpoints" if local else "kube-no-endpoints", why, service)


def endpoint_role(rule: Rule, scope: Scope, service: str, endpoint: str) -> Role:
    """Read the selection of one endpoint: its number among all, at random or by session affinity."""
    recent = next((match for match in rule.matches if match.name == "recent"), None)
    if recent is not None:
        seconds = re.search(r"--seconds (\d+)", rule.text)
        why = message(
            "service {service}: session affinity keeps a client at {endpoint} for {seconds} seconds",
            service=service,
            endpoint=endpoint,
            seconds=seconds[1] if seconds else "?",
        )
        return named("kube-affinity", why, service, endpoint=endpoint)
    chosen = [
        one
        for one in scope.rules(rule.table, rule.chain)
        if one.target_name.startswith("KUBE-SEP-") and all(match.name != "recent" for match in one.matches)
    ]
    place = next((place for place, one in enumerate(chosen) if one == rule), None)
    return chosen_endpoint(service, endpoint, place, len(chosen), local=rule.chain.startswith("KUBE-SVL-"))


def chosen_endpoint(
    service: str, endpoint: str, place: int | None, count: int, *, local: bool = False
) -> Role:
    """Return the role of the rule that chooses an endpoint.

    Args:
        service: the service.
        endpoint: its address and port.
        place: its place among the endpoints, from 0; None if unknown.
        count: how many endpoints there are to choose from.
        local: only those on this node are there.
    """
    share = only = ""
    if count > 1 and place is not None:
        share = f"{place + 1}/{count}"
        why = message(
            "service {service}: endpoint {endpoint}, {number} of {count}, each with the same share",
            service=service,
            endpoint=endpoint,
            number=place + 1,
            count=count,
        )
    elif local:
        only = "on this node"
        why = message(
            "service {service}: endpoint {endpoint}, the only one on this node (externalTrafficPolicy Local)",
            service=service,
            endpoint=endpoint,
        )
    elif count:
        why = message(
            "service {service}: endpoint {endpoint}, its only one", service=service, endpoint=endpoint
        )
    else:
        why = message("service {service}: endpoint {endpoint}", service=service, endpoint=endpoint)
    about = {"endpoint": endpoint, "share": share, "only": only}
    return named("kube-endpoint", why, service, **{name: value for name, value in about.items() if value})


def external(service: str) -> Role:
    """Return the role of a rule for connections to a service from outside the cluster."""
    return named("kube-external", message("service {service}: external traffic", service=service), service)


def not_in_ranges(service: str) -> Role:
    """Return the role of a rule that blocks sources which the service does not accept."""
    why = message(
        "the source is in none of the loadBalancerSourceRanges of service {service}", service=service
    )
    return named("kube-source-ranges", why, service)


def node_port(service: str, port: str) -> Role:
    """Return the role of a rule that leads from a node port, "30080/tcp", to a service."""
    why = message("node port {port} of service {service}", service=service, port=port)
    return named("kube-node-port", why, service, node_port=port)


def forwards(service: str, endpoint: str) -> Role:
    """Return the role of the DNAT rule of an endpoint."""
    why = message(
        "service {service}: forwards to its endpoint {endpoint}", service=service, endpoint=endpoint
    )
    return named("kube-endpoint", why, service, endpoint=endpoint)


def masquerade(service: str, *, own: bool) -> Role:
    """Return the role of a rule that marks packets to be masqueraded: those of its own endpoint, or of others."""
    if own:
        why = message(
            "service {service}: masquerades an endpoint's connection to its own service", service=service
        )
    else:
        why = message("service {service}: masquerades traffic from outside the pods", service=service)
    return named("kube-masquerade", why, service)


def _external(rule: Rule, service: str) -> Role:
    if rule.target_name == "KUBE-MARK-MASQ":
        why = message("service {service}: masquerades external traffic", service=service)
    else:
        why = message(
            "service {service}: traffic of this node and its pods may go to every endpoint", service=service
        )
    return named("kube-external", why, service)


def _service_of(scope: Scope, chain: str) -> str:
    """Return the service whose endpoints a chain chooses from, by the comments of its rules."""
    comments = (comment_of(rule) for rule in scope.rules("nat", chain))
    found = (SERVICE.fullmatch(comment) for comment in comments)
    return next((one["service"] for one in found if one is not None), "")


def _endpoint_of(scope: Scope, chain: str) -> str:
    """Return where a KUBE-SEP chain forwards to."""
    texts = (rule.text for rule in scope.rules("nat", chain))
    found = (re.search(r"--to-destination (\S+)", text) for text in texts)
    return next((one[1] for one in found if one is not None), chain)


def _port(text: str) -> str:
    found, proto = re.search(r"(?<!! )--dport (\S+)", text), re.search(r"-p (\S+)", text)
    return f"{found[1]}/{proto[1] if proto else 'tcp'}" if found else ""


def _of_chain(rule: Rule, text: str) -> Role | None:
    """Read the rules that belong to no service."""
    chain, target = rule.chain, rule.target_name
    if chain == "KUBE-MARK-DROP":
        return Role("kube-plumbing", message("marks the packet: KUBE-FIREWALL drops it"))
    if chain == "KUBE-MARK-MASQ":
        return Role("kube-plumbing", message("marks the packet: KUBE-POSTROUTING masquerades it"))
    if chain == "KUBE-POSTROUTING" and target in ("MARK", "MASQUERADE", "RETURN"):
        return masquerading(target)
    if chain == "KUBE-FIREWALL" and target == "DROP":
        if "--mark" in text:
            return Role("kube-firewall", message("the kubelet drops packets with the mark of KUBE-MARK-DROP"))
        return Role("kube-firewall", message("the kubelet drops packets from elsewhere to 127.0.0.0/8"))
    if chain == "KUBE-FORWARD":
        if target == "DROP":
            return Role(
                "kube-forward", message("kube-proxy drops packets that fit no known connection (INVALID)")
            )
        if "--mark" in text:
            return Role(
                "kube-forward",
                message("kube-proxy forwards service traffic that carries the masquerade mark"),
            )
        return Role("kube-forward", message("kube-proxy forwards packets of established connections"))
    return None


def masquerading(target: str) -> Role:
    """Return the role of a rule, by its target, in the chain that masquerades service traffic."""
    if target == "MARK":
        return Role("kube-masquerade", message("clears the mark before masquerading"))
    if target == "RETURN":
        return Role("kube-masquerade", message("leaves packets without the service mark alone"))
    return Role("kube-masquerade", message("masquerades service traffic that carries the mark"))


def _policy_role(rule: Rule, comment: str) -> Role | None:
    """Read kube-router's rules for network policies."""
    pod = re.search(r"POD name:\s*(\S+) namespace:\s*(\S+)", comment)
    if pod is None:
        return None
    name = f"{pod[2]}/{pod[1]}"
    if rule.target_name in ("REJECT", "DROP", "NFLOG"):
        why = message("no network policy of pod {pod} allows it", pod=name)
        return Role("kube-network-policy", why, about={"pod": name})
    return Role(
        "kube-network-policy", message("the network policies of pod {pod}", pod=name), about={"pod": name}
    )


MAKER = Maker("kubernetes", r"KUBE-.+", role=_role, comments=True)
