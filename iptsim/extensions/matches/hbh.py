"""`-m hbh`: the Hop-by-Hop Options header of IPv6 (net/ipv6/netfilter/ip6t_hbh.c)."""

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
from iptsim.extensions.wire import HOP_BY_HOP
from iptsim.languages import later

_HEADER = later("Hop-by-Hop Options header")


class Hbh(Match):
    """The header's length, and the options that it begins with."""

    name: ClassVar[str] = "hbh"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = (
        Option("--hbh-len", "hbh_len", integer_value("the header's length in octets"), True),
        Option("--hbh-opts", "hbh_opts", HEADER_OPTIONS),
    )

    hbh_len: int | None = None
    hbh_opts: tuple[HeaderOption, ...] | None = None

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the conditions; all are false for a packet without the header."""
        length, options = self.options
        return option_predicates(
            HOP_BY_HOP,
            _HEADER,
            None if self.hbh_len is None else (self.clause(length, self.hbh_len), self.hbh_len),
            "hbh_len" in self.negated,
            None if self.hbh_opts is None else (self.clause(options, self.hbh_opts), self.hbh_opts),
            "-m hbh",
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return listed_options("hbh", self.hbh_len, self.bang("hbh_len"), self.hbh_opts, tight=True)

    def says(self) -> str:
        """Return the conditions in words."""
        return option_says(_HEADER, self.hbh_len, "hbh_len" in self.negated, self.hbh_opts)


EXTENSIONS = (Hbh,)
