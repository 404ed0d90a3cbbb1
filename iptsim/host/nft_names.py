"""Names of what nft prints as numbers in a numeric listing (`nft -n`, `nft -nn`).

Sources: ct_state_tbl, ct_status_tbl and ct_dir_tbl in nftables' src/ct.c; nfproto_tbl, ethertype_tbl and tcp_flag_tbl
in its src/proto.c, pkttype_type_tbl in its src/meta.c, addrtype_tbl in its src/fib.c; icmp_code_tbl and its like in its
src/datatype.c.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,8}")
_ETHER_TYPES = {0x0800: "ip", 0x0806: "arp", 0x8100: "8021q", 0x86DD: "ip6", 0x88A8: "8021ad"}
#: `nft -j -nn` prints these in the byte order of the network (1.0.6).
_SWAPPED = {((number & 0xFF) << 8) | (number >> 8): name for number, name in _ETHER_TYPES.items()}
#: The values of fields that are one name.
_NAMES: dict[str, Mapping[int, str]] = {
    "ct direction": {0: "original", 1: "reply"},
    "meta nfproto": {2: "ipv4", 10: "ipv6"},
    "meta protocol": {**_ETHER_TYPES, **_SWAPPED},
    "ether type": {**_ETHER_TYPES, **_SWAPPED},
    "meta pkttype": {0: "host", 1: "broadcast", 2: "multicast", 3: "other"},
    "fib type": {
        0: "unspec", 1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole",
        7: "unreachable", 8: "prohibit",
    },
}  # fmt: skip
#: The bits of fields that are several names.
_BITS: dict[str, Mapping[int, str]] = {
    "ct state": {1: "invalid", 2: "established", 4: "related", 8: "new", 64: "untracked"},
    "ct status": {
        1: "expected", 2: "seen-reply", 4: "assured", 8: "confirmed", 16: "snat", 32: "dnat", 512: "dying",
    },
    "tcp flags": {
        1: "fin", 2: "syn", 4: "rst", 8: "psh", 16: "ack", 32: "urg", 64: "ecn", 128: "cwr",
    },
}  # fmt: skip
#: The codes with which `reject` replies, by the type that nft prints.
_REJECTS: dict[str, Mapping[int, str]] = {
    "icmp": {
        0: "net-unreachable", 1: "host-unreachable", 2: "prot-unreachable", 3: "port-unreachable", 9: "net-prohibited",
        10: "host-prohibited", 13: "admin-prohibited",
    },
    "icmpv6": {
        0: "no-route", 1: "admin-prohibited", 3: "addr-unreachable", 4: "port-unreachable", 5: "policy-fail",
        6: "reject-route",
    },
    "icmpx": {0: "no-route", 1: "port-unreachable", 2: "host-unreachable", 3: "admin-prohibited"},
}  # fmt: skip


def named(field: str, value: Any, *, some: bool = False) -> list[Any]:
    """Return a value with names instead of numbers; what has no name stays.

    Args:
        field: as nft calls it: "ct state", "meta pkttype", "fib type", "tcp flags".
        value: a number, or anything else.
        some: whether one of several bits is enough, so that the names of all are returned.

    >>> named("ct state", 8), named("ct state", 6), named("ct state", 6, some=True)
    (['new'], [6], ['established', 'related'])
    """
    if isinstance(value, str) and _HEXADECIMAL.fullmatch(value):
        value = int(value, 16)
    if not isinstance(value, int) or isinstance(value, bool):
        return [value]
    names = _NAMES.get(field) or _BITS.get(field, {})
    if value in names:
        return [names[value]]
    found = bits_named(field, value) if some else None
    return found or [value]


def bits_named(field: str, value: int) -> list[str] | None:
    """Return the names of the bits of a number; None if one has no name.

    >>> bits_named("tcp flags", 0x12), bits_named("tcp flags", 0x100)
    (['syn', 'ack'], None)
    """
    names = _BITS.get(field, {})
    found = [name for bit, name in names.items() if value & bit]
    return found if 0 <= value <= sum(names) and not value & ~sum(names) else None


def reject_reason(kind: Any, code: Any) -> str:
    """Return what `reject` replies, by its name.

    Args:
        kind: "icmp", "icmpv6" or "icmpx".
        code: a number or a name.
    """
    names = _REJECTS.get(str(kind), {})
    text = str(code)
    return names.get(int(text), text) if text.isascii() and text.isdigit() and len(text) < 4 else text


def all_named(field: str, values: Sequence[Any], *, some: bool = False) -> list[Any]:
    """Return values with names instead of numbers."""
    return [one for value in values for one in named(field, value, some=some)]
