"""`-m rt`: the IPv6 routing header (net/ipv6/netfilter/ip6t_rt.c).

The header is the first of protocol 43 in :attr:`Packet.extension_headers`: type, segments left, four
reserved octets, then addresses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, Value
from iptsim.extensions.headers import NUMBER_RANGE, WHOLE
from iptsim.extensions.listing import ListingForm, listed_range
from iptsim.extensions.values import integer_value, not_if, one_address, range_words
from iptsim.extensions.wire import ROUTING, header_size
from iptsim.languages import joined, say
from iptsim.packet import Context, Packet, Truth, address_text

_MOST_ADDRESSES = 16


class RoutingHeader(NamedTuple):
    """What the match looks at; `length` is the whole header's, in octets."""

    type: int
    segments_left: int
    length: int
    reserved: int
    addresses: tuple[int, ...]


def routing_header(packet: Packet) -> RoutingHeader | None:
    """Return a packet's first routing header."""
    for number, content in packet.extension_headers:
        if number == ROUTING:
            size = header_size(number, content)
            data = content.ljust(size - 2, b"\0")
            addresses = tuple(
                int.from_bytes(data[start : start + 16], "big") for start in range(6, len(data) - 15, 16)
            )
            return RoutingHeader(data[0], data[1], size, int.from_bytes(data[2:6], "big"), addresses)
    return None


def _addresses(text: str) -> tuple[int, ...]:
    found = tuple(one_address(part, 6) for part in text.split(","))
    if len(found) > _MOST_ADDRESSES:
        raise ValueError(f"more than {_MOST_ADDRESSES} addresses")
    return found


class Rt(Match):
    """The routing header; a packet without one never matches, `!` or not."""

    name: ClassVar[str] = "rt"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = (
        Option("--rt-type", "rt_type", integer_value("a routing header's type"), True),
        Option(
            "--rt-segsleft",
            "rt_segsleft",
            NUMBER_RANGE,
            True,
            idle=WHOLE,
        ),
        Option("--rt-len", "rt_len", integer_value("a length in octets"), True),
        Option("--rt-0-res", "rt_0_res"),
        Option(
            "--rt-0-addrs",
            "rt_0_addrs",
            Value(
                f"up to {_MOST_ADDRESSES} IPv6 addresses",
                _addresses,
                lambda addresses: ",".join(address_text(6, address) for address in addresses),
            ),
        ),
        Option("--rt-0-not-strict", "rt_0_not_strict"),
    )

    rt_type: int | None = None
    rt_segsleft: tuple[int, int] | None = None
    rt_len: int | None = None
    rt_0_res: bool = False
    rt_0_addrs: tuple[int, ...] | None = None
    rt_0_not_strict: bool = False

    @model_validator(mode="after")
    def _check(self) -> Rt:
        if (self.rt_0_res or self.rt_0_addrs) and (self.rt_type != 0 or "rt_type" in self.negated):
            raise ValueError("--rt-0-res and --rt-0-addrs need --rt-type 0")
        if self.rt_0_not_strict and self.rt_0_addrs is None:
            raise ValueError("--rt-0-not-strict needs --rt-0-addrs")
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return one condition an option, in the kernel's order."""
        found = [_predicate("-m rt", lambda header: True, False)]
        for index, field in ((1, "rt_segsleft"), (2, "rt_len"), (0, "rt_type")):
            value = getattr(self, field)
            if value is not None:
                text, negated = self.clause(self.options[index], value), field in self.negated
                found.append(_predicate(text, _NUMBERS[field](value), negated))
        if self.rt_0_res:
            found.append(_predicate("--rt-0-res", lambda header: header.reserved == 0, False))
        if self.rt_0_addrs is not None:
            text = self.clause(self.options[4], self.rt_0_addrs)
            found.append(_predicate(text, _via(self.rt_0_addrs, not self.rt_0_not_strict), False))
        return tuple(found)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = " rt" + ("" if self.rt_type is None else f" type:{self.bang('rt_type')}{self.rt_type}")
        if self.rt_segsleft is not None:
            text += f" {listed_range('segsleft', self.rt_segsleft, self.bang('rt_segsleft'))}"
        text += "" if self.rt_len is None else f" length:{self.bang('rt_len')}{self.rt_len}"
        text += " reserved" if self.rt_0_res else ""
        if self.rt_0_addrs is not None:
            text += f" 0-addrs {','.join(address_text(6, address) for address in self.rt_0_addrs)}"
        return text + (" 0-not-strict" if self.rt_0_not_strict else "")

    def says(self) -> str:
        """Return the header in words."""
        phrases = [say("with an IPv6 routing header")]
        if self.rt_type is not None:
            phrases.append(not_if("rt_type" in self.negated, say("of type {type}", type=self.rt_type)))
        if self.rt_segsleft is not None:
            left = say("with {number} segments left", number=range_words(self.rt_segsleft))
            phrases.append(not_if("rt_segsleft" in self.negated, left))
        if self.rt_len is not None:
            phrases.append(not_if("rt_len" in self.negated, say("of {length} octets", length=self.rt_len)))
        if self.rt_0_addrs is not None:
            shown = joined(", ", (address_text(6, address) for address in self.rt_0_addrs))
            phrases.append(say("by way of {addresses}", addresses=shown))
        return joined(" ", phrases)


_NUMBERS: dict[str, Callable[..., Callable[[RoutingHeader], bool]]] = {
    "rt_segsleft": lambda value: lambda header: value[0] <= header.segments_left <= value[1],
    "rt_len": lambda value: lambda header: header.length == value,
    "rt_type": lambda value: lambda header: header.type == value,
}


def _via(wanted: tuple[int, ...], strict: bool) -> Callable[[RoutingHeader], bool]:
    """Make the test on the addresses: just those, or (not strict) those in that order among others."""

    def test(header: RoutingHeader) -> bool:
        if strict:
            return header.addresses == wanted
        rest = iter(header.addresses)
        return all(address in rest for address in wanted)

    return test


def _predicate(text: str, holds: Callable[[RoutingHeader], bool], negated: bool) -> Predicate:
    def test(context: Context) -> Truth:
        header = routing_header(context.packet)
        return header is not None and holds(header) is not negated

    def got(context: Context) -> str:
        header = routing_header(context.packet)
        if header is None:
            return say("it has no routing header")
        return say(
            "its routing header is of type {type}, {length} octets long, with {segments_left} segments left",
            type=header.type,
            length=header.length,
            segments_left=header.segments_left,
        )

    return Predicate(text, test, got, negated=negated)


EXTENSIONS = (Rt,)
