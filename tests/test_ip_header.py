"""Headers as RFC 791 and RFC 8200 lay them out; what is skipped as in ipv6_skip_exthdr."""

from __future__ import annotations

import pytest

from iptsim.ip_header import read_ipv4, read_ipv6, without_extensions
from iptsim.protocols import AH, FRAGMENT, HOP_BY_HOP, TCP, UDP

IPV4 = bytes.fromhex("46000020 12342001 40060000 0a000001 0a000002 01010101") + b"segment"
ADDRESSES = bytes.fromhex("fd00" + 13 * "00" + "01" + "fd00" + 13 * "00" + "02")


def ipv6(proto: int, content: bytes) -> bytes:
    return (
        bytes.fromhex("60000000") + len(content).to_bytes(2, "big") + bytes([proto, 64]) + ADDRESSES + content
    )


def test_an_ipv4_header_with_options() -> None:
    header = read_ipv4(IPV4)
    assert header is not None
    assert (header.src, header.dst, header.proto) == (0x0A000001, 0x0A000002, TCP)
    assert (header.offset, header.more, header.content) == (1, True, b"segment")


@pytest.mark.parametrize(
    ("proto", "content", "found"),
    [
        (UDP, b"datagram", (UDP, 0, b"datagram")),
        (HOP_BY_HOP, bytes([UDP, 1]) + bytes(14) + b"datagram", (UDP, 0, b"datagram")),
        # an authentication header counts in units of four bytes (ipv6_authlen)
        (AH, bytes([UDP, 4]) + bytes(22) + b"datagram", (UDP, 0, b"datagram")),
        (FRAGMENT, bytes([UDP, 0, 0, 9]) + bytes(4) + b"later", (UDP, 1, b"later")),
    ],
    ids=["none", "hop by hop", "authentication", "later fragment"],
)
def test_extension_headers(proto: int, content: bytes, found: tuple[int, int, bytes]) -> None:
    header = read_ipv6(ipv6(proto, content))
    assert header is not None
    whole = without_extensions(header)
    assert whole is not None
    assert (whole.proto, whole.offset, whole.content) == found


def test_what_is_cut_off() -> None:
    assert read_ipv4(IPV4[:19]) is None
    assert read_ipv6(ipv6(UDP, b"")[:39]) is None
    header = read_ipv6(ipv6(HOP_BY_HOP, bytes([UDP, 0])))
    assert header is not None
    assert without_extensions(header) is None
