"""Conditions of nftables on the connection of a packet and on the routes of its addresses, as options of iptables.

Sources: libnftables-json(5); nft_ct_get_eval (net/netfilter/nft_ct.c), nft_fib4_eval
(net/ipv4/netfilter/nft_fib_ipv4.c).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from iptsim.addresses import Family
from iptsim.host.nft_header_fields import Alternatives
from iptsim.host.nft_marks import mark_options
from iptsim.host.nft_names import all_named, bits_named
from iptsim.host.nft_values import address, spans

_STATES = frozenset({"invalid", "established", "related", "new", "untracked"})
#: The status of a connection, by the names of iptables.
_STATUS = {
    "expected": "EXPECTED",
    "seen-reply": "SEEN_REPLY",
    "assured": "ASSURED",
    "confirmed": "CONFIRMED",
}
_NETWORKS: dict[Any, Family] = {"ipv4": 4, "ipv6": 6, 2: 4, 10: 6}
#: What nft 1.0.6 prints for a port in a set.
_UNTYPED = re.compile(r"(0x[0-9a-f]{1,4}) \[invalid type\]")
#: What `ct original` and `ct reply` compare, by the options of iptables.
_TUPLE = {
    "saddr": "src", "ip saddr": "src", "ip6 saddr": "src", "daddr": "dst", "ip daddr": "dst", "ip6 daddr": "dst",
    "proto-src": "srcport", "proto-dst": "dstport",
}  # fmt: skip
#: The hooks of packets that have come in.
ARRIVING = frozenset({"prerouting", "input", "forward"})
#: What precedes the hook of a chain of a bridge.
BRIDGE = "bridge "
#: What a bridge has in another way than the host's IP stack: connections, routes, and how a packet is rejected.
OF_IP = frozenset({"ct", "ct count", "fib", "notrack", "reject", "rt", "socket", "synproxy", "tproxy"})
#: Types of addresses. To iptables, local addresses of IPv6 are unicast too (xt_addrtype.c); to nft no address is both.
_TYPES: dict[Family, frozenset[str]] = {
    4: frozenset({
        "anycast", "blackhole", "broadcast", "local", "multicast", "prohibit", "unicast", "unreachable",
    }),
    6: frozenset({"anycast", "local", "multicast"}),
}  # fmt: skip
#: Types that no address of IPv6 has (__nft_fib6_eval_type).
_NOT_OF_IPV6 = frozenset({"blackhole", "broadcast", "prohibit"})


def each(match: str, flag: str, values: Iterable[str], *, negated: bool) -> Alternatives:
    """Return the options for one of some values, or for none of them."""
    options = [" ".join(filter(None, (match, "!" if negated else "", flag, value))) for value in values]
    return Alternatives(options, negated)


def connection_options(
    key: str, direction: Any, values: list[Any], family: Family, *, negated: bool
) -> Alternatives | None:
    """Return the options for what `ct` compares; None if iptables has no such options.

    Args:
        key: what is compared: "state", "mark" ...
        direction: "original" or "reply"; None for both.
        values: as in libnftables-json(5).
        family: of the packets.
        negated: none of the values.
    """
    if key == "protocol":
        return each("-m conntrack", "--ctproto", map(str, values), negated=negated)
    if key == "l3proto" and all(one in _NETWORKS for one in values):
        holds = any(_NETWORKS[one] == family for one in values) is not negated
        return Alternatives(["-m conntrack ! --ctstate INVALID,UNTRACKED"] if holds else [], every=False)
    if direction is not None:
        return _of_direction(key, str(direction), values, family, negated=negated)
    names, sign = [str(one) for one in values], "! " if negated else ""
    if key == "state" and _STATES.issuperset(names):
        return Alternatives([f"-m conntrack {sign}--ctstate {','.join(names).upper()}"], every=False)
    if key == "status" and {"dnat", "snat"}.issuperset(names):
        return Alternatives([f"-m conntrack {sign}--ctstate {','.join(names).upper()}"], every=False)
    if key == "status" and not negated and _STATUS.keys() >= set(names):
        return Alternatives(
            [f"-m conntrack --ctstatus {','.join(map(_STATUS.__getitem__, names))}"], every=False
        )
    if key == "direction" and len(names) == 1 and names[0] in ("original", "reply"):
        way = "REPLY" if (names[0] == "reply") is not negated else "ORIGINAL"
        return Alternatives([f"-m conntrack --ctdir {way}"], every=False)
    if key == "helper" and not negated:
        return each("-m helper", "--helper", names, negated=False)
    return mark_options("connmark", values, negated=negated) if key == "mark" else None


def masked_state(mask: Any, wanted: Any, *, negated: bool) -> Alternatives | None:
    """Return the options for `ct state & mask == wanted`; a packet has just one state (nf_ct_get, NF_CT_STATE_BIT)."""
    bits, result = _states(mask), _states(wanted)
    if bits is None or result is None:
        return None
    sign = "! " if negated else ""
    if not result and bits:
        sign, result = "" if negated else "! ", bits
    elif len(result) != 1 or not result <= bits:
        return Alternatives([""] if negated else [], every=False)
    return Alternatives([f"-m conntrack {sign}--ctstate {','.join(sorted(result)).upper()}"], every=False)


def _states(value: Any) -> set[str] | None:
    """Return the states of a value; None if one is unknown."""
    if isinstance(value, int):
        found = bits_named("ct state", value)
    else:
        found = all_named("ct state", value if isinstance(value, list) else [value])
    return set(found) if found is not None and _STATES.issuperset(map(str, found)) else None


def _of_direction(
    key: str, direction: str, values: list[Any], family: Family, *, negated: bool
) -> Alternatives | None:
    """Return the options for an address or a port of the connection in one direction."""
    if key.startswith("ip") and key.startswith("ip6 ") is not (family == 6):
        return Alternatives([], every=False)
    if key not in _TUPLE or direction not in ("original", "reply"):
        return None
    is_port = key.startswith("proto-")
    found = [_port(one) if is_port else address(one) for one in values]
    if any(one is None or "-" in one for one in found):
        return None
    option = f"--ct{'orig' if direction == 'original' else 'repl'}{_TUPLE[key]}"
    return each("-m conntrack", option, filter(None, found), negated=negated)


def fib_options(
    about: Mapping[str, Any], values: list[Any], family: Family, hook: str, *, negated: bool
) -> Alternatives | None:
    """Return the options for what `fib` finds; None if iptables has no such options.

    Args:
        about: what is looked up.
        values: as in libnftables-json(5).
        family: of the packets.
        hook: the hook of the base chain.
        negated: none of the values.
    """
    flags = about.get("flags")
    sides = list(map(str, flags)) if isinstance(flags, list) and flags else [str(flags)]
    if about.get("result") == "oif" and set(sides) in ({"saddr", "iif"}, {"saddr", "mark", "iif"}):
        return _way_back(values, hook, marked="mark" in sides, negated=negated)
    types = [str(one) for one in values if family == 4 or str(one) not in _NOT_OF_IPV6]
    if (
        about.get("result") != "type"
        or sides[0] not in ("saddr", "daddr")
        or sides[1:] not in ([], ["iif"] if family == 4 and hook in ARRIVING else [])
        or not _TYPES[family].issuperset(types)
    ):
        return None
    side = "--src-type" if sides[0] == "saddr" else "--dst-type"
    limit = " --limit-iface-in" if len(sides) > 1 else ""
    if negated and not types:
        return Alternatives([""], every=False)
    return each("-m addrtype", side, (f"{one}".upper() + limit for one in types), negated=negated)


def _way_back(values: list[Any], hook: str, *, marked: bool, negated: bool) -> Alternatives | None:
    """Return the option for packets to whose source the routes lead back by the interface that they came from."""
    # nft prints the number 0 where there is no interface
    found = {"True": True, "False": False, "0": False}.get(str(values[0])) if len(values) == 1 else None
    if hook != "prerouting" or found is None:
        return None
    exists = found is not negated
    return Alternatives(
        [f"-m rpfilter{' --validmark' if marked else ''}{'' if exists else ' --invert'}"], every=False
    )


def _port(value: Any) -> str | None:
    """Return a port or a range of ports of a connection; None if it is neither."""
    if isinstance(value, str) and (untyped := _UNTYPED.fullmatch(value)):
        return str(int(untyped[1], 16))
    span = spans([value])
    return None if span is None else ":".join(map(str, dict.fromkeys(span[0])))
