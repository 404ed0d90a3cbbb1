"""Codes of findings with the severity critical, most important first.

The host is open to the internet against the intent of its rules.
"""

from __future__ import annotations

from iptsim.languages import Message, message

#: The meaning of each code.
MEANINGS: dict[str, Message] = {
    "firewall-bypassed": message(
        "A published port is open although rules in INPUT deny it: the packets never pass INPUT."
    ),
    "loopback-port-reachable": message(
        "A port is published on 127.0.0.1 only, but other hosts on the link can reach it."
    ),
    "container-port-open": message("Unpublished ports of a container can be reached from outside."),
    "ipv6-open": message("Traffic that the IPv4 rules block is accepted over IPv6."),
}
