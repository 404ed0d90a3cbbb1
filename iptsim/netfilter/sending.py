"""Sending one packet from a container, from the host or from outside, and following it to its end."""

from __future__ import annotations

from iptsim.host import fib
from iptsim.host.containers import Container, Endpoint
from iptsim.host.model import Host
from iptsim.host.namespace import Namespace
from iptsim.netfilter.bypass import BYPASSING_DRIVERS, bypass, bypassing_driver, out_of_reach
from iptsim.netfilter.chains import Fate
from iptsim.netfilter.run import Run
from iptsim.netfilter.trace import Delivery, Leg
from iptsim.packet import Packet, address_text


def send_from(run: Run, place: Delivery, packet: Packet, pick_source: bool = False) -> tuple[Leg, Fate]:
    """Send a packet from where another one was delivered."""
    host = run.host
    if place.kind == "host":
        return send(run, "host", "host", packet, pick_source=pick_source)
    if place.kind == "container":
        return send(run, host.containers[place.name], place.name, packet)
    return send(run, "outside", place.name, packet, interface=place.interface)


def send(
    run: Run,
    sender: Container | str,
    name: str,
    packet: Packet,
    *,
    first: bool = False,
    interface: str | None = None,
    pick_source: bool | None = None,
) -> tuple[Leg, Fate]:
    """Send one packet and follow it to its end."""
    start, journey = run.start, run.host_journey
    pick = start.pick_source if first and pick_source is None else bool(pick_source)
    leg = Leg("original", name, packet.copy())
    journey.begin()
    if isinstance(sender, Container):
        fate = _out_of_container(run, leg, sender, packet, pick)
    elif sender == "host":
        fate = journey.send(packet, keep_source=not pick)
        leg.packet = journey.sent or leg.packet
    elif (driver := bypassing_driver(run.host, packet)) in ("macvlan", "ipvlan"):
        fate = bypass(run.host, journey, packet, driver, packet.dst)
    else:
        arrival = start.interface if first else interface
        if "pkttype" in packet.defaults:
            packet.pkttype = frame_kind(run.host.namespace, packet)
        fate = journey.receive_from_outside(packet, arrival or "")
    if (step := out_of_reach(run.host, fate, journey)) is not None:
        journey.steps.append(step)
        fate = Fate("DROP")
    leg.steps, leg.skipped = journey.steps, journey.skipped
    leg.verdict, leg.delivered = fate.verdict, fate.delivered
    if fate.delivered is not None and fate.delivered.kind == "container" and not leg.inside:
        _into_container(run, leg, fate.delivered)
    return leg, fate


def _out_of_container(run: Run, leg: Leg, container: Container, packet: Packet, pick: bool) -> Fate:
    """Follow a packet out of a container: its own routes and rules, then the host's side of the link."""
    host, own = run.host, run.journey_of(container)
    own.begin()
    fate = own.send(packet, keep_source=not pick)
    leg.packet = own.sent or leg.packet
    leg.own_steps = own.steps
    if fate.delivered is None or fate.delivered.kind != "outside":
        leg.inside = True
        return fate
    device = fate.delivered.interface or ""
    endpoint = next((one for one in container.endpoints.values() if one.interface == device), None)
    if endpoint is None and len(container.endpoints) == 1:
        only = next(iter(container.endpoints.values()))
        endpoint = only if only.interface is None else None
    packet.local_socket, packet.uid, packet.gid, packet.mark = False, None, None, 0
    if "pkttype" in packet.defaults:
        packet.pkttype = frame_kind(container.namespace, packet)
    network = host.networks.get(endpoint.network) if endpoint else None
    if network is not None and network.driver in BYPASSING_DRIVERS:
        return bypass(host, run.host_journey, packet, network.driver, fate.next_hop or packet.dst)
    if endpoint is not None and endpoint.mac and "src_mac" in packet.defaults:
        packet.src_mac = endpoint.mac
    port = _host_side(host, container, device, endpoint)
    if port is None:
        return Fate("ACCEPT", Delivery("outside", address_text(packet.family, packet.dst), packet, device))
    return run.host_journey.receive(packet, port, fate.next_hop)


def frame_kind(namespace: Namespace, packet: Packet) -> str:
    """Return how a sender addresses the frame of a packet: by the packet's destination."""
    kind = fib.address_type(namespace, packet.family, packet.dst).lower()
    return kind if kind in ("broadcast", "multicast") else "unicast"


def _host_side(host: Host, container: Container, device: str, endpoint: Endpoint | None) -> str | None:
    """Return the host's interface at the other end of a container's interface."""
    if endpoint is not None and endpoint.bridge_port is not None:
        return endpoint.bridge_port
    inside = container.namespace.interfaces.get(device)
    if inside is not None and inside.peer_index is not None:
        for interface in host.namespace.interfaces.values():
            if interface.kind == "veth" and interface.index == inside.peer_index:
                return interface.name
    network = host.networks.get(endpoint.network) if endpoint else None
    return network.bridge if network is not None else None


def _into_container(run: Run, leg: Leg, delivered: Delivery) -> None:
    """Let the rules of a container's own namespace judge what reaches it."""
    container = run.host.containers[delivered.name]
    if not run.namespaces.programs_of(container.namespace).get(delivered.packet.family):
        return
    own = run.journey_of(container)
    own.begin()
    packet = delivered.packet
    device = next((name for name in container.namespace.interfaces if name != "lo"), "eth0")
    found = container.namespace.interface_of(packet.family, packet.dst)
    fate = own.receive(packet, found.name if found else device)
    leg.arrival_steps = own.steps
    if fate.verdict != "ACCEPT":
        leg.verdict, leg.delivered = fate.verdict, None
