"""Captured packets, pcap and pcapng: the first packet of each connection."""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterator
from typing import IO, Any

from iptsim.addresses import address_text
from iptsim.errors import UsageError
from iptsim.ip_header import read_ipv4, read_ipv6, without_extensions
from iptsim.languages import message
from iptsim.protocols import ACK, ICMP, ICMPV6, PORT_PROTOCOLS, SYN, TCP, TCP_FLAGS

#: Connections that are remembered; the oldest are forgotten first.
_REMEMBERED = 1 << 20
#: Link types (pcap-linktype(7)) -> the offset of the network layer's header.
_ETHERNET, _LINUX_COOKED, _LINUX_COOKED2 = 1, 113, 276
_HEADERS = {0: 4, 12: 0, 14: 0, 101: 0, 108: 4, 228: 0, 229: 0, _LINUX_COOKED: 16, _LINUX_COOKED2: 20}
_VLANS = (0x8100, 0x88A8, 0x9100)
#: The first bytes of pcapng; otherwise it is pcap.
PCAPNG = b"\x0a\x0d\x0d\x0a"


class _Exact:
    """A stream that raises an error on a short read: dpkt would accept part of a packet as a packet."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if 0 < len(data) < size:
            raise EOFError(str(message("it ends in the middle of a packet")))
        return data


def records(stream: IO[bytes], begin: bytes) -> Iterator[dict[str, Any]]:
    """Yield the first packet of each connection.

    Args:
        stream: the capture.
        begin: the first four bytes.

    Raises:
        UsageError: the extra `flows` is not installed, or the file is damaged.
    """
    try:
        import dpkt
    except ImportError:
        raise UsageError(message("reading pcap requires dpkt: pip install 'iptsim[flows]'")) from None
    known: OrderedDict[Any, None] = OrderedDict()
    try:
        kind = dpkt.pcapng if begin == PCAPNG else dpkt.pcap
        reader = kind.Reader(_Exact(stream))
        link = reader.datalink()
        if link != _ETHERNET and link not in _HEADERS:
            raise UsageError(message("the capture has the unknown link type {link}", link=link))
        for _, data in reader:
            record = _record(data, link, known)
            if record is not None:
                yield record
    except (ValueError, struct.error, dpkt.Error, EOFError) as error:
        raise UsageError(message("the packet capture is damaged: {error}", error=str(error))) from None


def _record(data: bytes, link: int, known: OrderedDict[Any, None]) -> dict[str, Any] | None:
    """Return a packet as a record, if it is the first one of its connection."""
    try:
        found = _packet(data[_network(data, link) :])
    except (IndexError, struct.error):
        return None
    if found is None:
        return None
    source, destination, proto, transport = found
    ports: tuple[int, ...] = ()
    record: dict[str, Any] = {"src": source, "dst": destination, "proto": str(proto)}
    if proto in PORT_PROTOCOLS:
        if len(transport) < 4:
            return None
        ports = struct.unpack("!HH", transport[:4])
        record["sport"], record["dport"] = ports
    elif proto in (ICMP, ICMPV6) and len(transport) >= 6:
        ports = (struct.unpack("!H", transport[4:6])[0],) * 2
        record["icmp_type"], record["icmp_code"] = transport[0], transport[1]
    key = (source, destination, proto, ports)
    if key in known or (destination, source, proto, ports[::-1]) in known:
        return None
    known[key] = None
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
    if proto == TCP and len(transport) >= 14 and transport[13] & (SYN | ACK) != SYN:
        # the connection began before the capture
        record["tcp_flags"] = ",".join(name for name, bit in TCP_FLAGS.items() if transport[13] & bit)
        record["state"] = "established"
    return record


def _network(data: bytes, link: int) -> int:
    """Return where the network layer's header begins."""
    if link != _ETHERNET:
        return _HEADERS[link]
    place = 12
    while int.from_bytes(data[place : place + 2], "big") in _VLANS:
        place += 4
    return place + 2 if int.from_bytes(data[place : place + 2], "big") in (0x0800, 0x86DD) else len(data)


def _packet(data: bytes) -> tuple[str, str, int, bytes] | None:
    """Return addresses, protocol and what follows the headers of a packet; None for later fragments and others."""
    header, family = None, data[0] >> 4
    if family == 4:
        header = read_ipv4(data)
    elif family == 6 and (found := read_ipv6(data)) is not None:
        header = without_extensions(found)
    if header is None or header.offset:
        return None
    return address_text(family, header.src), address_text(family, header.dst), header.proto, header.content
