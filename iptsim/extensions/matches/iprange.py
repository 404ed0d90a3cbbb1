"""`-m iprange`: source or destination between two addresses (net/netfilter/xt_iprange.c)."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from iptsim.addresses import address_text
from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Ranges
from iptsim.extensions.options import Option, Value
from iptsim.extensions.parameters import DESTINATION, SOURCE
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import one_address
from iptsim.languages import Text, message


class AddressRange(NamedTuple):
    """Addresses from `first` to `last`, both included; empty if `last` is before `first`."""

    family: int
    first: int
    last: int

    def __str__(self) -> str:
        return f"{address_text(self.family, self.first)}-{address_text(self.family, self.last)}"

    def says(self) -> Text:
        """Return the range in words."""
        first, last = address_text(self.family, self.first), address_text(self.family, self.last)
        return first if first == last else message("{first} to {last}", first=first, last=last)

    def allowed(self) -> Ranges:
        """Return the addresses of the range."""
        return ((self.first, self.last),)


def _parse(text: str, family: int) -> AddressRange:
    first_text, dash, last_text = text.partition("-")
    first = one_address(first_text, family)
    return AddressRange(family, first, one_address(last_text, family) if dash else first)


_RANGE = Value("an address or a range of addresses (10.0.0.1-10.0.0.9)", _parse, needs_family=True)


class Iprange(Match):
    """Ranges of addresses that need not be a network."""

    name: ClassVar[str] = "iprange"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--src-range", "src_range", _RANGE, True, reads=SOURCE, relation=AddressRange.allowed,
            phrase=Phrase("from {value}", show=AddressRange.says), listed=" source IP range[ !] {value}",
        ),
        Option(
            "--dst-range", "dst_range", _RANGE, True, reads=DESTINATION, relation=AddressRange.allowed,
            phrase=Phrase("to {value}", show=AddressRange.says), listed=" destination IP range[ !] {value}",
        ),
    )  # fmt: skip

    src_range: AddressRange | None = None
    dst_range: AddressRange | None = None

    def check(self) -> None:
        if self.src_range is None and self.dst_range is None:
            raise ValueError(message("iprange needs --src-range or --dst-range"))


EXTENSIONS = (Iprange,)
