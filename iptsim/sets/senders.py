"""Where packets set out, and the classes of packets that go the same way from there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from iptsim.extensions.constraints import named
from iptsim.host import fib
from iptsim.host.address_regions import public_addresses
from iptsim.host.namespace import Namespace
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.trace import Trace
from iptsim.netfilter.ways import Ways
from iptsim.packet import (
    ACK,
    ICMP,
    ICMP_REPLIES,
    ICMPV6,
    PORT_PROTOCOLS,
    SYN,
    TCP,
    Connection,
    Packet,
    address_text,
    protocol_name,
)
from iptsim.question.endpoints import KEYWORDS
from iptsim.question.header import DEFAULT_SPORT
from iptsim.question.internet import outside_address
from iptsim.question.model import Question
from iptsim.question.start import first_packet
from iptsim.sets.class_walk import ClassWalk, Decisions, Leader, Part
from iptsim.sets.landscape import Landscape
from iptsim.sets.packets import PacketSet
from iptsim.sets.regions import Prefix


@dataclass(frozen=True, slots=True)
class Sender:
    """Where packets set out.

    Attributes:
        name: "internet", "host", or a container; None for other networks behind an interface.
        interface: that the packets arrive by, as rules see it; "" for the host's own and those of containers.
        namespace: whose kernel picks the source address; None where packets arrive from outside.
        sources: the regions of source addresses; none where the kernel picks the address.
    """

    name: str | None
    interface: str = ""
    namespace: Namespace | None = None
    sources: tuple[Prefix, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Class:
    """Packets that go the same way.

    Attributes:
        sender: where they set out.
        packets: which, as they arrive, with what is undecided: a function.
        parts: the parts that arrive where the request is delivered; each with what was rewritten.
        trace: the way of one of them.
        line: that packet, as a batch line.
    """

    sender: Sender
    packets: Any
    parts: tuple[Part, ...]
    trace: Trace
    line: dict[str, Any]


class _ClassWays(Ways):
    """Follows the way of a class: what is undecided goes as the class says."""

    def __init__(self, walk: ClassWalk, *args: Any) -> None:
        super().__init__(*args)
        self._walk = walk

    def kernel(self, plan: tuple[bool, ...], known: tuple[Connection, ...]) -> Kernel:
        """Return the state of the host's kernel before the first packet."""
        kernel = super().kernel(plan, known)
        kernel.choices, kernel.company = Decisions(self._walk), self._walk
        return kernel


def senders_of(land: Landscape) -> Iterator[Sender]:
    """Yield where packets may set out: outside each interface, in each container, on the host."""
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
        if default:
            yield Sender("internet", device, None, tuple(regions))
        yield Sender(None, device, None, tuple(regions))
    for container in host.containers.values():
        shares = container.network_mode == "host" or container.network_mode.startswith("container:")
        if container.running and not shares and container.address(family) is not None:
            yield Sender(container.name, "", container.namespace)
    yield Sender("host", "", host.namespace)


class Classes:
    """Divides packets into classes that go the same way.

    Args:
        land: the host.
        state: the state of the packets: "new", "established", "related", "invalid", "untracked".
    """

    def __init__(self, land: Landscape, *, state: str = "new") -> None:
        self.land, self.space, self.state = land, land.space, state
        self._public = land.space.where("src", public_addresses(land.host, land.family).spans).function
        #: a program that sends there sends to itself
        self._unspecified = land.regions.of(0)

    def of(self, sender: Sender, asked: Any) -> Iterator[Class]:
        """Yield the classes of some packets that set out at one place."""
        nothing = self.land.bits.false
        if sender.name == "internet":
            asked &= self._public
        elif sender.name is None:
            asked &= ~self._public
        if sender.namespace is None:
            asked &= self.space.where("in_interface", named(sender.interface)).function
        for target in self.land.regions.all:
            if sender.namespace is not None and target == self._unspecified:
                continue
            here = asked & self.land.within(target, "dst")
            if here == nothing:
                continue
            for source in sender.sources:
                yield from self._divided(sender, here & self.land.within(source, "src"))
            if sender.namespace is not None:
                yield from self._of_kernel(sender, sender.namespace, here, target)

    def _of_kernel(
        self, sender: Sender, namespace: Namespace, packets: Any, target: Prefix
    ) -> Iterator[Class]:
        """Yield the classes of packets whose source address the sender's kernel picks."""
        source = self._picked(namespace, self.land.regions.ranges(target)[0][0]) or 0
        yield from self._divided(sender, packets & self.space.where("src", ((source, source),)).function)

    def _picked(self, namespace: Namespace, destination: int) -> int | None:
        family = self.land.family
        found = fib.lookup(namespace, family, destination)
        if found.type not in ("unicast", "local", "broadcast", "multicast", "anycast"):
            return None
        return fib.source_address(namespace, family, found, destination)

    def _divided(self, sender: Sender, left: Any) -> Iterator[Class]:
        while left != self.land.bits.false:
            found = self._class(sender, left)
            yield found
            left &= ~found.packets

    def _class(self, sender: Sender, packets: Any) -> Class:
        land = self.land
        line, leading = self.one(sender, packets)
        question = Question(**line)
        start = first_packet(land.host, question)
        values = {entry.name: getattr(start.packet, entry.name) for entry in fields(Packet)}
        start.packet = Leader(**values, parts=(Part(packets, {}),))
        walk = ClassWalk(land, packets, leading, opens=self.state == "new")
        trace = _ClassWays(walk, land.namespaces, question, start).run(())
        delivered = trace.legs[0].delivered
        arrived = (
            delivered.packet.parts if delivered is not None and isinstance(delivered.packet, Leader) else ()
        )
        return Class(sender, walk.packets, arrived, trace, line)

    def one(self, sender: Sender, packets: Any) -> tuple[dict[str, Any], Any]:
        """Return one of some packets, as a batch line and as a set."""
        space, nothing, family = self.space, self.land.bits.false, self.land.family
        usual = (
            ("proto", TCP), ("sport", DEFAULT_SPORT), ("dport", 80),
            ("src", outside_address(self.land.host, family)), ("dst", outside_address(self.land.host, family)),
        )  # fmt: skip
        for key, value in usual:
            likely = packets & space.where(key, ((value, value),)).function
            packets = packets if likely == nothing else likely
        values = PacketSet(space.layout, packets).one()
        proto, names = values["proto"], ["src", "dst", "proto"]
        line: dict[str, Any] = {}
        if sender.namespace is None:
            line |= {"in": sender.interface, "src": address_text(family, values["src"])}
        else:
            line["from"] = self._endpoint(sender)
        line |= {"dst": address_text(family, values["dst"]), "proto": protocol_name(proto)}
        if proto in PORT_PROTOCOLS:
            names += ["sport", "dport"]
            line |= {"sport": values["sport"], "dport": values["dport"]}
        elif proto in (ICMP, ICMPV6):
            names.append("icmp_type")
            line |= {"icmp_type": values["icmp_type"] >> 8, "icmp_code": values["icmp_type"] & 0xFF}
        if sender.namespace is None and PacketSet(space.layout, packets).depends_on("src_mac"):
            names.append("src_mac")
            line["src_mac"] = values["src_mac"]
        if self.state != "new":
            line["state"] = self.state
        if proto == TCP:
            names.append("tcp_flags")
        for name in names:
            packets &= space.point({name: values[name]}).function
        return line, packets

    def _endpoint(self, sender: Sender) -> str:
        """Return the text of a sender in a question: a container may be called like a keyword."""
        container = self.land.host.containers.get(sender.name or "")
        if container is None or sender.name not in KEYWORDS:
            return sender.name or ""
        return f"{sender.name}@{next(iter(container.endpoints), '')}"

    def packets(self) -> PacketSet:
        """Return all packets of the state: new ones are those that may open a connection."""
        space = self.space
        own, foreign = (ICMP, ICMPV6) if space.family == 4 else (ICMPV6, ICMP)

        def proto(number: int) -> PacketSet:
            return space.where("proto", ((number, number),))

        asked = ~proto(0) - proto(foreign)
        flags = SYN if self.state == "new" else ACK
        asked &= ~proto(TCP) | space.where("tcp_flags", ((flags, flags),))
        if self.state in ("new", "established"):
            requests = tuple((kind << 8, kind << 8 | 0xFF) for kind in sorted(ICMP_REPLIES[own]))
            asked &= ~proto(own) | space.where("icmp_type", requests)
        return asked
