"""Programs that explain each of their rules in a comment: Cilium, flannel, Antrea.

Sources: cilium/cilium, pkg/datapath/iptables; flannel-io/flannel, pkg/trafficmngr/iptables; antrea-io/antrea,
pkg/agent/route/route_linux.go.
"""

from __future__ import annotations

import re

from iptsim.dump.rule import Rule
from iptsim.languages import message
from iptsim.owners.maker import Maker, Role, Scope, comment_of, option_of, without_comment


def _cilium(rule: Rule, scope: Scope) -> Role | None:
    found = re.match(r"cilium(?:-feeder)?: (.+)", comment_of(rule))
    if found is None:
        return None
    return Role("cilium-rule", message("Cilium: {comment}", comment=found[1]))


def _antrea(rule: Rule, scope: Scope) -> Role | None:
    found = re.match(r"Antrea: (.+)", comment_of(rule))
    return Role("antrea-rule", message("Antrea: {comment}", comment=found[1])) if found is not None else None


def _flannel(rule: Rule, scope: Scope) -> Role | None:
    comment, text = comment_of(rule), without_comment(rule)
    if not (comment.startswith("flanneld") or rule.chain.startswith("FLANNEL-")):
        return None
    network = option_of(text, "-s") or option_of(text, "-d")
    if rule.target_name == "MASQUERADE":
        if re.search(r"! -s", text):
            why = message("masquerades traffic from outside the pod network to pods")
        else:
            why = message("masquerades traffic of pods that leaves {network}", network=network)
        return Role("flannel-masquerade", why)
    if rule.target_name == "RETURN":
        return Role("flannel-no-masquerade", message("traffic between pods keeps its addresses"))
    if rule.target_name == "ACCEPT" and network:
        why = message("flannel forwards all traffic of the pod network {network}", network=network)
        return Role("flannel-forward", why)
    return Role("flannel-plumbing", message("leads to flannel's rules"))


ANTREA = Maker("antrea", r"ANTREA-.+", role=_antrea, comments=True)
CILIUM = Maker("cilium", r"(?:OLD_)?CILIUM_.+", role=_cilium, comments=True)
FLANNEL = Maker("flannel", r"FLANNEL-.+", role=_flannel, comments=True)
