"""Zones of firewalld, in a pasted text, that hold only bridges of Docker."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family, address_text
from iptsim.dump.rule import Rule
from iptsim.findings.finding import Evidence, Finding, of_line
from iptsim.findings.scene import Scene
from iptsim.host.docker_defaults import OWN_BRIDGES
from iptsim.host.pasted import FirewalldZone
from iptsim.languages import message, message_joined


def senders_elsewhere(scene: Scene) -> Iterator[Finding]:
    """Find rules against senders in a zone that holds only bridges of Docker, by which these senders do not arrive.

    Source: firewalld.zone(5): the interface on which a packet arrives, or its source, chooses the zone.
    """
    bridges = {one.bridge for one in scene.docker_networks()}
    for zone in scene.pasted.zones:
        if not zone.interfaces or not all(
            one in bridges or OWN_BRIDGES.fullmatch(one) for one in zone.interfaces
        ):
            continue
        for rule in scene.rules(4, "filter", f"IN_{zone.name}_deny") if 4 in scene.families else ():
            source = rule.parameters.source
            if source is None or "source" in rule.parameters.negated or rule.target_name == "ACCEPT":
                continue
            if not any(one.covers(4, source.address) for one in scene.docker_networks()):
                yield _elsewhere(zone, rule, address_text(4, source.address), 4)
                break


def _elsewhere(zone: FirewalldZone, rule: Rule, sender: str, family: Family) -> Finding:
    return Finding(
        "zone-of-bridges",
        message(
            "Zone {zone} holds only bridges of containers, so its rule against {sender} sees none of its packets.",
            zone=zone.name,
            sender=sender,
        ),
        (
            of_line(rule.line, rule.specification),
            Evidence(zone.name, message("interfaces: {names}", names=message_joined(", ", zone.interfaces))),
        ),
        message(
            "The interface on which a packet arrives chooses its zone. And rules of a zone against senders are for the"
            " host itself: packets to published ports are forwarded, and Docker's own rules accept them."
        ),
        message(
            "For published ports: {command}. For the host itself, add the rule to the zone of the network card.",
            command=f"iptables -I DOCKER-USER -s {sender} -j REJECT",
        ),
        None,
        family,
    )
