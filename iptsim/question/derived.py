"""Fields of a question that follow from others: a port in the destination, an ICMP type's name, a conntrack entry."""

from __future__ import annotations

from typing import Any

from iptsim.errors import UsageError
from iptsim.host.conntrack_entries import entry_of_line
from iptsim.languages import message, text_of
from iptsim.protocols import ICMP, ICMP_REPLIES, ICMPV6
from iptsim.question.endpoints import Address, split_port, split_protocol

#: Names of the protocols that have ICMP types.
_ICMP_NAMES, _ICMPV6_NAMES = frozenset({"icmp", "1"}), frozenset({"icmpv6", "ipv6-icmp", "58"})
#: The fields that a conntrack entry has as well.
ENDS_OF_ENTRY = ("src", "dst", "sport", "dport")


def take_port(fields: dict[str, Any]) -> None:
    """Move a port from the destination ("web:80", "web:53/udp") to its own field, and a protocol after it.

    Raises:
        UsageError: two fields give different ports or protocols.
    """
    end, proto = split_protocol(fields["to"])
    if proto:
        stated = fields.get("proto")
        if stated is not None and stated != proto:
            raise UsageError(
                message("to and proto give two protocols: {proto} and {other}", proto=proto, other=stated)
            )
        fields["proto"] = proto
    fields["to"], port = split_port(end)
    if port is None:
        return
    stated = fields.get("dport")
    if stated is not None and stated != port:
        raise UsageError(
            message("to and dport give two destination ports: {port} and {other}", port=port, other=stated)
        )
    fields["dport"] = port


def take_entry(fields: dict[str, Any]) -> None:
    """Fill in addresses and ports from a line of `conntrack -L`, for the direction that fits the other fields.

    Raises:
        UsageError: the line is not one of `conntrack -L`.
    """
    connection = entry_of_line(fields["conntrack"]).connection
    for flow in (connection.original, connection.reply):
        entry: dict[str, Any] = {
            "src": Address(connection.family, flow.src), "dst": Address(connection.family, flow.dst),
            "proto": str(flow.proto), "sport": flow.sport, "dport": flow.dport,
        }  # fmt: skip
        if flow.proto in (ICMP, ICMPV6):
            del entry["sport"], entry["dport"]
            fields["extra"] = {"icmp_id": flow.sport, **(fields.get("extra") or {})}
            if connection.icmp is not None:
                asked, code = connection.icmp
                replied = ICMP_REPLIES[flow.proto].get(asked)
                entry.update(icmp_type=asked if flow is connection.original else replied, icmp_code=code)
        stated = {name: fields[name] for name in ENDS_OF_ENTRY if fields.get(name) is not None}
        if all(entry.get(name) == value for name, value in stated.items()):
            break
    else:
        return
    if fields.get("in_interface") is None:
        entry = {**entry, "sender": entry.pop("src"), "to": entry.pop("dst")}
    for name, value in entry.items():
        if fields.get(name) is None:
            fields[name] = value


def take_icmp_type(fields: dict[str, Any]) -> None:
    """Read an ICMP type by name, or as type/code; a packet that has one is ICMP.

    Raises:
        UsageError: there is no such type, or the packet is not ICMP.
    """
    name = fields.get("icmp_type")
    if name is None:
        return
    if fields.get("proto") is None:
        fields["proto"] = "icmp"
    proto = str(fields["proto"]).lower()
    if proto not in _ICMP_NAMES | _ICMPV6_NAMES:
        raise UsageError(
            message("icmp_type: a packet of protocol {proto} has none; give -p icmp as well", proto=proto)
        )
    if not isinstance(name, str):
        return
    ends = (str(fields.get(end) or "") for end in ("sender", "to", "src", "dst"))
    v6 = proto in _ICMPV6_NAMES or str(fields.get("family")) == "6" or any(end.count(":") > 1 for end in ends)
    from iptsim.extensions.matches.icmp import Icmp
    from iptsim.extensions.matches.icmp6 import Icmp6

    option = (Icmp6 if v6 else Icmp).options[0]
    assert option.value is not None
    try:
        found = option.value.read([name], 6 if v6 else 4)
    except ValueError as error:
        raise UsageError(message("icmp_type: {error}", error=text_of(error))) from None
    fields["icmp_type"] = found.type
    if found.code is None:
        return
    if fields.get("icmp_code") is None:
        fields["icmp_code"] = found.code
    if str(fields["icmp_code"]) != str(found.code):
        raise UsageError(
            message(
                "icmp_code: {code}, but {name} has code {own}",
                code=str(fields["icmp_code"]),
                name=name,
                own=found.code,
            )
        )
