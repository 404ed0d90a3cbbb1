"""Findings about tracked connections: an entry that was made while no rule translated it, one without a reply."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import BITS, Family, address_text, is_multicast, is_private
from iptsim.connection import Connection
from iptsim.findings.finding import SHOWN, Evidence, Finding
from iptsim.findings.scene import Scene
from iptsim.languages import message
from iptsim.passages import shell
from iptsim.protocols import protocol_name

#: In a list of more connections, some always wait for a reply.
_FEW = 10


def not_translated(scene: Scene) -> Iterator[Finding]:
    """Find connections that leave with a private address, while others to the same service are masqueraded."""
    connections = [entry.connection for entry in scene.host.conntrack]
    translated = [one for one in connections if one.reply.dst != one.original.src]
    for one in connections:
        if one.reply.dst != one.original.src or not is_private(
            one.family, address_text(one.family, one.original.src)
        ):
            continue
        other = next((alike for alike in translated if _are_alike(one, alike)), None)
        if other is not None:
            yield _found(one, other)


def _are_alike(one: Connection, other: Connection) -> bool:
    """Return whether two connections go to the same service, from the same private range."""
    keys = [(c.family, c.original.proto, c.original.dst, c.original.dport) for c in (one, other)]
    width = BITS[one.family]
    shared = width - (one.original.src ^ other.original.src).bit_length()
    return keys[0] == keys[1] and shared >= width // 4


def _found(one: Connection, other: Connection) -> Finding:
    family: Family = one.family
    source, target = (address_text(family, address) for address in (one.original.src, one.original.dst))
    proto, port = protocol_name(one.original.proto), one.original.dport
    command = f"conntrack -D -p {proto} -s {source} -d {target}" + (f" --dport {port}" if port else "")
    return Finding(
        "connection-not-translated",
        message(
            "The connection {source} → {target}, {proto}/{port} is not translated.",
            source=source,
            target=target,
            proto=proto,
            port=port or 0,
        ),
        (
            Evidence("conntrack", message("replies are expected at {address}", address=source)),
            Evidence(
                "conntrack",
                message(
                    "those to {other} are expected at {address}",
                    other=address_text(family, other.original.src),
                    address=address_text(family, other.reply.dst),
                ),
            ),
        ),
        message(
            "Only the first packet of a connection passes the nat table. This one was tracked before the rule was there"
            " (as when Docker starts late), and each further packet keeps the entry alive: they all leave with the"
            " source {source}, and no reply comes back.",
            source=source,
        ),
        message("Delete the entry, so that the next packet is translated: {command}", command=shell(command)),
        None,
        family,
    )


def unanswered(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, the first connection that has had no reply, by conntrack's `[UNREPLIED]`."""
    entries = [entry.connection for entry in scene.host.conntrack if scene.is_pasted]
    waiting = [one for one in entries if "SEEN_REPLY" not in one.status and not _is_to_many(one)]
    if waiting and len(entries) <= _FEW:
        yield _without_reply(waiting)


def _is_to_many(one: Connection) -> bool:
    """Return whether packets go to a group or to all hosts, from where no reply comes to this connection."""
    target = one.original.dst
    # the subnet is not known; its last address is hardly ever that of one machine
    return is_multicast(one.family, target) or (one.family == 4 and target & 0xFF == 0xFF)


def _without_reply(waiting: list[Connection]) -> Finding:
    one = waiting[0]
    family: Family = one.family
    source, target, server, client = (
        address_text(family, address)
        for address in (one.original.src, one.original.dst, one.reply.src, one.reply.dst)
    )
    ports = f" and port {one.reply.sport}" if one.reply.sport else ""
    return Finding(
        "connection-unanswered",
        message(
            "No reply has come back for the connection {source} → {target}, {service}.",
            source=source,
            target=target,
            service=protocol_name(one.original.proto)
            + (f"/{one.original.dport}" if one.original.dport else ""),
        ),
        tuple(
            Evidence(
                "conntrack",
                message(
                    "[UNREPLIED]: a reply is expected from {server} to {client}",
                    server=address_text(family, other.reply.src),
                    client=address_text(family, other.reply.dst),
                ),
            )
            for other in waiting[:SHOWN]
            if other.family == family
        ),
        message(
            "conntrack has seen packets to {target}, and none in return. A rule drops them after conntrack, {server}"
            " does not answer, or its replies to {client} take another path.",
            target=target,
            server=server,
            client=client,
        ),
        message("See where they end: {command}", command=shell(f"tcpdump -ni any host {server}{ports}")),
        None,
        family,
    )
