"""Network address translation: choosing the new tuple and rewriting packets (net/netfilter/nf_nat_core.c)."""

from __future__ import annotations

from iptsim.addresses import Family
from iptsim.connection import Connection, Flow
from iptsim.extensions.jhash import jhash_words
from iptsim.extensions.verdicts import Translation
from iptsim.netfilter.connection_table import ConnectionTable, source_of
from iptsim.packet import Packet
from iptsim.protocols import GRE, ICMP, ICMP_REPLIES, ICMPV6, PORT_PROTOCOLS

_GRE_HEADER, _GRE_VERSIONS = 8, (0, 1)
#: How many ports of a range the kernel tries in order (NF_NAT_MAX_ATTEMPTS).
_MOST_TRIED = 128


def set_up(
    connection: Connection,
    packet: Packet,
    wanted: Translation,
    new_address: tuple[int, int] | None,
    others: ConnectionTable,
) -> None:
    """Bind a translation to a connection: work out the flow of its replies.

    Args:
        connection: is changed.
        packet: the packet; NETMAP keeps the host part of its address, whatever its connection's address is.
        wanted: what the nat target requests.
        new_address: first and last address to choose from, None to keep the packet's.
        others: the connections that conntrack knows.
    """
    current = connection.reply.reversed()
    side = wanted.side
    address = current.dst if side == "dst" else current.src
    port = current.dport if side == "dst" else current.sport
    earlier = _like_before(connection, current, wanted, new_address, others)
    if earlier is not None:
        connection.reply = current._replace(src=earlier[0], sport=earlier[1]).reversed()
        connection.status |= {"SNAT"}
        return
    if wanted.netmap is not None and new_address is not None:
        kept = packet.dst if side == "dst" else packet.src
        address = (new_address[0] & wanted.netmap) | (kept & ~wanted.netmap)
    elif new_address is not None and not _fits(wanted, address, port, new_address):
        address = choose_address(
            connection.family, current, new_address, wanted.persistent, side=side, zone=connection.zone.id
        )
    if current.proto in PORT_PROTOCOLS:
        port = _choose_port(port, wanted)
    new = (
        current._replace(dst=address, dport=port)
        if side == "dst"
        else current._replace(src=address, sport=port)
    )
    if current.proto in PORT_PROTOCOLS and is_taken(connection, new.reversed(), others):
        new = _with_free_port(connection, new, wanted, others)
    if new != current:
        connection.reply = new.reversed()
        connection.status |= {"DNAT" if side == "dst" else "SNAT"}


def keep_source(connection: Connection, others: ConnectionTable) -> None:
    """Settle the source of a connection that no rule translates: if others have its port, the kernel picks another one.

    Source: nf_nat_alloc_null_binding.
    """
    current = connection.reply.reversed()
    if current.proto in PORT_PROTOCOLS and is_taken(connection, connection.reply, others):
        connection.reply = current._replace(sport=None).reversed()
        connection.status |= {"SNAT"}


def is_taken(connection: Connection, reply: Flow, others: ConnectionTable) -> bool:
    """Return whether replies to a connection would be packets of another one (nf_conntrack_tuple_taken).

    Of ICMP, the kernel changes the identifier, which is not part of a flow here.

    Args:
        connection: the connection.
        reply: the flow that its replies have, or may get.
        others: the connections that conntrack knows.
    """
    if reply.proto in ICMP_REPLIES or (reply.proto in PORT_PROTOCOLS and None in (reply.sport, reply.dport)):
        return False
    return any(
        other.original != connection.original
        and (other.family, other.zone) == (connection.family, connection.zone)
        for other in others.of_flow(reply)
    )


def _with_free_port(connection: Connection, flow: Flow, wanted: Translation, others: ConnectionTable) -> Flow:
    """Return a flow with the port that the kernel takes instead of one that is taken (nf_nat_l4proto_unique_tuple).

    A destination without ports in its rule keeps it. The kernel searches from a random port for a source, and from the
    first one, or from the offset in a shifted range, for a destination. If it does not find one, it tries others at
    random in a range of many ports.
    """
    is_source = wanted.side == "src"
    if wanted.ports is None:
        return flow._replace(sport=None) if is_source else flow
    low, high = wanted.ports
    count = high - low + 1
    chosen = flow.sport if is_source else flow.dport
    if count == 1 or chosen is None:
        return flow
    if is_source and wanted.base_port is None:
        return flow._replace(sport=None)
    start = low if wanted.base_port is None else chosen
    for step in range(min(count, _MOST_TRIED)):
        port = low + (start - low + step) % count
        found = flow._replace(sport=port) if is_source else flow._replace(dport=port)
        if not is_taken(connection, found.reversed(), others):
            break
    return found


def _like_before(
    connection: Connection,
    current: Flow,
    wanted: Translation,
    addresses: tuple[int, int] | None,
    others: ConnectionTable,
) -> tuple[int, int | None] | None:
    """Return the address and port that another connection from the same source got, if they can be used.

    A source that has a translation keeps it for other destinations (find_appropriate_src); a source in the
    range keeps itself.
    """
    if wanted.side != "src" or wanted.random or addresses is None or current.sport is None:
        return None
    if wanted.netmap is not None or _fits(wanted, current.src, current.sport, addresses):
        return None
    for other in others.of_source(source_of(current)):
        if other.zone.original != connection.zone.original or other is connection:
            continue
        address, port = other.reply.dst, other.reply.dport
        if _fits(wanted, address, port, addresses):
            found = current._replace(src=address, sport=port)
            return None if is_taken(connection, found.reversed(), others) else (address, port)
    return None


def _fits(wanted: Translation, address: int, port: int | None, addresses: tuple[int, int]) -> bool:
    """Return whether a source is in the range already; then it is kept (get_unique_tuple)."""
    if wanted.side != "src" or wanted.random or not addresses[0] <= address <= addresses[1]:
        return False
    return wanted.ports is None or (port is not None and wanted.ports[0] <= port <= wanted.ports[1])


def _choose_port(port: int | None, wanted: Translation) -> int | None:
    """Pick the port: DNAT takes the first of a range, deterministically; SNAT keeps it or picks at random.

    In a shifted range, its offset from the first port is the packet's own port minus the base port, modulo 2**16
    (nf_nat_l4proto_unique_tuple).
    """
    if wanted.ports is None:
        # a destination port changes only if the rule names ports
        return None if wanted.random and wanted.side == "src" else port
    low, high = wanted.ports
    if wanted.base_port is not None:
        return None if port is None else low + (port - wanted.base_port & 0xFFFF) % (high - low + 1)
    if low == high:
        return low
    if wanted.random:
        return None
    if port is not None and low <= port <= high:
        return port
    return low if wanted.side == "dst" else None


def choose_address(
    family: Family,
    flow: Flow,
    addresses: tuple[int, int],
    persistent: bool,
    *,
    side: str = "src",
    zone: int = 0,
) -> int:
    """Pick one address of a range as the kernel's find_best_ips_proto does: a hash of both addresses.

    Args:
        flow: as it is before this translation.
        addresses: first and last.
        persistent: the choice must not depend on the destination.
        side: which address is chosen. The kernel writes each word into the flow at once, so for a destination the words
            already chosen influence the choice of the next.
        zone: conntrack zone of the connection.
    """
    low, high = addresses
    if low == high:
        return low
    source, destination = _words(family, flow.src), _words(family, flow.dst)
    value = jhash_words(source, 0 if persistent else destination[0 if family == 4 else 3] ^ zone)
    if family == 4:
        return low + _scale(value, high - low + 1)
    chosen, full = 0, False
    for index, shift in enumerate((96, 64, 32, 0)):
        first, last = low >> shift & 0xFFFFFFFF, high >> shift & 0xFFFFFFFF
        minimum, distance = (0, 0xFFFFFFFF) if full else (first, last - first + 1)
        picked = minimum + _scale(value, distance)
        chosen = chosen << 32 | picked
        full = full or picked != last
        if not persistent:
            value ^= _swap(picked) if side == "dst" else destination[index]
    return chosen


def _scale(value: int, distance: int) -> int:
    """Map 32 random bits to 0 .. distance - 1 (the kernel's reciprocal_scale)."""
    return value * (distance & 0xFFFFFFFF) >> 32


def _words(family: Family, address: int) -> list[int]:
    """Return an address as the four 32-bit words, in network byte order, that the kernel hashes."""
    if family == 4:
        return [_swap(address), 0, 0, 0]
    return [_swap(address >> shift & 0xFFFFFFFF) for shift in (96, 64, 32, 0)]


def _swap(word: int) -> int:
    """Return a network-order word as a little-endian machine reads it."""
    return int.from_bytes(word.to_bytes(4, "big"), "little")


def _is_gre(header: bytes) -> bool:
    return len(header) >= _GRE_HEADER and header[1] & 7 in _GRE_VERSIONS


def translate(packet: Packet, connection: Connection, side: str, direction: str) -> bool:
    """Rewrite one side ("src" or "dst") of a packet according to its connection's entry.

    Returns False for a packet that cannot be rewritten: a GRE header that is short or of unknown version.
    """
    kinds = {"src": "SNAT", "dst": "DNAT"}
    kind = kinds[side] if direction == "original" else kinds["dst" if side == "src" else "src"]
    if kind not in connection.status:
        return True
    if packet.proto == GRE and "payload" not in packet.defaults and not _is_gre(packet.payload):
        return False
    target = (connection.reply if direction == "original" else connection.original).reversed()
    if packet.quoted is not None and packet.proto in (ICMP, ICMPV6):
        packet.quoted = _as_before(packet.quoted, target, side)
    if side == "src":
        packet.src = target.src
        if packet.proto in PORT_PROTOCOLS:
            packet.sport = target.sport
    else:
        packet.dst = target.dst
        if packet.proto in PORT_PROTOCOLS:
            packet.dport = target.dport
    return True


def _as_before(quoted: Flow, target: Flow, side: str) -> Flow:
    """Translate the packet that an ICMP error quotes back, on the other side than the error itself."""
    if side == "src":
        return quoted._replace(dst=target.src, dport=target.sport)
    return quoted._replace(src=target.dst, sport=target.dport)
