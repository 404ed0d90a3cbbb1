"""`-m limit`: a token bucket, shared by all packets of the rule (net/netfilter/xt_limit.c)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import undecided
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.rates import RATE, Rate
from iptsim.extensions.values import integer_value
from iptsim.languages import Text, message
from iptsim.truth import Unknown

_DEFAULT_RATE = Rate(3, "hour")
_DEFAULT_BURST = 5


class Limit(Match):
    """Match a number of packets per unit of time, after an initial burst of packets that all match."""

    name: ClassVar[str] = "limit"
    status: ClassVar[Status] = "unknown"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--limit", "limit", RATE),
        Option("--limit-burst", "limit_burst", integer_value("a number of packets up to 10000", 0, 10000)),
    )

    limit: Rate | None = None
    limit_burst: int | None = None

    @property
    def _kept(self) -> tuple[Rate, int]:
        """The rate and the burst that the kernel keeps."""
        burst = _DEFAULT_BURST if self.limit_burst is None else self.limit_burst
        return self.limit or _DEFAULT_RATE, burst

    def clauses(self) -> list[str]:
        """Return the rate, even if it is the default, and the burst unless it is the default."""
        rate, burst = self._kept
        shown = replace(self, limit=rate, limit_burst=None if burst == _DEFAULT_BURST else burst)
        return super(Limit, shown).clauses()

    def predicates(self) -> tuple[Predicate, ...]:
        rate, _ = self._kept
        unknown = Unknown(
            message("whether the rate limit {rate} still has tokens", rate=str(rate)), "--assume limit=yes"
        )
        return self.one(undecided("limit", unknown, message("the tokens left are not known")))

    def lists(self, form: ListingForm) -> str:
        rate, burst = self._kept
        return f" limit: avg {rate} burst {burst}"

    def says(self) -> Text:
        rate, burst = self._kept
        return message(
            "while their rate is up to {rate}, after a burst of {burst}", rate=rate.says(), burst=burst
        )


EXTENSIONS = (Limit,)
