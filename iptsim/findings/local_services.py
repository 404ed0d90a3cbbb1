"""Connections that fail before any rule matters: to a container's own localhost, to programs that listen there only."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.findings.beside_host import DRIVERS
from iptsim.findings.finding import SHOWN, Evidence, Finding, of_line
from iptsim.findings.scene import Scene
from iptsim.host.containers import Container, PublishedPort
from iptsim.host.pasted_services import LoopbackListener, OwnLoopback, StoppedContainer, UnpublishedPort
from iptsim.languages import Message, message, message_joined, message_many
from iptsim.protocols import protocol_name


def own_loopback(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, containers that connect to localhost for a service that is elsewhere."""
    pasted = scene.pasted
    if not pasted.own_loopbacks:
        return
    first = pasted.own_loopbacks[0]
    yield Finding(
        "container-loopback",
        title_of_loopback(first),
        tuple(_evidence(one.line, one.text) for one in pasted.own_loopbacks[:SHOWN]),
        message(
            "Each container has its own loopback interface, so 127.0.0.1 there is the container. Such packets never"
            " reach the host: none of its rules blocks or forwards them."
        ),
        _service_instead(scene, first),
        None,
        scene.families[0],
    )


#: Where programs listen that only the host itself asks: systemd-resolved, and dnsmasq of NetworkManager.
_STUBS = frozenset({"127.0.0.53", "127.0.0.54", "127.0.1.1"})


def loopback_resolver(scene: Scene) -> Iterator[Finding]:
    """Find name servers for containers that are on a loopback address: Docker's resolver asks them in the container.

    A container may have a name server of its own on 127.0.0.1, but none on the addresses of the host's stubs.
    """
    daemon = scene.host.daemon
    told = [("dockerd", daemon.dns)] if daemon is not None else []
    told += [(one.name, tuple(one.dns)) for one in scene.host.containers.values() if {*one.dns} <= _STUBS]
    own = [(place, names) for place, names in told if names and all(map(_is_loopback, names))]
    if not own:
        return
    yield Finding(
        "container-loopback",
        message(
            "The name server {server} of containers is the container itself.",
            server=own[0][1][0],
        ),
        tuple(Evidence(place, f"dns={', '.join(names)}") for place, names in own[:SHOWN]),
        message(
            "Each container has its own loopback interface, and Docker's resolver asks such a server from there, where"
            " none listens. So no name of the outside is resolved; no rule matters."
        ),
        message(
            "Leave dns out: Docker then uses the servers of the host's resolv.conf, or with systemd-resolved those of"
            " /run/systemd/resolve/resolv.conf. Or name a server on an address that containers reach."
        ),
        None,
        scene.families[0],
    )


def _is_loopback(server: str) -> bool:
    return server == "::1" or server.startswith("127.")


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
    port = one.inside or one.port
    known = {one.container, one.service} <= scene.host.containers.keys()
    shown = scene.ask(one.container, one.service, proto="tcp", dport=port) if known else None
    if shown is not None and shown.verdict == "ACCEPT":
        return message(
            "Connect to {service}:{port} instead; the rules allow it.", service=one.service, port=port
        )
    return message(
        "Connect to {service}:{port} instead, the name of the service in a network that both are on.",
        service=one.service,
        port=port,
    )


def loopback_only(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, programs that listen on 127.0.0.1 only."""
    if not scene.pasted.loopback_listeners:
        return
    found = scene.pasted.loopback_listeners
    yield Finding(
        "listens-on-loopback",
        message_many(
            "A program listens on 127.0.0.1 only: {ports}.",
            "Programs listen on 127.0.0.1 only: {ports}.",
            len(found),
            ports=message_joined(", ", [_port(one) for one in found[:SHOWN]]),
        ),
        tuple(_evidence(one.line, one.text) for one in found[:SHOWN]),
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


def published_on_loopback(scene: Scene) -> Iterator[Finding]:
    """Find, in a text about a client that connects, ports of containers that Docker publishes on 127.0.0.1 only."""
    pasted, complaint = scene.pasted, scene.pasted.complaint
    every = list(scene.publications(4))
    if ports := complaint.ports:
        every = [one for one in every if {one.port.host_port, one.port.container_port} & ports]
    from_outside = complaint.fails and "outside" in complaint.senders
    # a Compose file names 127.0.0.1 on purpose, and has nothing around it
    if not (from_outside or pasted.asked or (pasted.names_client and pasted.left_out)):
        return
    if not all(one.on_loopback for one in every if ports or from_outside):
        return  # it may be about another port
    open_ = {(one.container.name, one.inside) for one in every if not one.on_loopback}
    found = [one for one in every if one.on_loopback and (one.container.name, one.inside) not in open_]
    if not found:
        return
    names = [
        message("{outside} ({name})", outside=one.outside, name=one.container.name) for one in found[:SHOWN]
    ]
    yield Finding(
        "published-on-loopback",
        message_many(
            "A port is published on 127.0.0.1 only: {ports}.",
            "Ports are published on 127.0.0.1 only: {ports}.",
            len(found),
            ports=message_joined(", ", names),
        ),
        tuple(scene.publishes(one) for one in found[:SHOWN]),
        message(
            "Only programs of the host itself can connect there. From other machines nothing answers at the host's"
            " other addresses, whatever the rules are. For a database or behind a proxy on the host that is right."
        ),
        message(
            "If others should connect: publish it without an address (-p {port}), or with the one that they use.",
            port=f"{found[0].port.host_port}:{found[0].port.container_port}",
        ),
        None,
        4,
    )


def _port(one: LoopbackListener) -> Message:
    if one.program:
        return message("{port} ({program})", port=f"{one.port}/{one.proto}", program=one.program)
    return message("{port}", port=f"{one.port}/{one.proto}")


def unpublished(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, failed connections to ports that a container has, but that are not published."""
    pasted = scene.pasted
    if not pasted.unpublished:
        return
    first = pasted.unpublished[0]
    yield Finding(
        "port-not-published",
        title_of_unpublished(first),
        tuple(
            _evidence(one.line, message("a connection to port {port} of the host failed", port=one.port))
            for one in pasted.unpublished[:SHOWN]
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


def stopped(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, failed connections to ports of containers that do not run."""
    pasted = scene.pasted
    if not pasted.stopped:
        return
    first = pasted.stopped[0]
    yield Finding(
        "container-stopped",
        title_of_stopped(first),
        tuple(
            _evidence(one.line, message("a connection to port {port} failed", port=one.port))
            for one in pasted.stopped[:SHOWN]
        ),
        message(
            "Docker publishes ports only while the container runs, so nothing listens there, whatever the rules are."
        ),
        message(
            "docker logs {name} shows why it ended. Correct that, and start it again: docker start {name}",
            name=first.name,
        ),
        None,
        scene.families[0],
    )


def title_of_stopped(one: StoppedContainer) -> Message:
    """Return what is wrong with a connection to a container that does not run, in one sentence."""
    return message(
        "{name}, which has port {port}, is not running ({status}).",
        name=one.name,
        port=one.port,
        status=one.status,
    )


def withheld(scene: Scene) -> Iterator[Finding]:
    """Find ports that settings publish, but of containers that have only internal networks."""
    found = [
        one
        for one in scene.host.containers.values()
        if one.withheld and one.endpoints and all(_is_internal(scene, name) for name in one.endpoints)
    ]
    if not found:
        return
    first, network = found[0], next(iter(found[0].endpoints))
    yield Finding(
        "internal-not-published",
        message_many(
            "Docker does not publish the ports of {names}: its only network is internal.",
            "Docker does not publish the ports of {names}: their only networks are internal.",
            len(found),
            names=message_joined(", ", [one.name for one in found[:SHOWN]]),
        ),
        tuple(
            Evidence(
                one.name,
                message(
                    "{ports} on {networks}",
                    ports=message_joined(", ", list(dict.fromkeys(map(_wanted, one.withheld)))[:SHOWN]),
                    networks=message_joined(", ", list(one.endpoints)),
                ),
            )
            for one in found[:SHOWN]
        ),
        message(
            "A network with internal: true (--internal) has no way out and none in: Docker writes no DNAT rule for its"
            " containers, docker ps shows no arrow, and nothing listens on the host."
        ),
        message(
            "Connect {name} to a second network that is not internal, besides {network}; Docker then publishes the port"
            " there. Only containers that are on that network too can reach the internet.",
            name=first.name,
            network=network,
        ),
        None,
        scene.families[0],
    )


def discarded(scene: Scene) -> Iterator[Finding]:
    """Find ports that settings publish, but of containers in another one's network, the host's, or beside the host.

    Source: moby, daemon/internal/runconfig/hostconfig.go.
    """
    containers = [one for one in scene.host.containers.values() if one.withheld]
    in_host = [one for one in containers if one.network_mode == "host"]
    beside = [
        one
        for one in containers
        if one.endpoints and all(_driver(scene, name) in DRIVERS for name in one.endpoints)
    ]
    owned = [one for one in containers if one.network_mode.startswith("container:")]
    for mode in dict.fromkeys(one.network_mode for one in owned):
        owner = mode.partition(":")[2]
        sharing = [one for one in owned if one.network_mode == mode]
        yield _discarded(
            scene,
            sharing,
            message(
                "Docker does not publish the ports of {names} in the network of {owner}.",
                names=_names(sharing),
                owner=owner,
            ),
            message(
                "Containers that share a network have one address, and only the container that owns the network can"
                ' publish ports. Docker rejects any other, with the error "conflicting options: port publishing and the'
                ' container type network mode".'
            ),
            message(
                "Publish the ports on {owner} instead, and remove them from {names}.",
                owner=owner,
                names=_names(sharing),
            ),
        )
    if in_host:
        yield _discarded(
            scene,
            in_host,
            message(
                "Docker ignores the published ports of {names}: it uses the host's network.",
                names=_names(in_host),
            ),
            message(
                "A container with network_mode: host (--network host) has no network of its own. Its program listens on"
                " its own port of the host ({inside}), whatever ports says.",
                inside=_inside(in_host[0].withheld[0]),
            ),
            message(
                "Connect to port {inside}; or remove network_mode: host, and Docker forwards the published port.",
                inside=_inside(in_host[0].withheld[0]),
            ),
        )
    if beside:
        network = next(iter(beside[0].endpoints))
        yield _discarded(
            scene,
            beside,
            message(
                "Docker ignores the published ports of {names}: the driver of {network} is {driver}.",
                names=_names(beside),
                network=network,
                driver=_driver(scene, network),
            ),
            message(
                "A container on a macvlan or ipvlan network has an address in the network of the uplink: other machines"
                " reach its own ports there, and no rules of Docker apply. The kernel passes nothing between its"
                " interface and the host's uplink, so host and container cannot reach each other."
            ),
            message(
                "Connect to the container's own address and port from another machine. For the host: give it an"
                " interface of the same driver with a route to the container, or connect the container to a bridge"
                " network, too."
            ),
        )


def _discarded(
    scene: Scene, found: list[Container], title: Message, consequence: Message, remedy: Message
) -> Finding:
    evidence = tuple(
        Evidence(one.name, message_joined(", ", list(dict.fromkeys(map(_wanted, one.withheld)))[:SHOWN]))
        for one in found[:SHOWN]
    )
    return Finding("ports-discarded", title, evidence, consequence, remedy, None, scene.families[0])


def _names(found: list[Container]) -> Message:
    return message_joined(", ", [one.name for one in found[:SHOWN]])


def _inside(port: PublishedPort) -> str:
    return f"{port.container_port}/{protocol_name(port.proto)}"


def _driver(scene: Scene, name: str) -> str:
    network = scene.host.networks.get(name)
    return network.driver if network is not None else ""


def _is_internal(scene: Scene, name: str) -> bool:
    network = scene.host.networks.get(name)
    return network is not None and network.internal


def _wanted(port: PublishedPort) -> str:
    inside = f"{port.container_port}/{protocol_name(port.proto)}"
    return f"{port.host_port}->{inside}" if port.host_port else inside


def title_of_unpublished(one: UnpublishedPort) -> Message:
    """Return what is wrong with a connection to a port that is not published, in one sentence."""
    return message("{name} does not publish its port {port}.", name=one.name, port=f"{one.port}/{one.proto}")


def _evidence(line: int, text: str | Message) -> Evidence:
    return of_line(line, text) if line else Evidence(message("settings"), text)
