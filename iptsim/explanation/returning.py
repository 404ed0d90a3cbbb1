"""Forwarded connections whose replies may go past the host, so that nothing translates them back.

DNAT changes only the destination: the target sees the client's own address and replies by its own routes
(iptables-extensions(8), DNAT and MASQUERADE).
"""

from __future__ import annotations

from iptsim.addresses import address_text, endpoint_text
from iptsim.dump.tool import tool_of
from iptsim.host.model import Host
from iptsim.languages import Text, message
from iptsim.netfilter.trace import Leg, Trace
from iptsim.packet import Packet
from iptsim.protocols import PORT_PROTOCOLS, protocol_name


def passing_by_text(request: Leg, reply: Leg) -> Text:
    """Return why the reply to a forwarded request does not pass the host; "" if no rule forwarded it, or it does."""
    if not _is_forwarded(request) or len(reply.steps) > 1:
        return ""
    return message(
        "{target} sees the client's own address, and its reply goes past this host, which cannot translate it back.",
        target=address_text(reply.packet.family, reply.packet.src),
    )


def may_pass_by_text(host: Host, trace: Trace) -> Text:
    """Return a sentence on a request that leaves by the interface on which it came, if its reply may pass the host."""
    request = trace.legs[0]
    arrived = request.delivered.packet if request.delivered is not None else None
    if arrived is None or trace.legs[-1].direction != "reply" or not _returns_to_link(host, request):
        return ""
    return message(
        "{target} sees the client's own address and replies by its own routes. If they do not lead through this host,"
        " the client gets the reply from {came} instead of {wanted}, and drops it.",
        target=address_text(arrived.family, arrived.dst),
        came=endpoint_text(arrived.family, arrived.dst, arrived.dport),
        wanted=endpoint_text(arrived.family, request.packet.dst, request.packet.dport),
    )


def masquerading_text(request: Leg) -> Text:
    """Return the rule that brings the reply to a forwarded request back through the host; "" if it is not forwarded."""
    if not _is_forwarded(request) or request.delivered is None:
        return ""
    return message(
        "To get the reply back through the host: {command}", command=_masquerade(request.delivered.packet)
    )


def advice_on_return(host: Host, trace: Trace) -> Text:
    """Return the remedy for a reply that may pass the host; "" if it cannot."""
    return masquerading_text(trace.legs[0]) if may_pass_by_text(host, trace) else ""


def _masquerade(arrived: Packet) -> str:
    target = address_text(arrived.family, arrived.dst)
    port = f" -p {protocol_name(arrived.proto)} --dport {arrived.dport}"
    only = port if arrived.proto in PORT_PROTOCOLS and arrived.dport is not None else ""
    return f"{tool_of(arrived.family)} -t nat -A POSTROUTING -d {target}{only} -j MASQUERADE"


def _is_forwarded(request: Leg) -> bool:
    """Return whether rules sent a request to another machine outside, and kept its source address."""
    steps = [step for step in request.steps if step.changes]
    return (
        request.delivered is not None
        and request.delivered.kind == "outside"
        and any("dst" in step.changes and step.table == "nat" for step in steps)
        and not any("src" in step.changes for step in steps)
    )


def _returns_to_link(host: Host, request: Leg) -> bool:
    """Return whether a forwarded request leaves by the interface on which it came: others may be its gateway there."""
    if not _is_forwarded(request) or request.delivered is None:
        return False
    name, family = request.delivered.interface, request.packet.family
    interface = host.namespace.interfaces.get(name or "")
    if interface is None or interface.kind in ("tun", "wireguard"):
        return False
    ways = {step.interfaces for step in request.steps if step.hook == "FORWARD"}
    return ways == {(name, name)} and not host.is_inside(family, request.delivered.packet.dst)
