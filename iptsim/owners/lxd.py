"""LXD, Incus and lxc-net: the bridge of a rule.

LXD writes "generated for LXD network lxdbr0" as comment; lxc-net writes no comment, and its bridge is lxcbr0.
Source: lxd/firewall/drivers/drivers_xtables.go, and lxc's config/init/common/lxc-net.in.
"""

from __future__ import annotations

import re

from iptsim.dump.rule import Rule
from iptsim.extensions.verdicts import BLOCKING, TRANSLATING_SOURCE
from iptsim.languages import message
from iptsim.owners.maker import Maker, Role, Scope, comment_of, option_of, port_of, without_comment

_COMMENT = re.compile(
    r"generated for (?:LXD|Incus) (?P<what>network|network-forward|container|instance) (?P<name>.+)"
)
_BRIDGES = re.compile(r"lxcbr[0-9]+")


def _role(rule: Rule, scope: Scope) -> Role | None:
    text, target = without_comment(rule), rule.target_name
    into, out_of = option_of(text, "-o"), option_of(text, "-i")
    commented = _COMMENT.fullmatch(comment_of(rule))
    if commented is not None:
        name = commented["name"]
        if commented["what"] in ("container", "instance"):
            why = message("the proxy device or filter of {name}", name=name)
            return Role("lxd-instance", why, container=name)
    elif found := next((one for one in (into, out_of) if _BRIDGES.fullmatch(one)), None):
        name = found
    else:
        return None
    port = port_of(text)
    if target == "DNAT":
        why = message("forwards {port} to an instance on {bridge}", port=port, bridge=name)
        return Role("lxd-forward", why, network=name)
    if target in TRANSLATING_SOURCE:
        return Role(
            "lxd-masquerade", message("masquerades traffic leaving {network}", network=name), network=name
        )
    if target == "CHECKSUM":
        why = message("fills in the checksums of DHCP replies to instances on {bridge}", bridge=name)
        return Role("lxd-checksum", why, network=name)
    if rule.chain in ("INPUT", "OUTPUT") and target == "ACCEPT":
        services = {"53": "DNS", "67": "DHCP", "547": "DHCPv6", "546": "DHCPv6", "68": "DHCP"}
        ports = re.findall(r"--[sd]ports? (\S+)", text)
        service = next((services[one] for one in ports if one in services), "")
        if service:
            why = message("{service} for instances on {bridge}", service=service, bridge=name)
            return Role("lxd-service", why, network=name)
    if rule.chain == "FORWARD" and target == "ACCEPT":
        if into:
            why = message("packets may reach instances on {bridge}", bridge=name)
        else:
            why = message("instances on {bridge} may connect to the outside", bridge=name)
        return Role("lxd-forwarding", why, network=name)
    if rule.chain == "FORWARD" and target in BLOCKING:
        return Role(
            "lxd-blocked",
            message("the LXD network {bridge} does not forward (ipv4.routing)", bridge=name),
            network=name,
        )
    return Role("lxd-network", message("for the network {network}", network=name), network=name)


MAKER = Maker("lxd", r"lxd_.+", role=_role, comments=True)
