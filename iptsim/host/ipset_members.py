"""The elements of an ipset, read and indexed so that a packet's element is found fast.

A part of an element is a value with a prefix length (addresses) or a plain value (ports with protocol,
MAC addresses, marks). Elements with equal prefix lengths share a dictionary; the longest is asked first,
as the kernel does it (mtype_test_cidrs in net/netfilter/ipset/ip_set_hash_gen.h).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

from iptsim.extensions.matches.icmp import NAMES
from iptsim.extensions.matches.icmp6 import NAMES as NAMES6
from iptsim.host.model import BITS, IpSet, prefix_mask
from iptsim.packet import ICMP, ICMPV6, PROTOCOLS, parse_address

#: Parts of an element that are addresses.
ADDRESSES = frozenset({"ip", "net"})
#: Prefix length that stands in for a part that has none.
_NO_LENGTH = -1

Lengths = tuple[int, ...]
Key = tuple[Hashable, ...]


class InterfaceName(NamedTuple):
    """An interface of a hash:net,iface element.

    Attributes:
        wildcard: the name is only the start of one.
        physical: it is a bridge port.
    """

    name: str
    wildcard: bool = False
    physical: bool = False


class Members:
    """The elements of one set.

    Attributes:
        parts: what an element is made of: "ip", "net", "port", "mac", "iface", "mark".
        lists: members of a list:set, in order.
    """

    def __init__(self, ipset: IpSet) -> None:
        self.parts = tuple(ipset.type.partition(":")[2].split(","))
        self.family = ipset.family
        self.lists: list[str] = []
        #: by prefix lengths, longest first: element -> whether it is a hole (nomatch)
        self.groups: list[tuple[Lengths, dict[Key, bool]]] = []
        groups: dict[Lengths, dict[Key, bool]] = {}
        for text, options in ipset.entries:
            if self.parts == ("set",):
                _place(self.lists, text, options)
                continue
            for lengths, key in self._elements(text, options):
                groups.setdefault(lengths, {})[key] = "nomatch" in options
        self.groups = sorted(groups.items(), key=lambda group: group[0], reverse=True)
        #: of a hash:net,iface set, the networks by prefix length
        self.nets = {
            lengths[0]: {key[0] for key in keys} for lengths, keys in self.groups if "iface" in self.parts
        }
        self.wildcards = sorted(
            {
                part
                for _, keys in self.groups
                for key in keys
                for part in key
                if isinstance(part, InterfaceName)
            },
            key=lambda part: (part.wildcard, -len(part.name)),
        )

    def _elements(self, text: str, options: Mapping[str, str]) -> Iterator[tuple[Lengths, Key]]:
        """Yield what an entry adds: one element, or all of a range.

        Raises:
            ValueError: the entry can't be one of this type.
        """
        given = text.split(",")
        if self.parts == ("ip", "mac") and len(given) == 1:
            given.append("")  # bitmap:ip,mac: any MAC address, until the first packet tells
        if len(given) != len(self.parts):
            raise ValueError(f"{text!r} does not consist of {','.join(self.parts)}")
        read = [list(self._part(part, value, options)) for part, value in zip(self.parts, given, strict=True)]
        for combination in product(*read):
            yield tuple(length for length, _ in combination), tuple(value for _, value in combination)

    def _part(self, part: str, text: str, options: Mapping[str, str]) -> Iterator[tuple[int, Hashable]]:
        if part in ADDRESSES:
            yield from address_prefixes(text, self.family or 4)
        elif part == "port":
            yield from ((_NO_LENGTH, value) for value in ports(text, with_protocol=self.parts != ("port",)))
        elif part == "mac":
            yield _NO_LENGTH, text.lower()
        elif part == "mark":
            yield _NO_LENGTH, int(text, 0)
        elif part == "iface":
            name = text.removeprefix("physdev:")
            yield _NO_LENGTH, InterfaceName(name, "wildcard" in options, name != text)
        else:
            raise ValueError(f"there is no type of set with a {part!r} in it")

    def find(self, element: Mapping[int, Any]) -> bool | None:
        """Look an element up.

        Args:
            element: the packet's value of each part, by its place; for an interface, the names that fit.

        Returns:
            True for a member, False for a hole (nomatch), None for neither.
        """
        for lengths, keys in self.groups:
            for key in self._keys(lengths, element):
                if key in keys:
                    return not keys[key]
            # In a hash:net,iface set, the longest prefix that is there for any interface decides.
            if self.nets and element[0] & prefix_mask(self.family or 4, lengths[0]) in self.nets[lengths[0]]:
                return None
        return None

    def _keys(self, lengths: Lengths, element: Mapping[int, Any]) -> Iterator[Key]:
        choices: list[tuple[Hashable, ...]] = []
        for place, part in enumerate(self.parts):
            value = element[place]
            if part in ADDRESSES:
                choices.append((value & prefix_mask(self.family or 4, lengths[place]),))
            elif part == "iface":
                choices.append(tuple(one for one in self.wildcards if _names(one, value)))
            elif part == "mac":
                choices.append((value, "") if self.parts == ("ip", "mac") else (value,))
            else:
                choices.append((value,))
        return product(*choices)


def _names(pattern: InterfaceName, interfaces: tuple[str | None, str | None]) -> bool:
    name = interfaces[1] if pattern.physical else interfaces[0]
    if name is None:
        return False
    return name.startswith(pattern.name) if pattern.wildcard else name == pattern.name


def _place(members: list[str], name: str, options: Mapping[str, str]) -> None:
    """Put a member of a list:set into its place."""
    anchor = options.get("before") or options.get("after")
    if anchor in members:
        members.insert(members.index(anchor) + ("after" in options), name)
    else:
        members.append(name)


def address_prefixes(text: str, family: int) -> Iterator[tuple[int, int]]:
    """Yield (prefix length, first address) pairs that make up an address, a prefix or a range.

    Raises:
        ValueError: not addresses of the set's family.
    """
    first, dash, last = text.partition("-")
    found: list[tuple[int, int, int]] = []
    if dash:
        for network in _range(first, last):
            found.append((network.prefixlen, int(network.network_address), network.version))
    else:
        base, slash, length = text.partition("/")
        own, address = parse_address(base)
        bits = int(length) if slash else BITS[own]
        if not 0 <= bits <= BITS[own]:
            raise ValueError(f"{text!r} has no prefix length of IPv{own}")
        found.append((bits, address & prefix_mask(own, bits), own))
    for bits, address, version in found:
        if version != family:
            raise ValueError(f"{text!r} is no IPv{family} address, as the set's elements are")
        yield bits, address


def _range(first: str, last: str) -> list[ipaddress.IPv4Network] | list[ipaddress.IPv6Network]:
    low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
    if isinstance(low, ipaddress.IPv4Address) and isinstance(high, ipaddress.IPv4Address):
        return list(ipaddress.summarize_address_range(low, high))
    if isinstance(low, ipaddress.IPv6Address) and isinstance(high, ipaddress.IPv6Address):
        return list(ipaddress.summarize_address_range(low, high))
    raise ValueError(f"{first} and {last} are not of one family")


def ports(text: str, *, with_protocol: bool) -> Iterator[Hashable]:
    """Yield (protocol, port) pairs, or plain ports, of "80", "tcp:80", "udp:53-54", "icmp:echo-request".

    Raises:
        ValueError: none of these.
    """
    name, colon, rest = text.partition(":")
    if not colon:
        name, rest = "tcp", text
    proto = int(name) if name.isdigit() else PROTOCOLS.get(name.lower(), 58 if name == "icmpv6" else -1)
    if proto < 0:
        raise ValueError(f"{name!r} is not a known protocol")
    if proto in (ICMP, ICMPV6) and colon:
        yield proto, _icmp(rest, NAMES if proto == ICMP else NAMES6)
        return
    first, dash, last = rest.partition("-")
    for port in range(int(first), int(last if dash else first) + 1):
        yield (proto, port) if with_protocol else port


def _icmp(text: str, names: Mapping[str, tuple[int, int | None]]) -> int:
    """Read "8/0" or "echo-request": type and code as one number, as the kernel keeps them."""
    if text in names:
        kind, code = names[text]
        return kind << 8 | (code or 0)
    number, slash, rest = text.partition("/")
    return int(number) << 8 | int(rest) if slash else int(number)
