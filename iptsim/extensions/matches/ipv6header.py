"""`-m ipv6header`: which extension headers an IPv6 packet has (net/ipv6/netfilter/ip6t_ipv6header.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, Value
from iptsim.extensions.checks import demand
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.wire import AH, DESTINATION, ESP, FRAGMENT, HOP_BY_HOP, ROUTING, extension_headers
from iptsim.languages import joined, later, say, told
from iptsim.packet import Context, Packet, Truth

_NONE = 59
#: Stands for any header of an upper layer.
_UPPER = 255
#: All spellings of a header; iptables prints those of /etc/protocols where it finds them there.
_NAMES = {
    "hop-by-hop": HOP_BY_HOP, "hop": HOP_BY_HOP, "0": HOP_BY_HOP, "ipv6-opts": DESTINATION,
    "dst": DESTINATION, "60": DESTINATION, "ipv6-route": ROUTING, "route": ROUTING, "43": ROUTING,
    "ipv6-frag": FRAGMENT, "frag": FRAGMENT, "44": FRAGMENT, "ah": AH, "auth": AH, "51": AH, "esp": ESP,
    "50": ESP, "ipv6-nonxt": _NONE, "none": _NONE, "59": _NONE, "protocol": _UPPER, "prot": _UPPER,
    "255": _UPPER,
}  # fmt: skip
#: The bit of each header in a listing.
_BITS = {
    HOP_BY_HOP: 128, DESTINATION: 64, ROUTING: 32, FRAGMENT: 16, AH: 8, ESP: 4, _NONE: 2, _UPPER: 1,
}  # fmt: skip
_WORDS = {
    HOP_BY_HOP: later("hop-by-hop options"), DESTINATION: later("destination options"), ROUTING: later("routing"),
    FRAGMENT: later("fragment"), AH: later("authentication"), ESP: later("ESP"), _NONE: later("no-next-header"),
    _UPPER: later("an upper layer's"),
}  # fmt: skip


def _parse(text: str) -> tuple[str, ...]:
    words = tuple(text.split(","))
    for word in words:
        if word not in _NAMES:
            raise ValueError(f"{word!r} is not an IPv6 header: one of {', '.join(_NAMES)}")
    return words


class Ipv6header(Match):
    """The packet has exactly these headers; with `--soft` these and any others.

    `! --header ... --soft` asks that it has none of them.
    """

    name: ClassVar[str] = "ipv6header"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--header", "header", Value("IPv6 headers (hop, dst, route, frag ...)", _parse, ",".join), True
        ),
        Option("--soft", "soft"),
    )

    header: tuple[str, ...] | None = None
    soft: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Ipv6header:
        demand(self, "header")
        return self

    @property
    def wanted(self) -> frozenset[int]:
        """The headers that are asked for, by protocol number; 255 for an upper layer's."""
        return frozenset(_NAMES[word] for word in self.header or ())

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the headers."""
        return (Predicate(self.save(), self._test, _got),)

    def _test(self, context: Context) -> Truth:
        present, negated = _present(context.packet), bool(self.negated)
        if not self.soft:
            return (present == self.wanted) is not negated
        return present.isdisjoint(self.wanted) if negated else present >= self.wanted

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        flags = sum(_BITS[number] for number in self.wanted)
        return f" ipv6header flags:{self.bang('header')}0x{flags:02X}{' soft' if self.soft else ''}"

    def says(self) -> str:
        """Return the headers in words."""
        if self.soft:
            how = (
                say("with none of these headers")
                if self.negated
                else say("with these headers, and maybe others")
            )
        else:
            how = say("with other headers than these") if self.negated else say("with just these headers")
        return say("{how}: {headers}", how=how, headers=_listed(self.wanted))


def _present(packet: Packet) -> frozenset[int]:
    headers = {number for number, _ in extension_headers(packet)}
    if packet.proto in (ESP, _NONE):
        return frozenset(headers | {packet.proto})
    if packet.proto == AH:
        headers.add(AH)
    return frozenset(headers | {_UPPER})


def _listed(headers: frozenset[int]) -> str:
    return joined(", ", (told(words) for number, words in _WORDS.items() if number in headers))


def _got(context: Context) -> str:
    return say("its headers are: {listed}", listed=_listed(_present(context.packet)))


EXTENSIONS = (Ipv6header,)
