"""`-m esp`: the SPI of IPsec's encapsulated packets (net/netfilter/xt_esp.c).

Key of :attr:`Packet.extra`: `esp_spi`.
"""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate
from iptsim.extensions.headers import (
    NUMBER_RANGE,
    WHOLE,
    header_predicate,
    is_later_fragment,
    number_predicate,
)
from iptsim.extensions.listing import ListingForm, listed_range
from iptsim.extensions.values import range_words
from iptsim.extensions.wire import ESP
from iptsim.languages import later, say, say_if
from iptsim.packet import Packet


class Esp(Match):
    """The SPI of an ESP packet."""

    name: ClassVar[str] = "esp"
    options: ClassVar[tuple[Option, ...]] = (Option("--espspi", "espspi", NUMBER_RANGE, True, idle=WHOLE),)
    protocols: ClassVar[frozenset[int] | None] = frozenset({ESP})

    espspi: tuple[int, int] | None = None

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the SPI; a later fragment has no header."""
        if self.espspi is None:
            return (header_predicate("-m esp", _has_header, "ESP header"),)
        return (
            number_predicate(
                self.save(),
                "esp_spi",
                (self.espspi,),
                lambda packet: packet.extra.get("esp_spi"),
                negated="espspi" in self.negated,
                name=later("ESP SPI"),
                has_header=_has_header,
                header=later("ESP header"),
            ),
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" esp {listed_range('spi', self.espspi, self.bang('espspi'))}" if self.espspi else " esp"

    def says(self) -> str:
        """Return the SPI in words."""
        if self.espspi is None:
            return say("with an ESP header")
        return say_if(
            "espspi" in self.negated,
            "whose ESP header does not have SPI {espspi}",
            "whose ESP header has SPI {espspi}",
            espspi=range_words(self.espspi),
        )


def _has_header(packet: Packet) -> bool:
    return packet.proto == ESP and not is_later_fragment(packet)


EXTENSIONS = (Esp,)
