"""Where packets come from, and the classes of packets that take the same path from there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import itemgetter, or_
from typing import Any

from iptsim.addresses import address_text, is_loopback
from iptsim.connection import Connection
from iptsim.extensions.constraints import named
from iptsim.host import fib
from iptsim.host.address_regions import public_addresses
from iptsim.host.model import Host
from iptsim.host.namespace import Namespace
from iptsim.host.routing_policy import own_rules
from iptsim.languages import Message, message
from iptsim.netfilter.branches import Branches
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.trace import Leg, Trace
from iptsim.packet import Packet, syn_options, usual_length
from iptsim.protocols import ACK, ICMP, ICMP_REPLIES, ICMPV6, PORT_PROTOCOLS, SYN, TCP, protocol_name
from iptsim.question.endpoints import KEYWORDS
from iptsim.question.model import Question
from iptsim.question.start import first_packet
from iptsim.question.values import quoted
from iptsim.sets.class_walk import ClassWalk
from iptsim.sets.decisions import Decisions
from iptsim.sets.examples import Examples
from iptsim.sets.groups import Group
from iptsim.sets.landscape import Landscape
from iptsim.sets.limits import MOST_WAYS, Ways
from iptsim.sets.packets import PacketSet
from iptsim.sets.parts import Leader, Part, unfolded
from iptsim.sets.policies import divided
from iptsim.sets.reception import OTHER
from iptsim.sets.regions import Prefix
from iptsim.sets.sources import by_source
from iptsim.sets.targets import Targets
from iptsim.sets.translating import Bits


@dataclass(frozen=True, slots=True)
class Sender:
    """Where packets come from.

    Attributes:
        name: "internet", "host", or a container; None for other networks behind an interface.
        interface: the interface on which the packets arrive, as rules see it; "" for those of the host and of
            containers.
        namespace: the namespace whose kernel picks the source address; None for packets from outside.
        sources: the regions of source addresses; empty if the kernel picks the address.
        group: the containers, this one included, that differ only in their addresses.
    """

    name: str | None
    interface: str = ""
    namespace: Namespace | None = None
    sources: tuple[Prefix, ...] = ()
    group: Group = ()


#: Where packets arrive: the kind of place, its name ("" outside), and the interface.
Arrival = tuple[str, str, str | None]


@dataclass(frozen=True, slots=True, eq=False)
class Class:
    """Packets that take the same path.

    Attributes:
        sender: where they come from.
        packets: the packets as they arrive, with what is undecided: a function.
        parts: the parts where the request is delivered, each with its rewritten fields.
        arrival: where the request arrives; None if it does not.
        trace: the trace of one of them, or of an equivalent packet from or to another container of the group.
    """

    sender: Sender
    packets: Any
    parts: tuple[Part, ...]
    arrival: Arrival | None
    trace: Trace

    @property
    def divided(self) -> Iterator[Part]:
        """The parts, divided by their new addresses and ports."""
        for part in self.parts:
            yield from unfolded(part)

    @property
    def end(self) -> tuple[str, str] | None:
        """Where the packets finally arrive: the kind of place and its name."""
        proxied = _proxied(self.trace)
        if proxied is not None and proxied.delivered is not None:
            return proxied.delivered.kind, proxied.delivered.name
        return self.arrival[:2] if self.arrival is not None else None

    @property
    def proxied(self) -> tuple[str, int] | None:
        """What docker-proxy connects to: the address, and the offset of the port; None if docker-proxy gets nothing."""
        leg, delivered = _proxied(self.trace), self.trace.legs[0].delivered
        if leg is None or delivered is None:
            return None
        packet, further = leg.packet, (leg.packet.dport or 0) - (delivered.packet.dport or 0)
        return address_text(packet.family, packet.dst), further


def _proxied(trace: Trace) -> Leg | None:
    """Return docker-proxy's connection to a container, if there is one and it arrives."""
    found = (leg for leg in trace.legs if leg.proxy and leg.direction == "original")
    return next((leg for leg in found if leg.verdict == "ACCEPT"), None)


class _ClassBranches(Branches):
    """The branches of a walk, reduced to that of a class: its packets determine what is undecided."""

    def __init__(self, walk: ClassWalk, *args: Any) -> None:
        super().__init__(*args)
        self._walk = walk

    def kernel(self, plan: tuple[bool, ...], known: tuple[Connection, ...]) -> Kernel:
        """Return the state of the host's kernel before the first packet."""
        kernel = super().kernel(plan, known)
        kernel.choices, kernel.company = Decisions(self._walk.decide), self._walk
        return kernel


def senders_of(land: Landscape) -> Iterator[Sender]:
    """Yield the possible senders: outside each interface, each container, the host."""
    host, family = land.host, land.family
    behind: dict[tuple[bool, str], list[Prefix]] = {}
    for region in land.regions.all:
        ranges = land.regions.ranges(region)
        if not ranges or ranges[0][0] == 0 == ranges[0][1] or host.owner_of(family, ranges[0][0]) is not None:
            continue
        found = fib.lookup(host.namespace, family, ranges[0][0])
        if found.type == "unicast" and found.device not in (None, "lo"):
            default = found.route is not None and found.route.prefix_length == 0
            behind.setdefault((default, found.device or ""), []).append(region)
    for (default, device), regions in behind.items():
        if _is_full(land, device):
            continue
        if default:
            yield Sender("internet", device, None, tuple(regions))
        yield Sender(None, device, None, tuple(regions))
    for container in host.containers.values():
        shares = container.network_mode == "host" or container.shares_namespace
        if container.running and not shares and container.address(family) is not None:
            group = next((one for one in land.groups if any(m.name == container.name for m in one)), ())
            yield Sender(container.name, "", container.namespace, group=group)
    yield Sender("host", "", host.namespace)


def _is_full(land: Landscape, device: str) -> bool:
    """Return whether a device is a bridge all of whose ports lead to containers: no other machine is there."""
    taken = {
        endpoint.bridge_port
        for container in land.host.containers.values()
        for endpoint in container.endpoints.values()
    }
    ports = {port.name for port in land.host.namespace.ports(device)}
    interface = land.host.namespace.interfaces.get(device)
    return interface is not None and interface.kind == "bridge" and bool(ports) and ports <= taken


def no_machines_behind(host: Host, interface: str) -> Message:
    """Return the error for an interface without known machines behind it."""
    if interface == "lo":
        return message(
            "only the host itself sends through {interface}; use host", interface=quoted(interface)
        )
    behind = [
        container.name
        for container in host.containers.values()
        for name, endpoint in container.endpoints.items()
        if interface == endpoint.bridge_port
        or ((network := host.networks.get(name)) is not None and interface == network.bridge)
    ]
    if behind:
        return message(
            "only containers are behind {interface}; name one of them instead: {containers}",
            interface=quoted(interface),
            containers=", ".join(dict.fromkeys(behind)),
        )
    return message(
        "nothing shows which networks are behind {interface}: give a network or an address instead, or add the "
        "output of `ip address` and `ip route` to the source (`--with FILE`)",
        interface=quoted(interface),
    )


class Classes:
    """Divides packets into classes that take the same path.

    Args:
        land: the host.
        state: the state of the packets: "new", "established", "related", "invalid", "untracked".
        most_ways: the limit on ways that depend on something undecided.
    """

    def __init__(self, land: Landscape, *, state: str = "new", most_ways: int = MOST_WAYS) -> None:
        self.land, self.space, self.state = land, land.space, state
        self._ways = Ways(land.space.layout, most_ways, land.rules_with)
        self._public = land.space.where("src", public_addresses(land.host, land.family).spans).function
        #: a program that sends there sends to itself
        self._unspecified = land.regions.of(0)
        self._of_groups: dict[Any, list[Class]] = {}
        self._targets = Targets(land)
        self._examples = Examples(land)

    def of(self, sender: Sender, asked: Any) -> Iterator[Class]:
        """Yield the classes of a sender's packets, by destination; raise TooManyWaysError above the limit on ways."""
        nothing = self.land.bits.false
        if sender.name == "internet":
            asked &= self._public
        elif sender.name is None:
            asked &= ~self._public
        if sender.namespace is None:
            asked &= self.space.where("in_interface", named(sender.interface)).function
        found: list[tuple[int, Class]] = []
        for targets in self._targets.of(sender.namespace, sender.interface):
            here = asked & reduce(or_, (self.land.within(target, "dst") for target in targets))
            if here != nothing and not (sender.namespace is not None and targets == (self._unspecified,)):
                classes = self._to(sender, here, targets)
                found += (
                    (self._targets.place(targets, one.trace.legs[0].packet.dst), one) for one in classes
                )
        found.sort(key=itemgetter(0))
        yield from (one for _, one in found)

    def _to(self, sender: Sender, packets: Any, targets: tuple[Prefix, ...]) -> Iterator[Class]:
        """Yield the classes of the packets to some destinations."""
        for source in sender.sources:
            yield from self._divided(sender, packets & self.land.within(source, "src"))
        if sender.namespace is not None:
            yield from self._of_kernel(sender, sender.namespace, packets, targets)

    def _of_kernel(
        self, sender: Sender, namespace: Namespace, packets: Any, targets: tuple[Prefix, ...]
    ) -> Iterator[Class]:
        """Yield the classes of packets whose source address the sender's kernel picks."""
        if sender.group and not is_loopback(self.land.family, targets[0].address):
            yield from self._of_group(sender, namespace, packets, targets)
            return
        for part, example in self._by_policy(namespace, packets):
            for to, source in self._by_source(namespace, targets, example):
                yield from self._divided(sender, part & to & self._from(source or 0))

    def _by_policy(self, namespace: Namespace, packets: Any) -> Iterator[tuple[Any, Packet | None]]:
        """Divide packets by what the policy rules of a kernel compare; yield one packet of each part."""
        rules = own_rules(namespace, self.land.family)
        if rules is None:
            yield packets, None
            return
        for part in divided(self.land.bits, packets, rules):
            values = self._examples.values(part)
            example = Packet(self.land.family, 0, 0, values["proto"])
            if example.proto in PORT_PROTOCOLS:
                example.sport, example.dport = values["sport"], values["dport"]
            yield part, example

    def _by_source(
        self, namespace: Namespace, targets: tuple[Prefix, ...], example: Packet | None = None
    ) -> Iterator[tuple[Any, int | None]]:
        """Yield the packets to some destinations by the source address that a kernel picks for them."""
        ranges = tuple(sorted(span for target in targets for span in self.land.regions.ranges(target)))
        yield from by_source(self.space, namespace, ranges, lambda: self.land.compared, example)

    def _of_group(
        self, sender: Sender, namespace: Namespace, packets: Any, targets: tuple[Prefix, ...]
    ) -> Iterator[Class]:
        """Yield the classes of packets that a container of a group sends, from those of the whole group."""
        key = sender.group, packets
        found = self._of_groups.get(key)
        if found is None:
            found = self._of_groups[key] = list(self._of_whole_group(sender, namespace, packets, targets))
        own = self._from(next(member.address for member in sender.group if member.name == sender.name))
        anyone = self.land.within(self.land.regions.of(sender.group[0].address), "src")
        for one in found:
            mine = one.packets & (own | ~anyone)
            if mine != self.land.bits.false:
                arrival = one.arrival
                if arrival is not None and one.trace.legs[0].inside:
                    arrival = arrival[0], sender.name or "", arrival[2]
                yield Class(sender, mine, one.parts, arrival, one.trace)

    def _of_whole_group(
        self, sender: Sender, namespace: Namespace, packets: Any, targets: tuple[Prefix, ...]
    ) -> Iterator[Class]:
        group, regions = sender.group, self.land.regions
        own = next(member.address for member in group if member.name == sender.name)
        members = {member.address for member in group}
        kept = self.land.bits.false
        for to, source in self._by_source(namespace, targets):
            if source in members:
                kept |= to
            else:
                yield from self._divided(sender, packets & to & self._from(source or 0))
        packets &= kept & self.land.within(regions.of(own), "src")
        if targets != (regions.of(own),):
            yield from self._divided(sender, packets)
            return
        to_itself = self.land.bits.false
        for member in group:
            there = self.space.where("dst", ((member.address, member.address),)).function
            to_itself |= self._from(member.address) & there
        yield from self._divided(sender, packets & ~to_itself)
        yield from self._divided(sender, packets & to_itself)

    def _from(self, address: int) -> Any:
        return self.space.where("src", ((address, address),)).function

    def _divided(self, sender: Sender, left: Any) -> Iterator[Class]:
        while left != self.land.bits.false:
            for found in self._classes(sender, left):
                yield found
                left &= ~found.packets

    def _classes(self, sender: Sender, packets: Any) -> Iterator[Class]:
        """Yield, by place of arrival, the packets that take the same path as one of the given packets."""
        land = self.land
        line, leading = self.one(sender, packets)
        question = Question(**line)
        start = first_packet(land.host, question)
        start.packet = Leader.of(start.packet, (Part(packets, {"length": self._lengths}),))
        walk = ClassWalk(land, packets, leading, opens=self.state == "new")
        trace = _ClassBranches(walk, land.namespaces, question, start).run(())
        parts = [part.packets for part in walk.widest]
        self._ways.add(walk.packets, parts, sender.name or sender.interface)
        for inside, blocked in walk.blocked.divided(walk.packets, trace):
            for own, connected in walk.proxied.divided(inside, blocked):
                yield from self._by_arrival(sender, own, connected)

    @cached_property
    def _lengths(self) -> Bits:
        """The usual length of a packet, which depends on its protocol."""
        family = self.land.family
        icmp = ICMP if family == 4 else ICMPV6
        options = {} if self.state == "established" else syn_options(family)
        tcp = Packet(family, 0, 0, TCP, tcp_options=options)
        found = {packet.proto: usual_length(packet) for packet in (tcp, Packet(family, 0, 0, icmp))}
        return self.land.bits.by_protocol("length", found, usual_length(Packet(family, 0, 0, OTHER)))

    def _by_arrival(self, sender: Sender, packets: Any, trace: Trace) -> Iterator[Class]:
        """Yield a class, or one for each container of a group at which its packets arrive."""
        leg = trace.legs[0]
        delivered = leg.delivered
        if delivered is None or not isinstance(delivered.packet, Leader):
            yield Class(sender, packets, (), None, trace)
            return
        parts = delivered.packet.parts
        arrival = (
            delivered.kind,
            delivered.name if delivered.kind != "outside" else "",
            delivered.interface,
        )
        comes_in = delivered.kind == "container" and not leg.inside
        group = self.land.group_of.get(delivered.name, ()) if comes_in else ()
        if not group:
            yield Class(sender, packets, parts, arrival, trace)
            return
        by_member: dict[int, list[Part]] = {}
        for part in parts:
            for address, inside in self._by_destination(part, group):
                if inside & packets != self.land.bits.false:
                    by_member.setdefault(address, []).append(replace(part, packets=inside))
        for member in group:
            there = by_member.get(member.address)
            if there:
                mine = packets & reduce(or_, (part.packets for part in there))
                yield Class(
                    sender, mine, tuple(there), ("container", member.name, delivered.interface), trace
                )

    def _by_destination(self, part: Part, group: Group) -> Iterator[tuple[int, Any]]:
        """Yield the packets of a part by their destination, a member of a group."""
        bits = self.land.bits
        to = bits.of(part.header, "dst")
        address = bits.number(to)
        if address is not None:
            yield address, part.packets
            return
        for member in group:
            yield member.address, part.packets & bits.within("dst", to, member.address, member.address)

    def one(self, sender: Sender, packets: Any) -> tuple[dict[str, Any], Any]:
        """Return one packet of a set, as a batch line and as a set."""
        packets = self._examples.usual(packets, picks_source=sender.namespace is not None)
        values = self._examples.values(packets)
        names = ["src", "dst", "proto"]
        if values["proto"] in PORT_PROTOCOLS:
            names += ["sport", "dport"]
        elif values["proto"] in (ICMP, ICMPV6):
            names.append("icmp_type")
        if values["proto"] == TCP:
            names.append("tcp_flags")
        # together they are much smaller than the packets
        chosen = self.space.point({name: values[name] for name in names})
        return self._line(sender, values), packets & chosen.function

    def witness(self, sender: Sender, packets: Any) -> dict[str, Any]:
        """Return one packet of a set as a batch line."""
        usual = self._examples.usual(packets, picks_source=sender.namespace is not None)
        return self._line(sender, self._examples.values(usual))

    def _line(self, sender: Sender, values: dict[str, Any]) -> dict[str, Any]:
        """Return a packet with some values as a batch line."""
        family, proto = self.land.family, values["proto"]
        line: dict[str, Any] = {}
        if sender.namespace is None:
            line |= {"in": sender.interface, "src": address_text(family, values["src"])}
        else:
            line["from"] = self._endpoint(sender, values["src"])
        line |= {"dst": address_text(family, values["dst"]), "proto": protocol_name(proto)}
        if proto in PORT_PROTOCOLS:
            line |= {"sport": values["sport"], "dport": values["dport"]}
        elif proto in (ICMP, ICMPV6):
            line |= {"icmp_type": values["icmp_type"] >> 8, "icmp_code": values["icmp_type"] & 0xFF}
        if self.state != "new":
            line["state"] = self.state
        return line

    def _endpoint(self, sender: Sender, source: int) -> str:
        """Return the text of a sender in a question: a container may be called like a keyword, even "host"."""
        if sender.namespace is self.land.host.namespace:
            return sender.name or ""
        name = next((member.name for member in sender.group if member.address == source), sender.name or "")
        container = self.land.host.containers.get(name)
        if container is None or name not in KEYWORDS:
            return name
        return f"{name}@{next(iter(container.endpoints), '')}"

    def packets(self) -> PacketSet:
        """Return all packets of the state; for "new", those that may open a connection."""
        space = self.space
        own, foreign = (ICMP, ICMPV6) if space.family == 4 else (ICMPV6, ICMP)

        def proto(number: int) -> PacketSet:
            return space.where("proto", ((number, number),))

        asked = ~proto(0) - proto(foreign)
        flags = ACK if self.state == "established" else SYN
        asked &= ~proto(TCP) | space.where("tcp_flags", ((flags, flags),))
        if self.state in ("new", "established"):
            requests = tuple((kind << 8, kind << 8 | 0xFF) for kind in sorted(ICMP_REPLIES[own]))
            asked &= ~proto(own) | space.where("icmp_type", requests)
        return asked
