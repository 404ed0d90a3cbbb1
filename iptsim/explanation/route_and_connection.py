"""What a source shows about a packet besides rules: its route, and whether its connection is already known."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import address_text
from iptsim.connection import Flow
from iptsim.extensions.hidden import is_gap
from iptsim.host import fib
from iptsim.host.model import Host
from iptsim.languages import Message, message
from iptsim.packet import Packet


def route_and_connection(host: Host, packet: Packet) -> Iterator[Message]:
    """Yield sentences on what the source shows about a packet."""
    if host.pasted is None:
        return
    if not any(_is_shown(host)):
        found = fib.lookup(host.namespace, packet.family, packet.dst)
        if found.type == "unicast" and found.device:
            yield message(
                "No rule is shown. The route to {address} leads out by {interface}.",
                address=address_text(packet.family, packet.dst),
                interface=found.device,
            )
    for entry in host.conntrack:
        if entry.connection.family != packet.family or entry.connection.original != packet.flow:
            continue
        reply = entry.connection.reply
        if reply == entry.connection.original.reversed():
            yield message(
                "conntrack knows this flow already, and it is not translated: replies are expected at {source}. "
                "While the entry lasts, no nat rule is evaluated for it.",
                source=address_text(packet.family, reply.dst),
            )
        else:
            yield message(
                "conntrack knows this flow already, translated: replies come from {replies} to {source}. "
                "While the entry lasts, no nat rule is evaluated for it.",
                replies=_end(packet.family, reply),
                source=address_text(packet.family, reply.dst),
            )


def _end(family: int, flow: Flow) -> str:
    return address_text(family, flow.src)


def _is_shown(host: Host) -> Iterator[bool]:
    """Yield for each rule whether it is a real one; others represent rules that are not shown."""
    if host.namespace.nftables is not None:
        yield bool(host.namespace.nftables.chains)
    for ruleset in host.rulesets.values():
        for rule in ruleset.rules():
            yield not is_gap(rule.target)
