"""`-m hbh` and `-m dst`: IPv6 extension headers that contain options (net/ipv6/netfilter/ip6t_hbh.c).

The headers, Hop-by-Hop Options and Destination Options, are given as `extension_headers=((0, content),)` and
`((60, content),)`, where the content is what follows the header's first two bytes: options as type, length, data.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar, NamedTuple

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Constraint, Field, Masked, equal
from iptsim.extensions.context import Context
from iptsim.extensions.headers import presence_field
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.predicates import Predicate, constrained
from iptsim.extensions.values import integer, integer_value
from iptsim.extensions.wire import header_size
from iptsim.languages import Message, Text, message
from iptsim.packet import Packet
from iptsim.protocols import DESTINATION, HOP_BY_HOP

_PAD1 = 0
_MOST = 16


class HeaderOption(NamedTuple):
    """An option of the header: its type, and the length of its data; None for any length."""

    type: int
    length: int | None = None

    def __str__(self) -> str:
        return str(self.type) if self.length is None else f"{self.type}:{self.length}"

    @property
    def allowed(self) -> Masked:
        """The options of a packet that satisfy it: type and length, one byte each. Pad1 has no length."""
        if self.length is None or self.type == _PAD1:
            return Masked(self.type << 8, 0xFF00)
        return Masked(self.type << 8 | self.length, 0xFFFF)


def _parse_option(text: str) -> HeaderOption:
    type_text, colon, length_text = text.partition(":")
    # iptables keeps one byte of each number; a length of 255 means any
    length = integer(length_text) & 0xFF if colon else 0xFF
    return HeaderOption(integer(type_text) & 0xFF, None if length == 0xFF else length)


def _parse(text: str) -> tuple[HeaderOption, ...]:
    found = tuple(_parse_option(word) for word in text.split(","))
    if len(found) > _MOST:
        raise ValueError(message("{count} options; at most {most} are allowed", count=len(found), most=_MOST))
    return found


_OPTIONS = Value(
    "types of options with the length of their data (1, 5:2, 194:4,1)",
    _parse,
    lambda options: ",".join(map(str, options)),
)


# -- the fields -----------------------------------------------------------------------------------------


def _content(packet: Packet, number: int) -> bytes | None:
    return next((content for header, content in packet.extension_headers if header == number), None)


def _has_header(packet: Packet, number: int) -> bool:
    return _content(packet, number) is not None


def _length(context: Context, number: int) -> int | None:
    content = _content(context.packet, number)
    return None if content is None else header_size(number, content)


def _option_at(context: Context, number: int, place: int) -> int | None:
    """Return type and length, one byte each, of an option of the header; None if there are fewer."""
    content = _content(context.packet, number)
    if content is None:
        return None
    options = _options(content.ljust(header_size(number, content) - 2, b"\0"))
    return next((option for at, option in enumerate(options) if at == place), None)


def _options(content: bytes) -> Iterator[int]:
    at = 0
    while at < len(content):
        if content[at] == _PAD1:
            yield 0
            at += 1
        elif at + 1 < len(content):
            yield content[at] << 8 | content[at + 1]
            at += 2 + content[at + 1]
        else:
            return


def _got(context: Context, number: int, header: Message) -> Text:
    length = _length(context, number)
    if length is None:
        return message("it has no {header}", header=header)
    return message("its {header} has {value} bytes", header=header, value=length)


# -- the matches ----------------------------------------------------------------------------------------


class _OptionsHeader(Match):
    """The header's length, and the options that it begins with."""

    family: ClassVar[int | None] = 6
    #: the header's protocol number and its name
    number: ClassVar[int]
    header: ClassVar[Message]

    def predicates(self) -> tuple[Predicate, ...]:
        found = [
            constrained(self.clause(option, value), constraint)
            for option, value in self.given()
            for constraint in self._constraints(option, value)
        ]
        return tuple(found) or super().predicates()

    def _constraints(self, option: Option, value: Any) -> Iterator[Constraint]:
        if option.reads is not None:
            yield self.constraint(option.reads, option, value)
            return
        got = partial(_got, number=self.number, header=self.header)
        for place, wanted in enumerate(value):
            read = partial(_option_at, number=self.number, place=place)
            yield Constraint(Field(f"{self.name}.option{place + 1}", read, got), wanted.allowed)


def _header_options(name: str, number: int, header: Message) -> tuple[Option, ...]:
    got = partial(_got, number=number, header=header)
    return (
        Option(
            f"--{name}-len", f"{name}_len", integer_value("the header's length in bytes"), True,
            reads=Field(f"{name}.length", partial(_length, number=number), got), relation=equal,
            phrase=Phrase("{value} bytes long", "not {value} bytes long"), listed=" length:[!]{value}",
        ),
        Option(
            f"--{name}-opts", f"{name}_opts", _OPTIONS,
            phrase=Phrase("that begins with options {value}", show=lambda options: ", ".join(map(str, options))),
            listed=" opts {value}",
        ),
    )  # fmt: skip


_HOP_BY_HOP_HEADER = message("Hop-by-Hop Options header")
_DESTINATION_HEADER = message("Destination Options header")


class Hbh(_OptionsHeader):
    """The length of the Hop-by-Hop Options header, and the options that it begins with."""

    name: ClassVar[str] = "hbh"
    number: ClassVar[int] = HOP_BY_HOP
    header: ClassVar[Message] = _HOP_BY_HOP_HEADER
    options: ClassVar[tuple[Option, ...]] = _header_options("hbh", HOP_BY_HOP, _HOP_BY_HOP_HEADER)
    presence: ClassVar[Field | None] = presence_field(
        partial(_has_header, number=HOP_BY_HOP), _HOP_BY_HOP_HEADER
    )
    listed: ClassVar[str] = " hbh"
    lead: ClassVar[Text] = message("with a {header}", header=_HOP_BY_HOP_HEADER)

    hbh_len: int | None = None
    hbh_opts: tuple[HeaderOption, ...] | None = None


class Dst(_OptionsHeader):
    """The length of the Destination Options header, and the options that it begins with."""

    name: ClassVar[str] = "dst"
    number: ClassVar[int] = DESTINATION
    header: ClassVar[Message] = _DESTINATION_HEADER
    options: ClassVar[tuple[Option, ...]] = _header_options("dst", DESTINATION, _DESTINATION_HEADER)
    presence: ClassVar[Field | None] = presence_field(
        partial(_has_header, number=DESTINATION), _DESTINATION_HEADER
    )
    listed: ClassVar[str] = " dst"
    lead: ClassVar[Text] = message("with a {header}", header=_DESTINATION_HEADER)

    dst_len: int | None = None
    dst_opts: tuple[HeaderOption, ...] | None = None

    def lists(self, form: ListingForm) -> str:
        return super().lists(form) + ("" if form.since(1, 8, 9) else " ")


EXTENSIONS = (Hbh, Dst)
