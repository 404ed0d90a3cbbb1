"""`-m dst`: the Destination Options header of IPv6 (net/ipv6/netfilter/ip6t_hbh.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate
from iptsim.extensions.ipv6options import (
    HEADER_OPTIONS,
    HeaderOption,
    listed_options,
    option_predicates,
    option_says,
)
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import integer_value
from iptsim.extensions.wire import DESTINATION
from iptsim.languages import later

_HEADER = later("Destination Options header")


class Dst(Match):
    """The header's length, and the options that it begins with."""

    name: ClassVar[str] = "dst"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = (
        Option("--dst-len", "dst_len", integer_value("the header's length in octets"), True),
        Option("--dst-opts", "dst_opts", HEADER_OPTIONS),
    )

    dst_len: int | None = None
    dst_opts: tuple[HeaderOption, ...] | None = None

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the conditions; all are false for a packet without the header."""
        length, options = self.options
        return option_predicates(
            DESTINATION,
            _HEADER,
            None if self.dst_len is None else (self.clause(length, self.dst_len), self.dst_len),
            "dst_len" in self.negated,
            None if self.dst_opts is None else (self.clause(options, self.dst_opts), self.dst_opts),
            "-m dst",
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return listed_options(
            "dst", self.dst_len, self.bang("dst_len"), self.dst_opts, tight=form.since(1, 8, 9)
        )

    def says(self) -> str:
        """Return the conditions in words."""
        return option_says(_HEADER, self.dst_len, "dst_len" in self.negated, self.dst_opts)


EXTENSIONS = (Dst,)
