"""Connections that fail before any rule matters: to a container's own localhost, to programs that listen there only."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.findings.finding import Evidence, Finding
from iptsim.findings.scene import Scene
from iptsim.host.model import LoopbackListener, OwnLoopback, UnpublishedPort
from iptsim.languages import Message, message, message_joined, message_many

#: At most this many are named.
_SHOWN = 5


def own_loopback(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, containers that connect to localhost for a service that is elsewhere."""
    pasted = scene.host.pasted
    if pasted is None or not pasted.own_loopbacks:
        return
    first = pasted.own_loopbacks[0]
    yield Finding(
        "container-loopback",
        title_of_loopback(first),
        tuple(_evidence(one.line, one.text) for one in pasted.own_loopbacks[:_SHOWN]),
        message(
            "Each container has its own loopback interface, so 127.0.0.1 there is the container. Such packets never"
            " reach the host: none of its rules blocks or forwards them."
        ),
        _service_instead(scene, first),
        None,
        scene.families[0],
    )


def title_of_loopback(one: OwnLoopback) -> Message:
    """Return what is wrong with a connection of a container to localhost, in one sentence."""
    if not one.sure:
        return message(
            "In a container, localhost:{port} is the container itself, not {service}.",
            port=one.port,
            service=one.service,
        )
    name = one.container or message("a container")
    if one.service:
        return message(
            "localhost:{port} in {container} is the container itself, not {service}.",
            port=one.port,
            container=name,
            service=one.service,
        )
    return message("localhost:{port} in {container} is the container itself.", port=one.port, container=name)


def _service_instead(scene: Scene, one: OwnLoopback) -> Message:
    """Return the name to connect to; tried, if both containers are known."""
    if not one.service:
        return message(
            "Connect to the other container by its name, on a network that both are on. For a service of the host:"
            " host.docker.internal, with --add-host=host.docker.internal:host-gateway, and let it listen on more than"
            " 127.0.0.1."
        )
    known = {one.container, one.service} <= scene.host.containers.keys()
    shown = scene.ask(one.container, one.service, proto="tcp", dport=one.port) if known else None
    if shown is not None and shown.verdict == "ACCEPT":
        return message(
            "Connect to {service}:{port} instead; the rules allow it.", service=one.service, port=one.port
        )
    return message(
        "Connect to {service}:{port} instead, the name of the service in a network that both are on.",
        service=one.service,
        port=one.port,
    )


def loopback_only(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, programs that listen on 127.0.0.1 only."""
    pasted = scene.host.pasted
    if pasted is None or not pasted.loopback_listeners:
        return
    found = pasted.loopback_listeners
    yield Finding(
        "listens-on-loopback",
        message_many(
            "A program listens on 127.0.0.1 only: {ports}.",
            "Programs listen on 127.0.0.1 only: {ports}.",
            len(found),
            ports=message_joined(", ", [_port(one) for one in found[:_SHOWN]]),
        ),
        tuple(_evidence(one.line, one.text) for one in found[:_SHOWN]),
        message(
            "Only programs of the same host, or in the same container, can connect there. What containers or other"
            " machines send to another address finds no listener, so the connection is refused, whatever the rules are."
        ),
        message(
            "If others should connect: let it listen on 0.0.0.0, or on one address that they reach (for containers"
            " that of docker0), and restrict the port by rules. In a container it must be 0.0.0.0, or -p has no effect."
        ),
        None,
        scene.families[0],
    )


def _port(one: LoopbackListener) -> Message:
    if one.program:
        return message("{port} ({program})", port=f"{one.port}/{one.proto}", program=one.program)
    return message("{port}", port=f"{one.port}/{one.proto}")


def unpublished(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, failed connections to ports that a container has, but that are not published."""
    pasted = scene.host.pasted
    if pasted is None or not pasted.unpublished:
        return
    first = pasted.unpublished[0]
    yield Finding(
        "port-not-published",
        title_of_unpublished(first),
        tuple(
            _evidence(one.line, message("a connection to port {port} of the host failed", port=one.port))
            for one in pasted.unpublished[:_SHOWN]
        ),
        message(
            "EXPOSE, and expose in a Compose file, only document a port: Docker writes no rule for it, and nothing"
            " listens on the host. docker ps shows an arrow (0.0.0.0:8080->80/tcp) for ports that are published."
        ),
        message(
            'Publish it: docker run -p {port}:{port}, or ports: - "{port}:{port}" in the Compose file, and create the'
            " container again.",
            port=first.port,
        ),
        None,
        scene.families[0],
    )


def title_of_unpublished(one: UnpublishedPort) -> Message:
    """Return what is wrong with a connection to a port that is not published, in one sentence."""
    return message("{name} does not publish its port {port}.", name=one.name, port=f"{one.port}/{one.proto}")


def _evidence(line: int, text: str | Message) -> Evidence:
    return Evidence(message("line {line}", line=line) if line else message("settings"), text)
