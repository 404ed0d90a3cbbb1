"""IP addresses: plain integers with a separate family (4 or 6), as the kernel compares them."""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache
from typing import Literal

from iptsim.languages import message

Family = Literal[4, 6]
FAMILIES: tuple[Family, Family] = (4, 6)
#: The bits of an address.
BITS: dict[int, int] = {4: 32, 6: 128}


def is_loopback(family: int, address: int) -> bool:
    """Return whether an address is a loopback address."""
    return address >> 24 == 127 if family == 4 else address == 1


def is_multicast(family: int, address: int) -> bool:
    """Return whether an address is a multicast group."""
    return address >> 28 == 0xE if family == 4 else address >> 120 == 0xFF


def is_link_local(family: int, address: int) -> bool:
    """Return whether an address names a machine only together with a link: 169.254.0.0/16, fe80::/10."""
    return address >> 16 == 0xA9FE if family == 4 else address >> 118 == 0xFE80 >> 6


def solicited_node(address: int) -> int:
    """Return the group that the owner of an IPv6 address joins for neighbour discovery (RFC 4291, 2.7.1).

    >>> address_text(6, solicited_node(0x20010DB8_00000000_00000000_00ABCDEF))
    'ff02::1:ffab:cdef'
    """
    return 0xFF0200000000000000000001FF000000 | address & 0xFFFFFF


@lru_cache(maxsize=65536)
def address_text(family: int, address: int) -> str:
    """Return the text of an address in the form of inet_ntop(3), which iptables prints.

    >>> address_text(4, 0xAC110002), address_text(6, 0xFFFF01020304)
    ('172.17.0.2', '::ffff:1.2.3.4')
    """
    if family == 4:
        return socket.inet_ntop(socket.AF_INET, address.to_bytes(4, "big"))
    return socket.inet_ntop(socket.AF_INET6, address.to_bytes(16, "big"))


def endpoint_text(family: int, address: int, port: int | None) -> str:
    """Return an address and a port in the usual notation.

    >>> endpoint_text(4, 0x0A000009, 80), endpoint_text(6, 1, 80), endpoint_text(4, 0x0A000009, None)
    ('10.0.0.9:80', '[::1]:80', '10.0.0.9')
    """
    text = address_text(family, address)
    if port is None:
        return text
    return f"[{text}]:{port}" if family == 6 else f"{text}:{port}"


def ip_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read an IPv4 or IPv6 address as an object of :mod:`ipaddress`.

    Raises:
        ValueError: `text` is not an address.
    """
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(message("{text!r} is not an IP address", text=text)) from None


@lru_cache(maxsize=65536)
def parse_address(text: str) -> tuple[Family, int]:
    """Read an IPv4 or IPv6 address.

    Raises:
        ValueError: `text` is not an address.
    """
    address = ip_address(text)
    return (4 if address.version == 4 else 6), int(address)


def is_private(family: Family, text: str) -> bool:
    """Return whether an address is private: RFC 1918, RFC 6598, RFC 4193."""
    address = parse_address(text)[1]
    if family == 6:
        return address >> 121 == 0xFC >> 1
    return any(
        address >> shift == first for shift, first in ((24, 10), (20, 0xAC1), (16, 0xC0A8), (22, 0x6440 >> 6))
    )
