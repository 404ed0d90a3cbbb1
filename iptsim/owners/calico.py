"""Calico's Felix: the workload, policy or profile of a rule, by the names of chains and Felix's own comments.

Source: projectcalico/calico, felix/rules (chains cali-tw-, cali-fw-, cali-pi-, cali-po-, cali-pri-, cali-pro-).
"""

from __future__ import annotations

import re

from iptsim.dump.rule import Rule
from iptsim.languages import message
from iptsim.owners.maker import Maker, Role, Scope

_HASH = re.compile(r"cali:\S+")
_CHAINS = re.compile(r"cali-(?P<kind>tw|fw|th|fh|thfw|fhfw|pi|po|pri|pro)-(?P<name>.+)")


def comments(rule: Rule) -> list[str]:
    """Return the comments of a rule without Felix's hash."""
    found = (str(getattr(match, "comment", "")) for match in rule.matches if match.name == "comment")
    return [one for one in found if not _HASH.fullmatch(one)]


def _role(rule: Rule, scope: Scope) -> Role | None:
    if not (rule.chain.startswith("cali-") or rule.target_name.startswith("cali-")):
        return None
    said = ", ".join(comments(rule))
    found = _CHAINS.fullmatch(rule.chain)
    kind, name = (found["kind"], found["name"]) if found else ("", "")
    # "Drop ..." or "Reject ...", after the deny action (felix/rules/endpoints.go)
    if "if no policies passed" in said or "if no profiles matched" in said:
        if kind == "tw":
            why = message("no ingress network policy of the pod behind {interface} allows it", interface=name)
        elif kind == "fw":
            why = message("no egress network policy of the pod behind {interface} allows it", interface=name)
        else:
            why = message("no Calico policy allows it")
        return Role("calico-denied", why, about={"interface": name} if name else {})
    if kind in ("pi", "po", "pri", "pro"):
        direction = {"pi": "ingress", "po": "egress", "pri": "ingress", "pro": "egress"}[kind]
        if kind in ("pi", "po"):
            why = message("a rule of the {direction} policy {name}", direction=direction, name=name)
        else:
            why = message("a rule of the {direction} profile {name}", direction=direction, name=name)
        return Role("calico-policy", why, about={"policy": name})
    if said:
        return Role("calico-rule", message("Calico: {comment}", comment=said))
    if kind in ("tw", "fw"):
        why = message("the policies of the pod behind {interface}", interface=name)
        return Role("calico-workload", why, about={"interface": name})
    if rule.target_name == "MASQUERADE":
        return Role(
            "calico-masquerade", message("masquerades pods' traffic to addresses outside the IP pools")
        )
    return Role("calico-plumbing", message("leads to Calico's rules"))


MAKER = Maker("calico", r"cali-.+", role=_role, comments=True)
