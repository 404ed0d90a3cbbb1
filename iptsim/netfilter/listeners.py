"""Whether a program listens at the end of a connection, and what is assumed if that was not saved."""

from __future__ import annotations

from collections.abc import Iterable

from iptsim.addresses import is_loopback
from iptsim.host.model import Host
from iptsim.host.namespace import Listener, Namespace
from iptsim.host.sockets import find_listener
from iptsim.languages import Text, message
from iptsim.netfilter.steps import Delivery
from iptsim.netfilter.trace import Leg, Trace
from iptsim.packet import Packet
from iptsim.protocols import ACK, SYN, TCP, UDP
from iptsim.question.model import Question

_NO_NFTABLES = message(
    "nftables has no base chains besides those of iptables: the source has no nft-ruleset.json."
)
_NOTHING_SAVED = message(
    "nftables has no base chains besides those of iptables, and a program listens: the source has no "
    "nft-ruleset.json and no list of listening sockets."
)


def _interface(namespace: Namespace, leg: Leg, delivered: Delivery) -> str | None:
    """Return the interface that a packet came in by, as sockets see it; None if it is unknown.

    What a namespace sends to itself counts as received by the interface with the address (inet_iif, inet6_iif:
    that of the local route), though the rules see it come in by lo.
    """
    packet = delivered.packet
    own = namespace.interface_of(packet.family, packet.dst)
    if delivered.kind == "container" and not leg.inside:
        return own.name if own is not None else None
    return own.name if own is not None and delivered.interface == "lo" else delivered.interface


def note_listener(host: Host, question: Question, leg: Leg) -> None:
    """Record in a leg that opens a connection which program listens at its end, if that is known."""
    delivered = leg.delivered
    if delivered is None or delivered.kind == "outside" or not _opens(question, delivered.packet):
        return
    leg.listening, leg.program = listener_at(host, leg, delivered)


def listener_at(host: Host, leg: Leg, delivered: Delivery) -> tuple[bool | None, str]:
    """Return whether a program listens where the first packet of a connection is delivered, and its name.

    None: the capture does not show it; "" for a name that it does not show.
    """
    namespace, packet = namespace_at(host, delivered), delivered.packet
    if packet.dport is None or packet.proto not in (TCP, UDP):
        return None, ""
    found = find_listener(
        namespace.listeners,
        packet.family,
        packet.proto,
        packet.dst,
        packet.dport,
        _interface(namespace, leg, delivered),
    )
    if isinstance(found, Listener):
        return True, found.program
    if packet.proto not in namespace.listed or (host.inferred and _may_have_address(namespace, delivered)):
        return None, ""
    return found, ""


def _may_have_address(namespace: Namespace, delivered: Delivery) -> bool:
    """Return whether a program listens on the port at an address of no known interface: it may be the one asked for."""
    packet = delivered.packet
    return any(
        one.address is not None
        and not is_loopback(max(one.families), one.address)
        and namespace.interface_of(max(one.families), one.address) is None
        for one in namespace.listeners
        if (one.proto, one.port) == (packet.proto, packet.dport) and one.families.get(packet.family)
    )


def namespace_at(host: Host, delivered: Delivery) -> Namespace:
    """Return the network namespace of the host or the container in which a packet is delivered."""
    return host.namespace if delivered.kind == "host" else host.containers[delivered.name].namespace


def _opens(question: Question, packet: Packet) -> bool:
    """Return whether a listening socket gets a packet: not if its connection exists already."""
    if question.state not in (None, "new") or question.after is not None or question.conntrack is not None:
        return False
    return packet.tcp_flags & (SYN | ACK) == SYN if packet.proto == TCP else packet.proto == UDP


def unsaved(host: Host, trace: Trace) -> list[Text]:
    """Return in one sentence what is assumed about nftables and listening programs, if they were not saved."""
    end = trace.opening.delivered
    unlisted = end.name if end is not None and _is_unlisted(host, trace.opening, end) else ""
    no_nftables = host.namespace.nftables is None and not trace.legs[0].inside
    if no_nftables:
        return [_NOTHING_SAVED if unlisted else _NO_NFTABLES]
    if unlisted:
        return [
            message(
                "A program listens: the source has no list of the listening sockets of {name}.", name=unlisted
            )
        ]
    return []


def _is_unlisted(host: Host, leg: Leg, end: Delivery) -> bool:
    """Return whether a program may listen where a packet arrived, as its sockets were not saved."""
    if end.kind == "outside" or end.packet.proto not in (TCP, UDP) or leg.listening:
        return False
    return end.packet.proto not in namespace_at(host, end).listed


def united(sentences: Iterable[Text]) -> list[Text]:
    """Return what several answers about one host assume, without repeating what another sentence includes."""
    found = dict.fromkeys(sentences)
    return [one for one in found if one != _NO_NFTABLES or _NOTHING_SAVED not in found]
