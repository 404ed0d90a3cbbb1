"""VPNs: Tailscale's chains, and the rules that setups of WireGuard and OpenVPN add to built-in chains.

Sources: tailscale/tailscale, util/linuxfw/iptables_runner.go; the PostUp lines of wg-quick(8) and of the usual
installers, whose interfaces are called wg0, tun0, tap0.
"""

from __future__ import annotations

import re

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Rule
from iptsim.extensions.verdicts import TRANSLATING_SOURCE
from iptsim.languages import message
from iptsim.owners.maker import Maker, Role, Scope, option_of, port_of, without_comment

_TUNNELS = re.compile(r"(?:wg|tun|tap|utun|zt)[A-Za-z0-9_-]*[0-9+][A-Za-z0-9_-]*|nordlynx|proton0")
_TAILNET = ("100.64.0.0/10", "fd7a:115c:a1e0::/48")
_SERVERS = {"51820/udp": "WireGuard", "1194/udp": "OpenVPN", "1194/tcp": "OpenVPN"}


def _tailscale(rule: Rule, scope: Scope) -> Role | None:
    chain, target = rule.chain, rule.target_name
    if target in ("ts-input", "ts-forward", "ts-postrouting"):
        return Role("tailscale-plumbing", message("leads to Tailscale's rules"))
    if not chain.startswith("ts-"):
        return None
    text = without_comment(rule)
    if target == "DROP" and option_of(text, "-s") in _TAILNET and "-i" in text.split():
        why = message("packets from addresses of the tailnet must arrive on tailscale0")
        return Role("tailscale-spoofed", why)
    if target == "DROP" and option_of(text, "-o") and "--ctstate" in text.split():
        why = message("Tailscale's stateful filtering: no new connections from here into the tailnet")
        return Role("tailscale-stateful", why)
    if target == "DROP" and option_of(text, "-o"):
        return Role(
            "tailscale-spoofed",
            message("packets from addresses of the tailnet are not forwarded back into it"),
        )
    if target == "RETURN":
        return Role("tailscale-chromeos", message("100.115.92.0/23 belongs to ChromeOS, not to the tailnet"))
    if target == "MARK":
        return Role("tailscale-mark", message("marks packets that come from the tailnet"))
    if target == "MASQUERADE":
        return Role(
            "tailscale-masquerade",
            message("masquerades what the tailnet sends through this host (subnet routes, exit node)"),
        )
    if target == "ACCEPT" and chain == "ts-forward":
        why = (
            message("forwards packets that come from the tailnet (subnet routes, exit node)")
            if "--mark" in text
            else message("forwards packets into the tailnet")
        )
        return Role("tailscale-forward", why)
    if target == "ACCEPT":
        if rule.parameters.in_interface == "lo":  # ts-input -s 100.101.102.103/32 -i lo
            return Role(
                "tailscale-input", message("accepts the host's own packets to its address in the tailnet")
            )
        return Role("tailscale-input", message("accepts packets that arrive through the tailnet"))
    return None


def _tunnel(rule: Rule, scope: Scope) -> Role | None:
    if not any(rule.chain in chains for chains in BUILTIN_CHAINS.values()):
        return None
    text, target = without_comment(rule), rule.target_name
    into, out_of = option_of(text, "-o"), option_of(text, "-i")
    if target == "ACCEPT" and rule.chain == "INPUT" and (server := _SERVERS.get(port_of(text))):
        return Role("vpn-server", message("the port of the {name} server", name=server))
    tunnel = next((name for name in (out_of, into) if _TUNNELS.fullmatch(name)), "")
    if not tunnel:
        return None
    about = {"interface": tunnel}
    if rule.chain == "FORWARD" and target == "ACCEPT":
        states = option_of(text, "--ctstate") or option_of(text, "--state")
        if states and "NEW" not in states:
            return Role(
                "vpn-replies", message("replies may pass the VPN interface {name}", name=tunnel), about=about
            )
        if tunnel == out_of:
            why = message("clients of the VPN on {name} may connect through this host", name=tunnel)
        else:
            why = message("packets may be forwarded into the VPN on {name}", name=tunnel)
        return Role("vpn-forward", why, about=about)
    if target in TRANSLATING_SOURCE:
        why = message("masquerades traffic that enters the VPN on {name}", name=tunnel)
        return Role("vpn-masquerade", why, about=about)
    if rule.chain == "INPUT" and target == "ACCEPT":
        return Role(
            "vpn-input",
            message("packets from the VPN on {name} may reach this host", name=tunnel),
            about=about,
        )
    return None


TAILSCALE = Maker("tailscale", r"ts-.+", role=_tailscale)
#: These rules are the user's, whatever program the tunnel belongs to.
TUNNEL = Maker("user", "", role=_tunnel)
