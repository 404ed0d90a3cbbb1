"""Errors of Docker and Podman in a pasted text: ports and subnets that are taken, name servers that do not answer."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.findings.finding import Finding, of_line
from iptsim.findings.overlaps import routes_over_pools
from iptsim.findings.scene import Scene
from iptsim.host.pasted import EngineError, Pasted
from iptsim.languages import Message, message, message_joined, message_sentences
from iptsim.passages import shell


def found(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, errors of a container engine: the container or the network does not exist."""
    for one in scene.pasted.engine_errors:
        routes = routes_over_pools(scene) if one.kind == "address-pool-full" else ()
        yield Finding(
            one.kind,
            title_of_error(one),
            (of_line(one.line, one.text), *routes),
            _cause(one, scene.pasted),
            _remedy(one),
            None,
            scene.families[0],
        )


def title_of_error(one: EngineError) -> Message:
    """Return what is wrong, in one sentence."""
    if one.kind == "name-server-silent":
        return message("The name server {server} does not answer Docker's resolver.", server=one.server)
    if one.kind == "name-server-refuses":
        return message(
            "The name server {server} refuses the queries of Docker's resolver.", server=one.server
        )
    if one.kind == "port-taken":
        return message(
            "Another program or container already listens on port {port} of the host.", port=one.port
        )
    if one.kind == "privileged-port":
        return message("A user without root may not listen on port {port}.", port=one.port)
    if one.kind == "address-pool-full":
        return message("All address pools of Docker are in use, by its networks or by routes of the host.")
    return message("The subnet of the new network overlaps with that of another one.")


def _is_own(one: EngineError) -> bool:
    """Return whether Docker's resolver asked a server at a loopback address."""
    return one.server.startswith("127.")


def _cause(one: EngineError, pasted: Pasted) -> Message:
    if _is_own(one):
        return message_sentences(
            message("What listens there on port 53 does not reply, or a rule of OUTPUT or INPUT drops it.")
            if one.kind == "name-server-silent"
            else message("Nothing listens there on port 53, or a rule of OUTPUT or INPUT rejects it."),
            message(
                "If Docker has {server} from the resolv.conf of the host, its resolver asks it from the host itself:"
                " the query is not forwarded, it leaves through OUTPUT and arrives through INPUT, by the interface lo."
                " If it is from --dns or daemon.json, it is the container's own loopback address.",
                server=one.server,
            ),
        )
    if one.server:
        return message_sentences(
            message("The query or its reply is lost: a rule drops it, or no route leads back.")
            if one.kind == "name-server-silent"
            else message("Nothing listens there on port 53, or a rule rejects it."),
            message(
                "Docker's resolver at 127.0.0.11 sends queries on from the network of the container, here with the"
                " address {sender}. So they are forwarded, and masqueraded, unlike queries of the host itself; those to"
                " an address of the host pass INPUT.",
                sender=one.sender,
            ),
        )
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
    if _is_own(one):
        return message(
            "See on the host what listens: {command}. systemd-resolved is at 127.0.0.53. Or give the containers a"
            ' server that they reach: "dns" in daemon.json, or --dns.',
            command=shell("ss -lnup 'sport = :53'"),
        )
    if one.server:
        return message(
            "To see it: docker exec CONTAINER nslookup example.com {server}, and the same on the host. If only the host"
            ' gets answers, accept the query in the rules; else choose another server: --dns, or "dns" in daemon.json.',
            server=one.server,
        )
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
