"""What logged packets prove about a host whose addresses and routes are not shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from iptsim.addresses import BITS, is_loopback, is_multicast, parse_address
from iptsim.host import fib
from iptsim.host.addresses_of_routes import last_free_address
from iptsim.host.inferred_interfaces import OUTSIDE
from iptsim.host.logged_lines import LoggedLine
from iptsim.host.model import Host
from iptsim.host.namespace import Interface, InterfaceAddress, Route
from iptsim.paste.addresses import is_address
from iptsim.paste.pieces import CommandItem, RuleItem, Rules
from iptsim.question.internet import outside_address

ADDRESS = re.compile(r"[0-9.]+|[0-9a-fA-F]*:[0-9a-fA-F:]+")


def own_addresses(
    logged: Iterable[LoggedLine], rules: Sequence[Rules]
) -> Mapping[str, list[InterfaceAddress]]:
    """Return addresses of the host, by the interface on which logged packets to them arrived, or left from them.

    INPUT, whose packets leave by no interface (`OUT=`), sees only packets to the host, and OUTPUT (`IN=`) only those
    from it. For a packet to a broadcast address, the last free address of its subnet is assumed.
    """
    found: dict[str, list[InterfaceAddress]] = {}
    for one in logged:
        device, to = one.fields.get("in", ""), one.fields["to"]
        if one.hook == "OUTPUT" and (sent := _sent_from(one)) is not None:
            addresses = found.setdefault(dict(one.pairs)["OUT"], [])
            addresses += [sent] if sent not in addresses else []
            continue
        if one.hook != "INPUT" or not device or not ADDRESS.fullmatch(to) or _before_routing(one, rules):
            continue
        family, address = parse_address(to)
        length = OUTSIDE[family][1]
        own: InterfaceAddress | None
        if not _is_for_many(one):
            own = InterfaceAddress(family=family, address=address, prefix_length=length)
        elif family == 4 and address >> 28 < 0xE and address & 0xFF == 0xFF:
            sender = one.fields["from"]
            taken = [parse_address(sender)[1]] if ADDRESS.fullmatch(sender) else []
            own = last_free_address(family, address & ~0xFF, length, taken)
        else:
            continue
        addresses = found.setdefault(device, [])
        if own is not None and own not in addresses:
            addresses.append(own)
    return found


def _sent_from(one: LoggedLine) -> InterfaceAddress | None:
    """Return the address from which the host itself sent a packet by an interface other than lo."""
    pairs = dict(one.pairs)
    source, out = pairs.get("SRC", ""), pairs.get("OUT", "")
    if out in ("", "lo") or not is_address(source) or one.visit is not None:
        return None
    family, address = parse_address(source)
    special = is_loopback(family, address) or not address or (family == 6 and address >> 118 == 0x3FA)
    return (
        None
        if special
        else InterfaceAddress(family=family, address=address, prefix_length=OUTSIDE[family][1])
    )


def joined_groups(logged: Iterable[LoggedLine], rules: Sequence[Rules]) -> frozenset[int]:
    """Return the multicast groups to which INPUT logged packets: others are discarded before it."""
    return frozenset(
        address
        for one in logged
        if one.hook == "INPUT" and ADDRESS.fullmatch(one.fields["to"]) and not _before_routing(one, rules)
        for family, address in (parse_address(one.fields["to"]),)
        if is_multicast(family, address)
    )


def route_as_logged(host: Host, logged: Iterable[LoggedLine]) -> None:
    """Route destinations by the interface by which logged packets leave (OUT=), if only a guess says otherwise.

    A hidden destination (`DST=x.x.x.x`) of the host's own packets is anywhere outside.
    """
    namespace = host.namespace
    for one in logged:
        _note_bridges(host, dict(one.pairs))
        out, to = dict(one.pairs).get("OUT", ""), one.fields.get("to", "")
        found = namespace.interfaces.get(out)
        is_own, is_known = one.hook == "OUTPUT" and out != "lo", ADDRESS.fullmatch(to) is not None
        if not out or not (
            is_own or (one.hook == "FORWARD" and is_known and not (found and found.addresses))
        ):
            continue
        family, address = parse_address(to) if is_known else (one.family, outside_address(host, one.family))
        if fib.lookup(namespace, family, address).device != out:
            namespace.interfaces.setdefault(out, Interface(name=out))
            namespace.routes.insert(  # before the guessed ones
                0,
                Route(
                    family=family,
                    prefix_length=BITS[family] if is_known else 0,
                    destination=address if is_known else 0,
                    device=out,
                    scope="link",
                ),
            )
            namespace.cache.clear()


def _note_bridges(host: Host, pairs: Mapping[str, str]) -> None:
    """Note which interfaces are bridges: those whose port a logged line names (`PHYSIN=`, `PHYSOUT=`)."""
    interfaces = host.namespace.interfaces
    for name, port in (("IN", "PHYSIN"), ("OUT", "PHYSOUT")):
        if pairs.get(port) and (device := pairs.get(name)):
            known = interfaces.get(device, Interface(name=device))
            if known.kind == "other":
                interfaces[device] = replace(known, kind="bridge")


def _before_routing(one: LoggedLine, rules: Iterable[Rules]) -> bool:
    """Return whether PREROUTING may have logged a packet, whose lines show no interface by which it leaves, either."""
    if one.visit is not None:
        return one.visit.table != "filter" and one.visit.chain != "INPUT"
    return bool(one.prefix) and any(
        isinstance(item, RuleItem | CommandItem)
        and any(word.text.strip() == one.prefix for word in item.words)
        for table in rules
        if table.table != "filter"
        for item in table.items
    )


def _is_for_many(one: LoggedLine) -> bool:
    """Return whether a packet is for a multicast group or a broadcast address, according to its MAC or IP address."""
    family, address = parse_address(one.fields["to"])
    receiver = dict(one.pairs).get("MAC", "")[:2]
    try:
        shared = bool(int(receiver, 16) & 1)
    except ValueError:
        shared = False
    return shared or (
        address >> 120 == 0xFF if family == 6 else address >> 28 >= 0xE or address & 0xFF == 0xFF
    )
