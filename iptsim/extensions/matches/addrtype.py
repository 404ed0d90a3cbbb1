"""`-m addrtype`: what kind of address the source or destination is (net/netfilter/xt_addrtype.c)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, Value, fact_predicate
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import NoSuchWord, any_of
from iptsim.languages import joined, later, say, say_if, told
from iptsim.packet import Context, Truth, Unknown, address_text

#: In the order in which iptables prints them.
TYPES = (
    "UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST",
    "BLACKHOLE", "UNREACHABLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE",
)  # fmt: skip
_TYPES6 = ("UNSPEC", "UNICAST", "LOCAL", "ANYCAST", "MULTICAST", "UNREACHABLE")
#: The IPv6 types that the address alone tells; the routing table tells the others.
_BY_ADDRESS6 = frozenset({"UNSPEC", "UNICAST", "MULTICAST"})
_ARRIVING = frozenset({"PREROUTING", "INPUT", "FORWARD"})
_LEAVING = frozenset({"FORWARD", "OUTPUT", "POSTROUTING"})


def _parse(text: str, family: int) -> tuple[str, ...]:
    found = set()
    for word in text.split(","):
        # a name may be cut short; the first that fits counts
        name = next((name for name in TYPES if word and name.startswith(word.upper())), None)
        if name is None:
            raise NoSuchWord(f"{word!r} is not an address type: one of {', '.join(TYPES)}", word, TYPES)
        if family == 6 and name not in _TYPES6:
            raise ValueError(f"IPv6 has no address type {name}")
        found.add(name)
    return tuple(name for name in TYPES if name in found)


_ADDRESS_TYPES = Value("address types (LOCAL, UNICAST, BROADCAST ...)", _parse, ",".join, needs_family=True)


class Addrtype(Match):
    """Address types of source and destination, as the routing table sees them."""

    name: ClassVar[str] = "addrtype"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--src-type", "src_type", _ADDRESS_TYPES, True),
        Option("--dst-type", "dst_type", _ADDRESS_TYPES, True),
        Option("--limit-iface-in", "limit_iface_in"),
        Option("--limit-iface-out", "limit_iface_out"),
    )

    src_type: tuple[str, ...] | None = None
    dst_type: tuple[str, ...] | None = None
    limit_iface_in: bool = False
    limit_iface_out: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Addrtype:
        if self.src_type is None and self.dst_type is None:
            raise ValueError("addrtype needs --src-type or --dst-type")
        if self.limit_iface_in and self.limit_iface_out:
            raise ValueError("of --limit-iface-in, --limit-iface-out only one may be given")
        return self

    def allowed_hooks(self) -> frozenset[str] | None:
        """Return the hooks that have the interface which the question is limited to."""
        return _ARRIVING if self.limit_iface_in else _LEAVING if self.limit_iface_out else None

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the conditions on source, then destination."""
        limit = "".join(f" {option.flag}" for option in self.options[2:] if getattr(self, option.field))
        found = []
        for option in self.options[:2]:
            types: tuple[str, ...] | None = getattr(self, option.field)
            if types is not None:
                side = option.field[:3]
                found.append(
                    fact_predicate(
                        self.clause(option, types) + limit,
                        partial(self._test, side, types),
                        partial(self._got, side),
                        negated=option.field in self.negated,
                    )
                )
        return tuple(found)

    def _address_type(self, side: str, context: Context) -> str | Unknown:
        interface = None
        if self.limit_iface_in:
            interface = context.in_interface
        elif self.limit_iface_out:
            interface = context.out_interface
        packet = context.packet
        return context.surroundings.address_type(packet.family, getattr(packet, side), interface)

    def _test(self, side: str, types: tuple[str, ...], context: Context) -> Truth:
        if context.packet.family == 6:
            return self._test6(side, types, context)
        found = self._address_type(side, context)
        return found if isinstance(found, Unknown) else found in types

    def _test6(self, side: str, types: tuple[str, ...], context: Context) -> Truth:
        """Tell whether an IPv6 address is of the types.

        Of those that the address alone tells, each that is asked for must hold; of the others, one.
        """
        address = getattr(context.packet, side)
        alone = {"UNSPEC": address == 0, "MULTICAST": address >> 120 == 0xFF}
        alone["UNICAST"] = not any(alone.values())
        if not all(alone[name] for name in types if name in _BY_ADDRESS6):
            return False
        routed = [name for name in types if name not in _BY_ADDRESS6]
        if not routed:
            return True
        found = self._address_type(side, context)
        return found if isinstance(found, Unknown) else found in routed

    def _got(self, side: str, context: Context) -> str:
        packet = context.packet
        found = self._address_type(side, context)
        known = say("of a type that is not known") if isinstance(found, Unknown) else found
        return say_if(
            side == "src",
            "its source {family} is {known}",
            "its destination {family} is {known}",
            family=address_text(packet.family, getattr(packet, side)),
            known=known,
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = " ADDRTYPE match"
        if self.src_type is not None:
            text += f" src-type {self.bang('src_type')}{','.join(self.src_type)}"
        if self.dst_type is not None:
            text += f" dst-type {self.bang('dst_type')}{','.join(self.dst_type)}"
        text += " limit-in" if self.limit_iface_in else ""
        return text + (" limit-out" if self.limit_iface_out else "")

    def says(self) -> str:
        """Return the types in words."""
        phrases = []
        for field, types in (("src_type", self.src_type), ("dst_type", self.dst_type)):
            if types is None:
                continue
            shown = any_of(tuple(told(_WORDS.get(word, word)) for word in types))
            negated = field in self.negated
            if field == "src_type":
                phrases.append(
                    say_if(negated, "whose source is not {types}", "whose source is {types}", types=shown)
                )
            else:
                phrases.append(
                    say_if(
                        negated,
                        "whose destination is not {types}",
                        "whose destination is {types}",
                        types=shown,
                    )
                )
        both = joined(" and ", phrases)
        if self.limit_iface_in:
            return say("{phrase}, as the arriving interface has it", phrase=both)
        if self.limit_iface_out:
            return say("{phrase}, as the leaving interface has it", phrase=both)
        return both


_WORDS = {
    "LOCAL": later("an address of this host"),
    "BROADCAST": later("a broadcast address"),
    "MULTICAST": later("a multicast address"),
    "UNICAST": later("a unicast address"),
    "ANYCAST": later("an anycast address"),
    "UNSPEC": later("the unspecified address"),
    "BLACKHOLE": later("an address with a blackhole route"),
    "UNREACHABLE": later("an unreachable address"),
    "PROHIBIT": later("an address with a prohibit route"),
    "THROW": later("an address with a throw route"),
}

EXTENSIONS = (Addrtype,)
