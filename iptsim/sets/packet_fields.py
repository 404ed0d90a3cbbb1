"""The fields of one packet, given as in a batch line, as numbers and names that sets of packets have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from iptsim.addresses import parse_address
from iptsim.errors import UsageError
from iptsim.extensions.parameters import parse_protocol
from iptsim.languages import message, text_of
from iptsim.protocols import ICMP, ICMPV6, SYN, TCP, tcp_flag_bits
from iptsim.question import values
from iptsim.question.derived import take_icmp_type
from iptsim.sets.layout import Layout, Place

T = TypeVar("T")

#: The names of fields in a batch line that have other keys in sets.
_KEYS = {"in": "in_interface", "state": "ct.state"}


def read_packet(layout: Layout, packet: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a packet's fields as sets have them; what is None is not given.

    Raises:
        UsageError: there is no such field, or it cannot have the value.
    """
    if not isinstance(packet, Mapping):
        raise UsageError(message("{value} is not an object", value=values.quoted(packet)))
    given = {name: value for name, value in packet.items() if value is not None}
    if "icmp_type" in given or "icmp_code" in given:
        _join_icmp_type(layout, given)
    found: dict[str, Any] = {}
    for name, value in given.items():
        place = layout.place(_KEYS.get(name, name))
        found[place.key] = _named(name, partial(_read, layout, place), value)
    if found.get("proto") == TCP:
        found.setdefault("tcp_flags", SYN)
    return found


def _join_icmp_type(layout: Layout, given: dict[str, Any]) -> None:
    """Put the ICMP type and code into one number; without a type, it is that of a ping."""
    given.setdefault("icmp_type", "echo-request")
    if layout.family == 6:
        given.setdefault("proto", "icmpv6")
    take_icmp_type(given)
    byte = values.whole(values.BITS8)
    code = _named("icmp_code", byte, given.pop("icmp_code", 0))
    given["icmp_type"] = _named("icmp_type", byte, given["icmp_type"]) << 8 | code


def _named(field: str, read: Callable[[Any], T], value: Any) -> T:
    """Read a value; an error names the field."""
    try:
        return read(value)
    except ValueError as error:
        raise UsageError(message("{field}: {error}", field=field, error=text_of(error))) from None


def _read(layout: Layout, place: Place, value: Any) -> str | int:
    key = place.key
    if key == "proto":
        number = parse_protocol(values.protocol(value))
        return ICMPV6 if number == ICMP and layout.family == 6 else number
    if key in ("sport", "dport"):
        return values.port(value)
    if key in ("src", "dst") and isinstance(value, str):
        return _address(layout, value)
    if key == "tcp_flags" and isinstance(value, str) and not value.isdecimal():
        return tcp_flag_bits(values.tcp_flags(value))
    if key == "src_mac":
        return values.mac(value).lower()
    if place.values:
        known = {name.lower(): name for name in place.values}
        return known[values.one_of(*known)(value)]
    if place.numbering is not None:
        return values.text(value)
    return values.whole((1 << place.bits) - 1)(value)


def _address(layout: Layout, text: str) -> int:
    family, number = parse_address(text)
    if family != layout.family:
        raise ValueError(
            message("{address} is not an IPv{family} address", address=text, family=layout.family)
        )
    return number
