"""The network behind an interface, where the source shows only that a packet arrives there."""

from __future__ import annotations

from dataclasses import replace

from iptsim.addresses import BITS, address_text
from iptsim.host import fib
from iptsim.host.address_regions import public_addresses
from iptsim.host.connected_routes import CONNECTED
from iptsim.host.containers import Subnet
from iptsim.host.docker_defaults import OWN_BRIDGES, guessed_subnet
from iptsim.host.model import Host
from iptsim.host.namespace import Interface, InterfaceAddress, Route
from iptsim.languages import message
from iptsim.packet import Packet
from iptsim.question.internet import outside_address
from iptsim.question.places import Outside
from iptsim.question.start import Start


def with_way_back(host: Host, start: Start) -> Host | None:
    """Return a host that sends replies by the interface on which the packet arrives; None if the host does so already.

    In an inferred host nothing else may show the subnet of a bridge or tunnel: replies would take the default route.
    """
    if not host.inferred or not isinstance(start.origin, Outside):
        return None
    name, family, address = start.origin.interface, start.packet.family, start.packet.src
    namespace = host.namespace
    interface = namespace.interfaces.get(name) or Interface(name=name)
    if any(one.family == family for one in interface.addresses):
        return None
    back = fib.lookup(namespace, family, address)
    outside = fib.lookup(namespace, family, outside_address(host, family)).device
    if back.type != "unicast" or back.device == name or back.device != outside:
        return None
    # what the internet sends arrives there, whatever the address: the guess about the uplink was wrong
    length, network = (0, 0) if address in public_addresses(host, family) else (BITS[family], address)
    route = Route(family=family, prefix_length=length, destination=network, device=name, scope="link")
    notes = [
        message(
            "{address} is behind {interface}, on which its packet arrives.",
            address=address_text(family, address),
            interface=name,
        )
    ]
    dockers, networks = host.network_of_bridge(name), host.networks
    isolated = dockers is not None and dockers.gateway_mode.get(family) == "isolated"
    if not isolated and (own := address_of_bridge(name, start.packet)) is not None:
        interface = replace(interface, kind="bridge", addresses=(*interface.addresses, own))
        notes.append(
            message(
                "{address} is the host's own address on {interface}, as it is the first of the subnet.",
                address=address_text(family, own.address),
                interface=name,
            )
        )
        if dockers is not None:
            subnet = Subnet(
                family=family,
                address=own.network,
                prefix_length=own.prefix_length,
                gateway=own.address,
                gateway_assumed=True,
            )
            made = replace(dockers, subnets=(*dockers.subnets, subnet))
            networks = {**networks, dockers.name: made}
    changed = replace(
        namespace,
        interfaces={**namespace.interfaces, name: interface},
        routes=[route, *namespace.routes],
        # "internet" stays the same address, although another route than the default one now leads to it
        cache={
            ("outside", family): outside_address(host, family),
            CONNECTED: dict(namespace.cache.get(CONNECTED, {})),
        },
    )
    return replace(host, namespace=changed, networks=networks, assumptions=[*host.assumptions, *notes])


def address_of_bridge(name: str, packet: Packet) -> InterfaceAddress | None:
    """Return a packet's destination as the address of a Docker bridge, if that is where dockerd would put it.

    Args:
        name: the interface on which the packet arrives.
    """
    if packet.family != 4 or not (OWN_BRIDGES.fullmatch(name) or name.startswith("br-")):
        return None
    subnet = guessed_subnet(packet.src)
    if packet.dst != subnet.address + 1 or packet.src == packet.dst:
        return None
    return InterfaceAddress(family=4, address=packet.dst, prefix_length=subnet.length)
