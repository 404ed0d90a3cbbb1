"""`-m addrtype`: what kind of address the source or destination is (net/netfilter/xt_addrtype.c)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from iptsim.addresses import address_text, is_multicast
from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Constraint, Field, Names
from iptsim.extensions.context import ARRIVING, LEAVING, Context
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.predicates import Predicate, constrained
from iptsim.extensions.values import NoSuchWord, any_of
from iptsim.languages import Text, message, message_if
from iptsim.packet import Packet
from iptsim.truth import Unknown

#: In the order in which iptables prints them.
TYPES = (
    "UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST",
    "BLACKHOLE", "UNREACHABLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE",
)  # fmt: skip
_TYPES6 = ("UNSPEC", "UNICAST", "LOCAL", "ANYCAST", "MULTICAST", "UNREACHABLE")
#: The IPv6 types that the address alone decides; the routing table decides the others.
_BY_ADDRESS6 = frozenset({"UNSPEC", "UNICAST", "MULTICAST"})
_WORDS = {
    "LOCAL": message("an address of this host"),
    "BROADCAST": message("a broadcast address"),
    "MULTICAST": message("a multicast address"),
    "UNICAST": message("a unicast address"),
    "ANYCAST": message("an anycast address"),
    "UNSPEC": message("the unspecified address"),
    "BLACKHOLE": message("an address with a blackhole route"),
    "UNREACHABLE": message("an unreachable address"),
    "PROHIBIT": message("an address with a prohibit route"),
    "THROW": message("an address with a throw route"),
}


def _parse(text: str, family: int) -> tuple[str, ...]:
    found = set()
    for word in text.split(","):
        # a name may be abbreviated; the first that fits counts
        name = next((name for name in TYPES if word and name.startswith(word.upper())), None)
        if name is None:
            raise NoSuchWord(
                message(
                    "unknown address type {word!r}; choose from: {choices}",
                    word=word,
                    choices=", ".join(TYPES),
                ),
                word,
                TYPES,
            )
        if family == 6 and name not in _TYPES6:
            raise ValueError(message("IPv6 has no address type {name}", name=name))
        found.add(name)
    return tuple(name for name in TYPES if name in found)


def _shown(types: tuple[str, ...]) -> Text:
    return any_of(tuple(_WORDS.get(word, word) for word in types))


_ADDRESS_TYPES = Value("address types (LOCAL, UNICAST, BROADCAST ...)", _parse, ",".join, needs_family=True)


# -- the fields -----------------------------------------------------------------------------------------


def _routed_type(context: Context, side: str, limit: str) -> str | Unknown:
    """Return the type that the routing table gives an address.

    Args:
        context: the packet.
        side: "src" or "dst".
        limit: the interface whose addresses alone are LOCAL: "in_interface" or "out_interface"; empty for all.
    """
    interface = getattr(context, limit) if limit else None
    address: int = getattr(context.packet, side)
    return context.surroundings.address_type(context.packet.family, address, interface)


def _own_type(packet: Packet, side: str) -> str:
    """Return the type that an IPv6 address shows by its bits."""
    address = getattr(packet, side)
    if address == 0:
        return "UNSPEC"
    return "MULTICAST" if is_multicast(6, address) else "UNICAST"


def _type_of(context: Context, side: str, limit: str, own: str) -> str | Unknown:
    """Return the routed type of an address if its own type is `own`, else an empty text."""
    return "" if own and _own_type(context.packet, side) != own else _routed_type(context, side, limit)


def _got(context: Context, side: str, limit: str) -> Text:
    packet = context.packet
    found = _routed_type(context, side, limit)
    return message_if(
        side == "src",
        "its source {address} is {type}",
        "its destination {address} is {type}",
        address=address_text(packet.family, getattr(packet, side)),
        type=message("of unknown type") if isinstance(found, Unknown) else found,
    )


def _condition(side: str, limit: str, types: tuple[str, ...], negated: bool, *, ipv6: bool) -> Constraint:
    """Return the condition on the type of an address.

    For IPv6, every type that the address alone decides must match, and at least one of the others.
    """
    got = partial(_got, side=side, limit=limit)
    own = [name for name in types if name in _BY_ADDRESS6] if ipv6 else []
    routed = frozenset(types) - frozenset(own)
    if own and (not routed or len(own) > 1):
        allowed = Names(frozenset(own if len(own) == 1 else ()))
        field = Field(f"{side}.own_type", lambda context: _own_type(context.packet, side), got)
        return Constraint(field, allowed, negated)
    only = own[0] if own else ""
    key = ".".join(filter(None, (side, "type", limit, only)))
    read = partial(_type_of, side=side, limit=limit, own=only)
    return Constraint(Field(key, read, got), Names(routed), negated)


class _Addrtype(Match):
    """The types of source and destination."""

    name: ClassVar[str] = "addrtype"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--src-type", "src_type", _ADDRESS_TYPES, True, listed=" src-type [!]{value}",
            phrase=Phrase("whose source is {value}", "whose source is not {value}", _shown),
        ),
        Option(
            "--dst-type", "dst_type", _ADDRESS_TYPES, True, listed=" dst-type [!]{value}",
            phrase=Phrase("whose destination is {value}", "whose destination is not {value}", _shown),
        ),
        Option("--limit-iface-in", "limit_iface_in", listed=" limit-in"),
        Option("--limit-iface-out", "limit_iface_out", listed=" limit-out"),
    )  # fmt: skip
    listed: ClassVar[str] = " ADDRTYPE match"
    joint: ClassVar[str] = " and "

    src_type: tuple[str, ...] | None = None
    dst_type: tuple[str, ...] | None = None
    limit_iface_in: bool = False
    limit_iface_out: bool = False

    def check(self) -> None:
        if self.src_type is None and self.dst_type is None:
            raise ValueError(message("addrtype needs --src-type or --dst-type"))
        if self.limit_iface_in and self.limit_iface_out:
            raise ValueError(message("--limit-iface-in and --limit-iface-out are mutually exclusive"))

    @property
    def _limit(self) -> str:
        """The interface whose addresses alone are LOCAL, empty for all interfaces."""
        return "in_interface" if self.limit_iface_in else "out_interface" if self.limit_iface_out else ""

    def allowed_hooks(self) -> frozenset[str] | None:
        return ARRIVING if self.limit_iface_in else LEAVING if self.limit_iface_out else None

    def predicates(self) -> tuple[Predicate, ...]:
        limits = [option.flag for option, _ in self.given() if option.value is None]
        return tuple(
            constrained(
                " ".join([self.clause(option, value), *limits]),
                _condition(
                    option.field[:3], self._limit, value, option.field in self.negated, ipv6=self.family == 6
                ),
            )
            for option, value in self.given()
            if option.value is not None
        )

    def says(self) -> Text:
        types = super().says()
        if self.limit_iface_in:
            return message("{phrase} (on the incoming interface)", phrase=types)
        if self.limit_iface_out:
            return message("{phrase} (on the outgoing interface)", phrase=types)
        return types


class Addrtype4(_Addrtype):
    """Address types of source and destination, as the routing table sees them."""

    family: ClassVar[int | None] = 4


class Addrtype6(_Addrtype):
    """Address types of an IPv6 packet's source and destination."""

    family: ClassVar[int | None] = 6


EXTENSIONS = (Addrtype4, Addrtype6)
