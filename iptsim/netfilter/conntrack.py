"""Connection tracking: the state of a packet, and the entry it makes (net/netfilter/nf_conntrack_*.c).

Only what rules can see is modelled. Checksums are assumed to be correct, and TCP segments to be in the window.
"""

from __future__ import annotations

from iptsim.connection import Connection, Direction, State, Zone
from iptsim.dump.rule import Rule
from iptsim.extensions.hidden import may_translate
from iptsim.netfilter import tcp_states
from iptsim.packet import Packet, is_icmp_error, is_icmp_request, query_of
from iptsim.protocols import (
    ACK,
    FIN,
    GRE,
    ICMP,
    ICMP_REPLIES,
    ICMPV6,
    NO_NEXT_HEADER,
    RST,
    SCTP,
    SYN,
    TCP,
    UDPLITE,
)

#: Matches and targets that make the kernel switch connection tracking on; CT does so too, unless all it
#: does is `--notrack`.
USERS = frozenset({
    "conntrack", "state", "connmark", "connlimit", "connbytes", "connlabel", "helper", "cluster",
    "CONNMARK", "CONNSECMARK", "SYNPROXY",
    "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP", "CLUSTERIP",
})  # fmt: skip
_ICMP_REDIRECT = 5
#: The flags that distinguish the steps of a TCP connection.
_STEPS = FIN | SYN | RST | ACK
#: Types that conntrack leaves untracked: multicast listeners and routers, neighbour discovery except redirects.
_ICMPV6_UNTRACKED = frozenset({130, 131, 132, 133, 134, 135, 136, 143, 151, 152})


def switches_on(rule: Rule) -> bool:
    """Return whether a rule makes the kernel track connections for its address family."""
    if rule.refused:
        return False
    if not USERS.isdisjoint(rule.extension_names):
        return True
    if rule.jump is not None:
        return False
    if may_translate(rule.table, rule.target):
        return True
    return "CT" in rule.extension_names and _tracks(rule)


def _tracks(rule: Rule) -> bool:
    """Return whether a rule with the target CT starts tracking."""
    from iptsim.extensions.targets.ct import Ct

    return isinstance(rule.target, Ct) and not rule.target.notrack


def is_icmp_redirect(packet: Packet) -> bool:
    """Return whether the packet is an ICMP redirect."""
    return packet.proto == ICMP and packet.icmp_type == _ICMP_REDIRECT


def find(packet: Packet, connections: list[Connection], zone: Zone) -> State | None:
    """Return the state of a packet that belongs to a known connection, None for any other.

    Zones are compared for the direction in which the packet would go (nf_ct_key_equal). The ICMP type and code belong
    to the flow as well; in a ping to oneself, they alone tell the directions apart.
    """
    flow = packet.flow
    for connection in connections:
        if connection.family != packet.family:
            continue
        asks, answers = _sides(packet, connection)
        if answers and flow == connection.reply and zone.reply == connection.zone.reply:
            return State("ESTABLISHED", connection, "reply")
        if asks and flow == connection.original and zone.original == connection.zone.original:
            if "SEEN_REPLY" in connection.status:
                return State("ESTABLISHED", connection)
            return State("RELATED" if connection.related else "NEW", connection)
    return None


def clashes(connection: Connection, other: Connection) -> bool:
    """Return whether a connection has a flow that another one in the table has, although their zones differ.

    The kernel finds an entry by the zone of its direction, and compares the zone of either connection in that direction
    (__nf_conntrack_confirm, nf_ct_key_equal).
    """
    mine, theirs = connection.zone, other.zone
    if connection.family != other.family or mine == theirs:
        return False
    return any(
        # an ICMP request and its reply are of different types
        (own == side or connection.icmp is None) and flow == known and theirs[side] == mine[side] == mine[own]
        for own, flow in enumerate((connection.original, connection.reply))
        for side, known in enumerate((other.original, other.reply))
    )


def _sides(packet: Packet, connection: Connection) -> tuple[bool, bool]:
    """Return whether a packet may be of a connection's original direction, and of its replies, by ICMP type."""
    if packet.proto not in ICMP_REPLIES:
        return True, True
    if connection.icmp is None:
        return True, packet.flow != connection.original or not is_icmp_request(packet)
    icmp_type, code = connection.icmp
    if (packet.icmp_code or 0) != code:
        return False, False
    return packet.icmp_type == icmp_type, packet.icmp_type == ICMP_REPLIES[packet.proto].get(icmp_type)


def update(connection: Connection, packet: Packet, direction: Direction) -> None:
    """Update a connection by one of its packets: the state of TCP, SEEN_REPLY and ASSURED.

    A packet after the first reply makes GRE and UDP-Lite ASSURED, and TCP if it completes the handshake (tcp_packet,
    gre_packet, udplite_packet). UDP becomes ASSURED only after two seconds.
    """
    if connection.tcp_state is not None:
        found = tcp_states.next_state(connection.tcp_state, direction, packet.tcp_flags)
        connection.tcp_state = found or connection.tcp_state
    if "SEEN_REPLY" in connection.status:
        handshake = packet.proto == TCP and direction == "original" and packet.tcp_flags & _STEPS == ACK
        if handshake or packet.proto in (GRE, UDPLITE):
            connection.status |= {"ASSURED"}
    elif direction == "reply":
        connection.status |= {"SEEN_REPLY"}


def count(connection: Connection, packet: Packet, state: str | None, direction: Direction) -> None:
    """Add a packet to the counters of its connection, if they are known (nf_ct_acct_add)."""
    packets, sizes = connection.carried(state)
    if packets is not None:
        connection.packets = {**packets, direction: packets[direction] + 1}
    if sizes is not None:
        connection.bytes = {**sizes, direction: sizes[direction] + packet.length}


def first_state(packet: Packet, *, zone: Zone, tcp_loose: bool) -> State:
    """Return the state of a packet that belongs to no known connection."""
    if packet.proto == ICMPV6 and packet.icmp_type in _ICMPV6_UNTRACKED:
        return State("UNTRACKED", None)
    if is_icmp_error(packet) or not _may_open(packet, tcp_loose):
        return State("INVALID", None)
    flow = packet.flow
    begun = tcp_states.NONE if packet.proto == TCP and packet.fragment is None else None
    opened = Connection(
        packet.family, flow, flow.reversed(), zone=zone, tcp_state=begun, icmp=query_of(packet)
    )
    return State("NEW", opened)


def _may_open(packet: Packet, tcp_loose: bool) -> bool:
    """Return whether a packet without an entry may begin one."""
    if packet.fragment in ("middle", "last"):
        return True
    if packet.proto == TCP:
        return tcp_states.may_open(packet.tcp_flags, loose=tcp_loose)
    if packet.proto in (ICMP, ICMPV6):
        return is_icmp_request(packet)
    if packet.family == 6 and packet.proto == NO_NEXT_HEADER:
        return False  # the kernel looks for a further header (ipv6_skip_exthdr)
    if packet.proto == SCTP:
        # an INIT must be the only chunk
        return [str(chunk).partition(":")[0] for chunk in packet.extra.get("sctp_chunks", ("INIT",))] == [
            "INIT"
        ]
    return True
