"""What containers and guests send to the host itself: to services, its name server, and ports of docker-proxy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from iptsim.addresses import BITS, Family, address_text
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.findings.behind import SOME_CONTAINER, Behind, ask_from, networks_behind
from iptsim.findings.finding import SHOWN, Finding, blocked_at, filtered_at
from iptsim.findings.scene import SOME_PORT, Publication, Scene, called
from iptsim.host.containers import Network
from iptsim.host.docker_defaults import DEFAULT_BRIDGE
from iptsim.languages import Message, message, message_joined, message_sentences
from iptsim.netfilter.steps import Step
from iptsim.passages import shell
from iptsim.protocols import UDP

#: Bridges on which libvirt, LXD, Incus and LXC run dnsmasq, and Podman (not on its default network) aardvark-dns.
SERVED = re.compile(r"(virbr|lxdbr|incusbr|lxcbr)[0-9]+|podman[1-9][0-9]*")
_DNS = 53


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
        port = min(scene.pasted.complaint.ports, default=SOME_PORT)
        shown = scene.ask(sender, "host", 4, proto="tcp", dport=port, **{"in": bridge})
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
    asked, step = shown.question, shown.trace.legs[0].deciding
    command = f"{tool_of(family)} -I INPUT -i {bridge} -p {asked.proto} --dport {asked.dport} -j ACCEPT"
    return Finding(
        "host-closed-to-containers",
        title,
        (scene.of_step(family, step),) if step is not None else (),
        message(
            "A container's packets to an address of the host go through INPUT, not FORWARD. They include those to "
            "services of the host, to its name server, and to ports published for other networks, where docker-proxy "
            "listens."
        ),
        opening(scene, family, bridge, command),
        shown,
        family,
        (command,),
    )


def unserved(scene: Scene) -> Iterator[Finding]:
    """Find bridges of guests whose queries to the host's name server are blocked in INPUT."""
    for family in scene.families:
        for behind in networks_behind(scene, family):
            if not SERVED.fullmatch(behind.interface) or not _may_listen(scene):
                continue
            shown = _asks_for_name(scene, family, behind)
            if shown is not None and (step := blocked_at(shown, "INPUT")) is not None:
                yield _unserved(scene, family, behind, step, shown)


def _may_listen(scene: Scene) -> bool:
    """Return whether a program of the host listens for DNS, as far as the source shows."""
    namespace = scene.host.namespace
    return UDP not in namespace.listed or any(
        (one.proto, one.port) == (UDP, _DNS) for one in namespace.listeners
    )


def _asks_for_name(scene: Scene, family: Family, behind: Behind) -> Explanation | None:
    """Walk a DNS query of a guest to the bridge's own address."""
    to = scene.address_on(behind.interface, family)
    return ask_from(scene, family, behind, to, proto="udp", dport=_DNS)


def opening(scene: Scene, family: Family, interface: str, command: str) -> Message:
    """Return the remedy that opens INPUT to an interface: a command, and that of ufw if ufw is in use."""
    return message_sentences(
        message("{commands}.", commands=shell(command)),
        message("With ufw: {command}.", command=shell(f"ufw allow in on {interface}"))
        if any(chain.startswith("ufw-") for chain in scene.table(family, "filter").chains)
        else "",
    )


def _unserved(scene: Scene, family: Family, behind: Behind, step: Step, shown: Explanation) -> Finding:
    name = behind.interface
    command = f"{tool_of(family)} -I INPUT -i {name} -p udp -m multiport --dports 53,67 -j ACCEPT"
    return Finding(
        "guests-without-names",
        message("INPUT blocks the DNS queries of the guests on {name} to the host.", name=name),
        (scene.of_step(family, step),),
        message(
            "A program of the host listens on {name} and gives the guests names and addresses (dnsmasq, aardvark-dns). "
            "Their queries are for the host itself, so the rules of INPUT apply, not those of FORWARD.",
            name=name,
        ),
        opening(scene, family, name, command),
        shown,
        family,
        (command,),
    )
