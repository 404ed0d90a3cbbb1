"""`-m quota`: a number of bytes, counted down since the rules were loaded (net/netfilter/xt_quota.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import Constraint, Several, between, undecided
from iptsim.extensions.context import Context
from iptsim.extensions.matches.length import LENGTH
from iptsim.extensions.options import Option
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.predicates import Predicate, combined
from iptsim.extensions.values import integer_value
from iptsim.languages import Text, message
from iptsim.truth import Unknown

_LAST = 0xFFFFFFFFFFFFFFFF


class Quota(Match):
    """Match until the bytes are used up; negated, match from then on."""

    name: ClassVar[str] = "quota"
    status: ClassVar[Status] = "unknown"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--quota", "quota", integer_value("a number of bytes", 0, _LAST), True,
            phrase=Phrase("until {value} bytes have passed here", "after {value} bytes have passed here"),
            listed=" quota: {value} bytes",
        ),
    )  # fmt: skip

    quota: int

    def predicates(self) -> tuple[Predicate, ...]:
        negated = bool(self.negated)
        unknown = Unknown(
            message("whether the quota of {quota} bytes is used up", quota=self.quota), "--assume quota=yes"
        )
        # what is left never covers a packet that is longer than the quota
        fits = Constraint(LENGTH, between((0, self.quota)), negated)
        left = Several((fits, undecided("quota", unknown, "")), every=not negated)
        return (combined(self.save(), left, _got, negated=negated),)


def _got(context: Context) -> Text:
    return message(
        "it is {length} bytes long; what is left of the quota is not known", length=context.packet.length
    )


EXTENSIONS = (Quota,)
