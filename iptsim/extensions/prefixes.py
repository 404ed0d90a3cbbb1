"""IPv6 prefixes, and how SNPT and DNPT translate them (RFC 6296; net/ipv6/netfilter/ip6t_NPT.c)."""

from __future__ import annotations

from typing import NamedTuple

from iptsim.addresses import address_text
from iptsim.extensions.values import integer, one_address
from iptsim.languages import message

_LONGEST = 64
_ALL = (1 << 128) - 1
_MANGLED_ZERO = 0xFFFF


class Prefix(NamedTuple):
    """An IPv6 prefix."""

    address: int
    length: int

    def __str__(self) -> str:
        return f"{address_text(6, self.address)}/{self.length}"


def parse_prefix(text: str) -> Prefix:
    """Read a prefix of up to 64 bits.

    Raises:
        ValueError: it is longer, or has bits after its end.
    """
    address_part, slash, length_part = text.partition("/")
    address, length = one_address(address_part, 6), integer(length_part, 0, 128) if slash else 128
    if length > _LONGEST:
        raise ValueError(
            message("the prefix {text} is longer than {longest} bits", text=text, longest=_LONGEST)
        )
    if address & (_ALL >> length):
        raise ValueError(message("the address of {text} has bits set beyond the prefix", text=text))
    return Prefix(address, length)


def add16(first: int, second: int) -> int:
    """Add 16-bit numbers as the internet checksum does.

    >>> add16(0xFFFF, 2)
    2
    """
    total = first + second
    return (total & 0xFFFF) + (total >> 16)


def checksum(address: int) -> int:
    """Return the ones' complement sum of an address's eight words."""
    total = 0
    while address:
        total, address = add16(total, address & 0xFFFF), address >> 16
    return total


def translate(address: int, source: Prefix, target: Prefix) -> int | None:
    """Return an address with its prefix replaced, so that checksums over it stay correct.

    None: no word of the address can take up the difference.
    """
    length = max(source.length, target.length)
    kept = _ALL >> length
    new = address & kept | target.address & ~kept
    for index in [3] if length <= 48 else [4, 5, 6, 7]:
        shift = 112 - 16 * index
        word = new >> shift & 0xFFFF
        if index > 3 and word == _MANGLED_ZERO:
            continue
        word = add16(word, add16(checksum(source.address), ~checksum(target.address) & 0xFFFF))
        if word == _MANGLED_ZERO:
            word = 0
        return new & ~(0xFFFF << shift) | word << shift
    return None
