"""IP headers read from bytes: of captured packets, and of packets that ICMP errors quote."""

from __future__ import annotations

from typing import NamedTuple

from iptsim.protocols import AH, DESTINATION, FRAGMENT, HOP_BY_HOP, ROUTING

#: The headers that the kernel skips before the transport header (ipv6_ext_hdr).
_EXTENSIONS = frozenset({HOP_BY_HOP, ROUTING, FRAGMENT, AH, DESTINATION})


class IpHeader(NamedTuple):
    """The header of an IP packet, and what follows it.

    Attributes:
        src, dst: the addresses.
        proto: the protocol of the content; for IPv6, it may be that of an extension header.
        offset: where the content belongs in the whole packet, in units of 8 bytes; 0 unless it is a later fragment.
        more: whether other fragments follow.
        content: what follows the header.
    """

    src: int
    dst: int
    proto: int
    offset: int
    more: bool
    content: bytes

    @property
    def is_fragment(self) -> bool:
        """Whether it is a part of a packet."""
        return self.more or self.offset > 0


def read_ipv4(data: bytes) -> IpHeader | None:
    """Read an IPv4 packet; None if its header is cut off."""
    if len(data) < 20:
        return None
    fragment = int.from_bytes(data[6:8], "big")
    return IpHeader(
        int.from_bytes(data[12:16], "big"),
        int.from_bytes(data[16:20], "big"),
        data[9],
        fragment & 0x1FFF,
        bool(fragment & 0x2000),
        data[(data[0] & 15) * 4 :],
    )


def read_ipv6(data: bytes) -> IpHeader | None:
    """Read an IPv6 packet; None if its header is cut off. Extension headers are part of the content."""
    if len(data) < 40:
        return None
    src, dst = int.from_bytes(data[8:24], "big"), int.from_bytes(data[24:40], "big")
    return IpHeader(src, dst, data[6], 0, False, data[40:])


def without_extensions(header: IpHeader) -> IpHeader | None:
    """Return an IPv6 header as if it had no extension headers (ipv6_skip_exthdr); None if they are cut off."""
    proto, content, offset, more = header.proto, header.content, header.offset, header.more
    while proto in _EXTENSIONS and not offset:
        if len(content) < 8:
            return None
        if proto == FRAGMENT:
            fragment, size = int.from_bytes(content[2:4], "big"), 8
            offset, more = fragment >> 3, bool(fragment & 1)
        else:
            size = 4 * (content[1] + 2) if proto == AH else 8 * (content[1] + 1)
        proto, content = content[0], content[size:]
    return header._replace(proto=proto, offset=offset, more=more, content=content)
