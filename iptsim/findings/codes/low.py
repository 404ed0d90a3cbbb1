"""Codes of findings with the severity low, most important first.

A mistake of little effect.
"""

from __future__ import annotations

from iptsim.languages import Message, message

#: The meaning of each code.
MEANINGS: dict[str, Message] = {
    "bans-behind-accepted": message(
        "In a pasted text: a rule accepts a port from everybody before another one blocks a single address."
    ),
    "output-not-for-containers": message(
        "In a pasted text about Docker: OUTPUT blocks what containers may still send."
    ),
    "counters-grew": message("Of two listings of the same rules: the rules whose counters grew in between."),
    "rules-gone": message("Of two listings of the same rules: the rules that the later one lacks."),
    "forward-needs-return": message("In a pasted text: a port forward whose replies may not return."),
    "port-forward-not-for-host": message(
        "A port forward in PREROUTING does not apply to connections of the host itself."
    ),
    "source-port-blocked": message(
        "In a pasted text: a rule blocks packets from the port of a service, not connections to it."
    ),
    "stale-rule": message("A Docker rule is for an address that no container has."),
    "not-published-ipv6": message(
        "A port is published for IPv4 only, although the host has an IPv6 address."
    ),
    "docker-user-port": message(
        "A rule in DOCKER-USER names a port: it is the container's, not the published one."
    ),
    "clients-masqueraded": message(
        "A rule masquerades incoming connections, so containers do not see their clients."
    ),
    "ftp-without-helper": message(
        "In a pasted text: the rules let FTP's commands through, but not its data connections."
    ),
    "forward-drop": message("The FORWARD policy is DROP, and no rule accepts what is forwarded for others."),
    "host-closed-to-containers": message(
        "The rules of INPUT block what containers send to services and published ports of the host."
    ),
    "nftables-forward-drop": message(
        "A base chain of nftables drops what is forwarded, unless its own rules accept it."
    ),
    "never-matches": message(
        "A rule never matches: no packet is left for it, or its conditions contradict each other."
    ),
    "unreferenced-chain": message("A chain has rules, but nothing jumps to it."),
    "empty-chain": message("A rule jumps to a chain that has no rules."),
}
