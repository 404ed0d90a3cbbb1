"""`-m esp`: the SPI of IPsec's encapsulated packets (net/netfilter/xt_esp.c).

Key of :attr:`Packet.extra`: `esp_spi`.
"""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Field, between
from iptsim.extensions.headers import NUMBER_RANGE, WHOLE, number_field, presence_field
from iptsim.extensions.listing import range_lister
from iptsim.extensions.options import Option
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import range_words
from iptsim.languages import Text, message
from iptsim.packet import Packet
from iptsim.protocols import ESP

_HEADER = message("ESP header")


def _has_header(packet: Packet) -> bool:
    return packet.proto == ESP and not packet.is_later_fragment


def _spi(packet: Packet) -> int | None:
    return packet.extra.get("esp_spi")


class Esp(Match):
    """The SPI of an ESP packet."""

    name: ClassVar[str] = "esp"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--espspi", "espspi", NUMBER_RANGE, True, idle=WHOLE,
            reads=number_field("esp_spi", message("ESP SPI"), _spi, _has_header, _HEADER), relation=between,
            phrase=Phrase(
                "whose ESP header has SPI {value}", "whose ESP header does not have SPI {value}", range_words
            ),
            listed=range_lister("spi", " "),
        ),
    )  # fmt: skip
    protocols: ClassVar[frozenset[int] | None] = frozenset({ESP})
    presence: ClassVar[Field | None] = presence_field(_has_header, _HEADER)
    listed: ClassVar[str] = " esp"
    alone: ClassVar[Text] = message("with an ESP header")

    espspi: tuple[int, int] | None = None


EXTENSIONS = (Esp,)
