"""Errors of Docker and Podman in a pasted text that no rule causes: ports and subnets that are taken."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.findings.finding import Evidence, Finding
from iptsim.findings.scene import Scene
from iptsim.host.pasted import EngineError, Pasted
from iptsim.languages import Message, message, message_joined


def found(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, errors of a container engine: the container or the network does not exist."""
    pasted = scene.host.pasted
    for one in pasted.engine_errors if pasted is not None else ():
        assert pasted is not None
        yield Finding(
            one.kind,
            title_of_error(one),
            (Evidence(message("line {line}", line=one.line), one.text),),
            _cause(one, pasted),
            _remedy(one),
            None,
            scene.families[0],
        )


def title_of_error(one: EngineError) -> Message:
    """Return why the container or the network could not be created, in one sentence."""
    if one.kind == "port-taken":
        return message(
            "Another program or container already listens on port {port} of the host.", port=one.port
        )
    if one.kind == "privileged-port":
        return message("A user without root may not listen on port {port}.", port=one.port)
    if one.kind == "address-pool-full":
        return message("All address pools of Docker are in use, by its networks or by routes of the host.")
    return message("The subnet of the new network overlaps with that of another one.")


def _cause(one: EngineError, pasted: Pasted) -> Message:
    if one.kind == "port-taken":
        names = [known.name for known in pasted.published if known.port == one.port]
        if names:
            return message(
                "{names} publishes it, according to the list of containers. The engine does not start the new"
                " container; no rule of the firewall is involved.",
                names=message_joined(", ", list(dict.fromkeys(names))),
            )
        return message(
            "Only one program can listen on a port of an address. The engine does not start the container; no rule of"
            " the firewall is involved."
        )
    if one.kind == "privileged-port":
        return message(
            "Rootless containers publish ports as an ordinary user, and ports below"
            " net.ipv4.ip_unprivileged_port_start (1024) are for root."
        )
    if one.kind == "address-pool-full":
        return message(
            "Docker chooses a subnet that no other network and no route of the host overlaps with. A VPN whose routes"
            " cover all private addresses leaves none, and so do about 30 networks."
        )
    return message(
        "Networks need subnets that do not overlap, and Docker may have chosen this one for a network without a fixed"
        " subnet."
    )


def _remedy(one: EngineError) -> Message:
    if one.kind == "port-taken":
        return message(
            "See which one it is: docker ps --filter publish={port}; ss -ltnup 'sport = :{port}'. Stop it, or publish"
            " another port of the host.",
            port=one.port,
        )
    if one.kind == "privileged-port":
        return message(
            "Publish a port from 1024 on, or: sysctl net.ipv4.ip_unprivileged_port_start={port}",
            port=one.port,
        )
    if one.kind == "address-pool-full":
        return message(
            "Remove unused networks (docker network prune), give the network a subnet of its own (--subnet), or set"
            " default-address-pools in daemon.json to a range that no route covers; ip route shows them."
        )
    return message(
        "docker network inspect shows the subnets of all networks, ip route those of the host. Remove the other network"
        " if it is unused, or choose another subnet."
    )
