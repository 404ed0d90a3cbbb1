"""Sending one packet from a container, from the host or from outside, and following it to its end."""

from __future__ import annotations

from iptsim.addresses import address_text, is_multicast
from iptsim.host import fib
from iptsim.host.containers import Container, Endpoint
from iptsim.host.model import Host
from iptsim.host.namespace import Interface, Namespace
from iptsim.languages import message
from iptsim.netfilter import ip_output
from iptsim.netfilter.bypass import BYPASSING_DRIVERS, bypass, bypassing_driver, out_of_reach, sibling_of
from iptsim.netfilter.ip_input import receive, receive_from_outside
from iptsim.netfilter.outcome import Outcome
from iptsim.netfilter.run import Run
from iptsim.netfilter.steps import Delivery
from iptsim.netfilter.trace import Leg, Sent
from iptsim.packet import Packet
from iptsim.protocols import ICMP
from iptsim.question.places import InContainer, OnHost, Origin, Outside
from iptsim.truth import Unknown


def send_from(run: Run, place: Delivery, packet: Packet, pick_source: bool = False) -> tuple[Leg, Outcome]:
    """Send a packet from where another one was delivered."""
    host = run.host
    if place.kind == "host":
        return send(
            run,
            OnHost(),
            "host",
            packet,
            pick_source=pick_source,
            echoes=packet.proto == ICMP,
            link=place.interface,
        )
    if place.kind == "container":
        return send(run, InContainer(host.containers[place.name]), place.name, packet)
    return send(run, Outside(place.interface or ""), place.name, packet)


def send(
    run: Run,
    origin: Origin,
    name: str,
    packet: Packet,
    *,
    pick_source: bool = False,
    echoes: bool = False,
    link: str | None = None,
) -> tuple[Leg, Outcome]:
    """Send one packet and follow it to its end.

    Args:
        echoes: it is the kernel's own reply to a ping.
        link: the host's interface on which a link-local destination is, if it is known.
    """
    kernel = run.kernel
    leg = Leg("original", name, packet)
    kernel.begin()
    if isinstance(origin, InContainer):
        outcome = _out_of_container(run, leg, origin.container, packet, pick_source)
    elif isinstance(origin, OnHost):
        outcome = ip_output.send(kernel, packet, keep_source=not pick_source, echoes=echoes, link=link)
        leg.packet = kernel.passage.sent or packet
    else:
        leg.packet = packet.copy()
        outcome = _from_outside(run, origin, packet)
    if not leg.inside and (step := out_of_reach(run.host, kernel, outcome)) is not None:
        kernel.passage.steps.append(step)
        outcome = Outcome("DROP")
    leg.steps, leg.skipped = kernel.passage.steps, kernel.passage.skipped
    leg.verdict, leg.delivered = outcome.verdict, outcome.delivered
    if outcome.delivered is not None and outcome.delivered.kind == "container" and not leg.inside:
        _into_container(run, leg, outcome.delivered)
    return leg, outcome


def _out_of_container(run: Run, leg: Leg, container: Container, packet: Packet, pick: bool) -> Outcome:
    """Follow a packet out of a container: its own routes and rules, then the host's side of the link."""
    host, own = run.host, run.kernel_of(container)
    own.begin()
    outcome = ip_output.send(own, packet, keep_source=not pick)
    leg.packet = own.passage.sent or leg.packet
    leg.own_steps = own.passage.steps
    if outcome.delivered is None or outcome.delivered.kind != "outside":
        leg.inside = True
        return outcome
    device = outcome.delivered.interface or ""
    endpoint = next((one for one in container.endpoints.values() if one.interface == device), None)
    if endpoint is None and len(container.endpoints) == 1:
        only = next(iter(container.endpoints.values()))
        endpoint = only if only.interface is None else None
    packet.local_socket, packet.proxied, packet.uid, packet.gid, packet.mark = False, False, None, None, 0
    if "pkttype" in packet.defaults:
        packet.pkttype = _frame_kind(container.namespace, device, packet)
    network = host.networks.get(endpoint.network) if endpoint else None
    if network is not None and network.driver in BYPASSING_DRIVERS:
        next_hop = outcome.next_hop or packet.dst
        sibling = sibling_of(host, network) if host.owner_of(packet.family, next_hop) == "host" else None
        if sibling is not None:
            return receive(run.kernel, packet, sibling)
        return bypass(host, run.kernel, packet, network.driver, next_hop)
    if endpoint is not None and endpoint.mac and "src_mac" in packet.defaults:
        packet.src_mac = endpoint.mac
    port = _host_side(host, container, device, endpoint)
    if port is None:
        return Outcome("ACCEPT", Delivery("outside", address_text(packet.family, packet.dst), packet, device))
    if (
        run.kernel.choices.sent == Sent()
        and (unanswered := _unanswered(run, packet, port, outcome)) is not None
    ):
        return unanswered
    return receive(run.kernel, packet, port, outcome.next_hop)


def _from_outside(run: Run, origin: Outside, packet: Packet) -> Outcome:
    """Follow a packet from another machine, which may not reach the host."""
    kernel = run.kernel
    if (driver := bypassing_driver(run.host, packet)) in ("macvlan", "ipvlan"):
        return bypass(run.host, kernel, packet, driver, packet.dst)
    if _has_no_way_out(run, origin, packet):
        note = message("nothing is sent: a container of an internal network has no default route")
        return kernel.drop("no-route", note)
    if "pkttype" in packet.defaults:
        packet.pkttype = _frame_kind(run.host.namespace, origin.interface, packet)
    return receive_from_outside(kernel, packet, origin.interface)


def _unanswered(run: Run, packet: Packet, port: str, sent: Outcome) -> Outcome | None:
    """Drop what a container cannot send because the host does not answer its ARP request for the gateway.

    arp_process (net/ipv4/arp.c) routes the request as a packet to the gateway, so strict rp_filter may drop it.
    Measured. A reply needs no request: the container knows the MAC address from the host's own one.
    """
    namespace, gateway = run.host.namespace, sent.next_hop or packet.dst
    interface = namespace.interfaces.get(port)
    device = (interface.master if interface is not None else None) or port
    if packet.family == 6 or packet.pkttype != "unicast" or not namespace.has_address(4, gateway):
        return None
    if fib.source_problem(namespace, packet.src, gateway, device) != "rp_filter":
        return None
    note = message(
        "the host does not answer ARP requests for {gateway} (rp_filter), because the route from there back to {source}"
        " does not leave by {interface}",
        gateway=address_text(4, gateway),
        source=address_text(4, packet.src),
        interface=device,
    )
    return run.kernel.drop("rp-filter", note)


def _has_no_way_out(run: Run, origin: Outside, packet: Packet) -> bool:
    """Return whether a sender on an internal network of Docker has no route to the destination.

    Since Docker 25 its containers have no default route. What the question says arrives has been sent.
    """
    network = run.host.network_of_bridge(origin.interface)
    if network is None or not network.internal or network.daemon != "docker" or run.question.in_interface:
        return False
    inside = network.covers(packet.family, packet.dst) or not network.covers(packet.family, packet.src)
    if inside or _frame_kind(run.host.namespace, origin.interface, packet) != "unicast":
        return False
    engine = run.host.daemon.engine if run.host.daemon is not None else None
    if engine is not None:
        return not engine.internal_networks_have_gateways
    unknown = Unknown(
        message("the version of Docker: since 25, containers of internal networks have no default route"),
        message("the output of docker version"),
    )
    return run.kernel.choices.choose(unknown, "engine_25", message("Docker is 25 or later"))


def _frame_kind(namespace: Namespace, interface: str, packet: Packet) -> str:
    """Return how a machine on the link of an interface addresses the frame of a packet, by the packet's destination.

    To a broadcast address of another link, which it does not know as one, it sends a unicast frame. In a tunnel of IP
    packets there are no frames: to the kernel, each packet is for the host alone (tun_get_user; measured).
    """
    own = namespace.interfaces.get(interface)
    if own is not None and own.is_tunnel:
        return "unicast"
    if is_multicast(packet.family, packet.dst):
        return "multicast"
    links = (interface, own.master) if own is not None and own.master is not None else (interface,)
    is_broadcast = packet.family == 4 and any(
        fib.is_broadcast_on(namespace, link, packet.dst) for link in links
    )
    return "broadcast" if is_broadcast else "unicast"


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
    """Evaluate the rules of a container's own namespace for a packet that reaches it."""
    container, packet = run.host.containers[delivered.name], delivered.packet
    namespace = container.namespace
    found = namespace.interface_of(packet.family, packet.dst)
    is_elsewhere = found is None and not is_multicast(packet.family, packet.dst)
    passes = is_elsewhere and any(map(_leads_to_host, namespace.interfaces.values()))
    if not passes and not run.namespaces.hooks_of(namespace).programs(packet.family):
        return
    own = run.kernel_of(container)
    own.begin()
    device = next((name for name in namespace.interfaces if name != "lo"), "eth0")
    outcome = receive(own, packet, found.name if found else device)
    leg.arrival_steps = own.passage.steps
    if outcome.verdict != "ACCEPT":
        leg.verdict, leg.delivered = outcome.verdict, None
    elif passes and outcome.delivered is not None:
        _send_on(run, leg, container, outcome.delivered)


def _leads_to_host(interface: Interface) -> bool:
    """Return whether an interface in a container is known to be one end of a veth pair of the host."""
    return interface.peer_index is not None


def _send_on(run: Run, leg: Leg, container: Container, onward: Delivery) -> None:
    """Leave open what the host does with a packet that a container forwards, and sends to the host again."""
    device = container.namespace.interfaces.get(onward.interface or "")
    if onward.kind != "outside" or device is None or not _leads_to_host(device):
        return
    packet, name = onward.packet, container.name
    unknown = Unknown(
        message(
            "what the host does with the packet after {name} has forwarded it through its {device}",
            name=name,
            device=device.name,
        ),
        f"--from {name} --src {address_text(packet.family, packet.src)}",
        (name, "onward"),
    )
    if not run.kernel.choices.choose(
        unknown, "onward", message("the host accepts it from {name} again", name=name)
    ):
        leg.verdict, leg.delivered = "DROP", None
