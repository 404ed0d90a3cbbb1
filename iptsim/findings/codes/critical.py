"""Codes of findings with the severity critical, most important first.

The host is open to the internet against the intent of its rules.
"""

from __future__ import annotations

from functools import partial

from iptsim.findings.codes.kind import Kind
from iptsim.languages import message

critical = partial(Kind, "critical")
#: What each code means.
KINDS: dict[str, Kind] = {
    "firewall-bypassed": critical(
        message("A published port is open although rules in INPUT deny it: the packets never pass INPUT."),
        explains="access",
    ),
    "loopback-port-reachable": critical(
        message("A port is published on 127.0.0.1 only, but other hosts on the link can reach it."),
        explains="access",
    ),
    "container-port-open": critical(
        message("Unpublished ports of a container can be reached from outside."), explains="access"
    ),
    "ipv6-open": critical(
        message("Traffic that the IPv4 rules block is accepted over IPv6."), explains="access"
    ),
}
