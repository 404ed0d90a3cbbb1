"""Network address translation: choosing the new tuple and rewriting packets (net/netfilter/nf_nat_core.c)."""

from __future__ import annotations

from iptsim.extensions.base import Translation
from iptsim.packet import PORT_PROTOCOLS, Connection, Family, Flow, Packet

GRE = 47
_GRE_HEADER, _GRE_VERSIONS = 8, (0, 1)


def set_up(
    connection: Connection, packet: Packet, wanted: Translation, new_address: tuple[int, int] | None
) -> None:
    """Bind a translation to a connection: work out the flow that answers will have.

    Args:
        connection: is changed.
        packet: whose host part NETMAP keeps, whatever its connection says of the address.
        wanted: what the nat target asks for.
        new_address: first and last address to choose from, None to keep the packet's.
    """
    current = connection.reply.reversed()
    side = wanted.side
    address = current.dst if side == "dst" else current.src
    port = current.dport if side == "dst" else current.sport
    if wanted.netmap is not None and new_address is not None:
        kept = packet.dst if side == "dst" else packet.src
        address = (new_address[0] & wanted.netmap) | (kept & ~wanted.netmap)
    elif new_address is not None and not _fits(wanted, address, port, new_address):
        address = choose_address(
            connection.family, current, new_address, wanted.persistent, zone=connection.zone
        )
    if current.proto in PORT_PROTOCOLS:
        port = _choose_port(port, wanted, connection.original.dport)
    new = (
        current._replace(dst=address, dport=port)
        if side == "dst"
        else current._replace(src=address, sport=port)
    )
    if new != current:
        connection.reply = new.reversed()
        connection.status |= {"DNAT" if side == "dst" else "SNAT"}


def _fits(wanted: Translation, address: int, port: int | None, addresses: tuple[int, int]) -> bool:
    """Tell whether a source is in the range already; then it is kept (get_unique_tuple)."""
    if wanted.side != "src" or wanted.random or not addresses[0] <= address <= addresses[1]:
        return False
    return wanted.ports is None or (port is not None and wanted.ports[0] <= port <= wanted.ports[1])


def _choose_port(port: int | None, wanted: Translation, original_port: int | None) -> int | None:
    """Pick the port: DNAT takes the first of a range, deterministically; SNAT keeps it or picks at random."""
    if wanted.ports is None:
        return None if wanted.random else port
    low, high = wanted.ports
    if wanted.base_port is not None and original_port is not None:
        return low + (original_port - wanted.base_port) % (high - low + 1)
    if low == high:
        return low
    if wanted.random:
        return None
    if port is not None and low <= port <= high:
        return port
    return low if wanted.side == "dst" else None


def choose_address(
    family: Family, flow: Flow, addresses: tuple[int, int], persistent: bool, *, zone: int = 0
) -> int:
    """Pick one address of a range as the kernel's find_best_ips_proto does: a hash of both addresses.

    Args:
        flow: as it is before this translation.
        addresses: first and last.
        persistent: the choice must not depend on the destination.
        zone: conntrack zone of the connection.
    """
    low, high = addresses
    if low == high:
        return low
    source, destination = _words(family, flow.src), _words(family, flow.dst)
    value = jhash2(source, 0 if persistent else destination[0 if family == 4 else 3] ^ zone)
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
            value ^= destination[index]
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
    """Rewrite one side ("src" or "dst") of a packet as its connection's entry says.

    Returns False for a packet that can't be rewritten: a GRE header that is short or of unknown version.
    """
    kinds = {"src": "SNAT", "dst": "DNAT"}
    kind = kinds[side] if direction == "original" else kinds["dst" if side == "src" else "src"]
    if kind not in connection.status:
        return True
    if packet.proto == GRE and "payload" not in packet.defaults and not _is_gre(packet.payload):
        return False
    target = (connection.reply if direction == "original" else connection.original).reversed()
    if side == "src":
        packet.src = target.src
        if packet.proto in PORT_PROTOCOLS:
            packet.sport = target.sport
    else:
        packet.dst = target.dst
        if packet.proto in PORT_PROTOCOLS:
            packet.dport = target.dport
    return True


def jhash2(words: list[int], initval: int) -> int:
    """Hash 32-bit words as the kernel's jhash2() does (include/linux/jhash.h)."""
    mask = 0xFFFFFFFF
    a = b = c = (0xDEADBEEF + (len(words) << 2) + initval) & mask
    rest = list(words)

    def rotate(word: int, shift: int) -> int:
        return (word << shift | word >> (32 - shift)) & mask

    while len(rest) > 3:
        a, b, c = (a + rest[0]) & mask, (b + rest[1]) & mask, (c + rest[2]) & mask
        a = (a - c & mask) ^ rotate(c, 4)
        c = c + b & mask
        b = (b - a & mask) ^ rotate(a, 6)
        a = a + c & mask
        c = (c - b & mask) ^ rotate(b, 8)
        b = b + a & mask
        a = (a - c & mask) ^ rotate(c, 16)
        c = c + b & mask
        b = (b - a & mask) ^ rotate(a, 19)
        a = a + c & mask
        c = (c - b & mask) ^ rotate(b, 4)
        b = b + a & mask
        rest = rest[3:]
    if rest:
        rest += [0] * (3 - len(rest))
        a, b, c = (a + rest[0]) & mask, (b + rest[1]) & mask, (c + rest[2]) & mask
        c = (c ^ b) - rotate(b, 14) & mask
        a = (a ^ c) - rotate(c, 11) & mask
        b = (b ^ a) - rotate(a, 25) & mask
        c = (c ^ b) - rotate(b, 16) & mask
        a = (a ^ c) - rotate(c, 4) & mask
        b = (b ^ a) - rotate(a, 14) & mask
        c = (c ^ b) - rotate(b, 24) & mask
    return c
