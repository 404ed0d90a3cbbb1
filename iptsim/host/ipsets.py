"""ipset(8): reading `ipset save`, and looking up packets in sets.

Making an element from a packet and the directions of `-m set --match-set NAME src,dst` follows
net/netfilter/ipset/ip_set_core.c, ip_set_getport.c and the ip_set_*.c of each type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from iptsim.address_sets import AddressSet, union
from iptsim.addresses import BITS, Family, parse_address
from iptsim.extensions.context import Context
from iptsim.host.ipset_members import ADDRESSES, RANGE_LIMIT, Members
from iptsim.host.model import IpSet
from iptsim.host.namespace import check_prefix_length, prefix_mask
from iptsim.languages import message, text_of
from iptsim.packet import Packet
from iptsim.protocols import ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE
from iptsim.reading import brief
from iptsim.truth import Truth, Unknown

#: Protocols of which an element has the port (ip_set_get_ip_port).
PORTED = frozenset({TCP, UDP, SCTP, UDPLITE})
#: Options of `create` and `add` that take a value; the others are flags.
_VALUED = frozenset(
    {
        "family", "hashsize", "maxelem", "timeout", "range", "netmask", "bitmask", "markmask", "size",
        "bucketsize", "initval", "packets", "bytes", "comment", "skbmark", "skbprio", "skbqueue", "before",
        "after",
    }
)  # fmt: skip
#: Types whose elements have no address family.
LIST = "list:set"
_FAMILYLESS = frozenset({"bitmap:port", "hash:mac", LIST})
_WORD = re.compile(r'"[^"]*"|[^ \t"]+')


def read_ipsets(text: str) -> dict[str, IpSet]:
    """Read the output of `ipset save`.

    Raises:
        ValueError: a line is neither `create` nor `add`, or its element is invalid; the message says which.
    """
    created: dict[str, tuple[str, dict[str, str]]] = {}
    entries: dict[str, list[tuple[str, dict[str, str]]]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = [word.strip('"') for word in _WORD.findall(line)]
        if not words or words[0].startswith("#"):
            continue
        command, name = words[0].lstrip("-"), words[1] if len(words) > 1 else ""
        if command in ("create", "N") and len(words) >= 3:
            created[name], entries[name] = (words[2], _options(words[3:])), []
        elif command in ("add", "A") and len(words) >= 3:
            if name not in created:
                raise ValueError(
                    message(
                        "line {number} adds to the set {name}, but no earlier line creates it",
                        number=number,
                        name=brief(name),
                    )
                )
            entries[name].append((words[2], _options(words[3:])))
        else:
            raise ValueError(
                message(
                    "line {number} is neither `create SET TYPE` nor `add SET ELEMENT`: {line!r}",
                    number=number,
                    line=line[:80],
                )
            )
    _check_lists(created, entries)
    found: dict[str, IpSet] = {}
    left = RANGE_LIMIT
    for name, (kind, options) in created.items():
        found[name] = _set(name, kind, options, entries[name])
        left -= members_of(found[name]).unfolded
        if left < 0:
            raise ValueError(
                message(
                    "the ranges of all sets expand to more than {range_limit:,} elements",
                    range_limit=RANGE_LIMIT,
                )
            )
    return found


def _check_lists(
    created: Mapping[str, tuple[str, Any]], entries: Mapping[str, list[tuple[str, dict[str, str]]]]
) -> None:
    """Check that no list of sets contains a list, as the kernel does (list_set_uadt in ip_set_list_set.c).

    Raises:
        ValueError: a list contains one; the message says which.
    """
    lists = {name for name, (kind, _) in created.items() if kind == LIST}
    for name in lists:
        for member, _ in entries[name]:
            if member in lists:
                raise ValueError(
                    message(
                        "the set {name} of type {list} can't contain {member}, which is a list as well",
                        name=brief(name),
                        list=LIST,
                        member=brief(member),
                    )
                )


def _set(name: str, kind: str, options: dict[str, str], entries: list[tuple[str, dict[str, str]]]) -> IpSet:
    family: Family = 6 if options.get("family") == "inet6" else 4
    ipset = IpSet(
        name=name,
        type=kind,
        family=None if kind in _FAMILYLESS else family,
        options=options,
        entries=tuple(entries),
    )
    try:
        members_of(ipset)
        check_prefix_length(family, int(options.get("netmask", BITS[family])))
        address_mask(ipset)
        mark_mask(ipset)
    except ValueError as error:
        raise ValueError(
            message("the set {name} of type {kind}: {error}", name=name, kind=kind, error=text_of(error))
        ) from None
    return ipset


def _options(words: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        found[word] = next(rest, "") if word in _VALUED else ""
    return found


def members_of(ipset: IpSet) -> Members:
    """Return the elements of a set, indexed.

    Raises:
        ValueError: an element is not valid for the set's type.
    """
    if "members" not in ipset.cache:
        ipset.cache["members"] = Members(ipset)
    members: Members = ipset.cache["members"]
    return members


def contains(
    sets: Mapping[str, IpSet] | None,
    name: str,
    directions: tuple[str, ...],
    context: Context,
    options: Mapping[str, Any],
    *,
    members: Callable[[IpSet], Members] = members_of,
) -> Truth:
    """Return whether a packet is in a set, as `-m set --match-set NAME DIRECTIONS` tests.

    Args:
        sets: all sets, or None if they were not saved.
        name: the name of the set.
        directions: "src" or "dst" for each part of an element.
        context: the packet and its interfaces.
        options: of the match; `return_nomatch` swaps members and holes (nomatch).
        members: returns the elements of a set, including changes by rules.
    """
    ipset = sets.get(name) if sets is not None else None
    if sets is None or ipset is None:
        why = (
            message("the contents of ipset {name}", name=name)
            if sets is None
            else message("ipset {name}, which ipset-save.txt lacks", name=name)
        )
        key = ("set", name, directions, tuple(_sides(context.packet, directions)))
        return Unknown(why, message("ipset-save.txt in the capture"), key)
    own = members(ipset)
    if own.parts == ("set",):
        undecided: Truth = False
        for member in own.lists:
            truth = contains(sets, member, directions, context, options, members=members)
            if truth is True:
                return True
            undecided = undecided or truth
        return undecided
    element = element_of(ipset, directions, context)
    if element is None or isinstance(element, Unknown):
        return element or False
    found = own.find(dict(enumerate(element)))
    # types without networks have no holes and ignore the option (ip_set_enomatch)
    holes = options.get("return_nomatch") and "net" in own.parts
    return found is False if holes else found is True


def addresses_in(
    sets: Mapping[str, IpSet] | None,
    name: str,
    directions: tuple[str, ...],
    context: Context,
    address: int,
    *,
    return_nomatch: bool = False,
) -> AddressSet | None:
    """Return the addresses that would be in a set instead of an address of the packet, all else being equal.

    Args:
        sets, name, directions, return_nomatch: as for :func:`contains`.
        context: the packet and its interfaces.
        address: the packet's source or destination.

    Returns:
        None if the set does not depend on the address, or if its contents are unknown.
    """
    ipset = sets.get(name) if sets is not None else None
    if ipset is None:
        return None
    own = members_of(ipset)
    if own.parts == ("set",):
        found = [addresses_in(sets, member, directions, context, address) for member in own.lists]
        known = [one for one in found if one is not None]
        return union(context.packet.family, known) if known else None
    element = element_of(ipset, directions, context)
    packet = context.packet
    places = [
        place
        for place, (part, side) in enumerate(zip(own.parts, directions, strict=False))
        if part in ADDRESSES and (packet.src if side == "src" else packet.dst) == address
    ]
    mask = address_mask(ipset)
    is_prefix = mask == prefix_mask(packet.family, mask.bit_count())
    if element is None or isinstance(element, Unknown) or len(places) != 1 or not is_prefix:
        return None
    holes = return_nomatch and "net" in own.parts
    return own.addresses(places[0], dict(enumerate(element)), mask, holes=holes)


def element_of(
    ipset: IpSet, directions: tuple[str, ...], context: Context
) -> tuple[Any, ...] | Unknown | None:
    """Return the element for a packet in a set, or None if it has none.

    Args:
        ipset: the set; not a list of sets.
        directions: "src" or "dst" for each part of the element.
        context: the packet and its interfaces.
    """
    parts = members_of(ipset).parts
    # A set uses at most the directions that the rule gives, and only matches packets of its family.
    if len(directions) < len(parts) or ipset.family not in (None, context.packet.family):
        return None
    element = []
    for part, direction in zip(parts, directions, strict=False):
        value = _value(ipset, part, direction, context, parts == ("port",))
        if value is None or isinstance(value, Unknown):
            return value
        element.append(value)
    return tuple(element)


def _sides(packet: Packet, directions: tuple[str, ...]) -> list[Any]:
    return [
        (packet.src, packet.sport) if side == "src" else (packet.dst, packet.dport) for side in directions
    ]


def _value(ipset: IpSet, part: str, direction: str, context: Context, bare_port: bool) -> Any:
    """Return the packet's value for one part of an element, or None if it has none."""
    packet, source = context.packet, direction == "src"
    if part in ADDRESSES:
        return (packet.src if source else packet.dst) & address_mask(ipset)
    if part == "port":
        return _port(packet, source, bare_port)
    if part == "mac":
        if context.frameless:
            return None
        mac = packet.src_mac if source else packet.dst_mac
        unknown = Unknown(
            message("the Ethernet address of the sender")
            if source
            else message("the Ethernet address of the receiver"),
            f"--set {direction}_mac=ADDRESS",
            ("mac", direction),
        )
        return unknown if mac is None else mac.lower()
    if part == "mark":
        mark = packet.mark & mark_mask(ipset)
        if isinstance(mark, int):
            return mark
        return Unknown(mark.reason.reason, mark.reason.decide, ("mark", mark))
    if source:
        return context.in_interface, context.physical_in
    return context.out_interface, context.physical_out


def mark_mask(ipset: IpSet) -> int:
    """Return the bits of a packet's mark that the elements of a set contain."""
    return int(ipset.options.get("markmask", "0xffffffff"), 0)


def address_mask(ipset: IpSet) -> int:
    """Return the bits of an address that the elements of a set contain (`netmask`, `bitmask`)."""
    family = ipset.family or 4
    if "bitmask" in ipset.options:
        return parse_address(ipset.options["bitmask"])[1]
    return prefix_mask(family, int(ipset.options.get("netmask", BITS[family])))


def _port(packet: Packet, source: bool, bare: bool) -> Any:
    """Return (protocol, port), or only the port; for ICMP, type and code instead of the port."""
    proto = packet.proto
    if bare and proto not in (TCP, UDP):
        return None
    if proto in PORTED:
        if packet.fragment not in (None, "first"):
            return None
        port = packet.sport if source else packet.dport
        if port is None:
            return Unknown(
                message("a port that the kernel picks at random"), f"--set {'s' if source else 'd'}port=N"
            )
        return port if bare else (proto, port)
    if proto in (ICMP, ICMPV6):
        if packet.fragment not in (None, "first") and proto == ICMP:
            return None
        return proto, (packet.icmp_type or 0) << 8 | (packet.icmp_code or 0)
    return proto, 0
