"""`-m ah`: the Authentication Header of IPsec (net/ipv4/netfilter/ipt_ah.c, net/ipv6/netfilter/ip6t_ah.c).

For IPv4 it is the packet's protocol (`-p ah`), for IPv6 an extension header, given as
`extension_headers=((51, content),)` where the content starts with the two reserved octets and the SPI.
Keys of :attr:`Packet.extra`, used where no content is given: `ah_spi`, `ah_length` (of the header in
octets), `ah_reserved`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from iptsim.extensions.base import Given, Match, Option, Predicate
from iptsim.extensions.headers import (
    NUMBER_RANGE,
    WHOLE,
    header_predicate,
    is_later_fragment,
    number_predicate,
)
from iptsim.extensions.listing import ListingForm, listed_range
from iptsim.extensions.values import integer_value, range_words
from iptsim.extensions.wire import AH, header_size
from iptsim.languages import joined, later, say, say_if, told
from iptsim.packet import Packet

_SPI = Option("--ahspi", "ahspi", NUMBER_RANGE, True, idle=WHOLE)
_HEADER = later("Authentication Header")


def _says(ahspi: tuple[int, int] | None, negated: bool) -> str:
    if ahspi is None:
        return say("with an {header}", header=told(_HEADER))
    return say_if(
        negated,
        "whose {header} does not have SPI {ahspi}",
        "whose {header} has SPI {ahspi}",
        header=told(_HEADER),
        ahspi=range_words(ahspi),
    )


class Ah4(Match):
    """The SPI of an IPv4 packet's Authentication Header."""

    name: ClassVar[str] = "ah"
    family: ClassVar[int | None] = 4
    options: ClassVar[tuple[Option, ...]] = (_SPI,)
    protocols: ClassVar[frozenset[int] | None] = frozenset({AH})

    ahspi: tuple[int, int] | None = None

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the SPI; a later fragment has no header."""
        if self.ahspi is None:
            return (header_predicate("-m ah", _has_header4, _HEADER),)
        return (
            number_predicate(
                self.save(),
                "ah_spi",
                (self.ahspi,),
                lambda packet: packet.extra.get("ah_spi"),
                negated="ahspi" in self.negated,
                name=later("AH SPI"),
                has_header=_has_header4,
                header=_HEADER,
            ),
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" ah {listed_range('spi', self.ahspi, self.bang('ahspi'))}"

    def says(self) -> str:
        """Return the SPI in words."""
        return _says(self.ahspi, "ahspi" in self.negated)


class Ah6(Match):
    """SPI, length and reserved field of an IPv6 packet's Authentication Header."""

    name: ClassVar[str] = "ah"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = (
        _SPI,
        Option("--ahlen", "ahlen", integer_value("the header's length in octets"), True),
        Option("--ahres", "ahres"),
    )

    ahspi: tuple[int, int] | None = None
    ahlen: int | None = None
    ahres: bool = False

    @classmethod
    def gather(cls, given: Iterable[Given]) -> dict[str, Any]:
        """Return the model's fields; a length of 0 is no condition."""
        fields = super().gather(given)
        if fields.get("ahlen") == 0:
            del fields["ahlen"]
            fields["negated"] = fields.get("negated", frozenset()) - {"ahlen"}
        return fields

    def predicates(self) -> tuple[Predicate, ...]:
        """Return one condition an option; all are false for a packet without the header."""
        found = []
        if self.ahspi is not None:
            found.append(self._predicate("ahspi", self.ahspi, _spi6, "ah_spi", later("AH SPI")))
        if self.ahlen is not None:
            span = (self.ahlen, self.ahlen)
            found.append(self._predicate("ahlen", span, _length6, "ah_length", later("AH length")))
        if self.ahres:
            found.append(
                self._predicate("ahres", (0, 0), _reserved6, "ah_reserved", later("AH reserved field"))
            )
        return tuple(found) or (header_predicate("-m ah", _has_header6, _HEADER),)

    def _predicate(
        self, field: str, span: tuple[int, int], find: Callable[[Packet], int | None], key: str, name: str
    ) -> Predicate:
        option = next(option for option in self.options if option.field == field)
        return number_predicate(
            self.clause(option, getattr(self, field)),
            key,
            (span,),
            find,
            negated=field in self.negated,
            name=name,
            has_header=_has_header6,
            header=_HEADER,
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = f" ah {listed_range('spi', self.ahspi, self.bang('ahspi'))}"
        if self.ahlen is not None:
            text += f"length:{self.bang('ahlen')}{self.ahlen}"
        return text + (" reserved" if self.ahres else "")

    def says(self) -> str:
        """Return the conditions in words."""
        phrases = [_says(self.ahspi, "ahspi" in self.negated)]
        if self.ahlen is not None:
            phrases.append(
                say_if(
                    "ahlen" in self.negated,
                    "not {ahlen} octets long",
                    "{ahlen} octets long",
                    ahlen=self.ahlen,
                )
            )
        if self.ahres:
            phrases.append(say("its reserved field zero"))
        return joined(", ", phrases)


def _has_header4(packet: Packet) -> bool:
    return packet.proto == AH and not is_later_fragment(packet)


def _content(packet: Packet) -> bytes | None:
    return next((content for number, content in packet.extension_headers if number == AH), None)


def _has_header6(packet: Packet) -> bool:
    return packet.proto == AH or _content(packet) is not None


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


EXTENSIONS = (Ah4, Ah6)
