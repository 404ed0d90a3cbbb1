"""IPv6 on a link without neighbour discovery: rules that block the ICMPv6 messages that replace ARP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iptsim.explanation import Explanation
from iptsim.findings.finding import Finding, filtered_at, tool_of
from iptsim.findings.guest_services import decider_in_input
from iptsim.findings.scene import Scene
from iptsim.languages import message

#: ICMPv6 types of neighbour discovery (RFC 4861): what asks for an address of the host, and the reply to its own query.
_SOLICITATION, _ADVERTISEMENT = 135, 136


def discovery_blocked(scene: Scene) -> Iterator[Finding]:
    """Find hosts whose IPv6 rules of INPUT block neighbour solicitations and advertisements."""
    outside = scene.outside_interface(6) if 6 in scene.families else None
    if outside is None or not scene.shows(6, "filter", "INPUT"):
        return
    blocked = [
        shown
        for kind in (_SOLICITATION, _ADVERTISEMENT)
        if (shown := _asks(scene, outside.name, kind)) is not None and filtered_at(shown, "INPUT") is not None
    ]
    if len(blocked) < 2:
        return
    command = f"{tool_of(6)} -I INPUT -p ipv6-icmp -j ACCEPT"
    yield Finding(
        "neighbour-discovery-blocked",
        message(
            "INPUT blocks neighbour discovery, so IPv6 does not work on {interface}.", interface=outside.name
        ),
        decider_in_input(scene, 6, blocked[0]),
        message(
            "IPv6 has no ARP: neighbours and the router find the host's link-layer address by ICMPv6. conntrack does"
            " not track these messages, so a rule for ESTABLISHED does not accept them."
        ),
        command,
        blocked[0],
        6,
        (command,),
    )


def _asks(scene: Scene, interface: str, kind: int) -> Explanation | None:
    """Walk a message of neighbour discovery from another machine of a link to the host; its hop limit is always 255."""
    arriving: dict[str, Any] = {"in": interface}
    return scene.ask("fe80::1234", "host", 6, proto="icmpv6", icmp_type=kind, ttl=255, **arriving)
