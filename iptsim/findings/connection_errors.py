"""What the error of a connection tells about where its packets went.

Sources: net/ipv4/icmp.c (icmp_err_convert), which error a program gets for which ICMP message; iptables-extensions(8),
REJECT.
"""

from __future__ import annotations

from iptsim.explanation import Explanation
from iptsim.languages import Message, Text, message

#: By the kind of error (:attr:`iptsim.host.pasted.Pasted.errors`).
_MEANINGS: dict[str, Message] = {
    "refused": message(
        '"Connection refused" is the answer of a machine on which nothing listens on the port at that address; a REJECT'
        " rule with tcp-reset or icmp-port-unreachable looks the same."
    ),
    "timeout": message(
        "A timeout means that the packet or its reply was dropped: by a rule that the source does not show, by another"
        " firewall on the path, or because no route leads back."
    ),
    "unreachable": message(
        '"No route to host" means that a rule rejected the packet with icmp-host-prohibited, as those of firewalld and'
        " the default ones of Red Hat do, or that no machine has the address."
    ),
}
#: The same for an address of the host itself, to which another machine or a container sends.
_OF_HOST: dict[str, Message] = {
    "refused": message(
        '"Connection refused" from an address of the host means that nothing there listens on the port at that address,'
        " perhaps only at 127.0.0.1; a REJECT rule with tcp-reset or icmp-port-unreachable looks the same."
    ),
    "timeout": message(
        "A timeout for an address of the host usually means that INPUT drops the packet, by rules that the source does"
        " not show: ufw drops what no rule allows, also from containers."
    ),
    "unreachable": message(
        '"No route to host" for an address of the host itself means that a rule of INPUT rejected the packet with'
        " icmp-host-prohibited, as those of firewalld and the default ones of Red Hat do."
    ),
}


def meaning_of_error(kind: str, shown: Explanation, *, with_rules: bool) -> Text:
    """Return what an error tells about a packet that the rules which are shown do not block; "" if that is unknown.

    Args:
        kind: the kind of error.
        shown: the packet, walked.
        with_rules: the source shows rules, not only settings.
    """
    leg = shown.trace.legs[0]
    at_host = leg.delivered is not None and leg.delivered.kind == "host" and leg.sender != "host"
    if not at_host or (kind == "timeout" and with_rules):
        return _MEANINGS.get(kind, "")
    return _OF_HOST.get(kind, "")
