"""Codes of findings with the severity low, most important first.

A mistake of little effect.
"""

from __future__ import annotations

from functools import partial

from iptsim.findings.codes.kind import Kind
from iptsim.languages import message

low = partial(Kind, "low")
#: What each code means.
KINDS: dict[str, Kind] = {
    "recent-list-shared": low(message("Rules of recent for several ports count in the same list, DEFAULT.")),
    "bans-behind-accepted": low(
        message(
            "In a pasted text: a rule accepts a port from everybody before another one blocks a single address."
        ),
        explains="access",
    ),
    "output-not-for-containers": low(
        message("In a pasted text about Docker: OUTPUT blocks what containers may still send."),
        explains="access",
    ),
    "counters-grew": low(
        message("Of two listings of the same rules: the rules whose counters grew in between."), observed=True
    ),
    "rules-gone": low(message("Of two listings of the same rules: the rules that the later one lacks.")),
    "forward-needs-return": low(message("In a pasted text: a port forward whose replies may not return.")),
    "port-forward-not-for-host": low(
        message("A port forward in PREROUTING does not apply to connections of the host itself."),
        sender="host",
    ),
    "source-port-blocked": low(
        message("In a pasted text: a rule blocks packets from the port of a service, not connections to it.")
    ),
    "source-port-accepted": low(
        message(
            "In a pasted text: a rule of OUTPUT accepts packets from the port of a service, not connections to it."
        ),
        sender="host",
    ),
    "stale-rule": low(message("A Docker rule is for an address that no container has.")),
    "not-published-ipv6": low(
        message("A port is published for IPv4 only, although the host has an IPv6 address.")
    ),
    "docker-user-port": low(
        message("A rule in DOCKER-USER names a port: it is the container's, not the published one."),
        explains="access",
    ),
    "clients-masqueraded": low(
        message("A rule masquerades incoming connections, so containers do not see their clients.")
    ),
    "ftp-without-helper": low(
        message("In a pasted text: the rules let FTP's commands through, but not its data connections.")
    ),
    "forward-drop": low(
        message("The FORWARD policy is DROP, and no rule accepts what is forwarded for others."),
        forwarding=True,
    ),
    "host-closed-to-containers": low(
        message("The rules of INPUT block what containers send to services and published ports of the host."),
        sender="containers",
    ),
    "nftables-forward-drop": low(
        message("A base chain of nftables drops what is forwarded, unless its own rules accept it."),
        forwarding=True,
    ),
    "never-matches": low(
        message("A rule never matches: no packet is left for it, or its conditions contradict each other.")
    ),
    "unreferenced-chain": low(message("A chain has rules, but nothing jumps to it.")),
    "empty-chain": low(message("A rule jumps to a chain that has no rules.")),
}
