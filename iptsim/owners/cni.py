"""The CNI plugins portmap, bridge and firewall: the network or host port of a rule (k3s, containerd, older Podman).

Source: containernetworking/plugins, plugins/meta/portmap, plugins/meta/firewall, pkg/ip/ipmasq_linux.go.
"""

from __future__ import annotations

import re

from iptsim.dump.rule import Rule
from iptsim.languages import message
from iptsim.owners.maker import Maker, Role, Scope, comment_of, option_of, port_of, single, without_comment

_NAME = re.compile(r'name: "(?P<network>[^"]+)"(?: id: "(?P<id>[^"]+)")?')


def _role(rule: Rule, scope: Scope) -> Role | None:
    chain, target = rule.chain, rule.target_name
    if not (chain.startswith("CNI-") or target.startswith("CNI-")):
        return None
    text = without_comment(rule)
    named = _NAME.search(comment_of(rule).replace("\\", ""))
    network = named["network"] if named else ""
    if target == "DNAT":
        place = option_of(text, "--to-destination")
        why = message("forwards {port} of the host to {place}: a host port", port=port_of(text), place=place)
        return Role("cni-host-port", why, host_port=port_of(text))
    if target.startswith("CNI-DN-"):
        why = message("host port {port} of the network {network}", port=port_of(text), network=network)
        return Role("cni-host-port", why, network=network, host_port=port_of(text))
    if "SETMARK" in chain or "SETMARK" in target:
        return Role("cni-mark", message("marks packets to host ports that must be masqueraded"))
    if target == "MASQUERADE":
        return Role("cni-masquerade", message("masquerades traffic of containers that leaves their network"))
    if chain == "CNI-FORWARD" and target == "ACCEPT":
        address = single(option_of(text, "-s") or option_of(text, "-d"))
        if "--ctstate" in text:
            return Role("cni-replies", message("replies may reach {address}", address=address))
        return Role("cni-outgoing", message("{address} may connect to the outside", address=address))
    if chain.startswith("CNI-ISOLATION") and target == "DROP":
        return Role("cni-isolation", message("isolates CNI networks from each other"))
    if target == "CNI-ADMIN":
        return Role("cni-plumbing", message("evaluates the user's own rules in CNI-ADMIN first"))
    if target.startswith("CNI-"):
        return Role("cni-plumbing", message("leads to the rules of CNI networks"))
    return None


MAKER = Maker("cni", r"CNI-.+", role=_role, comments=True)
