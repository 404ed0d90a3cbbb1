"""The elements of an ipset, indexed for fast lookup.

A part of an element is a value with a prefix length (addresses) or a plain value (ports with protocol,
MAC addresses, marks). Elements with equal prefix lengths share a dictionary; the longest prefix is looked up
first, as in the kernel (mtype_test_cidrs in net/netfilter/ipset/ip_set_hash_gen.h).
"""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from iptsim.address_sets import AddressSet
from iptsim.addresses import BITS, Family, parse_address
from iptsim.extensions.matches.icmp import NAMES
from iptsim.extensions.matches.icmp6 import NAMES as NAMES6
from iptsim.host.model import IpSet
from iptsim.host.namespace import prefix_mask
from iptsim.languages import message
from iptsim.protocols import ICMP, ICMPV6, PROTOCOLS

#: The parts of an element that are addresses.
ADDRESSES = frozenset({"ip", "net"})
#: Placeholder for the prefix length of a part that has none.
_NO_LENGTH = -1

#: Default limit on the elements of a hash.
_MOST_ELEMENTS = 65536

#: The limit on elements after expanding the ranges of a set. `ipset save` itself prints only ranges of addresses.
RANGE_LIMIT = 1 << 18
#: The kernel's limit on the number of sets (IPSET_INVALID_ID in include/linux/netfilter/ipset/ip_set.h is 65,535).
SET_LIMIT = 65_535

Lengths = tuple[int, ...]
Key = tuple[Hashable, ...]


class InterfaceName(NamedTuple):
    """An interface of a hash:net,iface element.

    Attributes:
        wildcard: the name is only a prefix.
        physical: it is a bridge port.
    """

    name: str
    wildcard: bool = False
    physical: bool = False


class Members:
    """The elements of one set.

    Attributes:
        parts: the parts of an element: "ip", "net", "port", "mac", "iface", "mark".
        lists: members of a list:set, in order.
        unfolded: the number of elements added by expanding ranges, beyond one each.
    """

    def __init__(self, ipset: IpSet) -> None:
        self.parts = tuple(ipset.type.partition(":")[2].split(","))
        self.family = ipset.family
        self._bitmap = ipset.type.startswith("bitmap:")
        self._range = _bitmap_range(ipset) if self._bitmap else None
        self._most = int(ipset.options.get("maxelem", _MOST_ELEMENTS))
        self.lists: list[str] = []
        self.unfolded = 0
        #: by prefix lengths, longest first: element -> whether it is a hole (nomatch)
        self.groups: list[tuple[Lengths, dict[Key, bool]]] = []
        groups: dict[Lengths, dict[Key, bool]] = {}
        if self.parts == ("set",):
            self.lists = _in_order(ipset.entries)
        for text, options in ipset.entries if not self.lists else ():
            for number, (lengths, key) in enumerate(self._elements(text, options)):
                groups.setdefault(lengths, {})[key] = "nomatch" in options
                self.unfolded += number > 0
                if self.unfolded > RANGE_LIMIT:
                    raise ValueError(
                        message(
                            "its ranges expand to more than {range_limit:,} elements; `ipset save` lists the elements "
                            "themselves",
                            range_limit=RANGE_LIMIT,
                        )
                    )
        self._index(groups)

    def _index(self, groups: Mapping[Lengths, dict[Key, bool]]) -> None:
        self.groups = sorted(groups.items(), key=lambda group: group[0], reverse=True)
        interfaces = "iface" in self.parts
        #: of a hash:net,iface set, the networks by prefix length
        self.nets = {lengths[0]: {key[0] for key in keys} for lengths, keys in self.groups if interfaces}
        names = {key[1] for _, keys in self.groups for key in keys} if interfaces else set()
        self.wildcards = sorted(
            (name for name in names if isinstance(name, InterfaceName)),
            key=lambda name: (name.wildcard, -len(name.name)),
        )

    def changed(self, element: tuple[Any, ...], action: str, *, overwrite: bool) -> Members | None:
        """Return the elements after a rule has added or deleted a packet's element, or None if nothing changes.

        A network gets the longest prefix length in the set for that part, or a full address if there is
        none (hash_net4_kadt and similar functions: INIT_CIDR).

        Args:
            element: the packet's value of each part, as :func:`iptsim.host.ipsets.element_of` makes it.
            action: "add" or "del".
            overwrite: add the element even if it exists (`--exist`), which closes a hole.
        """
        lengths = tuple(self._length(place) for place in range(len(self.parts)))
        found = self._own_key(lengths, element)
        if found is None:
            return None
        key, group = found, dict(self.groups).get(lengths, {})
        if self._bitmap and self.parts == ("ip", "mac"):
            return self._changed_addresses(lengths, key, group, action, overwrite)
        if action == "del":
            return (
                self._with(lengths, {other: group[other] for other in group if other != key})
                if key in group
                else None
            )
        if key in group:
            return self._with(lengths, {**group, key: False}) if overwrite else None
        full = not self._bitmap and sum(len(keys) for _, keys in self.groups) >= self._most
        return None if full else self._with(lengths, {**group, key: False})

    def _changed_addresses(
        self, lengths: Lengths, key: Key, group: dict[Key, bool], action: str, overwrite: bool
    ) -> Members | None:
        """Change a bitmap:ip,mac set, which has each address only once (bitmap_ipmac_do_add)."""
        there = next((other for other in group if other[0] == key[0]), None)
        others = {other: hole for other, hole in group.items() if other != there}
        if action == "del":
            return None if there is None else self._with(lengths, others)
        if there is not None and there[1] != "" and not overwrite:
            return None
        return self._with(lengths, {**others, key: False})

    def _length(self, place: int) -> int:
        """Return the prefix length of the element that a rule adds or deletes."""
        if self.parts[place] not in ADDRESSES:
            return _NO_LENGTH
        whole = BITS[self.family or 4]
        if self.parts[place] == "ip":
            return whole
        return max((lengths[place] for lengths, keys in self.groups if keys), default=whole)

    def _own_key(self, lengths: Lengths, element: tuple[Any, ...]) -> Key | None:
        """Return the element that a rule adds or deletes, or None if the set cannot hold it."""
        key: list[Hashable] = []
        for part, length, value in zip(self.parts, lengths, element, strict=True):
            if part in ADDRESSES:
                value &= prefix_mask(self.family or 4, length)
            elif part == "iface":
                if value[0] is None:
                    return None
                value = InterfaceName(value[0])
            key.append(value)
        if self._range is not None and not self._range[0] <= element[0] <= self._range[1]:
            return None
        return tuple(key)

    def _with(self, lengths: Lengths, group: dict[Key, bool]) -> Members:
        """Return these elements, with those of the given prefix lengths replaced."""
        new = copy.copy(self)
        new._index({**dict(self.groups), lengths: group})
        return new

    def _elements(self, text: str, options: Mapping[str, str]) -> Iterator[tuple[Lengths, Key]]:
        """Yield the elements of an entry: one, or all of a range.

        Raises:
            ValueError: the entry is not valid for this type.
        """
        given = text.split(",")
        if self.parts == ("ip", "mac") and len(given) == 1:
            given.append("")  # bitmap:ip,mac: any MAC address, until the first packet fixes it
        if len(given) != len(self.parts):
            raise ValueError(
                message("{text!r} is not of the form {choices}", text=text, choices=",".join(self.parts))
            )
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
            raise ValueError(message("no set type has a part {part!r}", part=part))

    def find(self, element: Mapping[int, Any]) -> bool | None:
        """Look an element up.

        Args:
            element: the packet's value of each part, in order; for an interface, the matching names.

        Returns:
            True for a member, False for a hole (nomatch), otherwise None.
        """
        for lengths, keys in self.groups:
            for key in self._keys(lengths, element):
                if key in keys:
                    return not keys[key]
            # In a hash:net,iface set, the longest prefix of any interface decides.
            if self.nets and element[0] & prefix_mask(self.family or 4, lengths[0]) in self.nets[lengths[0]]:
                return None
        return None

    def covers(self, address: int) -> bool:
        """Return whether an element contains an address, whatever its other parts."""
        for lengths, keys in self.groups:
            for place, part in enumerate(self.parts):
                if part not in ADDRESSES:
                    continue
                value = address & prefix_mask(self.family or 4, lengths[place])
                if (value,) in keys if len(self.parts) == 1 else any(key[place] == value for key in keys):
                    return True
        return False

    def addresses(
        self, place: int, element: Mapping[int, Any], mask: int, *, holes: bool = False
    ) -> AddressSet:
        """Return the addresses for which an element would be found.

        Args:
            place: which part of the element the address is.
            element: the other parts; as for :meth:`find`.
            mask: the set's own mask for addresses.
            holes: return those for which a hole (nomatch) would be found instead.
        """
        family: Family = self.family or 4
        found = AddressSet(family)
        for lengths, keys in reversed(self.groups):
            fitting = {key[:place] + key[place + 1 :] for key in self._keys(lengths, element)}
            length = min(lengths[place], mask.bit_count())
            spans: dict[bool | None, list[tuple[int, int]]] = {False: [], True: [], None: []}
            for key, is_hole in keys.items():
                value = key[place]
                assert isinstance(value, int)
                kind = is_hole if key[:place] + key[place + 1 :] in fitting else None
                spans[kind] += AddressSet.prefix(family, value, length).spans
            if self.nets:
                # in a hash:net,iface set, the longest prefix of any interface decides
                found -= AddressSet.of(family, spans[None])
            found = (found | AddressSet.of(family, spans[holes])) - AddressSet.of(family, spans[not holes])
        return found

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


def _bitmap_range(ipset: IpSet) -> tuple[int, int]:
    """Return the first and last value of a bitmap's range."""
    text = ipset.options.get("range", "")
    if ipset.type == "bitmap:port":
        first, _, last = text.partition("-")
        return int(first or 0), int(last or first or 0xFFFF)
    if "/" in text:
        ((length, base),) = address_prefixes(text, 4)
        return base, base | ~prefix_mask(4, length) & 0xFFFFFFFF
    first, _, last = text.partition("-")
    return parse_address(first)[1], parse_address(last or first)[1]


def _in_order(entries: Sequence[tuple[str, Mapping[str, str]]]) -> list[str]:
    """Return the members of a list:set in the order given by `before` and `after`; an existing member keeps its place.

    Raises:
        ValueError: there are more members than the kernel allows sets.
    """
    if len(entries) > SET_LIMIT:
        raise ValueError(message("it has more than {set_limit:,} members", set_limit=SET_LIMIT))
    # the next and the previous member of each; None is both ends
    behind: dict[str | None, str | None] = {None: None}
    front: dict[str | None, str | None] = {None: None}
    for name, options in entries:
        if name in behind:
            continue
        before, after = options.get("before"), options.get("after")
        left = (
            front[before]
            if before in behind and before
            else after
            if after in behind and after
            else front[None]
        )
        right = behind[left]
        behind[left], behind[name], front[name], front[right] = name, right, left, name
    found: list[str] = []
    place = behind[None]
    while place is not None:
        found.append(place)
        place = behind[place]
    return found


def address_prefixes(text: str, family: int) -> Iterator[tuple[int, int]]:
    """Yield the (prefix length, first address) pairs that an address, a prefix or a range consists of.

    Raises:
        ValueError: the text is not an address of the set's family.
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
            raise ValueError(message("{text!r} has no valid IPv{own} prefix length", text=text, own=own))
        found.append((bits, address & prefix_mask(own, bits), own))
    for bits, address, version in found:
        if version != family:
            raise ValueError(
                message(
                    "{text!r} is not an IPv{family} address like the elements of the set",
                    text=text,
                    family=family,
                )
            )
        yield bits, address


def _range(first: str, last: str) -> list[ipaddress.IPv4Network] | list[ipaddress.IPv6Network]:
    (family, low), (other, high) = parse_address(first), parse_address(last)
    if family != other:
        raise ValueError(
            message("{first} and {last} have different address families", first=first, last=last)
        )
    if low > high:
        raise ValueError(message("{range} ends before it begins", range=f"{first}-{last}"))
    if family == 4:
        return list(
            ipaddress.summarize_address_range(ipaddress.IPv4Address(low), ipaddress.IPv4Address(high))
        )
    return list(ipaddress.summarize_address_range(ipaddress.IPv6Address(low), ipaddress.IPv6Address(high)))


def ports(text: str, *, with_protocol: bool) -> Iterator[Hashable]:
    """Yield (protocol, port) pairs, or plain ports, of "80", "tcp:80", "udp:53-54", "icmp:echo-request".

    Raises:
        ValueError: it is not one of these.
    """
    name, colon, rest = text.partition(":")
    if not colon:
        name, rest = "tcp", text
    proto = int(name) if name.isdecimal() else PROTOCOLS.get(name.lower(), 58 if name == "icmpv6" else -1)
    if proto < 0:
        raise ValueError(message("unknown protocol {name!r}", name=name))
    if proto in (ICMP, ICMPV6) and colon:
        yield proto, _icmp(rest, NAMES if proto == ICMP else NAMES6)
        return
    first, dash, last = rest.partition("-")
    for port in range(int(first), int(last if dash else first) + 1):
        yield (proto, port) if with_protocol else port


def _icmp(text: str, names: Mapping[str, tuple[int, int | None]]) -> int:
    """Read "8/0" or "echo-request" into type and code as one number, as in the kernel."""
    if text in names:
        kind, code = names[text]
        return kind << 8 | (code or 0)
    number, slash, rest = text.partition("/")
    return int(number) << 8 | int(rest) if slash else int(number)
