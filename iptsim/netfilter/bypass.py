"""Container traffic that bypasses the host: networks of the drivers macvlan, ipvlan and overlay."""

from __future__ import annotations

from iptsim.addresses import address_text
from iptsim.host.containers import Network
from iptsim.host.model import Host
from iptsim.languages import message
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.outcome import Outcome
from iptsim.netfilter.steps import Delivery, Step
from iptsim.packet import Packet
from iptsim.truth import Unknown

#: Drivers whose containers reach each other and the outside without the host's rules.
BYPASSING_DRIVERS = frozenset({"macvlan", "ipvlan", "overlay"})


def bypassing_driver(host: Host, packet: Packet) -> str | None:
    """Return the driver of the destination's network if packets from outside bypass the host there."""
    owner = host.owner_of(packet.family, packet.dst)
    if not isinstance(owner, tuple):
        return None
    container, endpoint = owner
    found = endpoint or next(
        (one for one in container.endpoints.values() if one.address(packet.family) == packet.dst), None
    )
    network = host.networks.get(found.network) if found else None
    return network.driver if network is not None and network.driver in BYPASSING_DRIVERS else None


def sibling_of(host: Host, network: Network) -> str | None:
    """Return the host's own interface on top of the interface that carries a macvlan or ipvlan network, if it has one.

    Unlike that interface itself, it hears the containers; and it answers ARP for all addresses of the host (arp(7)).
    """
    parent = network.options.get("parent")
    return next(
        (
            one.name
            for one in host.namespace.interfaces.values()
            if one.kind == network.driver and (not parent or one.parent in (None, parent))
        ),
        None,
    )


def out_of_reach(host: Host, kernel: Kernel, outcome: Outcome) -> Step | None:
    """Return why a packet that the host forwards cannot enter a network that bypasses the host."""
    delivered = outcome.delivered
    driver = bypassing_driver(host, delivered.packet) if delivered is not None else None
    if delivered is None or driver is None:
        return None
    if any(step.code == "bypasses-iptables" for step in kernel.passage.steps):
        return None
    if driver == "overlay":
        note = message("only containers on an overlay network can reach it")
        return Step("BRIDGE", "DROP", note=note, code="no-route")
    if delivered.kind != "container":
        return None
    way_out = host.namespace.interfaces.get(delivered.interface or "")
    if way_out is not None and way_out.kind == driver:
        return None
    note = message("a {driver} interface cannot reach its own host", driver=driver)
    return Step("BRIDGE", "DROP", note=note, code="macvlan-host")


def bypass(host: Host, kernel: Kernel, packet: Packet, driver: str, next_hop: int) -> Outcome:
    """Deliver a packet of a network whose traffic the host's rules never see."""
    kernel.passage.steps.append(
        Step(
            "BRIDGE",
            "ACCEPT",
            note=message("{driver} traffic bypasses the host's iptables", driver=driver),
            code="bypasses-iptables",
        )
    )
    owner = host.owner_of(packet.family, next_hop)
    if isinstance(owner, tuple):
        return Outcome("ACCEPT", Delivery("container", owner[0].name, packet.copy()))
    if owner == "host" and driver != "overlay":
        note = message("a {driver} interface cannot reach its own host", driver=driver)
        kernel.passage.steps.append(Step("BRIDGE", "DROP", note=note, code="macvlan-host"))
        return Outcome("DROP")
    if next_hop != packet.dst and host.owner_of(packet.family, packet.dst) is not None:
        return _by_gateway(kernel, packet, next_hop)
    return Outcome("ACCEPT", Delivery("outside", address_text(packet.family, packet.dst), packet.copy()))


def _by_gateway(kernel: Kernel, packet: Packet, gateway: int) -> Outcome:
    """Leave it to a gateway outside whether it sends a packet back to an address of this host or of its containers."""
    names = {
        "gateway": address_text(packet.family, gateway),
        "address": address_text(packet.family, packet.dst),
    }
    unknown = Unknown(
        message("where the gateway {gateway} sends packets to {address}", **names), key=(gateway, packet.dst)
    )
    words = message("the gateway {gateway} delivers packets to {address}", **names)
    if kernel.choices.choose(unknown, "next_hop", words):
        return Outcome("ACCEPT", Delivery("outside", names["address"], packet.copy()))
    note = message("the gateway {gateway} does not deliver packets to {address}", **names)
    kernel.passage.steps.append(Step("BRIDGE", "DROP", note=note, code="no-route"))
    return Outcome("DROP")
