"""Zones of firewalld, in a pasted text, from which nothing is forwarded to other zones."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.findings.behind import NAMES
from iptsim.findings.finding import Evidence, Finding
from iptsim.findings.interfaces import CARD
from iptsim.findings.scene import Scene
from iptsim.host.pasted import FirewalldZone
from iptsim.languages import message


def not_forwarded(scene: Scene) -> Iterator[Finding]:
    """Find zones of tunnels and guests that forward nothing to the zone of the uplink, and that nothing masquerades.

    Source: firewalld.zone(5): only the target ACCEPT, masquerading or a policy lets packets pass from zone to zone.
    """
    pasted = scene.host.pasted
    zones = pasted.zones if pasted is not None else ()
    uplink = next((one for one in zones if any(map(CARD.fullmatch, one.interfaces))), None)
    if uplink is None or any(one.masquerades for one in zones):
        return
    for zone in zones:
        name = next(filter(NAMES.fullmatch, zone.interfaces), None)
        if name is not None and zone is not uplink and zone.target != "ACCEPT":
            yield _finding(scene, zone, uplink, name)


def _finding(scene: Scene, zone: FirewalldZone, uplink: FirewalldZone, name: str) -> Finding:
    return Finding(
        "zone-not-forwarded",
        message(
            "firewalld forwards nothing from {name} (zone {zone}) to zone {uplink}, unless a policy allows it.",
            name=name,
            zone=zone.name,
            uplink=uplink.name,
        ),
        tuple(
            Evidence(
                message("line {line}", line=one.line),
                f"{one.name}: target: {one.target}, masquerade: no",
            )
            for one in (zone, uplink)
        ),
        message(
            "Packets from one zone to another are rejected, unless the target of the first is ACCEPT or the other one"
            " masquerades; forward: yes is for interfaces of the same zone. Without masquerading, no reply would find"
            " back either."
        ),
        message(
            "firewall-cmd --permanent --zone={uplink} --add-masquerade; firewall-cmd --permanent --new-policy=out;"
            " firewall-cmd --permanent --policy=out --add-ingress-zone={zone} --add-egress-zone={uplink}"
            " --set-target=ACCEPT; firewall-cmd --reload",
            uplink=uplink.name,
            zone=zone.name,
        ),
        None,
        scene.families[0],
    )
