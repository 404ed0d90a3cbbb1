"""`-m ah`: the Authentication Header of IPsec (net/ipv4/netfilter/ipt_ah.c, net/ipv6/netfilter/ip6t_ah.c).

For IPv4 it is the packet's protocol (`-p ah`), for IPv6 an extension header, given as
`extension_headers=((51, content),)` where the content starts with the two reserved bytes and the SPI.
Keys of :attr:`Packet.extra`, used where no content is given: `ah_spi`, `ah_length` (of the header in
bytes), `ah_reserved`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Field, between, equal
from iptsim.extensions.headers import NUMBER_RANGE, WHOLE, number_field, presence_field
from iptsim.extensions.listing import range_lister
from iptsim.extensions.options import Given, Option
from iptsim.extensions.phrases import Phrase, join_phrases
from iptsim.extensions.values import integer_value, range_words
from iptsim.extensions.wire import header_size
from iptsim.languages import Text, message
from iptsim.packet import Packet
from iptsim.protocols import AH

_HEADER = message("Authentication Header")
_SPI = message("AH SPI")


def _has_header4(packet: Packet) -> bool:
    return packet.proto == AH and not packet.is_later_fragment


def _content(packet: Packet) -> bytes | None:
    return next((content for number, content in packet.extension_headers if number == AH), None)


def _has_header6(packet: Packet) -> bool:
    return packet.proto == AH or _content(packet) is not None


def _spi4(packet: Packet) -> int | None:
    return packet.extra.get("ah_spi")


def _spi6(packet: Packet) -> int | None:
    content = _content(packet)
    stated: int | None = packet.extra.get("ah_spi")
    return int.from_bytes(content[2:6], "big") if content and len(content) >= 6 else stated


def _length6(packet: Packet) -> int | None:
    content = _content(packet)
    stated: int | None = packet.extra.get("ah_length")
    return header_size(AH, content) if content else stated


def _reserved6(packet: Packet) -> int | None:
    content = _content(packet)
    stated: int | None = packet.extra.get("ah_reserved")
    return int.from_bytes(content[:2], "big") if content and len(content) >= 2 else stated


def _spi_option(field: Field) -> Option:
    return Option(
        "--ahspi", "ahspi", NUMBER_RANGE, True, idle=WHOLE, reads=field, relation=between,
        phrase=Phrase("whose {name} has SPI {value}", "whose {name} does not have SPI {value}", range_words, _HEADER),
        listed=range_lister("spi"),
    )  # fmt: skip


class _Ah(Match):
    """The SPI of an Authentication Header."""

    name: ClassVar[str] = "ah"
    listed: ClassVar[str] = " ah "
    alone: ClassVar[Text] = message("with an {header}", header=_HEADER)
    joint: ClassVar[str] = ", "

    ahspi: tuple[int, int] | None = None


class Ah4(_Ah):
    """The SPI of an IPv4 packet's Authentication Header."""

    family: ClassVar[int | None] = 4
    options: ClassVar[tuple[Option, ...]] = (
        _spi_option(number_field("ah_spi", _SPI, _spi4, _has_header4, _HEADER)),
    )
    protocols: ClassVar[frozenset[int] | None] = frozenset({AH})
    presence: ClassVar[Field | None] = presence_field(_has_header4, _HEADER)


class Ah6(_Ah):
    """SPI, length and reserved field of an IPv6 packet's Authentication Header."""

    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = (
        _spi_option(number_field("ah_spi", _SPI, _spi6, _has_header6, _HEADER)),
        Option(
            "--ahlen", "ahlen", integer_value("the header's length in bytes"), True,
            reads=number_field("ah_length", message("AH length"), _length6, _has_header6, _HEADER),
            relation=equal, phrase=Phrase("{value} bytes long", "not {value} bytes long"),
            listed="length:[!]{value}",
        ),
        Option(
            "--ahres", "ahres",
            reads=number_field("ah_reserved", message("AH reserved field"), _reserved6, _has_header6, _HEADER),
            relation=lambda _: equal(0), phrase=Phrase("with a reserved field of zero"), listed=" reserved",
        ),
    )  # fmt: skip
    presence: ClassVar[Field | None] = presence_field(_has_header6, _HEADER)

    ahlen: int | None = None
    ahres: bool = False

    @classmethod
    def gather(cls, given: Iterable[Given]) -> dict[str, Any]:
        """Return the model's fields; a length of 0 sets no condition."""
        fields = super().gather(given)
        if fields.get("ahlen") == 0:
            del fields["ahlen"]
            fields["negated"] = fields.get("negated", frozenset()) - {"ahlen"}
        return fields

    def says(self) -> Text:
        words = super().says()
        leads = self.ahspi is not None or words == self.alone
        return words if leads else join_phrases(self.joint, self.alone, words)


EXTENSIONS = (Ah4, Ah6)
