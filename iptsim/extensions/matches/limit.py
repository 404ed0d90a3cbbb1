"""`-m limit`: a token bucket, shared by all packets of the rule (net/netfilter/xt_limit.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate, Status, constrained
from iptsim.extensions.constraints import undecided
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.rates import RATE, Rate
from iptsim.extensions.values import integer_value
from iptsim.languages import later, say
from iptsim.packet import Unknown

_DEFAULT_RATE = Rate(3, "hour")
_DEFAULT_BURST = 5
_NOT_KNOWN = later("the tokens left are not known")


class Limit(Match):
    """Match so many packets in a time, after a first burst of packets that all match."""

    name: ClassVar[str] = "limit"
    status: ClassVar[Status] = "unknown"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--limit", "limit", RATE),
        Option("--limit-burst", "limit_burst", integer_value("a number of packets up to 10000", 0, 10000)),
    )

    limit: Rate | None = None
    limit_burst: int | None = None

    def clauses(self) -> list[str]:
        """Return the rate, also where it is the default, and a burst that is not the default."""
        burst = None if self.limit_burst == _DEFAULT_BURST else self.limit_burst
        shown = self.model_copy(update={"limit": self.limit or _DEFAULT_RATE, "limit_burst": burst})
        return super(Limit, shown).clauses()

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the one condition that nobody can decide: tokens left at that moment."""
        rate = self.limit or _DEFAULT_RATE
        unknown = Unknown(
            later("whether the rate limit {rate} still has tokens", rate=rate), "--assume limit=yes"
        )
        return (constrained(self.save(), undecided("limit", unknown, _NOT_KNOWN)),)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        burst = _DEFAULT_BURST if self.limit_burst is None else self.limit_burst
        return f" limit: avg {self.limit or _DEFAULT_RATE} burst {burst}"

    def says(self) -> str:
        """Return the limit in words."""
        burst = _DEFAULT_BURST if self.limit_burst is None else self.limit_burst
        return say(
            "while no more than {says} come, after a burst of {burst}",
            says=(self.limit or _DEFAULT_RATE).says(),
            burst=burst,
        )


EXTENSIONS = (Limit,)
