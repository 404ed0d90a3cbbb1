"""A connection as conntrack sees it: its flows, its zone, its entry, and the state of a packet in it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal, NamedTuple

from iptsim.addresses import Family
from iptsim.partly_known import Mark

Direction = Literal["original", "reply"]


class Flow(NamedTuple):
    """One direction of a connection: the key of conntrack. For ICMP echo, the ports contain the ID."""

    src: int
    sport: int | None
    dst: int
    dport: int | None
    proto: int

    def reversed(self) -> Flow:
        """Return the flow of the replies."""
        return Flow(self.dst, self.dport, self.src, self.sport, self.proto)


class Zone(NamedTuple):
    """A conntrack zone: its number for each direction; `--zone-orig` and `--zone-reply` set only one of them."""

    original: int = 0
    reply: int = 0

    @property
    def id(self) -> int:
        """The zone's number, whatever its direction."""
        return self.original or self.reply

    def with_mark(self, mark: int) -> Zone:
        """Return the zone with the number that a packet's mark names, where a rule left it to the mark."""
        return Zone(*(mark & 0xFFFF if number == ZONE_OF_MARK else number for number in self))


#: The number of a zone that the packet's mark names when conntrack looks the packet up (`CT --zone mark`).
ZONE_OF_MARK = -1
NO_ZONE = Zone()


@dataclass(slots=True)
class Connection:
    """A conntrack entry.

    Attributes:
        original: the first packet's flow, before any translation.
        reply: the flow of the replies on the wire.
        status: among "SEEN_REPLY", "ASSURED", "CONFIRMED", "EXPECTED", "SNAT", "DNAT".
        related: the connection was expected by, or belongs to, another one (ctstate RELATED for its
            first packet).
        accounting: bytes and packets so far by direction, if known (`-m connbytes`).
        nat_done: the settled translations ("src", "dst"), for which no nat chain is evaluated again.
        masqueraded_on: the interface by which it left when MASQUERADE translated it.
        tcp_state: the state of a TCP connection, if conntrack has seen it begin or its line says so.
        icmp: the type and code of its first packet, if it is one of ICMP's requests and they are known.
    """

    family: Family
    original: Flow
    reply: Flow
    mark: Mark = 0
    zone: Zone = NO_ZONE
    helper: str | None = None
    #: helper of the connection that expected this one (for `-m helper`)
    master_helper: str | None = None
    labels: frozenset[int] = frozenset()
    status: frozenset[str] = frozenset()
    related: bool = False
    secmark: str | None = None
    expires: int | None = None
    packets: dict[Direction, int] | None = None
    bytes: dict[Direction, int] | None = None
    nat_done: frozenset[str] = frozenset()
    masqueraded_on: str | None = None
    tcp_state: str | None = None
    icmp: tuple[int, int] | None = None

    def copy(self) -> Connection:
        """Return an independent copy."""
        return copy.copy(self)

    @property
    def is_confirmed(self) -> bool:
        """Whether it is in conntrack's table."""
        return "CONFIRMED" in self.status

    def carried(self, state: str | None) -> tuple[dict[Direction, int] | None, dict[Direction, int] | None]:
        """Return the packets and bytes by direction before a packet of this state; None for those that are unknown."""
        if state == "NEW" and not self.is_confirmed:
            return {"original": 0, "reply": 0}, {"original": 0, "reply": 0}
        return self.packets, self.bytes


class State(NamedTuple):
    """The state of a packet in conntrack: its ctstate, its entry, and its direction in that connection."""

    state: str
    connection: Connection | None
    direction: Direction = "original"
