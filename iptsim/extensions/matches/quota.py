"""`-m quota`: so many octets, counted down since the rules were loaded (net/netfilter/xt_quota.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate, Status
from iptsim.extensions.constraints import look
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import integer_value
from iptsim.languages import later, say, say_if
from iptsim.packet import Context, Truth, Unknown

_LAST = 0xFFFFFFFFFFFFFFFF


class Quota(Match):
    """Match until the octets are used up; negated, match from then on."""

    name: ClassVar[str] = "quota"
    status: ClassVar[Status] = "unknown"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--quota", "quota", integer_value("a number of octets", 0, _LAST), True),
    )

    quota: int

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition: what is left covers the packet. A quota below its length never did."""
        unknown = Unknown(
            later("whether the quota of {quota} octets is used up", quota=self.quota), "--assume quota=yes"
        )

        def test(context: Context) -> Truth:
            return bool(self.negated) if look(context, "length") > self.quota else unknown

        def got(context: Context) -> str:
            return say(
                "it is {length} octets long; what is left of the quota is not known",
                length=context.packet.length,
            )

        return (Predicate(self.save(), test, got, negated=bool(self.negated)),)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" quota: {self.quota} bytes"

    def says(self) -> str:
        """Return the quota in words."""
        return say_if(
            self.negated,
            "after {quota} octets have passed here",
            "until {quota} octets have passed here",
            quota=self.quota,
        )


EXTENSIONS = (Quota,)
