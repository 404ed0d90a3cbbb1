"""The contents of ipsets as sets of packets, where a capture has saved them.

How an element is made from a packet, and which element decides, follows `iptsim/host/ipsets.py` and
`iptsim/host/ipset_members.py`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from operator import and_
from typing import Any

from iptsim.addresses import BITS
from iptsim.extensions.constraints import Constraint, Masked, Names, Pattern, Several, named
from iptsim.extensions.matches.set import Set
from iptsim.host.ipset_members import ADDRESSES, InterfaceName, Members
from iptsim.host.ipsets import PORTED, address_mask, mark_mask, members_of
from iptsim.host.model import IpSet
from iptsim.host.namespace import prefix_mask
from iptsim.netfilter.program import Program
from iptsim.protocols import ICMP, ICMPV6, TCP, UDP
from iptsim.sets.packets import PacketSet, union
from iptsim.sets.space import Known, Space


def known_ipsets(space: Space, program: Program, ipsets: Mapping[str, IpSet] | None) -> Known:
    """Return what the contents of ipsets mean for the matches of a program, for :class:`iptsim.sets.chains.Chains`.

    Sets that rules add to or delete from are left out, because they may have changed when a packet arrives; so are
    lists of sets with such a member, and sets of values that are in no header, such as the Ethernet address of the
    receiver.

    Args:
        space: the space of the sets.
        program: the rules.
        ipsets: the sets that were saved; None if none were.
    """
    if not ipsets:
        return {}
    rules = list(program.ruleset.rules())
    found: dict[Hashable, list[tuple[bool, PacketSet]]] = {}
    for match in (match for rule in rules for match in rule.matches if isinstance(match, Set)):
        name, directions = match.match_set
        for key in _keys(match):
            if key in found or _may_change(program, ipsets, name):
                continue
            packets = contents(space, ipsets, name, directions, holes=match.return_nomatch)
            if packets is None:
                continue
            if program.tracks:
                # connection tracking puts fragments together
                packets = packets.having({"fragment": "whole"})
            found[key] = [(True, packets), (False, ~packets)]
    return found


def _may_change(program: Program, ipsets: Mapping[str, IpSet], name: str) -> bool:
    """Return whether a rule adds to an ipset, or to a member of a list of sets, or deletes from it."""
    if ("ipset", name) in program.changed_memories:
        return True
    members = members_of(ipsets[name]).lists if name in ipsets else ()
    return any(_may_change(program, ipsets, one) for one in members)


def contents(
    space: Space,
    ipsets: Mapping[str, IpSet],
    name: str,
    directions: tuple[str, ...],
    *,
    holes: bool = False,
) -> PacketSet | None:
    """Return the packets that are in an ipset, as `--match-set NAME DIRECTIONS` tests; None if that is unknown."""
    ipset = ipsets.get(name)
    if ipset is None:
        return None
    members = members_of(ipset)
    if members.parts == ("set",):
        parts = [contents(space, ipsets, one, directions, holes=holes) for one in members.lists]
        known = [part for part in parts if part is not None]
        return union([space.nothing, *known]) if len(known) == len(parts) else None
    if len(directions) < len(members.parts) or ipset.family not in (None, space.family):
        return space.nothing
    if ("mac", "dst") in zip(members.parts, directions, strict=False):
        return None
    return _found(space, ipset, members, directions, holes=holes and "net" in members.parts)


def _keys(match: Set) -> Iterator[str]:
    """Yield the key of the field that the match reads."""
    for predicate in match.predicates():
        constraint = predicate.constraint
        first = constraint.parts[0] if isinstance(constraint, Several) else constraint
        if isinstance(first, Constraint):
            yield first.field.key


def _found(
    space: Space, ipset: IpSet, members: Members, directions: tuple[str, ...], *, holes: bool
) -> PacketSet:
    """Return the packets for which an element is found; of several prefixes the longest decides."""
    found = space.nothing
    for lengths, keys in reversed(members.groups):
        kinds = {
            kind: _elements(
                space, ipset, members, directions, lengths, [key for key in keys if keys[key] == kind]
            )
            for kind in (True, False)
        }
        if members.nets:
            # in a hash:net,iface set, the longest prefix of any interface decides
            nets = [
                _part(space, ipset, "net", directions[0], lengths[0], net) for net in members.nets[lengths[0]]
            ]
            found -= union([space.nothing, *nets])
        found = (found | kinds[holes]) - kinds[not holes]
    return found


def _elements(
    space: Space,
    ipset: IpSet,
    members: Members,
    directions: tuple[str, ...],
    lengths: tuple[int, ...],
    keys: Iterable[tuple[Any, ...]],
) -> PacketSet:
    """Return the packets of some elements; those that differ only in their first part are made together."""
    firsts: dict[tuple[Any, ...], list[Any]] = {}
    for key in keys:
        firsts.setdefault(key[1:], []).append(key[0])
    parts = tuple(zip(members.parts, directions, lengths, strict=False))
    found = [space.nothing]
    for rest, values in firsts.items():
        others = (
            _part(space, ipset, part, direction, length, value)
            for (part, direction, length), value in zip(parts[1:], rest, strict=False)
            # bitmap:ip,mac: any Ethernet address
            if (part, value) != ("mac", "")
        )
        found.append(reduce(and_, others, _first_part(space, ipset, members, parts[0], values)))
    return union(found)


def _first_part(
    space: Space, ipset: IpSet, members: Members, first: tuple[str, str, int], values: Sequence[Any]
) -> PacketSet:
    """Return the packets whose value of the first part is one of those of elements."""
    part, direction, length = first
    if part in ADDRESSES:
        rest = (1 << BITS[space.family]) - 1 & ~_mask(space, ipset, length)
        if not rest & rest + 1:
            ranges = tuple((value, value | rest) for value in values if not value & rest)
            return space.where("src" if direction == "src" else "dst", ranges)
    elif members.parts == ("port",):
        part = "bare port"
    return union([_part(space, ipset, part, direction, length, value) for value in values])


def _mask(space: Space, ipset: IpSet, length: int) -> int:
    """Return the bits of an address that an element with a prefix of this length compares."""
    return address_mask(ipset) & prefix_mask(space.family, length)


def _part(space: Space, ipset: IpSet, part: str, direction: str, length: int, value: Any) -> PacketSet:
    """Return the packets whose value of one part is that of an element."""
    source = direction == "src"
    if part in ADDRESSES:
        return space.where("src" if source else "dst", Masked(value, _mask(space, ipset, length)))
    if part == "bare port":
        return space.where("proto", ((TCP, TCP), (UDP, UDP))) & _port(space, source, value)
    if part == "port":
        return _with_protocol(space, source, *value)
    if part == "mac":
        return space.where("src_mac", named(value)) & space.framed()
    if part == "mark":
        return space.where("mark", Masked(value, mark_mask(ipset)))
    return _interface(space, source, value)


def _port(space: Space, source: bool, number: int) -> PacketSet:
    later = space.where("fragment", Names(frozenset({"middle", "last"})))
    return space.where("sport" if source else "dport", ((number, number),)) - later


def _with_protocol(space: Space, source: bool, proto: int, number: int) -> PacketSet:
    """Return the packets with a protocol, and a port or an ICMP type with its code (ip_set_get_ip_port)."""
    packets = space.where("proto", ((proto, proto),))
    if proto in PORTED:
        return packets & _port(space, source, number)
    if proto in (ICMP, ICMPV6):
        later = space.where("fragment", Names(frozenset({"middle", "last"})))
        found = packets & space.where("icmp_type", ((number, number),))
        return found - later if proto == ICMP else found
    return packets if number == 0 else space.nothing


def _interface(space: Space, source: bool, name: InterfaceName) -> PacketSet:
    if name.physical:
        key = "physical_in" if source else "physical_out"
    else:
        key = "in_interface" if source else "out_interface"
    pattern = f"{name.name}+" if name.wildcard else name.name
    return space.where(key, Pattern(pattern)) - space.where(key, named(""))
