"""The first packet of a question on a host, and where it starts: in a container, on the host, or on an interface."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from iptsim.addresses import address_text
from iptsim.errors import UsageError
from iptsim.host import fib
from iptsim.host.kube_services import node_port, service_port
from iptsim.host.model import Host
from iptsim.languages import Message, message
from iptsim.packet import Packet
from iptsim.protocols import protocol_name
from iptsim.question.endpoints import Address, Internet, Loopback, Machine, NodePort, Service
from iptsim.question.ends import LOOPBACK, Ends
from iptsim.question.header import make_packet
from iptsim.question.internet import outside_address
from iptsim.question.model import Question
from iptsim.question.places import InContainer, OnHost, Origin, Outside, place_of, source_place
from iptsim.question.values import quoted
from iptsim.suggestions import suggest_or_list


@dataclass(slots=True)
class Start:
    """A packet ready to be sent.

    Attributes:
        origin: where it starts.
        sender_name / target_name: the names of both ends in the answer.
        packet: the packet; its source address is known unless `pick_source`.
        pick_source: the sender's kernel picks the source address.
        notes: what was assumed about the endpoints.
    """

    origin: Origin
    sender_name: str
    target_name: str
    packet: Packet
    pick_source: bool = False
    notes: list[Message] = field(default_factory=list)


def first_packet(host: Host, question: Question) -> Start:
    """Return the first packet of a question, and where it starts.

    Raises:
        UsageError: the host does not know an endpoint, or the endpoint has no address of the family.
    """
    if isinstance(question.to, Service | NodePort):
        return _to_service(host, question, question.to)
    return _sent(host, question) if question.in_interface is None else _arriving(host, question)


def _to_service(host: Host, question: Question, to: Service | NodePort) -> Start:
    """Return the first packet to a service of Kubernetes: to its cluster IP, or to the host at a node port."""
    port = (
        service_port(host, to.name, question.dport) if isinstance(to, Service) else node_port(host, to.number)
    )
    destination = Address(port.family, port.address) if port.address is not None else Machine()
    stated = replace(
        question, to=destination, dport=port.port, proto=protocol_name(port.proto), family=port.family
    )
    start = first_packet(host, stated)
    start.target_name = str(to)
    return start


# -- a packet that an endpoint sends ---------------------------------------------------------------


def _sent(host: Host, question: Question) -> Start:
    assert question.sender is not None  # a question has a source
    source = source_place(host, question.sender)
    ends = Ends(host, question, question.sender, source)
    target_name, destination = ends.destination()
    packet = make_packet(question, ends.family, 0, destination)
    if isinstance(source, Internet | Address):
        return _from_outside(ends, source, packet, target_name)
    if isinstance(source, InContainer):
        start = _from_container(ends, source, packet, target_name)
    else:
        start = _from_host(ends, source, packet, target_name)
    if destination == 0:
        _send_to_itself(ends, packet)
    return start


def _from_host(ends: Ends, source: OnHost | Loopback, packet: Packet, target_name: str) -> Start:
    question = ends.question
    bound = question.src or (source.address if isinstance(source, OnHost) else None)
    if bound is not None:
        packet.src = ends.fitting(bound, "src" if question.src else "from")
    elif isinstance(source, Loopback):
        packet.src = LOOPBACK[ends.family]
    pick = bound is None and isinstance(source, OnHost)
    return Start(OnHost(), "host", target_name, packet, pick_source=pick, notes=ends.notes)


def _send_to_itself(ends: Ends, packet: Packet) -> None:
    """Send a packet for the unspecified address to the sender's own IPv4 address if that is known, else to loopback.

    Sources: ip_route_output_key_hash_rcu, tcp_v6_connect.
    """
    own = packet.src if ends.family == 4 else 0
    packet.dst = own or LOOPBACK[ends.family]
    ends.notes.append(
        message(
            "The destination {unspecified} is the sender itself: {address}.",
            unspecified=address_text(ends.family, 0),
            address=address_text(ends.family, packet.dst),
        )
    )


def _from_container(ends: Ends, source: InContainer, packet: Packet, target_name: str) -> Start:
    stated = ends.question.src
    if stated is not None:
        packet.src = stated.value
    elif (source.attachment or source.named) and (own := source.address(packet.family)) is not None:
        packet.src = own
    pick = stated is None and packet.src == 0
    return Start(source, source.container.name, target_name, packet, pick_source=pick, notes=ends.notes)


def _from_outside(ends: Ends, source: Internet | Address, packet: Packet, target_name: str) -> Start:
    host, stated = ends.host, ends.question.src
    if isinstance(source, Internet):
        packet.src = ends.outside_address()
        if packet.src == packet.dst:
            packet.src += 1
    else:
        packet.src = ends.fitting(source, "from")
    route = _route_back(host, packet)
    if stated is not None:
        # the packet still arrives where the route to its sender leads
        packet.src = stated.value
    interface = _bridge_without_address(host, packet, route) or route.device
    if route.type != "unicast" or interface is None:
        interface = fib.lookup(host.namespace, ends.family, outside_address(host, ends.family)).device
    if interface is None:
        raise UsageError(
            message(
                "no route leads to {address}, so the interface on which its packet arrives is unknown; give it with -i",
                address=address_text(ends.family, packet.src),
            )
        )
    if route.others:
        ends.notes.append(
            message(
                "The route to {name} has several next hops; assumed that its packet arrives on {interface}.",
                name=str(source),
                interface=interface,
            )
        )
    return Start(Outside(interface), str(source), target_name, packet, notes=ends.notes)


def _bridge_without_address(host: Host, packet: Packet, route: fib.RouteResult) -> str | None:
    """Return the bridge of a sender's network if no route leads there: that of an isolated network has no address."""
    if route.route is not None and route.route.prefix_length:
        return None
    networks = (one for one in host.networks.values() if one.covers(packet.family, packet.src))
    return next((one.bridge for one in networks if one.bridge in host.namespace.interfaces), None)


def _route_back(host: Host, packet: Packet) -> fib.RouteResult:
    """Return the route of a reply to a packet from outside, as `ip rule` sees it: source and destination swapped."""
    forth = fib.lookup(host.namespace, packet.family, packet.dst)
    return fib.lookup(
        host.namespace, packet.family, packet.src, source=packet.dst,
        iif=forth.device if forth.type == "unicast" else None,
        proto=packet.proto, sport=packet.dport, dport=packet.sport, tos=packet.tos,
    )  # fmt: skip


# -- a packet as it arrives ------------------------------------------------------------------------


def _arriving(host: Host, question: Question) -> Start:
    endpoint, interface = question.src or question.sender, question.in_interface
    assert endpoint is not None  # a question has a source
    assert interface is not None
    known = host.namespace.interfaces
    if known and interface not in known and not host.inferred:
        raise UsageError(
            suggest_or_list(
                message("the host has no interface {name}", name=quoted(interface)), interface, known
            )
        )
    source = place_of(host, endpoint)
    ends = Ends(host, question, endpoint, source)
    target_name, destination = ends.destination()
    if isinstance(source, Internet):
        address: int | None = ends.outside_address()
    elif question.src is not None:
        address = ends.fitting(question.src, "src")
    elif isinstance(source, Address):
        address = ends.fitting(source, "from")
    elif isinstance(source, InContainer):
        address = source.address(ends.family)
    else:
        raise UsageError(
            message(
                "from: {endpoint} does not send packets that arrive on an interface; leave out -i",
                endpoint=str(endpoint),
            )
        )
    if address is None:
        raise UsageError(
            message("{endpoint} has no IPv{family} address", endpoint=str(endpoint), family=ends.family)
        )
    packet = make_packet(question, ends.family, address, destination)
    return Start(Outside(interface), str(endpoint), target_name, packet, notes=ends.notes)
