"""What containers send to the host itself: to its services, and to published ports that docker-proxy answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iptsim.addresses import BITS, Family, address_text
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.findings.behind import SOME_CONTAINER
from iptsim.findings.finding import SHOWN, Finding, filtered_at
from iptsim.findings.guest_services import decider_in_input, opening
from iptsim.findings.scene import SOME_PORT, Publication, Scene, called
from iptsim.host.containers import Network
from iptsim.host.docker_defaults import DEFAULT_BRIDGE
from iptsim.languages import Message, message, message_joined


def closed_to_containers(scene: Scene) -> Iterator[Finding]:
    """Find hosts whose INPUT blocks containers: from a published port that others reach, or from all other ports.

    That containers reach no other port is a finding in a pasted text only: elsewhere it is as a firewall should be.
    """
    for family in scene.families:
        networks = [one for one in scene.docker_networks() if _sender(scene, family, one)]
        for publication in scene.publications(family):
            found = _published(scene, family, publication, networks)
            if found is not None:
                yield found
                break
        else:
            blocked = [
                (network, shown)
                for network in (networks if scene.is_pasted else ())
                for shown in [_asks(scene, family, network, "tcp", SOME_PORT)]
                if shown is not None and filtered_at(shown, "INPUT") is not None
            ]
            if blocked:
                title = message(
                    "INPUT blocks what containers send to the host: its services cannot be reached from {names}.",
                    names=message_joined(", ", [called(one) for one, _ in blocked[:SHOWN]]),
                )
                network, shown = blocked[0]
                yield _finding(scene, family, title, network.bridge or "", shown)
            elif not networks and family == 4:
                yield from _without_networks(scene)


#: A container, and the bridge on which its packets usually arrive, by the engine that a text mentions.
_USUAL = {
    "podman": ("10.88.0.2", "podman0"),
    "kubernetes": ("10.42.0.2", "cni0"),
    "docker": (SOME_CONTAINER, DEFAULT_BRIDGE),
}


def _without_networks(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text that only mentions containers, an INPUT that blocks what they send to the host."""
    for engine in scene.pasted.engines if scene.pasted.with_rules else ():
        if engine not in _USUAL:
            continue
        sender, bridge = _USUAL[engine]
        shown = scene.ask(sender, "host", 4, proto="tcp", dport=SOME_PORT, **{"in": bridge})
        if shown is None or filtered_at(shown, "INPUT") is None:
            continue
        title = message(
            "INPUT blocks what containers send to the host, as no rule accepts {name}.", name=bridge
        )
        yield _finding(scene, 4, title, bridge, shown)
        return


def _published(
    scene: Scene, family: Family, publication: Publication, networks: list[Network]
) -> Finding | None:
    """Return the finding about a published port that is open from outside, but not from the host's own containers."""
    outside = scene.ask_port(publication)
    if outside is None or outside.verdict != "ACCEPT":
        return None
    port = publication.port
    for network in networks:
        shown = _asks(scene, family, network, publication.inside.partition("/")[2], port.host_port)
        if shown is not None and filtered_at(shown, "INPUT") is not None:
            title = message(
                "{outside} ({name}) is open from outside, but INPUT blocks it for containers of {network}.",
                outside=publication.outside,
                name=publication.container.name,
                network=called(network),
            )
            return _finding(scene, family, title, network.bridge or "", shown)
    return None


def _sender(scene: Scene, family: Family, network: Network) -> str:
    """Return a container of a network, or an address in it; "" if it has none of the family."""
    members = scene.members(network, family)
    if members:
        return members[0].name
    subnet = next((one for one in network.subnets if one.family == family), None)
    if subnet is None or network.internal or BITS[family] - subnet.prefix_length < 3:
        return ""
    return address_text(family, subnet.address + 5)


def _asks(scene: Scene, family: Family, network: Network, proto: str, port: int) -> Explanation | None:
    """Walk a packet from a network to the host's address on its bridge."""
    sender = _sender(scene, family, network)
    arriving: dict[str, Any] = {} if sender in scene.host.containers else {"in": network.bridge}
    to = scene.address_on(network.bridge or "", family)
    return scene.ask(sender, to, family, proto=proto, dport=port, **arriving)


def _finding(scene: Scene, family: Family, title: Message, bridge: str, shown: Explanation) -> Finding:
    asked = shown.question
    command = f"{tool_of(family)} -I INPUT -i {bridge} -p {asked.proto} --dport {asked.dport} -j ACCEPT"
    return Finding(
        "host-closed-to-containers",
        title,
        decider_in_input(scene, family, shown),
        message(
            "Packets of a container to an address of the host pass INPUT, not FORWARD: those to services of the host, "
            "to its name server, and to ports published for other networks, which docker-proxy answers."
        ),
        opening(scene, family, bridge, command),
        shown,
        family,
        (command,),
    )
