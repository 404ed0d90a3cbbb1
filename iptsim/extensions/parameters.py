"""The conditions that every rule may have without `-m`: `-s -d -i -o -p -f` (iptables(8), PARAMETERS)."""

from __future__ import annotations

import socket
from dataclasses import replace
from functools import partial
from typing import ClassVar

from pydantic import InstanceOf

from iptsim.extensions.base import Match, Option, Predicate, Value, constrained, field_predicate, quote
from iptsim.extensions.constraints import Constraint, Field, Names, Pattern, equal, look, packet_field
from iptsim.extensions.constraints import Masked as MaskedField
from iptsim.extensions.values import NETWORK, Network, NoSuchWord, integer, not_if
from iptsim.languages import joined, later, say, say_if, told
from iptsim.packet import PROTOCOLS, Context, address_text, protocol_name

_IFNAMSIZ = 16
#: Protocol number of the IPv6 authentication header.
AH = 51
#: Names that iptables takes beside those that it prints (xtables_chain_protos in libxtables).
_OTHER_NAMES = {"all": 0, "icmpv6": 58, "ipv6-mh": 135, "mh": 135}

#: The words that stand for any protocol.
ANY_PROTOCOL = frozenset(
    {"0", *(name for name, number in {**_OTHER_NAMES, **PROTOCOLS}.items() if not number)}
)


def parse_protocol(text: str) -> int:
    """Read a protocol name (any case) or number; `all` is 0. Names beyond netbase's are this machine's.

    Raises:
        ValueError: neither.
    """
    name = text.lower()
    if name[:1].isdigit():
        return integer(name, 0, 255)
    known = {**_OTHER_NAMES, **PROTOCOLS}
    number = known.get(name)
    if number is None:
        number = _protocol_of_this_machine(name)
    if number is None:
        raise NoSuchWord(f"{text!r} is not a known protocol name; its number works as well", text, known)
    return number


def _protocol_of_this_machine(name: str) -> int | None:
    """Return the number that /etc/protocols of this machine has for a name, if it has one of one octet."""
    try:
        number = socket.getprotobyname(name)
    except OSError:
        return None
    return number if 0 <= number <= 255 else None


def format_protocol(number: int) -> str:
    """Print a protocol as iptables-save does: by name where it has one."""
    return "all" if number == 0 else protocol_name(number)


def parse_interface(text: str) -> str:
    """Read an interface name; a `+` at its end stands for any rest.

    Raises:
        ValueError: longer than the kernel allows.
    """
    if len(text.encode()) >= _IFNAMSIZ:
        raise ValueError(f"the interface name {text!r} is longer than {_IFNAMSIZ - 1} characters")
    return text


def format_interface(name: str) -> str:
    """Print an interface name bare, as iptables-save does; quoted where it could not be read back."""
    return quote(name) if not name or any(mark in name for mark in ' "\t') else name


INTERFACE = Value(
    f"an interface name of up to {_IFNAMSIZ - 1} characters (eth0, veth+)",
    parse_interface,
    format_interface,
    form="interface",
)
PROTOCOL = Value("a protocol name or number (tcp, udp, icmp, 47)", parse_protocol, format_protocol)


class Parameters(Match):
    """Addresses, interfaces, protocol and fragment bit of a rule."""

    name: ClassVar[str] = ""
    options: ClassVar[tuple[Option, ...]] = (
        Option("-s", "source", NETWORK, True, ("--source", "--src")),
        Option("-d", "destination", NETWORK, True, ("--destination", "--dst")),
        Option("-i", "in_interface", INTERFACE, True, ("--in-interface",)),
        Option("-o", "out_interface", INTERFACE, True, ("--out-interface",)),
        Option("-p", "protocol", PROTOCOL, True, ("--protocol", "--proto")),
        Option("-f", "fragment", None, True, ("--fragment",)),
    )

    source: InstanceOf[Network] | None = None
    destination: InstanceOf[Network] | None = None
    in_interface: str | None = None
    out_interface: str | None = None
    #: protocol number, None for any
    protocol: int | None = None
    fragment: bool = False

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the conditions in the kernel's order: addresses, interfaces, protocol, fragment."""
        found: list[Predicate] = []
        for option in self.options:
            value = getattr(self, option.field)
            if value is None or value is False:
                continue
            text, negated = self.clause(option, value), option.field in self.negated
            if option.field in ("source", "destination"):
                found.append(_address_predicate(text, option.field, value, negated))
            elif option.field in ("in_interface", "out_interface"):
                field = _INTERFACES[option.field]
                found.append(constrained(text, Constraint(field, Pattern(value), negated)))
            elif option.field == "protocol":
                if value != 0:
                    found.append(constrained(text, Constraint(_PROTOCOL, equal(value), negated)))
            else:
                found.append(constrained(text, Constraint(_FRAGMENT, _LATER, negated)))
        return tuple(found)

    def says(self) -> str:
        """Return the conditions as a phrase that follows "packets"."""
        phrases = []
        if self.protocol:
            protocol = say("of protocol {value}", value=format_protocol(self.protocol))
            phrases.append(not_if("protocol" in self.negated, protocol))
        if self.source is not None:
            phrases.append(not_if("source" in self.negated, say("from {value}", value=_plain(self.source))))
        if self.destination is not None:
            to = say("to {value}", value=_plain(self.destination))
            phrases.append(not_if("destination" in self.negated, to))
        if self.in_interface is not None:
            arriving = say("arriving on {value}", value=self.in_interface)
            phrases.append(not_if("in_interface" in self.negated, arriving))
        if self.out_interface is not None:
            leaving = say("leaving by {value}", value=self.out_interface)
            phrases.append(not_if("out_interface" in self.negated, leaving))
        if self.fragment:
            phrases.append(say_if("fragment" in self.negated, "first fragments or whole", "later fragments"))
        return joined(" ", phrases)


#: Where a fragment stands in its packet.
_PLACES = {"first": later("first"), "middle": later("middle"), "last": later("last")}


def _plain(value: object) -> str:
    """Show a whole-address network without its mask."""
    return value.short if isinstance(value, Network) else str(value)


def _address_predicate(text: str, field: str, network: Network, negated: bool) -> Predicate:
    packet_field = "src" if field == "source" else "dst"
    return field_predicate(
        text,
        packet_field,
        MaskedField(network.address, network.mask),
        negated=negated,
        name=later("source") if field == "source" else later("destination"),
        show=lambda address: address_text(network.family, address),
    )


def _read_protocol(context: Context) -> int:
    """Return the protocol; nf_tables stops at an IPv6 authentication header and takes that."""
    headers = context.packet.extension_headers
    if headers and context.backend == "nf_tables" and any(kind == AH for kind, _ in headers):
        return AH
    protocol: int = look(context, "proto")
    return protocol


_PROTOCOL = replace(
    packet_field("proto", later("protocol"), protocol_name), read=_read_protocol, attribute=""
)


def _interface(context: Context, side: str) -> str:
    """Return the name of an interface; one that there is not has an empty name."""
    return getattr(context, side) or ""


def _got_interface(context: Context, side: str) -> str:
    arriving, interface = side == "in_interface", getattr(context, side)
    if interface is None:
        return say_if(
            arriving, "{hook} has no input interface", "{hook} has no output interface", hook=context.hook
        )
    return say_if(arriving, "it arrives on {interface}", "it leaves by {interface}", interface=interface)


_INTERFACES = {
    side: Field(side, partial(_interface, side=side), partial(_got_interface, side=side))
    for side in ("in_interface", "out_interface")
}


def _got_fragment(context: Context) -> str:
    place = context.packet.fragment
    return say("it is a {place} fragment", place=told(_PLACES[place])) if place else say("it is whole")


#: Where the packet stands among fragments; "whole" for none.
_FRAGMENT = Field("fragment", lambda context: context.packet.fragment or "whole", _got_fragment)
_LATER = Names(frozenset({"middle", "last"}))
