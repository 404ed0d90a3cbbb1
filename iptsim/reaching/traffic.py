"""Protocols and destination ports of packets in a few words: "tcp/22,80,443, udp/53", "all but tcp/25"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from iptsim.extensions.constraints import Ranges
from iptsim.languages import Text, message, message_joined, message_many
from iptsim.protocols import ICMP, ICMPV6, PORT_PROTOCOLS, TCP, UDP, usual_protocol_name
from iptsim.ranges import united, without
from iptsim.sets.packets import PacketSet

#: The protocols that are named on their own; all others may be "other protocols".
_NAMED = (TCP, UDP, ICMP, ICMPV6)
#: How many ranges of ports a text shows.
_SHOWN = 12
_ALL_PORTS: Ranges = ((0, 0xFFFF),)
#: In place of the ports of a protocol that has none.
_NO_PORTS: Ranges = ((0, 0),)


@dataclass(frozen=True)
class Traffic:
    """Protocols, each with its destination ports.

    Attributes:
        ports: protocol number -> destination ports.
    """

    ports: Mapping[int, Ranges] = field(default_factory=dict)

    @classmethod
    def of(cls, packets: PacketSet) -> Traffic:
        """Return the protocols and ports that occur in a set of packets."""
        layout = packets.layout
        found: dict[int, Ranges] = {}
        narrowed = packets.only("proto", "dport")
        for first, last in narrowed.ranges("proto"):
            for number in range(first, last + 1):
                found[number] = _NO_PORTS
                if number in PORT_PROTOCOLS:
                    here = PacketSet(layout, narrowed.at("proto", number).function)
                    found[number] = here.ranges("dport")
        return cls(found)

    def __bool__(self) -> bool:
        return bool(self.ports)

    def __hash__(self) -> int:
        return hash(frozenset(self.ports.items()))

    def __sub__(self, other: Traffic) -> Traffic:
        left = {number: without(spans, other.ports.get(number, ())) for number, spans in self.ports.items()}
        return Traffic({number: spans for number, spans in left.items() if spans})

    def __or__(self, other: Traffic) -> Traffic:
        numbers = self.ports.keys() | other.ports.keys()
        return Traffic(
            {
                number: united((*self.ports.get(number, ()), *other.ports.get(number, ())))
                for number in sorted(numbers)
            }
        )

    @cached_property
    def items(self) -> tuple[tuple[int, Ranges], ...]:
        """The protocols, each with its ports."""
        return tuple(self.ports.items())

    @cached_property
    def size(self) -> int:
        """The number of ports, where a protocol without ports counts as one."""
        return sum(last - first + 1 for spans in self.ports.values() for first, last in spans)

    def says(self, asked: Traffic, *, in_full: bool = False) -> Text:
        """Return the traffic in words.

        Args:
            asked: all traffic in question.
            in_full: name all ports, even if they are many.
        """
        most = 0x10000 if in_full else _SHOWN
        # of particular ports or one protocol, "all but tcp/22" would not say which others
        is_wide = len(asked.ports) > 1 and not asked.ports.keys() <= {*PORT_PROTOCOLS, *_NAMED}
        if self == asked and is_wide:
            return message("all ports")
        rest = asked - self
        listed = message_joined(", ", _parts(self, asked, most))
        if rest and is_wide and rest.size < self.size:
            parts = _parts(rest, asked, most, plainly=True)
            others = message("all but {ports}", ports=message_joined(", ", parts))
            return min(listed, others, key=lambda text: len(str(text)))
        return listed


def _parts(traffic: Traffic, asked: Traffic, most: int, *, plainly: bool = False) -> Iterator[Text]:
    """Yield a text for each protocol, the usual ones first; protocols without a name may share one.

    Args:
        most: ranges of ports that are shown.
        plainly: do not name the ports that a protocol lacks instead of its ports.
    """
    for number in _NAMED:
        if spans := traffic.ports.get(number):
            yield _part(number, spans, most, plainly)
    others = {number: spans for number, spans in traffic.ports.items() if number not in _NAMED}
    every = {number: spans for number, spans in asked.ports.items() if number not in _NAMED}
    if len(others) > 1 and others == every:
        yield message("other protocols")
        return
    for number, spans in others.items():
        yield _part(number, spans, most, plainly)


def _part(number: int, spans: Ranges, most: int, plainly: bool) -> Text:
    name = usual_protocol_name(number)
    if number not in PORT_PROTOCOLS or spans == _ALL_PORTS:
        return name
    ports = _ranges(spans[:most])
    lacking = without(_ALL_PORTS, spans)
    if len(lacking) < len(spans) and not plainly:
        return message("{proto} (not {ports})", proto=name, ports=_ranges(lacking[:most]))
    left = len(spans) - most
    if left <= 0:
        return f"{name}/{ports}"
    return message_many("{ports} and {count} more", "{ports} and {count} more", left, ports=f"{name}/{ports}")


def _ranges(spans: Ranges) -> str:
    """Return ranges of ports as text."""
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)
