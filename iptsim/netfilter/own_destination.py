"""Packets to addresses that may be the host's own, where the source does not show its addresses."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from iptsim.addresses import BITS, Family, address_text
from iptsim.host import fib
from iptsim.host.address_regions import every_public_address
from iptsim.host.containers import Network
from iptsim.host.evidence import BRIDGE
from iptsim.host.inferred_interfaces import OUTSIDE
from iptsim.host.model import Host
from iptsim.host.namespace import Interface, InterfaceAddress, prefix_mask
from iptsim.languages import message
from iptsim.netfilter.trace import Decision
from iptsim.question.endpoints import Address
from iptsim.question.model import Question
from iptsim.question.places import OnHost, Outside
from iptsim.question.start import Start
from iptsim.truth import Unknown


class Doubt(NamedTuple):
    """What the source leaves open about the addresses of a host.

    Attributes:
        other: the host as it may be instead.
        owns: an address belongs to that host that is not one of the first, rather than the reverse.
        decision: whether the address is the host's.
    """

    other: Host
    owns: bool
    decision: Decision


def doubt_about(host: Host, question: Question, start: Start) -> Doubt | None:
    """Return whether an address that matters for a packet may be the host's or not; None if that is known."""
    if (owner := _with_destination(host, question, start)) is not None:
        return Doubt(owner, True, _whether_own(start.packet.family, start.packet.dst))
    return _about_bridge(host, start)


def _about_bridge(host: Host, start: Start) -> Doubt | None:
    """Return the doubt whether the bridge of an internal network of Docker has an address.

    Since 28 it has none in gateway mode "isolated", which no rule shows. It matters for packets to that address, and
    for those of the host to the network, to which no route leads then.
    """
    family, destination = start.packet.family, start.packet.dst
    for network in host.networks.values():
        if not network.internal or network.daemon != "docker" or family in network.gateway_mode:
            continue
        engine = host.daemon.engine if host.daemon is not None else None
        if engine is not None and not engine.has_isolated_bridges:
            return None
        for subnet in network.subnets:
            gateway = subnet.gateway if subnet.gateway_assumed else None
            if gateway is None or not subnet.covers(family, destination):
                continue
            interface = host.namespace.interfaces.get(network.bridge or "")
            if interface is None or not any(one.address == gateway for one in interface.addresses):
                continue
            if (destination == gateway) is not isinstance(start.origin, OnHost):
                other = _without_address(host, network, interface, family)
                return Doubt(other, False, _whether_own(family, gateway))
    return None


def _without_address(host: Host, network: Network, interface: Interface, family: Family) -> Host:
    """Return the host with gateway mode "isolated" of a network."""
    isolated = replace(network, gateway_mode={**network.gateway_mode, family: "isolated"})
    addresses = tuple(one for one in interface.addresses if one.family != family)
    namespace = replace(
        host.namespace,
        interfaces={
            **host.namespace.interfaces,
            interface.name: replace(interface, addresses=addresses),
        },
        routes=[one for one in host.namespace.routes if (one.family, one.device) != (family, interface.name)],
        cache={},
    )
    return replace(host, namespace=namespace, networks={**host.networks, network.name: isolated})


def _with_destination(host: Host, question: Question, start: Start) -> Host | None:
    """Return a host to which the destination of a packet belongs; None if that is known.

    It is unknown in an inferred host if the first packet of a connection would leave by the interface on which it
    arrived: nothing but a default route, or the subnet that was assumed there, leads to its destination. A private
    sender may be behind the host, which forwards its packets to the outside; its neighbour, which it would reach
    without the host, is not. So it is unknown, too, if the interface is one whose addresses the source does not show.
    A bridge connects neighbours itself; of them, the first address is usually its own.
    """
    if not host.inferred or not isinstance(start.origin, Outside) or not isinstance(question.to, Address):
        return None
    if question.state not in (None, "new") or question.conntrack or question.ct or question.after:
        return None
    name, family, address = start.origin.interface, start.packet.family, start.packet.dst
    if not _both_public(start) and not (question.in_interface and _neighbours(start)):
        return None
    namespace = host.namespace
    interface = namespace.interfaces.get(name)
    forth = fib.lookup(namespace, family, address)
    if interface is None or forth.type != "unicast" or interface.kind == "bridge":
        return None
    if forth.device != name and not _is_of_unaddressed(start, interface, forth):
        return None
    if any(network.covers(family, address) for network in host.networks.values()):
        return None
    own = InterfaceAddress(family=family, address=address, prefix_length=BITS[family])
    changed = replace(
        namespace,
        interfaces={
            **namespace.interfaces,
            name: replace(interface, addresses=(*interface.addresses, own)),
        },
        # its other routes, and the address used for "internet", stay the same
        cache={key: value for key, value in namespace.cache.items() if key == ("outside", family)},
    )
    return replace(host, namespace=changed)


def _is_of_unaddressed(start: Start, interface: Interface, forth: fib.RouteResult) -> bool:
    """Return whether a packet between neighbours arrives on an interface that may have its destination's address."""
    if interface.addresses or forth.route is None or forth.route.prefix_length or not _neighbours(start):
        return False
    family, address = start.packet.family, start.packet.dst
    is_first = address & ~prefix_mask(family, OUTSIDE[family][1]) == 1
    return is_first or BRIDGE.fullmatch(interface.name) is None


def _both_public(start: Start) -> bool:
    public = every_public_address(start.packet.family)
    return start.packet.src in public and start.packet.dst in public


def _neighbours(start: Start) -> bool:
    """Return whether both ends of a packet are in one subnet of the usual size."""
    family = start.packet.family
    mask = prefix_mask(family, OUTSIDE[family][1])
    return start.packet.src & mask == start.packet.dst & mask


def _whether_own(family: Family, number: int) -> Decision:
    """Return the decision that an address is one of the host."""
    address = address_text(family, number)
    return Decision(
        Unknown(
            message("whether {address} is an address of this host", address=address),
            message("the output of `ip addr`, or with --to host if it is one"),
        ),
        "own_address",
        ("", "", 0),
        None,
        True,
        message("{address} is an address of this host", address=address),
        message("{address} is not an address of this host", address=address),
    )
