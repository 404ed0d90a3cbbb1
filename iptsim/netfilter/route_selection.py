"""Selecting the route of a packet that the host sends, with one of its next hops.

Sources: ip_route_output_key_hash_rcu and ip_route_me_harder (net/ipv4/route.c, netfilter.c).
"""

from __future__ import annotations

from collections.abc import Iterable

from iptsim.addresses import address_text, is_link_local, is_multicast
from iptsim.extensions.context import Context
from iptsim.extensions.ports import PICKED
from iptsim.extensions.values import MaskedNumber, range_text
from iptsim.host import fib
from iptsim.host.routing_policy import own_rules
from iptsim.languages import Text, message, message_joined
from iptsim.netfilter import routing
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.outcome import Outcome
from iptsim.packet import Packet
from iptsim.partly_known import Mark, some_mark
from iptsim.ranges import Ranges, without
from iptsim.truth import Unknown

#: The fields that routing depends on and OUTPUT may change: source, destination, mark, TOS.
RouteKey = tuple[int, int, Mark, int]


def select_next_hop(kernel: Kernel, found: fib.RouteResult, packet: Packet) -> fib.RouteResult:
    """Return a routing decision with one next hop; of several the kernel picks one by a hash."""
    ways = found.by_next_hop
    wanted = kernel.world.fact("next_hop")
    if wanted is not None:
        ways = tuple(way for way in ways if wanted in (way.device, _gateway_text(way))) or ways
    for way in ways[:-1]:
        unknown = Unknown(
            message(
                "which next hop the kernel picks by its hash of the addresses: {hops}",
                hops=message_joined(" or ", map(_hop_text, found.by_next_hop)),
            ),
            f"--set next_hop={way.device}",
            (found.route, packet.src, packet.dst, way.device, way.gateway),
        )
        if kernel.choices.choose(unknown, "next_hop", message("the next hop is {hop}", hop=_hop_text(way))):
            return way
    return ways[-1]


def _gateway_text(way: fib.RouteResult) -> str | None:
    return None if way.gateway is None else address_text(way.gateway_family or 4, way.gateway)


def _hop_text(way: fib.RouteResult) -> Text:
    """Return a next hop in words."""
    gateway = _gateway_text(way)
    if gateway is None:
        return way.device or ""
    return message("{gateway} on {device}", gateway=gateway, device=way.device or "")


def route_input(kernel: Kernel, packet: Packet, interface: str, *, joined: bool = False) -> routing.Decision:
    """Decide on a packet that arrived on an interface; see :func:`iptsim.netfilter.routing.route_input`."""
    return routing.route_input(
        kernel.namespace,
        _compare(kernel, packet),
        interface,
        joined=joined,
        next_hop=lambda found, packet: select_next_hop(kernel, found, packet),
    )


def route_output(
    kernel: Kernel, packet: Packet, source: int | None, *, link: str | None = None
) -> fib.RouteResult:
    """Return the route of one of the host's own packets.

    Args:
        link: the interface on which a link-local destination is, if it is known.
    """
    seen = _compare(kernel, packet)
    # of inferred interfaces, no link-local addresses are known
    scoped = packet.family == 6 and is_link_local(6, packet.dst) and link != "lo" and not kernel.host.inferred
    found = fib.lookup(
        kernel.namespace, packet.family, packet.dst, source=source, oif=link if scoped else None,
        mark=some_mark(packet.mark), proto=packet.proto, sport=seen.sport, dport=seen.dport, tos=packet.tos,
        uid=packet.uid,
    )  # fmt: skip
    return select_next_hop(kernel, found, packet)


def _compare(kernel: Kernel, packet: Packet) -> Packet:
    """Compare a namespace's own policy rules with a packet, as far as its mark or ports are unknown.

    Returns:
        The packet to look up a route for: a port that the kernel picks at random is one of those decided on.
    """
    rules = own_rules(kernel.namespace, packet.family)
    if rules is None:
        return packet
    picked = [key for key in PICKED if packet.has_random(key)]
    if kernel.company is None and isinstance(packet.mark, int) and not picked:
        return packet
    if kernel.company is not None:
        kernel.company.routed(packet, rules)
    for rule in rules:
        if rule.fwmark is not None:
            kernel.choices.decide_mark(packet.mark, MaskedNumber(rule.fwmark, rule.fwmask))
    seen = packet.copy() if picked else packet
    # rp_filter looks up the reply, whose ports are exchanged
    spans = list(
        dict.fromkeys(span for rule in rules for span in (rule.sport, rule.dport) if span is not None)
    )
    for key in picked:
        setattr(seen, key, _some_port(kernel, key, spans))
    return seen


def _some_port(kernel: Kernel, key: str, spans: Iterable[tuple[int, int]]) -> int:
    """Return a port that may have been picked as "sport" or "dport", after deciding which of some ranges contain it."""
    ports: Ranges = ((1, 65535),)
    for span in spans:
        others = without(ports, (span,))
        inside = without(ports, others)
        if inside and others:
            words = message("the port is in {ports}", ports=range_text(span, "-"))
            unknown = PICKED[key]._replace(key=(span,))
            ports = inside if kernel.choices.choose(unknown, key, words) else others
    return ports[0][0]


def _route_again(kernel: Kernel, packet: Packet) -> fib.RouteResult:
    """Return the route of a packet that the rules have changed; IPv4 forgets its owner (ip_route_me_harder).

    In IPv6, what is sent to a link-local address or a group stays on the interface of its route (ip6_route_me_harder).
    """
    namespace, before = kernel.namespace, kernel.passage.route
    scoped = packet.family == 6 and (is_link_local(6, packet.dst) or is_multicast(6, packet.dst))
    link = before.device if scoped and before is not None and not kernel.host.inferred else None
    own = packet.family == 6 or fib.address_type(namespace, 4, packet.src) in ("LOCAL", "UNICAST")
    found = fib.lookup(
        namespace, packet.family, packet.dst, source=packet.src if own else None, oif=link,
        mark=some_mark(packet.mark), proto=packet.proto, sport=packet.sport, dport=packet.dport,
        tos=packet.tos, uid=packet.uid if packet.family == 6 else None,
    )  # fmt: skip
    return select_next_hop(kernel, found, packet)


def route_key(packet: Packet) -> RouteKey:
    """Return the fields of a packet that routing depends on."""
    return packet.src, packet.dst, packet.mark, packet.tos


def reroute(kernel: Kernel, context: Context, before: RouteKey, *, nat: bool) -> Outcome | None:
    """Route a local packet again if OUTPUT changed what routing depends on.

    Args:
        before: what it was before a base chain.
        nat: whether that chain was nat, after which only a new destination of the connection counts.
    """
    packet = context.packet
    # packets that accompany it may have got another mark
    seen = _compare(kernel, packet)
    if not _translates(context) if nat else before == route_key(packet):
        return None
    found = _route_again(kernel, seen)
    if found.error is not None:
        return kernel.drop("no-route", message("there is no route for the changed packet"))
    if (refused := refused_output(kernel, packet, found.device)) is not None:
        return refused
    if found != kernel.passage.route:
        note_policy(kernel, routing.policy_words(found))
    kernel.passage.route = found
    return None


def _translates(context: Context) -> bool:
    """Return whether nat gives the packets of a connection another destination (nf_nat_ipv4_local_fn)."""
    connection = context.connection
    if connection is None:
        return False
    if context.direction == "original":
        return connection.original.dst != connection.reply.src
    return connection.reply.dst != connection.original.src


def refused_output(kernel: Kernel, packet: Packet, device: str | None) -> Outcome | None:
    """Drop a packet from 127.0.0.0/8 that would leave the host."""
    if packet.family != 4 or packet.src not in routing.LOOPBACK4 or device in (None, "lo"):
        return None
    namespace = kernel.namespace
    local = fib.address_type(namespace, 4, packet.dst) == "LOCAL"
    if local or routing.route_localnet(namespace, device or ""):
        return None
    note = message(
        "a packet from 127.0.0.0/8 must not leave the host: route_localnet is 0 on {device}", device=device
    )
    return kernel.drop("martian", note)


def note_policy(kernel: Kernel, words: Text) -> None:
    """Record which policy rule chose the route, unless it is one that every host has."""
    if words:
        kernel.note("ROUTING", "CONTINUE", words, "policy-routing")
