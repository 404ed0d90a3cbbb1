"""`-m dccp`: ports, packet type and options of DCCP (net/netfilter/xt_dccp.c).

Keys of :attr:`Packet.extra`: `dccp_type`, a name such as "REQUEST" or its number; `dccp_options`, the
numbers of the options present (a text with commas will do).
"""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate, Value, constrained
from iptsim.extensions.constraints import Constraint, Field, Names, Some
from iptsim.extensions.headers import header_predicate, is_later_fragment
from iptsim.extensions.listing import ListingForm, listed_ports
from iptsim.extensions.ports import port_says, ports_predicate
from iptsim.extensions.values import ANY_PORT_RANGE, any_of, integer_value
from iptsim.extensions.wire import DCCP, DCCP_TYPES, dccp_type
from iptsim.languages import joined, later, say, say_if
from iptsim.packet import Context, Packet, Unknown


def _parse_types(text: str) -> tuple[str, ...]:
    words = {word.upper() for word in text.split(",")}
    for word in words:
        if word not in DCCP_TYPES:
            raise ValueError(f"{word!r} is not a DCCP packet type: one of {', '.join(DCCP_TYPES)}")
    return tuple(name for name in DCCP_TYPES if name in words)


class Dccp(Match):
    """The header of a DCCP packet."""

    name: ClassVar[str] = "dccp"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--sport", "source_port", ANY_PORT_RANGE, True, ("--source-port",)),
        Option("--dport", "destination_port", ANY_PORT_RANGE, True, ("--destination-port",)),
        Option("--dccp-types", "dccp_types", Value("DCCP packet types", _parse_types, ",".join), True),
        Option("--dccp-option", "dccp_option", integer_value("a DCCP option's number", 1, 255), True),
    )
    protocols: ClassVar[frozenset[int] | None] = frozenset({DCCP})

    source_port: tuple[int, int] | None = None
    destination_port: tuple[int, int] | None = None
    dccp_types: tuple[str, ...] | None = None
    dccp_option: int | None = None

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the conditions in the kernel's order: ports, type, option."""
        found = []
        for option in self.options:
            value = getattr(self, option.field)
            if value is None:
                continue
            text, negated = self.clause(option, value), option.field in self.negated
            if option.field == "dccp_types":
                found.append(constrained(text, Constraint(_TYPE, Names(frozenset(value)), negated)))
            elif option.field == "dccp_option":
                found.append(constrained(text, Constraint(_OPTIONS, Some(frozenset((value,))), negated)))
            else:
                field = "sport" if option.field == "source_port" else "dport"
                found.append(ports_predicate(text, (field,), (value,), negated))
        return tuple(found) or (header_predicate("-m dccp", _has_header, "DCCP header"),)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = f" dccp{listed_ports(self.source_port, self.destination_port, self.negated)}"
        if self.dccp_types is not None:
            # all numbers that no type has stand for INVALID
            known = [str(DCCP_TYPES.index(name)) for name in self.dccp_types if name != "INVALID"]
            others = map(str, range(DCCP_TYPES.index("INVALID"), 16))
            numbers = [*known, *(others if "INVALID" in self.dccp_types else ())]
            text += f"{self.bang('dccp_types', ' !')} {','.join(numbers)}"
        if self.dccp_option is not None:
            text += f" option={self.bang('dccp_option')}{self.dccp_option}"
        return text

    def says(self) -> str:
        """Return the ports, types and option in words."""
        phrases = [port_says(self, "source_port"), port_says(self, "destination_port")]
        if self.dccp_types is not None:
            phrases.append(
                say_if(
                    "dccp_types" in self.negated,
                    "not of DCCP type {dccp_types}",
                    "of DCCP type {dccp_types}",
                    dccp_types=any_of(self.dccp_types),
                )
            )
        if self.dccp_option is not None:
            phrases.append(
                say_if(
                    "dccp_option" in self.negated,
                    "without DCCP option {dccp_option}",
                    "with DCCP option {dccp_option}",
                    dccp_option=self.dccp_option,
                )
            )
        return joined(" ", filter(None, phrases)) or say("with a DCCP header")


def _has_header(packet: Packet) -> bool:
    return packet.proto == DCCP and not is_later_fragment(packet)


def _type_name(number: int) -> str:
    # INVALID stands for every number that has no name
    return DCCP_TYPES[min(number, len(DCCP_TYPES) - 1)]


def _type_seen(context: Context) -> str | Unknown | None:
    if not _has_header(context.packet):
        return None
    number = dccp_type(context.packet)
    return _NO_TYPE if number is None else _type_name(number)


def _got_type(context: Context) -> str:
    if not _has_header(context.packet):
        return say("it has no DCCP header")
    number = dccp_type(context.packet)
    if number is None:
        return say("its DCCP type was not stated")
    return say("its DCCP type is {number}", number=_type_name(number))


def _present_options(packet: Packet) -> frozenset[int] | None:
    stated = packet.extra.get("dccp_options")
    if stated is None:
        return None
    if isinstance(stated, str):
        stated = [int(number) for number in stated.split(",") if number]
    return frozenset([stated] if isinstance(stated, int) else stated)


def _options_seen(context: Context) -> frozenset[int] | Unknown | None:
    if not _has_header(context.packet):
        return None
    present = _present_options(context.packet)
    return _NO_OPTIONS if present is None else present


def _got_options(context: Context) -> str:
    present = _present_options(context.packet)
    if present is None:
        return say("its DCCP options were not stated")
    return say("its DCCP options are: {present}", present=", ".join(map(str, sorted(present))) or say("none"))


_NO_TYPE = Unknown(later("the packet's DCCP type"), "--set dccp_type=REQUEST")
_NO_OPTIONS = Unknown(later("the packet's DCCP options"), "--set dccp_options=N")
_TYPE = Field("dccp_type", _type_seen, _got_type)
_OPTIONS = Field("dccp_options", _options_seen, _got_options)

EXTENSIONS = (Dccp,)
