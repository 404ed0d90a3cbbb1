"""The little netlink that the laboratory needs: rule handles, trace events, nflog, emptying conntrack.

Message layouts: linux/netlink.h, linux/netfilter/nf_tables.h, nfnetlink_log.h, nfnetlink_conntrack.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator

Attributes = dict[int, bytes]

_SOL_NETLINK, _ADD_MEMBERSHIP, _SO_RCVBUFFORCE = 270, 1, 33
_NETLINK_NETFILTER = 12
_ERROR, _DONE = 2, 3
_REQUEST, _ACK, _DUMP = 1, 4, 0x300
_NFTABLES, _CTNETLINK, _CTNETLINK_EXP, _ULOG = 10, 1, 2, 4

NFT_TRACE = (_NFTABLES << 8) | 17
NFLOG_PACKET = (_ULOG << 8) | 0
_NFT_NEWRULE, _NFT_GETRULE = (_NFTABLES << 8) | 6, (_NFTABLES << 8) | 7
_CT_DELETE = (_CTNETLINK << 8) | 2
_CT_NEW, _EXPECT_NEW = (_CTNETLINK << 8) | 0, (_CTNETLINK_EXP << 8) | 0
_CREATE, _NESTED = 0x400, 0x8000
_NFLOG_CONFIG = (_ULOG << 8) | 1
_TRACE_GROUP = 9


def attributes(data: bytes, start: int = 0) -> Attributes:
    """Return the attributes of a message by their number; of repeated ones the last."""
    found: Attributes = {}
    end = len(data)
    while start + 4 <= end:
        length, kind = struct.unpack_from("=HH", data, start)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[start + 4 : start + length]
        start += (length + 3) & ~3
    return found


def text(value: bytes) -> str:
    """Return a NUL-terminated string attribute."""
    return value.rstrip(b"\0").decode()


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


class NetlinkSocket:
    """A NETLINK_NETFILTER socket in the calling thread's namespace."""

    def __init__(self, *groups: int) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER
        )
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 24)
        self._socket.bind((0, 0))
        for group in groups:
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor, for poll(2)."""
        return self._socket.fileno()

    def waiting(self) -> Iterator[tuple[int, bytes]]:
        """Yield the messages that have come in, as (type, body), without waiting for more.

        Raises:
            OSError: ENOBUFS when the kernel had to throw events away.

        """
        while True:
            try:
                data = self._socket.recv(1 << 17, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            yield from _messages(data)

    def request(self, kind: int, body: bytes, flags: int = 0) -> list[tuple[int, bytes]]:
        """Send a request and return the kernel's messages up to the end of its answer.

        Raises:
            OSError: the kernel refused.

        """
        self._sequence += 1
        header = struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | _ACK | flags, self._sequence, 0)
        self._socket.send(header + body)
        answers: list[tuple[int, bytes]] = []
        while True:
            for answer, content in _messages(self._socket.recv(1 << 17)):
                if answer == _DONE:
                    return answers
                if answer == _ERROR:
                    (code,) = struct.unpack_from("=i", content)
                    if code:
                        raise OSError(-code, f"netlink request {kind:#x}")
                    return answers
                answers.append((answer, content))


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, start)
        yield kind, data[start + 16 : start + length]
        start += (length + 3) & ~3


def trace_socket() -> NetlinkSocket:
    """Open a socket that gets nf_tables' trace events."""
    return NetlinkSocket(_TRACE_GROUP)


def nflog_socket(family: int, group: int = 0) -> NetlinkSocket:
    """Open a socket that gets the packets logged to an nflog group, each at once, with its header."""
    opened = NetlinkSocket()
    general = struct.pack("=BBH", family, 0, socket.htons(group))
    for option, value in (
        (1, struct.pack("=B", 1)),  # NFULA_CFG_CMD: bind
        (2, struct.pack("!IBB", 128, 2, 0)),  # NFULA_CFG_MODE: copy the first 128 bytes
        (5, struct.pack("!I", 1)),  # NFULA_CFG_QTHRESH: send every message at once
    ):
        opened.request(_NFLOG_CONFIG, general + _attribute(option, value))
    return opened


def rule_positions(control: NetlinkSocket) -> dict[tuple[str, str, int], int]:
    """Return the place of every rule in its chain, from 1, by (table, chain, handle); tables differ in their names."""
    positions: dict[tuple[str, str, int], int] = {}
    counts: dict[tuple[str, str], int] = {}
    for kind, body in control.request(_NFT_GETRULE, struct.pack("=BBH", 0, 0, 0), _DUMP):
        if kind == _NFT_NEWRULE:
            found = attributes(body, 4)
            chain = text(found[1]), text(found[2])
            counts[chain] = counts.get(chain, 0) + 1
            positions[(*chain, int.from_bytes(found[3], "big"))] = counts[chain]
    return positions


def empty_conntrack(control: NetlinkSocket) -> None:
    """Forget every tracked connection of the socket's namespace."""
    control.request(_CT_DELETE, struct.pack("=BBH", 0, 0, 0))


#: Ports of a connection between the same two hosts that announces another.
_ANNOUNCING = (40001, 21)


def expect_connection(
    control: NetlinkSocket, helper: str, proto: int, source: str, destination: str, port: int
) -> None:
    """Make a connection that a helper watches and that has announced another, from any source port.

    Args:
        control: where to ask.
        helper: its name: "ftp", "sane".
        proto: of both connections, TCP for these helpers.
        source: sender of the announced connection's first packet.
        destination: its receiver.
        port: its destination port.
    """
    near, far = ipaddress.ip_address(source).packed, ipaddress.ip_address(destination).packed
    family = socket.AF_INET if len(near) == 4 else socket.AF_INET6
    general = struct.pack("=BBH", family, 0, 0)
    client, server = _ANNOUNCING
    original = _tuple(far, near, proto, client, server)
    timeout = struct.pack("!I", 600)
    entry = _nested(1, original) + _nested(2, _tuple(near, far, proto, server, client))
    entry += _attribute(7, timeout) + _nested(5, _attribute(1, helper.encode() + b"\0"))
    entry += _nested(4, _nested(1, _attribute(1, b"\x03")))  # TCP_CONNTRACK_ESTABLISHED
    control.request(_CT_NEW, general + entry, _CREATE)
    mask = _tuple(b"\xff" * len(near), b"\xff" * len(near), proto, 0, 0xFFFF)
    announced = _nested(1, original) + _nested(2, _tuple(near, far, proto, 0, port)) + _nested(3, mask)
    control.request(_EXPECT_NEW, general + announced + _attribute(4, timeout), _CREATE)


def _nested(kind: int, value: bytes) -> bytes:
    return _attribute(kind | _NESTED, value)


def _tuple(source: bytes, destination: bytes, proto: int, sport: int, dport: int) -> bytes:
    """Return one direction of a connection, as CTA_TUPLE_IP and CTA_TUPLE_PROTO."""
    first, second = (1, 2) if len(source) == 4 else (3, 4)
    addresses = _attribute(first, source) + _attribute(second, destination)
    ports = _attribute(2, struct.pack("!H", sport)) + _attribute(3, struct.pack("!H", dport))
    return _nested(1, addresses) + _nested(2, _attribute(1, bytes([proto])) + ports)
