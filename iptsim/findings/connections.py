"""Findings about tracked connections: an entry that was made while no rule translated it."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import BITS, Family, address_text, is_private
from iptsim.connection import Connection
from iptsim.findings.finding import Evidence, Finding
from iptsim.findings.scene import Scene
from iptsim.languages import message
from iptsim.passages import shell
from iptsim.protocols import protocol_name


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
