"""Zones of firewalld, in a pasted text: nothing is forwarded from one to another, or one has only Docker bridges."""

from __future__ import annotations

import re
from collections.abc import Iterator

from iptsim.addresses import address_text
from iptsim.dump.rule import Rule
from iptsim.findings.behind import NAMES
from iptsim.findings.finding import SHOWN, Evidence, Finding, of_line
from iptsim.findings.interfaces import CARD
from iptsim.findings.scene import Scene
from iptsim.host.docker_defaults import OWN_BRIDGES
from iptsim.host.pasted import FirewalldPolicy, FirewalldZone, Pasted
from iptsim.languages import Message, message, message_joined
from iptsim.passages import shell

#: The prefix of packets that no rule of a zone's forwarding chain accepts, since firewalld 1.0.
_DENIED = re.compile(r"^filter_FWD_(?P<zone>[\w-]+?)_(?:REJECT|DROP)")

#: The targets of zones that block what nothing accepts, also if it is forwarded.
_BLOCKING = ("DROP", "%%REJECT%%")


def not_forwarded(scene: Scene) -> Iterator[Finding]:
    """Find zones of tunnels and guests that forward nothing to the zone of the uplink, and that nothing masquerades.

    Source: firewalld.zone(5): only the target ACCEPT, masquerading or a policy lets packets pass from zone to zone. A
    target that blocks ends what the first zone decides, before the second one (nftables.py: filter_FWDI before _FWDO).
    """
    pasted = scene.pasted
    zones = pasted.zones
    if (logged := _logged(pasted) or _closed(pasted)) is not None:
        yield logged
        return
    uplink = next((one for one in zones if any(map(CARD.fullmatch, one.interfaces))), None)
    if uplink is None or any(one.masquerades for one in zones):
        return
    for zone in zones:
        name = next(filter(NAMES.fullmatch, zone.interfaces), None)
        policies = pasted.policies
        allowed = any(one.allows(zone.name, uplink.name) for one in policies)
        if name is not None and zone is not uplink and zone.target != "ACCEPT" and not allowed:
            yield _finding(scene, zone, uplink, name)


def _logged(pasted: Pasted) -> Finding | None:
    """Return the finding about a packet that firewalld logged at the end of what a zone forwards (log-denied).

    Source: firewalld since 1.0 calls these chains filter_FWD_*, and masquerading alone lets nothing pass there (the
    release notes of 1.0.0: "default target is now similar to reject").
    """
    for line in pasted.logged:
        found, out = _DENIED.search(line.prefix), dict(line.pairs).get("OUT", "")
        if found is None or line.hook != "FORWARD":
            continue
        there = next((one for one in pasted.zones if out in one.interfaces), None)
        if there is None or there.name == found["zone"]:
            continue
        arriving = dict(line.pairs)["IN"]
        return Finding(
            "zone-not-forwarded",
            _title(arriving, found["zone"], there.name),
            (of_line(line.line, line.prefix),),
            message(
                "firewalld itself has logged that it refused such a packet. Since firewalld 1.0 masquerading alone lets"
                " nothing pass from zone to zone; forward: yes is for interfaces of the same zone."
            ),
            _policy(found["zone"], there.name, masquerades=there.masquerades),
            None,
            line.family,
        )
    return None


def _closed(pasted: Pasted) -> Finding | None:
    """Return the finding about a zone that blocks all that comes from it, although another zone masquerades."""
    for zone in pasted.zones:
        there = next((one for one in pasted.zones if one.masquerades and one.name != zone.name), None)
        if there is None or zone.target not in _BLOCKING or not zone.interfaces or zone.masquerades:
            continue
        if any(one.allows(zone.name, there.name) for one in pasted.policies):
            continue
        target = zone.target.strip("%")
        return Finding(
            "zone-not-forwarded",
            _title(zone.interfaces[0], zone.name, there.name),
            (of_line(zone.line, f"{zone.name}: target: {zone.target}"),),
            message(
                "The target {target} of zone {zone} also blocks all that is forwarded from it, before the masquerading"
                " of zone {there} could let it pass. Policies come before zones.",
                target=target,
                zone=zone.name,
                there=there.name,
            ),
            _policy(zone.name, there.name, masquerades=True),
            None,
            4,
        )
    return None


def _title(name: str, zone: str, uplink: str) -> Message:
    return message(
        "firewalld forwards nothing from {name} (zone {zone}) to zone {uplink}, unless a policy allows it.",
        name=name,
        zone=zone,
        uplink=uplink,
    )


def _policy(zone: str, uplink: str, *, masquerades: bool) -> Message:
    """Return the commands for a policy that lets packets pass from one zone to another."""
    permanently = "firewall-cmd --permanent"
    return shell(
        *([] if masquerades else [f"{permanently} --zone={uplink} --add-masquerade"]),
        f"{permanently} --new-policy=out",
        f"{permanently} --policy=out --add-ingress-zone={zone} --add-egress-zone={uplink} --set-target=ACCEPT",
        "firewall-cmd --reload",
    )


def lost_ports(scene: Scene) -> Iterator[Finding]:
    """Find policies of firewalld that a text lists twice, the second time without the ports that they forwarded.

    netavark adds them at runtime when a container starts; a reload of firewalld removes them.
    """
    first: dict[str, FirewalldPolicy] = {}
    for one in scene.pasted.policies:
        before = first.setdefault(one.name, one)
        lost = [port for port in before.forward_ports if port not in one.forward_ports]
        if not lost or not one.name.startswith("netavark"):
            continue
        yield Finding(
            "podman-rules-flushed",
            message(
                "The ports that Podman forwards are missing in firewalld's policy {name}.", name=one.name
            ),
            (
                of_line(before.line, "; ".join(lost[:SHOWN])),
                of_line(one.line, f"{one.name}: forward-ports:"),
            ),
            message(
                "Podman adds them when a container starts. They are not permanent, so firewall-cmd --reload removes"
                " them, and the published ports are not forwarded any more."
            ),
            message(
                "podman network reload --all writes them again. netavark-firewalld-reload.service does that after each"
                " reload of firewalld."
            ),
            None,
            scene.families[0],
        )
        return


def _finding(scene: Scene, zone: FirewalldZone, uplink: FirewalldZone, name: str) -> Finding:
    return Finding(
        "zone-not-forwarded",
        _title(name, zone.name, uplink.name),
        tuple(
            of_line(
                one.line,
                f"{one.name}: target: {one.target}, masquerade: no",
            )
            for one in (zone, uplink)
        ),
        message(
            "Packets from one zone to another are rejected, unless the target of the first is ACCEPT or the other one"
            " masquerades; forward: yes is for interfaces of the same zone. Without masquerading, no reply would"
            " come back either."
        ),
        _policy(zone.name, uplink.name, masquerades=False),
        None,
        scene.families[0],
    )


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
                yield _of_bridges(zone, rule, address_text(4, source.address))
                break


def _of_bridges(zone: FirewalldZone, rule: Rule, sender: str) -> Finding:
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
            command=shell(f"iptables -I DOCKER-USER -s {sender} -j REJECT"),
        ),
        None,
        4,
    )


def not_loaded(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, commands of firewall-cmd with `--permanent` whose changes no reload loads."""
    found = scene.pasted.not_loaded
    if not found:
        return
    yield Finding(
        "permanent-not-loaded",
        message(
            "firewall-cmd --permanent changes only the saved configuration, and nothing reloads firewalld."
        ),
        tuple(of_line(one.line, one.command) for one in found[:SHOWN]),
        message(
            "The running rules stay as they are until firewalld is reloaded or started again. Without --permanent, a"
            " change counts at once, but is lost at the next reload."
        ),
        message("Load it: {command}", command=shell("firewall-cmd --reload")),
        None,
        scene.families[0],
    )
