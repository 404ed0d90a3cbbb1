"""`-m iprange`: source or destination between two addresses (net/netfilter/xt_iprange.c)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, NamedTuple

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, Value, field_predicate
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import not_if, one_address
from iptsim.languages import joined, say
from iptsim.packet import address_text


class AddressRange(NamedTuple):
    """Addresses from `first` to `last`, both included; none where `last` comes before `first`."""

    family: int
    first: int
    last: int

    def __str__(self) -> str:
        return f"{address_text(self.family, self.first)}-{address_text(self.family, self.last)}"

    def says(self) -> str:
        """Return the range in words."""
        first, last = address_text(self.family, self.first), address_text(self.family, self.last)
        return first if first == last else say("{first} to {last}", first=first, last=last)


def _parse(text: str, family: int) -> AddressRange:
    first_text, dash, last_text = text.partition("-")
    first = one_address(first_text, family)
    return AddressRange(family, first, one_address(last_text, family) if dash else first)


_RANGE = Value("an address or a range of addresses (10.0.0.1-10.0.0.9)", _parse, needs_family=True)
#: Each option's packet field, and how it is said.
_SIDES = {"src_range": ("src", "source", "from"), "dst_range": ("dst", "destination", "to")}


class Iprange(Match):
    """Ranges of addresses that need not be a network."""

    name: ClassVar[str] = "iprange"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--src-range", "src_range", _RANGE, True),
        Option("--dst-range", "dst_range", _RANGE, True),
    )

    src_range: AddressRange | None = None
    dst_range: AddressRange | None = None

    @model_validator(mode="after")
    def _complete(self) -> Iprange:
        if self.src_range is None and self.dst_range is None:
            raise ValueError("iprange needs --src-range or --dst-range")
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the conditions on source, then destination."""
        found = []
        for option in self.options:
            value: AddressRange | None = getattr(self, option.field)
            if value is not None:
                packet_field, name, _ = _SIDES[option.field]
                found.append(
                    field_predicate(
                        self.clause(option, value),
                        packet_field,
                        ((value.first, value.last),),
                        negated=option.field in self.negated,
                        name=name,
                        show=partial(address_text, value.family),
                    )
                )
        return tuple(found)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = (
            ""
            if self.src_range is None
            else f" source IP range{self.bang('src_range', ' !')} {self.src_range}"
        )
        if self.dst_range is not None:
            text += f" destination IP range{self.bang('dst_range', ' !')} {self.dst_range}"
        return text

    def says(self) -> str:
        """Return the ranges in words."""
        phrases = []
        if self.src_range is not None:
            phrases.append(
                not_if("src_range" in self.negated, say("from {value}", value=self.src_range.says()))
            )
        if self.dst_range is not None:
            phrases.append(
                not_if("dst_range" in self.negated, say("to {value}", value=self.dst_range.says()))
            )
        return joined(" ", phrases)


EXTENSIONS = (Iprange,)
