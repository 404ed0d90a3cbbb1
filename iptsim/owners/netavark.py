"""Podman's netavark: the network or published port of a rule.

Source: containers/netavark, src/firewall/varktables (chains NETAVARK-HASH, NETAVARK_FORWARD, NETAVARK-DN-HASH).
"""

from __future__ import annotations

import re

from iptsim.dump.rule import Rule
from iptsim.languages import message
from iptsim.owners.maker import Maker, Role, Scope, comment_of, option_of, port_of, without_comment

_NAME = re.compile(r"dnat name: (\S+) id: (\S+)")


def _role(rule: Rule, scope: Scope) -> Role | None:
    chain, target = rule.chain, rule.target_name
    if not (chain.startswith("NETAVARK") or target.startswith("NETAVARK")):
        return None
    text = without_comment(rule)
    subnet = option_of(text, "-s") or option_of(text, "-d")
    if named := _NAME.search(comment_of(rule)):
        why = message("published port {port} of the network {network}", port=port_of(text), network=named[1])
        return Role("netavark-published-port", why, network=named[1], host_port=port_of(text))
    if target == "DNAT":
        place = option_of(text, "--to-destination")
        why = message(
            "forwards {port} of the host to {place}: a published port", port=port_of(text), place=place
        )
        return Role("netavark-port-forward", why, host_port=port_of(text))
    if "SETMARK" in chain or "SETMARK" in target:
        return Role("netavark-mark", message("marks packets to published ports that must be masqueraded"))
    if target == "MASQUERADE":
        if "--mark" in text:
            return Role(
                "netavark-masquerade", message("masquerades packets to published ports that carry the mark")
            )
        return Role("netavark-masquerade", message("masquerades traffic leaving the network"))
    if chain == "NETAVARK_FORWARD":
        if "INVALID" in text:
            return Role(
                "netavark-invalid", message("netavark drops packets that fit no known connection (INVALID)")
            )
        if "--ctstate" in text:
            why = message("replies may reach containers on {subnet}", subnet=subnet)
            return Role("netavark-replies", why)
        if target == "ACCEPT":
            why = message("containers on {subnet} may connect to the outside", subnet=subnet)
            return Role("netavark-outgoing", why)
    if chain.startswith("NETAVARK_ISOLATION_") and target == "DROP":
        bridge = option_of(text, "-o")
        why = message("the network on {bridge} is isolated from other networks (isolate)", bridge=bridge)
        return Role("netavark-isolation", why, network=bridge)
    if chain == "NETAVARK_INPUT" and port_of(text).startswith("53/"):
        return Role("netavark-dns", message("containers on {subnet} may query aardvark-dns", subnet=subnet))
    if chain.startswith("NETAVARK-") and target == "ACCEPT":
        return Role("netavark-inside", message("traffic within {subnet} keeps its addresses", subnet=subnet))
    if target.startswith("NETAVARK"):
        return Role("netavark-plumbing", message("leads to Podman's rules"))
    return None


MAKER = Maker("netavark", r"NETAVARK[-_].+", role=_role, comments=True)
