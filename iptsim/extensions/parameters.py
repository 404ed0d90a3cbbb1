"""The conditions that every rule may have without `-m`: `-s -d -i -o -p -f` (iptables(8), PARAMETERS)."""

import socket
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import ClassVar

from iptsim.addresses import address_text
from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Field, Names, Pattern, equal, look, packet_field
from iptsim.extensions.context import Context
from iptsim.extensions.options import Option, Value, quote
from iptsim.extensions.phrases import Phrase, join_phrases
from iptsim.extensions.values import NETWORK, Network, NoSuchWord, in_network, integer
from iptsim.languages import Message, Text, message, message_if
from iptsim.protocols import AH, ICMPV6, MOBILITY, PROTOCOLS, protocol_name

_IFNAMSIZ = 16
#: Names that iptables accepts besides those it prints (xtables_chain_protos in libxtables).
_OTHER_NAMES = {"all": 0, "icmpv6": ICMPV6, "ipv6-mh": MOBILITY, "mh": MOBILITY}

_KNOWN = {**_OTHER_NAMES, **PROTOCOLS}
#: The words for any protocol.
ANY_PROTOCOL = frozenset({"0", *(name for name, number in _KNOWN.items() if not number)})


def parse_protocol(text: str) -> int:
    """Read a protocol name (any case) or number; `all` is 0. Names that netbase lacks come from this machine.

    Raises:
        ValueError: neither.
    """
    name = text.lower()
    if name[:1].isdigit():
        return integer(name, 0, 255)
    number = _KNOWN.get(name)
    if number is None:
        number = _protocol_of_this_machine(name)
    if number is None:
        raise NoSuchWord(message("unknown protocol {text!r}", text=text), text, _KNOWN)
    return number


def _protocol_of_this_machine(name: str) -> int | None:
    """Return the number that /etc/protocols of this machine has for a name, if it has one of one byte."""
    try:
        number = socket.getprotobyname(name)
    except OSError:
        return None
    return number if 0 <= number <= 255 else None


def format_protocol(number: int) -> str:
    """Print a protocol as iptables-save does: by name where it has one."""
    return "all" if number == 0 else protocol_name(number)


def parse_interface(text: str) -> str:
    """Read an interface name; a `+` at its end matches any rest.

    Raises:
        ValueError: longer than the kernel allows.
    """
    if len(text.encode()) >= _IFNAMSIZ:
        raise ValueError(
            message(
                "the interface name {text!r} is longer than {ifnamsiz} characters",
                text=text,
                ifnamsiz=_IFNAMSIZ - 1,
            )
        )
    return text


def format_interface(name: str) -> str:
    """Print an interface name bare, as iptables-save does; quoted where it could not be read back."""
    return quote(name) if not name or any(mark in name for mark in ' "\t') else name


INTERFACE = Value(
    message("an interface name of up to {ifnamsiz} characters (eth0, veth+)", ifnamsiz=_IFNAMSIZ - 1),
    parse_interface,
    format_interface,
    form="interface",
)
PROTOCOL = Value("a protocol name or number (tcp, udp, icmp, 47)", parse_protocol, format_protocol)


#: The position of a fragment in its packet.
_PLACES = {"first": message("first"), "middle": message("middle"), "last": message("last")}


def _address_field(side: str, name: Message) -> Field:
    def got(context: Context) -> Text:
        packet = context.packet
        address = address_text(packet.family, getattr(packet, side))
        return message("its {name} is {value}", name=name, value=address)

    return replace(packet_field(side), got=got)


def _read_protocol(context: Context) -> int:
    """Return the protocol; nf_tables stops at an IPv6 authentication header and takes that."""
    headers = context.packet.extension_headers
    if headers and context.backend == "nf_tables" and any(kind == AH for kind, _ in headers):
        return AH
    protocol: int = look(context, "proto")
    return protocol


#: The addresses of a packet.
SOURCE, DESTINATION = _address_field("src", message("source")), _address_field("dst", message("destination"))
_PROTOCOL = replace(
    packet_field("proto", message("protocol"), protocol_name), read=_read_protocol, attribute=""
)


def _interface(context: Context, side: str) -> str:
    """Return the name of an interface; a missing one has an empty name."""
    return getattr(context, side) or ""


def _got_interface(context: Context, side: str) -> Text:
    arriving, interface = side == "in_interface", getattr(context, side)
    if interface is None:
        return message_if(
            arriving, "{hook} has no input interface", "{hook} has no output interface", hook=context.hook
        )
    return message_if(arriving, "it arrives on {interface}", "it leaves by {interface}", interface=interface)


_INTERFACES = {
    side: Field(side, partial(_interface, side=side), partial(_got_interface, side=side))
    for side in ("in_interface", "out_interface")
}


def _got_fragment(context: Context) -> Text:
    place = context.packet.fragment
    return message("it is a {place} fragment", place=_PLACES[place]) if place else message("it is whole")


#: Which fragment the packet is; "whole" if it is not a fragment.
_FRAGMENT = Field("fragment", lambda context: context.packet.fragment or "whole", _got_fragment)
_LATER = Names(frozenset({"middle", "last"}))


def _says_fragment(value: bool, negated: bool) -> Text:
    return message_if(negated, "that are whole or first fragments", "that are later fragments")


class Parameters(Match):
    """Addresses, interfaces, protocol and fragment bit of a rule."""

    name: ClassVar[str] = ""
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "-s", "source", NETWORK, True, ("--source", "--src"), reads=SOURCE,
            relation=in_network, phrase=Phrase("from {value}", show=attrgetter("short")),
        ),
        Option(
            "-d", "destination", NETWORK, True, ("--destination", "--dst"),
            reads=DESTINATION, relation=in_network,
            phrase=Phrase("to {value}", show=attrgetter("short")),
        ),
        Option(
            "-i", "in_interface", INTERFACE, True, ("--in-interface",), reads=_INTERFACES["in_interface"],
            relation=Pattern, phrase=Phrase("arriving on {value}"),
        ),
        Option(
            "-o", "out_interface", INTERFACE, True, ("--out-interface",), reads=_INTERFACES["out_interface"],
            relation=Pattern, phrase=Phrase("leaving by {value}"),
        ),
        Option(
            "-p", "protocol", PROTOCOL, True, ("--protocol", "--proto"), reads=_PROTOCOL, relation=equal,
            phrase=Phrase("of protocol {value}", show=format_protocol), idle=0,
        ),
        Option(
            "-f", "fragment", None, True, ("--fragment",), reads=_FRAGMENT, relation=lambda _: _LATER,
            phrase=_says_fragment,
        ),
    )  # fmt: skip
    said: ClassVar[tuple[str, ...]] = ("protocol",)

    source: Network | None = None
    destination: Network | None = None
    in_interface: str | None = None
    out_interface: str | None = None
    #: protocol number, None for any
    protocol: int | None = None
    fragment: bool = False

    def says(self) -> Text:
        """Return its conditions in words; those on both interfaces are one phrase."""
        words = {
            option.field: option.phrase(value, option.field in self.negated)
            for option, value in self.given(self.said)
            if option.phrase is not None
        }
        if _INTERFACES.keys() <= words.keys():
            arrives, leaves = words["in_interface"], words.pop("out_interface")
            words["in_interface"] = message_if(
                "in_interface" in self.negated and "out_interface" not in self.negated,
                "{arrives}, but {leaves}",
                "{arrives} and {leaves}",
                arrives=arrives,
                leaves=leaves,
            )
        return join_phrases(self.joint, *words.values()) if words else self.alone


#: Each spelling of these options, with the one that iptables-save prints.
SPELLINGS = {
    spelling: option.flag for option in Parameters.options for spelling in (option.flag, *option.aliases)
}
