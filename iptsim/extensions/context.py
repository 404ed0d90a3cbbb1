"""The context in which a rule is evaluated: a packet at a hook, its connection, and what else a match may query."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from iptsim.addresses import Family
from iptsim.connection import NO_ZONE, Connection, Direction, Zone
from iptsim.packet import Packet
from iptsim.truth import Truth, Unknown


class Surroundings(Protocol):
    """What a match may query about the world around the rules. The walker provides it."""

    def address_type(self, family: Family, address: int, interface: str | None) -> str | Unknown:
        """Return addrtype's name of an address: LOCAL, UNICAST, BROADCAST, MULTICAST, BLACKHOLE ...

        With `interface`, only that interface's own addresses are LOCAL (`--limit-iface-in/out`).
        """

    def reverse_path(self, context: Context, *, loose: bool, validmark: bool, accept_local: bool) -> Truth:
        """Return whether the packet passes the reverse path check (`-m rpfilter`)."""

    def set_contains(
        self, name: str, directions: tuple[str, ...], context: Context, options: dict[str, Any]
    ) -> Truth:
        """Return whether the packet is in an ipset; `options` are those of `-m set`."""

    def fact(self, name: str) -> Any:
        """Return a fact from the question or the capture (e.g. "time", "cpu"), or None."""

    def path_mtu(self, context: Context) -> int | None:
        """Return the smaller MTU of the routes to both ends of a packet, None if unknown."""

    def recent(self, name: str) -> dict[int, list[float]] | None:
        """Return the entries of a `-m recent` list (address -> ages in seconds), None if unknown.

        Changes by the caller persist for the rest of the walk.
        """

    def change_set(
        self,
        name: str,
        directions: tuple[str, ...],
        action: str,
        context: Context,
        *,
        overwrite: bool = False,
    ) -> bool:
        """Add the packet's entry to an ipset ("add"), or delete it ("del"); return whether the set accepts it.

        `overwrite`: an existing entry counts as added (`--exist`).
        """


@dataclass(slots=True)
class Context:
    """The context of a rule: the packet, its connection, the interfaces, the surroundings.

    Attributes:
        hook: PREROUTING, INPUT, FORWARD, OUTPUT or POSTROUTING.
        table: raw, mangle, nat, filter or security.
        in_interface / out_interface: None if the hook has none (OUTPUT has no input).
        physical_in / physical_out: bridge ports, if br_netfilter passes the packet to iptables.
        bridged: the frame is switched, not routed.
        entered: the interface on which the IP layer received the packet; None for locally generated or
            switched packets.
        state: ctstate of the packet: NEW, ESTABLISHED, RELATED, INVALID, UNTRACKED; None if
            conntrack is off.
        connection: the entry; None for INVALID and UNTRACKED packets, or if conntrack is off.
        direction: the packet's direction in its connection.
        backend: "nf_tables" or "legacy"; a few matches differ.
        version: of the iptables that saved the rules ("1.8.9"), None if unknown; some versions load
            other rules than those they print.
        consulted: names of packet fields that were used with their default.
        notrack / zone / helper: the settings of a CT target in the raw table.
        template: whether there was such a target: only the first one has an effect.
        inherits: an ICMP error without an entry, like the packet that it is about
            (nf_conntrack_attach): no such target has an effect.
    """

    packet: Packet
    hook: str
    table: str
    surroundings: Surroundings
    in_interface: str | None = None
    out_interface: str | None = None
    physical_in: str | None = None
    physical_out: str | None = None
    bridged: bool = False
    entered: str | None = None
    state: str | None = None
    connection: Connection | None = None
    direction: Direction = "original"
    backend: str = "nf_tables"
    version: str | None = None
    consulted: set[str] = field(default_factory=set)
    notrack: bool = False
    zone: Zone = NO_ZONE
    helper: str | None = None
    template: bool = False
    inherits: bool = False

    @property
    def frameless(self) -> bool:
        """Whether the packet did not arrive in an Ethernet frame (xt_mac.c, ip_set_bitmap_ipmac.c).

        Packets of the host itself do not, nor do the copies of its own broadcasts.
        """
        # a packet that a bridge switches has no input interface in POSTROUTING, but still has its frame
        own = self.in_interface is None and self.physical_in is None
        return own or self.in_interface == "lo" or self.packet.pkttype == "loopback"


#: The hooks of netfilter, in the order in which packets meet them.
HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
#: Those at which a packet has an interface by which it arrived, and those at which it has one by which it leaves.
ARRIVING, LEAVING = frozenset(HOOKS[:3]), frozenset(HOOKS[2:])
