"""Connection tracking: the state of a packet, and the entry it makes (net/netfilter/nf_conntrack_*.c).

Only what rules can see is modelled. Checksums are taken to be right and TCP windows to fit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from iptsim.dump.ruleset import Ruleset
from iptsim.extensions.targets.ct import Ct
from iptsim.packet import (
    ACK,
    FIN,
    ICMP,
    ICMPV6,
    RST,
    SCTP,
    SYN,
    TCP,
    URG,
    Connection,
    Direction,
    Flow,
    Packet,
    Zone,
)

#: Matches and targets that make the kernel switch connection tracking on; CT does so too, unless all it
#: does is `--notrack`.
USERS = frozenset({
    "conntrack", "state", "connmark", "connlimit", "connbytes", "connlabel", "helper", "cluster",
    "CONNMARK", "CONNSECMARK", "SYNPROXY",
    "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP", "CLUSTERIP",
})  # fmt: skip

#: ICMP requests, their answers, and errors about other packets.
ICMP_ANSWERS = {8: 0, 13: 14, 15: 16, 17: 18}
ICMPV6_ANSWERS = {128: 129, 139: 140}
ICMP_ERRORS = frozenset({3, 4, 5, 11, 12})
ICMPV6_ERRORS = frozenset({1, 2, 3, 4})
_ICMP_REDIRECT = 5
ICMPV6_UNTRACKED = frozenset({130, 131, 132, 133, 134, 135, 136, 137, 143})


def switched_on(ruleset: Ruleset) -> bool:
    """Tell whether any rule makes the kernel track connections for this address family."""
    for rule in ruleset.rules():
        if rule.refused:
            continue
        if rule.target_name in USERS or any(match.name in USERS for match in rule.matches):
            return True
        if isinstance(rule.target, Ct) and not rule.target.notrack:
            return True
    return False


class State(NamedTuple):
    """What conntrack says of a packet: its ctstate, its entry, and its direction in it."""

    state: str
    connection: Connection | None
    direction: Direction = "original"


def is_icmp_error(packet: Packet) -> bool:
    """Tell whether the packet is an ICMP error about another packet."""
    if packet.proto == ICMP:
        return packet.icmp_type in ICMP_ERRORS
    return packet.proto == ICMPV6 and packet.icmp_type in ICMPV6_ERRORS


def is_icmp_request(packet: Packet) -> bool:
    """Tell whether the packet is an ICMP request, such as a ping."""
    return packet.icmp_type in {ICMP: ICMP_ANSWERS, ICMPV6: ICMPV6_ANSWERS}.get(packet.proto, {})


def has_answer(proto: int, icmp_type: int) -> bool:
    """Tell whether an ICMP type is a request or the answer to one, which conntrack can turn round."""
    answers = ICMP_ANSWERS if proto == ICMP else ICMPV6_ANSWERS
    return icmp_type in answers or icmp_type in answers.values()


def is_icmp_redirect(packet: Packet) -> bool:
    """Tell whether the packet is an ICMP redirect."""
    return packet.proto == ICMP and packet.icmp_type == _ICMP_REDIRECT


def find(packet: Packet, connections: list[Connection], zone: Zone) -> State | None:
    """Return the state of a packet that belongs to a known connection, None for any other.

    Zones are compared for the direction in which the packet would go (nf_ct_key_equal). Of a ping to oneself both
    directions have the same addresses, and the ICMP type tells them apart.
    """
    flow = packet.flow
    for connection in connections:
        if connection.family != packet.family:
            continue
        answers = flow != connection.original or not is_icmp_request(packet)
        if answers and flow == connection.reply and zone.reply == connection.zone.reply:
            return State("ESTABLISHED", connection, "reply")
        if flow == connection.original and zone.original == connection.zone.original:
            if "SEEN_REPLY" in connection.status:
                return State("ESTABLISHED", connection)
            return State("RELATED" if connection.related else "NEW", connection)
    return None


def find_quoted(
    error: Packet, quoted: Flow, connections: Iterable[Connection], zone: Zone | None = None
) -> State | None:
    """Return the state of an ICMP error: it belongs to the connection of the packet that it quotes.

    Looked up is the flow that answers the quoted packet, as that came to whoever sends the error; to its
    sender the error must go (nf_conntrack_inet_error). Ports that nobody knows are taken to fit.

    Args:
        error: the packet.
        quoted: the flow of the packet that it quotes.
        connections: that are known.
        zone: of the error; None: connections of all zones count.
    """
    back = quoted.reversed()
    if error.dst != back.dst:
        return None
    for connection in connections:
        if connection.family != error.family:
            continue
        if _fits(back, connection.reply) and (zone is None or zone.reply == connection.zone.reply):
            return State("RELATED", connection, "reply")
        if _fits(back, connection.original) and (zone is None or zone.original == connection.zone.original):
            return State("RELATED", connection)
    return None


def _fits(flow: Flow, known: Flow) -> bool:
    """Tell whether two flows can be the same."""
    ports = ((flow.sport, known.sport), (flow.dport, known.dport))
    return (
        (flow.src, flow.dst, flow.proto) == (known.src, known.dst, known.proto)
        and all(None in pair or pair[0] == pair[1] for pair in ports)
    )  # fmt: skip


def first_state(packet: Packet, *, zone: Zone, tcp_loose: bool) -> State:
    """Return the state of a packet that belongs to no known connection."""
    if packet.proto == ICMPV6 and packet.icmp_type in ICMPV6_UNTRACKED:
        return State("UNTRACKED", None)
    if is_icmp_error(packet) or not _may_open(packet, tcp_loose):
        return State("INVALID", None)
    flow = packet.flow
    return State("NEW", Connection(packet.family, flow, flow.reversed(), zone=zone))


def _may_open(packet: Packet, tcp_loose: bool) -> bool:
    """Tell whether a packet without an entry may begin one."""
    if packet.fragment in ("middle", "last"):
        return True
    if packet.proto == TCP:
        return _tcp_may_open(packet.tcp_flags & 0x3F, tcp_loose)
    if packet.proto == ICMP:
        return packet.icmp_type in ICMP_ANSWERS
    if packet.proto == ICMPV6:
        return packet.icmp_type in ICMPV6_ANSWERS
    if packet.proto == SCTP:
        # an INIT must be the only chunk
        return [str(chunk).partition(":")[0] for chunk in packet.extra.get("sctp_chunks", ("INIT",))] == [
            "INIT"
        ]
    return True


_PSH = 8


def _tcp_may_open(flags: int, loose: bool) -> bool:
    """Judge flags as tcp_new and the table of valid combinations do; PSH does not count."""
    core = flags & ~_PSH
    if core == SYN:
        return True
    if core == SYN | URG:
        return True
    return loose and core in (ACK, ACK | URG) and not flags & (FIN | RST)
