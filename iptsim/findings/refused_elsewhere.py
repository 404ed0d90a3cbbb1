"""Connections that fail, or that a text says were refused, though the rules let them through: nothing listens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from iptsim.addresses import Family, address_text, endpoint_text, is_loopback
from iptsim.dump.rule import Rule
from iptsim.errors import IptsimError
from iptsim.explanation import Explanation
from iptsim.explanation.delivery import bound_elsewhere
from iptsim.findings.finding import Evidence, Finding, of_line
from iptsim.findings.native_chains import chains_of
from iptsim.findings.scene import Scene
from iptsim.host.namespace import Listener
from iptsim.languages import Message, message
from iptsim.passages import shell
from iptsim.protocols import protocol_name

#: The hooks of nftables at which a rule may reject.
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")


def unheard(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, a failed connection that the rules allow, but where nothing listens."""
    for fields in scene.pasted.tried:
        try:
            shown = scene.ask_fields(fields)
        except IptsimError:
            continue
        if not is_unheard(scene, shown, fields):
            continue
        end = shown.trace.opening.delivered
        assert end is not None
        elsewhere = bound_elsewhere(scene.host, end)
        place = endpoint_text(end.packet.family, end.packet.dst, end.packet.dport)
        yield Finding(
            "nothing-listens",
            message("The rules allow a connection to {place}, but nothing listens there.", place=place),
            (Evidence(message("listening sockets"), elsewhere),) if elsewhere else (),
            message(
                "The packet arrives, and the kernel refuses it: with a TCP reset, or with an ICMP error for UDP. No"
                " rule changes that."
            ),
            hearing(scene, shown),
            shown,
            end.packet.family,
        )
        return


def published_unheard(scene: Scene) -> Iterator[Finding]:
    """Find published ports of containers whose programs listen on loopback addresses only."""
    done: set[tuple[str, str]] = set()
    for family in scene.families:
        for publication in scene.publications(family):
            name, port = publication.container.name, publication.port
            sockets = [
                one
                for one in publication.container.namespace.listeners
                if (one.proto, one.port) == (port.proto, port.container_port)
            ]
            if (
                not sockets
                or not all(map(_is_on_loopback, sockets))
                or port.proto not in publication.container.namespace.listed
                or (name, publication.inside) in done
            ):
                continue
            done.add((name, publication.inside))
            yield Finding(
                "published-unheard",
                message(
                    "{outside} is published, but the program in {name} listens on {address} only, which is the"
                    " container itself.",
                    outside=publication.outside,
                    name=name,
                    address=address_text(max(sockets[0].families), sockets[0].address or 0),
                ),
                (scene.publishes(publication),),
                message(
                    "A published port leads to the container's address in its network. Nothing listens there, so each"
                    " connection is refused or reset."
                ),
                message(
                    "Let the program listen on {every}: in a container that opens nothing but what is published.",
                    every=address_text(family, 0),
                ),
                scene.ask_port(publication),
                family,
            )


def _is_on_loopback(one: Listener) -> bool:
    return one.address is not None and is_loopback(max(one.families), one.address)


def is_unheard(scene: Scene, shown: Explanation, fields: Mapping[str, Any]) -> bool:
    """Return whether a packet passes the rules, but finds no program.

    Not if its sender waited without an answer, or if Docker or a port forward may send it elsewhere by rules that the
    text does not show.
    """
    leg = shown.trace.opening
    if shown.verdict != "ACCEPT" or leg.listening is not False or leg.delivered is None:
        return False
    may_forward = scene.concerns_containers or scene.pasted.complaint.forwarded
    if (
        leg.delivered.kind == "host"
        and may_forward
        and not scene.shows(leg.packet.family, "nat", "PREROUTING")
    ):
        return False
    return scene.pasted.error_of(fields) in ("", "refused")


def hearing(scene: Scene, shown: Explanation) -> Message:
    """Return how a program comes to listen where a packet arrives."""
    end = shown.trace.opening.delivered
    assert end is not None
    packet = end.packet
    shows = f"ss -{protocol_name(packet.proto)[0]}lnp"
    command = shell(f"docker exec {end.name} {shows}" if end.kind == "container" else shows)
    if not bound_elsewhere(scene.host, end):
        return message(
            "Start the program that should listen on port {port}, or ask for the port that it listens on: {command}.",
            port=packet.dport or 0,
            command=command,
        )
    own, every = address_text(packet.family, packet.dst), address_text(packet.family, 0)
    return message(
        "Let the program listen on {every}, which means all addresses, or on {own}; then {command} shows that.",
        every=every,
        own=own,
        command=command,
    )


def by_nothing_shown(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, that a refused connection is not the work of the rules, as none of them rejects."""
    if not scene.pasted.says_refused or scene.has_docker or next(unheard(scene), None) is not None:
        return
    for family in scene.families[:1]:
        if not scene.shows(family, "filter", "INPUT") or any(map(_rejects, _rules(scene, family))):
            continue
        number, text = scene.pasted.says_refused[0]
        yield Finding(
            "refused-elsewhere",
            message("No rule that is shown rejects packets, so none of them refuses the connection."),
            (of_line(number, text),),
            message(
                "A dropped packet gets no answer, and the client waits until it times out. Refused means that the"
                " packet arrived, and that no program listens on that port and address. Or a firewall in front of this"
                " host rejects it."
            ),
            message(
                "See on which addresses and ports programs listen: {command}. One on 127.0.0.1 is for the host alone.",
                command=shell("ss -tulnp"),
            ),
            None,
            family,
        )


def _rules(scene: Scene, family: Family) -> Iterator[Rule]:
    for table in scene.host.rulesets[family].tables.values():
        yield from table.rules()
    for hook in _HOOKS:
        for _, rules in chains_of(scene, family, hook):
            yield from rules


def _rejects(rule: Rule) -> bool:
    return rule.target_name.upper() == "REJECT"
