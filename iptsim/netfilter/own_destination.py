"""A packet from outside to an address that may be the host's own, where the source does not show its addresses."""

from __future__ import annotations

from dataclasses import replace

from iptsim.addresses import BITS, address_text
from iptsim.host import fib
from iptsim.host.address_regions import every_public_address
from iptsim.host.inferred_interfaces import OUTSIDE
from iptsim.host.model import Host
from iptsim.host.namespace import InterfaceAddress, prefix_mask
from iptsim.languages import message
from iptsim.netfilter.trace import Decision
from iptsim.question.endpoints import Address
from iptsim.question.model import Question
from iptsim.question.places import Outside
from iptsim.question.start import Start
from iptsim.truth import Unknown


def with_destination(host: Host, question: Question, start: Start) -> Host | None:
    """Return a host to which the destination of a packet belongs; None if that is known.

    It is unknown in an inferred host if the first packet of a connection would leave by the interface on which it
    arrived: nothing but a default route, or the subnet that was assumed there, leads to its destination. A private
    sender may be behind the host on its way out; its neighbour, which it would reach without the host, is not.
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
    if interface is None or forth.type != "unicast" or forth.device != name or interface.kind == "bridge":
        return None
    if any(network.covers(family, address) for network in host.networks.values()):
        return None
    own = InterfaceAddress(family=family, address=address, prefix_length=BITS[family])
    changed = replace(
        namespace,
        interfaces={
            **namespace.interfaces,
            name: interface.model_copy(update={"addresses": (*interface.addresses, own)}),
        },
        # its other routes, and the address that "internet" stands for, stay the same
        cache={key: value for key, value in namespace.cache.items() if key == ("outside", family)},
    )
    return replace(host, namespace=changed)


def _both_public(start: Start) -> bool:
    public = every_public_address(start.packet.family)
    return start.packet.src in public and start.packet.dst in public


def _neighbours(start: Start) -> bool:
    """Return whether both ends of a packet are in one subnet of the usual size."""
    family = start.packet.family
    mask = prefix_mask(family, OUTSIDE[family][1])
    return start.packet.src & mask == start.packet.dst & mask


def whether_own(start: Start) -> Decision:
    """Return the decision that the destination of a packet is an address of the host."""
    address = address_text(start.packet.family, start.packet.dst)
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
