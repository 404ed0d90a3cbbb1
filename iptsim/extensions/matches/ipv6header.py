"""`-m ipv6header`: which extension headers an IPv6 packet has (net/ipv6/netfilter/ip6t_ipv6header.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Constraint, Field, Masked
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.wire import extension_headers
from iptsim.languages import Message, Text, message, message_joined
from iptsim.packet import Packet
from iptsim.protocols import AH, DESTINATION, ESP, FRAGMENT, HOP_BY_HOP, ROUTING

_NONE = 59
#: Any header of an upper layer.
_UPPER = 255
#: All spellings of a header; iptables prints those of /etc/protocols where it finds them there.
_NAMES = {
    "hop-by-hop": HOP_BY_HOP, "hop": HOP_BY_HOP, "0": HOP_BY_HOP, "ipv6-opts": DESTINATION,
    "dst": DESTINATION, "60": DESTINATION, "ipv6-route": ROUTING, "route": ROUTING, "43": ROUTING,
    "ipv6-frag": FRAGMENT, "frag": FRAGMENT, "44": FRAGMENT, "ah": AH, "auth": AH, "51": AH, "esp": ESP,
    "50": ESP, "ipv6-nonxt": _NONE, "none": _NONE, "59": _NONE, "protocol": _UPPER, "prot": _UPPER,
    "255": _UPPER,
}  # fmt: skip
#: The bit of each header, as the kernel and a listing have it.
_BITS = {
    HOP_BY_HOP: 128, DESTINATION: 64, ROUTING: 32, FRAGMENT: 16, AH: 8, ESP: 4, _NONE: 2, _UPPER: 1,
}  # fmt: skip
#: The bit for all headers without a bit of their own.
_OTHER = 256
_WORDS = {
    HOP_BY_HOP: message("hop-by-hop options"), DESTINATION: message("destination options"), ROUTING: message("routing"),
    FRAGMENT: message("fragment"), AH: message("authentication"), ESP: message("ESP"), _NONE: message("no-next-header"),
    _UPPER: message("an upper layer's"),
}  # fmt: skip


def _parse(text: str) -> tuple[str, ...]:
    words = tuple(text.split(","))
    for word in words:
        if word not in _NAMES:
            raise ValueError(
                message(
                    "unknown IPv6 header {word!r}; choose from: {choices}",
                    word=word,
                    choices=", ".join(_NAMES),
                )
            )
    return words


def _bits(headers: frozenset[int]) -> int:
    """Return headers, given by protocol number, as bits."""
    return sum(_BITS[number] for number in headers & _BITS.keys()) | (_OTHER if headers - _BITS.keys() else 0)


def _present(packet: Packet) -> frozenset[int]:
    headers = {number for number, _ in extension_headers(packet)}
    if packet.proto in (ESP, _NONE):
        return frozenset(headers | {packet.proto})
    if packet.proto == AH:
        headers.add(AH)
    return frozenset(headers | {_UPPER})


def _listed(headers: frozenset[int]) -> Message:
    return message_joined(", ", (words for number, words in _WORDS.items() if number in headers))


_HEADERS = Field(
    "ipv6_headers",
    lambda context: _bits(_present(context.packet)),
    lambda context: message("its headers are: {headers}", headers=_listed(_present(context.packet))),
)


class Ipv6header(Match):
    """The packet has exactly these headers; with `--soft` these and any others.

    `! --header ... --soft` matches if it has none of them.
    """

    name: ClassVar[str] = "ipv6header"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--header", "header", Value("IPv6 headers (hop, dst, route, frag ...)", _parse, ",".join), True
        ),
        Option("--soft", "soft"),
    )

    header: tuple[str, ...]
    soft: bool = False

    @property
    def wanted(self) -> frozenset[int]:
        """The headers that the rule names, by protocol number; 255 for the upper layer."""
        return frozenset(_NAMES[word] for word in self.header)

    def predicates(self) -> tuple[Predicate, ...]:
        bits, negated = _bits(self.wanted), bool(self.negated)
        if not self.soft:
            return self.one(Constraint(_HEADERS, Masked(bits, 2 * _OTHER - 1), negated))
        return self.one(Constraint(_HEADERS, Masked(0 if negated else bits, bits)))

    def lists(self, form: ListingForm) -> str:
        flags = f"{self.bang('header')}0x{_bits(self.wanted):02X}"
        return f" ipv6header flags:{flags}{' soft' if self.soft else ''}"

    def says(self) -> Text:
        if self.soft and self.negated:
            how = message("with none of these headers")
        elif self.soft:
            how = message("with these headers, and maybe others")
        elif self.negated:
            how = message("with headers other than these")
        else:
            if self.wanted == {_UPPER}:
                return message("without IPv6 extension headers")
            how = message("with just these headers")
        return message("{how}: {headers}", how=how, headers=_listed(self.wanted))


EXTENSIONS = (Ipv6header,)
