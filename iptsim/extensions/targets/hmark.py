"""`-j HMARK`: set the mark to a hash of addresses, ports and protocol (net/netfilter/xt_HMARK.c)."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from iptsim.addresses import BITS, Family
from iptsim.connection import Connection
from iptsim.extensions.base import Target
from iptsim.extensions.checks import given
from iptsim.extensions.constraints import look
from iptsim.extensions.context import Context
from iptsim.extensions.jhash import jhash_words
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.values import integer, integer_value, one_address, prefix_length
from iptsim.extensions.verdicts import CONTINUE, Verdict
from iptsim.ip_header import read_ipv4, read_ipv6
from iptsim.languages import Message, Text, message, message_if
from iptsim.packet import Packet
from iptsim.partly_known import UnknownNumber, unknown_mark
from iptsim.protocols import (
    AH,
    DCCP,
    DESTINATION,
    ESP,
    FRAGMENT,
    HOP_BY_HOP,
    ICMP,
    ICMPV6,
    MOBILITY,
    PORT_PROTOCOLS,
    ROUTING,
)

MEMBERS = ("ct", "src", "dst", "sport", "dport", "proto", "spi")
#: The option that each member but "ct" sets.
_SETS = {
    "src": "hmark_src_prefix", "dst": "hmark_dst_prefix", "sport": "hmark_sport_mask",
    "dport": "hmark_dport_mask", "proto": "hmark_proto_mask", "spi": "hmark_spi_mask",
}  # fmt: skip
#: In the order of a listing.
_LISTED_NUMBERS = (
    "hmark_sport_mask", "hmark_dport_mask", "hmark_spi_mask", "hmark_sport", "hmark_dport", "hmark_spi",
    "hmark_proto_mask", "hmark_rnd",
)  # fmt: skip
#: Where the SPI is in the content of an authentication header.
_SPI = slice(2, 6)
#: IPv6 headers that can precede the transport header.
_EXTENSION_HEADERS = frozenset({HOP_BY_HOP, ROUTING, FRAGMENT, AH, DESTINATION, MOBILITY})
_ICMP_HEADER = 8
_ERRORS = {ICMP: frozenset({3, 4, 5, 11, 12}), ICMPV6: frozenset(range(1, 128))}


class Selectors(NamedTuple):
    """The input of the hash: both address words and both ports, in either order, and the protocol."""

    src: int
    dst: int
    ports: int
    proto: int


class UnknownInput(NamedTuple):
    """That the input of the hash is unknown: what of it, and what would decide it."""

    what: Message
    decide: str = ""


def parse_tuple(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of members, each in full or abbreviated.

    Raises:
        ValueError: an unknown member.
    """
    found = []
    for word in text.split(","):
        member = next((name for name in MEMBERS if word and name.startswith(word.lower())), None)
        if member is None:
            raise ValueError(
                message(
                    "unknown member {word!r}; choose from: {choices}", word=word, choices=", ".join(MEMBERS)
                )
            )
        found.append(member)
    return tuple(member for member in MEMBERS if member in found)


def parse_prefix(text: str, family: int) -> int:
    """Read a prefix length, or a mask that is one.

    Raises:
        ValueError: neither.
    """
    width = BITS[family]
    if text.isascii() and text.isdigit():
        return min(int(text), width)
    length = prefix_length(one_address(text, family), width)
    return width if length is None else length


def _hexadecimal(digits: int) -> Value:
    high = (1 << 4 * digits) - 1
    return Value(
        message("a {digits}-bit number", digits=4 * digits),
        lambda text: integer(text, 0, high),
        lambda number: f"{number:#0{digits + 2}x}",
    )


_PREFIX = Value("a prefix length", parse_prefix, needs_family=True)
_PORT = _hexadecimal(4)
_WORD = _hexadecimal(8)
_PROTO = Value("a 16-bit number", lambda text: integer(text, 0, 0xFFFF), lambda number: f"{number:#04x}")


class Hmark(Target):
    """Spread packets over a range of marks."""

    name: ClassVar[str] = "HMARK"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--hmark-src-prefix", "hmark_src_prefix", _PREFIX),
        Option("--hmark-dst-prefix", "hmark_dst_prefix", _PREFIX),
        Option("--hmark-sport-mask", "hmark_sport_mask", _PORT),
        Option("--hmark-dport-mask", "hmark_dport_mask", _PORT),
        Option("--hmark-spi-mask", "hmark_spi_mask", _WORD),
        Option("--hmark-sport", "hmark_sport", _PORT),
        Option("--hmark-dport", "hmark_dport", _PORT),
        Option("--hmark-spi", "hmark_spi", _WORD),
        Option("--hmark-proto-mask", "hmark_proto_mask", _PROTO),
        Option("--hmark-rnd", "hmark_rnd", _WORD),
        Option("--hmark-mod", "hmark_mod", integer_value("a number of marks, at least 1", 1)),
        Option("--hmark-offset", "hmark_offset", integer_value("the first mark")),
        Option(
            "--hmark-tuple",
            "hmark_tuple",
            Value(message("members of {choices}", choices=", ".join(MEMBERS)), parse_tuple, ",".join),
        ),
    )
    family: ClassVar[int | None] = 4

    hmark_src_prefix: int | None = None
    hmark_dst_prefix: int | None = None
    hmark_sport_mask: int | None = None
    hmark_dport_mask: int | None = None
    hmark_spi_mask: int | None = None
    hmark_sport: int | None = None
    hmark_dport: int | None = None
    hmark_spi: int | None = None
    hmark_proto_mask: int | None = None
    hmark_rnd: int
    hmark_mod: int
    hmark_offset: int | None = None
    hmark_tuple: tuple[str, ...] | None = None

    def check(self) -> None:
        for member in self.hmark_tuple or ():
            if member != "ct" and given(self, _SETS[member]):
                raise ValueError(
                    message("{member} in --hmark-tuple and its mask are mutually exclusive", member=member)
                )
        masks = self._masks
        if "hmark_spi_mask" in masks and ("hmark_sport_mask" in masks or "hmark_dport_mask" in masks):
            raise ValueError(message("--hmark-spi-mask and a port mask are mutually exclusive"))
        if self.hmark_spi is not None and given(self, "hmark_sport", "hmark_dport"):
            raise ValueError(message("--hmark-spi can't be combined with --hmark-sport or --hmark-dport"))
        if not (masks or self._of_connection or given(self, "hmark_sport", "hmark_dport", "hmark_spi")):
            raise ValueError(message("HMARK needs --hmark-tuple, or a prefix or mask of a field to hash"))

    @property
    def _of_connection(self) -> bool:
        """Whether the connection's tuples are hashed, and not the packet's."""
        return "ct" in (self.hmark_tuple or ())

    @property
    def _masks(self) -> dict[str, int]:
        """The prefixes and masks by field, those of the tuple's members included."""
        width = 32 if self.family == 4 else 128
        whole = {
            "hmark_src_prefix": width, "hmark_dst_prefix": width, "hmark_sport_mask": 0xFFFF,
            "hmark_dport_mask": 0xFFFF, "hmark_proto_mask": 0xFFFF, "hmark_spi_mask": 0xFFFFFFFF,
        }  # fmt: skip
        asked = {_SETS[member] for member in self.hmark_tuple or () if member != "ct"}
        written = {field: getattr(self, field) for field in whole}
        return {
            field: whole[field] if value is None else value
            for field, value in written.items()
            if value is not None or field in asked
        }

    def save(self) -> str:
        """Return the options as iptables-save prints them: the tuple's members by their masks."""
        masks, clauses = self._masks, []
        for option in self.options:
            value = masks.get(option.field, getattr(self, option.field))
            if option.field == "hmark_tuple":
                value = ("ct",) if self._of_connection else None
            if value is not None:
                clauses.append(self.clause(option, value))
        return " ".join(clauses)

    def apply(self, context: Context) -> Verdict:
        if self._of_connection:
            if context.connection is None:
                return CONTINUE
            selectors: Selectors | UnknownInput | None = self._of(context.connection)
        else:
            selectors = self._of_packet(context)
        if selectors is None:
            return CONTINUE
        if isinstance(selectors, UnknownInput):
            reason = message("the mark that HMARK makes of {what}", what=selectors.what)
            first = self.hmark_offset or 0
            last = first + self.hmark_mod - 1
            number = UnknownNumber(reason, selectors.decide, first & 0xFFFFFFFF, last & 0xFFFFFFFF)
            context.packet.mark = unknown_mark(number)
            return CONTINUE
        low, high = sorted((selectors.src, selectors.dst))
        value = jhash_words([low, high, selectors.ports], self.hmark_rnd)
        value ^= selectors.proto & self._masks.get("hmark_proto_mask", 0)
        context.packet.mark = ((value * (self.hmark_mod) >> 32) + (self.hmark_offset or 0)) & 0xFFFFFFFF
        return CONTINUE

    def _of(self, connection: Connection) -> Selectors | UnknownInput:
        """Return what a connection gives: its source and the source of its replies."""
        original, reply = connection.original, connection.reply
        ports: int | UnknownInput = 0
        if original.proto == DCCP and self._port_mask:
            return UnknownInput(message("what conntrack knows about DCCP (its ports only before Linux 6.16)"))
        if original.proto in PORT_PROTOCOLS:
            ports = self._ports(original.sport, reply.sport)
        elif original.proto == ICMPV6:
            # both tuples have the echo request's identifier there; the kernel leaves out ICMP alone
            ports = self._ports(original.sport, original.sport)
        elif original.proto != ICMP:
            ports = self._in_order(0)
        if isinstance(ports, UnknownInput):
            return ports
        return Selectors(
            self._word(original.src, "hmark_src_prefix"),
            self._word(reply.src, "hmark_dst_prefix"),
            ports,
            original.proto,
        )

    def _of_packet(self, context: Context) -> Selectors | UnknownInput | None:
        """Return what a packet gives, or for an ICMP error the packet that it quotes; None if that is unreadable."""
        packet = context.packet
        # an authentication header is the last that the kernel looks for (IP6_FH_F_AUTH)
        authentication = next((data for number, data in packet.extension_headers if number == AH), None)
        errors = _ERRORS.get(packet.proto, frozenset()) if authentication is None else frozenset()
        if errors and packet.fragment is None and look(context, "icmp_type") in errors:
            quoted = _quoted(context)
            if not isinstance(quoted, Packet):
                return quoted
            packet = quoted
        ports: int | UnknownInput = 0
        if packet.fragment is None:
            ports = self._packet_ports(packet, authentication)
        if isinstance(ports, UnknownInput):
            return ports
        return Selectors(
            self._word(packet.src, "hmark_src_prefix"),
            self._word(packet.dst, "hmark_dst_prefix"),
            ports,
            packet.proto if authentication is None else AH,
        )

    def _packet_ports(self, packet: Packet, authentication: bytes | None) -> int | UnknownInput:
        if authentication is not None:
            return self._in_order(int.from_bytes(authentication[_SPI], "big"))
        if packet.proto in PORT_PROTOCOLS:
            return self._ports(packet.sport, packet.dport)
        if packet.proto in (ESP, AH):
            spi = packet.extra.get("esp_spi" if packet.proto == ESP else "ah_spi")
            if spi is None and self._port_mask:
                return UnknownInput(message("the SPI of the packet"), "--set esp_spi=N")
            return self._in_order(spi or 0)
        return 0

    def _ports(self, first: int | None, second: int | None) -> int | UnknownInput:
        mask = self._port_mask
        if (first is None and mask >> 16) or (second is None and mask & 0xFFFF):
            return UnknownInput(message("a port that is picked at random"), "--set sport=N")
        return self._in_order((first or 0) << 16 | (second or 0))

    @property
    def _port_mask(self) -> int:
        """The relevant bits of both ports, source port first, or of the SPI."""
        masks = self._masks
        ports = masks.get("hmark_sport_mask", 0) << 16 | masks.get("hmark_dport_mask", 0)
        return masks.get("hmark_spi_mask", ports)

    def _in_order(self, ports: int) -> int:
        """Mask two ports, set the bits of `--hmark-sport` and so on, and put the greater first."""
        fixed = (self.hmark_sport or 0) << 16 | (self.hmark_dport or 0) | (self.hmark_spi or 0)
        ports = ports & self._port_mask | fixed
        first, second = ports >> 16, ports & 0xFFFF
        return max(first, second) << 16 | min(first, second)

    def _word(self, address: int, field: str) -> int:
        """Return a masked address as one word; the four words of an IPv6 address are folded."""
        length = self._masks.get(field, 0)
        width = 32 if self.family == 4 else 128
        masked = address & ((1 << length) - 1) << (width - length)
        word = 0
        while masked:
            word ^= masked & 0xFFFFFFFF
            masked >>= 32
        return word

    def lists(self, form: ListingForm) -> str:
        masks = self._masks
        text = f" HMARK mod {self.hmark_mod} "
        text += "" if self.hmark_offset is None else f"+ {self.hmark_offset:#x} "
        text += "ct, " if self._of_connection else ""
        for field, word in (("hmark_src_prefix", "src-prefix"), ("hmark_dst_prefix", "dst-prefix")):
            # of an IPv6 address, iptables leaves out a length of 128
            length = masks.get(field)
            text += "" if length is None else f"{word} {'' if length == 128 else length} "
        for field in _LISTED_NUMBERS:
            value = masks.get(field, getattr(self, field))
            text += "" if value is None else f"{field.removeprefix('hmark_').replace('_', '-')} {value:#x} "
        return text

    def says(self) -> Text:
        first = self.hmark_offset or 0
        last = first + (self.hmark_mod) - 1
        return message_if(
            self._of_connection,
            "set the mark to {first:#x} to {last:#x} by a hash of the connection",
            "set the mark to {first:#x} to {last:#x} by a hash of the packet",
            first=first,
            last=last,
        )


def _quoted(context: Context) -> Packet | UnknownInput | None:
    """Return the packet that an ICMP error quotes; None if it does not quote its whole IP header."""
    error = context.packet
    connection = context.connection
    head = 20 if error.family == 4 else 40
    room = error.length - head - _ICMP_HEADER
    unknown = UnknownInput(message("the packet that the ICMP error quotes"))
    if room < head:
        return None
    if connection is not None and connection.status & {"SNAT", "DNAT"} and context.hook != "PREROUTING":
        # nat may have translated the quoted packet as well
        return unknown
    if "payload" not in error.defaults and len(error.payload) >= head:
        return _read(error.family, error.payload)
    flow = error.quoted
    if flow is None or not flow.src:
        return unknown
    return Packet(error.family, flow.src, flow.dst, flow.proto, sport=flow.sport, dport=flow.dport)


def _read(family: Family, data: bytes) -> Packet | UnknownInput | None:
    """Read the packet that an ICMP error quotes; None if it is not of the family, or its header is cut off."""
    header = read_ipv4(data) if family == 4 else read_ipv6(data)
    if header is None or (family == 6 and data[0] >> 4 != 6):
        return None
    proto, transport = header.proto, header.content
    if family == 6 and proto in _EXTENSION_HEADERS:
        return UnknownInput(message("the extension headers of the packet that the ICMP error quotes"))
    words = transport[4:8] if proto == AH else transport[:4]
    if len(words) < 4 and proto in {*PORT_PROTOCOLS, ESP, AH}:
        return UnknownInput(message("the ports of the packet that the ICMP error quotes"))
    fragment = "first" if header.is_fragment else None
    packet = Packet(family, header.src, header.dst, proto, fragment=fragment)
    if proto in PORT_PROTOCOLS:
        packet.sport, packet.dport = int.from_bytes(words[:2], "big"), int.from_bytes(words[2:], "big")
    elif proto in (ESP, AH):
        packet.extra["esp_spi" if proto == ESP else "ah_spi"] = int.from_bytes(words, "big")
    return packet


class Hmark6(Hmark):
    """Spread IPv6 packets over a range of marks."""

    family: ClassVar[int | None] = 6


EXTENSIONS = (Hmark, Hmark6)
