"""`-m connlimit`: how many connections a host or network has at once (net/netfilter/xt_connlimit.c).

The count includes the packet's own connection, so it is at least 1. No dump shows more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from iptsim.addresses import BITS
from iptsim.extensions.base import Match, Status
from iptsim.extensions.checks import demand_one
from iptsim.extensions.constraints import Constraint, Field, named, undecided
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Given, Option, Value
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.values import integer_value, one_address, prefix_length
from iptsim.languages import Text, message, message_if
from iptsim.truth import Unknown


def _parse_mask(text: str, family: int) -> int:
    width = BITS[family]
    if text.isascii() and text.isdigit():
        length = int(text)
        if length > width:
            raise ValueError(
                message("the prefix length {length} is greater than {width}", length=length, width=width)
            )
        return length
    found = prefix_length(one_address(text, family), width)
    if found is None:
        raise ValueError(message("the mask {text} is not contiguous", text=text))
    return found


_COUNT = integer_value("a number of connections")
_OPPOSITE = {"connlimit_upto": "connlimit_above", "connlimit_above": "connlimit_upto"}


class _Connlimit(Match):
    """The connections that a source or destination, or the network around it, has at once."""

    name: ClassVar[str] = "connlimit"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--connlimit-upto", "connlimit_upto", _COUNT, True),
        Option("--connlimit-above", "connlimit_above", _COUNT, True),
        Option(
            "--connlimit-mask", "connlimit_mask", Value("a prefix length", _parse_mask, needs_family=True)
        ),
        Option("--connlimit-saddr", "grouped_by", constant="saddr"),
        Option("--connlimit-daddr", "grouped_by", constant="daddr"),
    )
    status: ClassVar[Status] = "unknown"

    connlimit_upto: int | None = None
    connlimit_above: int | None = None
    connlimit_mask: int = 32
    #: the address whose connections are counted: "saddr" or "daddr"
    grouped_by: str = "saddr"

    @classmethod
    def gather(cls, given: Iterable[Given]) -> dict[str, Any]:
        """Return the model's fields; iptables reads `! --connlimit-above` as `--connlimit-upto`."""
        fields = super().gather(given)
        for field in fields.pop("negated", frozenset()):
            fields[_OPPOSITE[field]] = fields.pop(field)
        return fields

    def check(self) -> None:
        demand_one(self, "connlimit_upto", "connlimit_above")

    def predicates(self) -> tuple[Predicate, ...]:
        who_has = self._who_has()
        got = message("{who_has} at least this connection", who_has=who_has)
        if 0 in (self.connlimit_above, self.connlimit_upto):
            field = Field("connlimit.any", lambda context: True, lambda context: got)
            return self.one(Constraint(field, named(self.connlimit_above == 0)))
        unknown = Unknown(
            message("how many connections {who_has} at that moment", who_has=who_has),
            "--assume connlimit=yes",
        )
        return self.one(undecided("connlimit", unknown, got))

    def _who_has(self) -> Text:
        if self.connlimit_mask == 0:
            return message("all hosts together have")
        if self.connlimit_mask == (128 if self.family == 6 else 32):
            return message_if(self.grouped_by == "saddr", "its source has", "its destination has")
        return message_if(
            self.grouped_by == "saddr",
            "the /{length} network of its source has",
            "the /{length} network of its destination has",
            length=self.connlimit_mask,
        )

    def lists(self, form: ListingForm) -> str:
        side = "src" if self.grouped_by == "saddr" else "dst"
        compared = f"> {self.connlimit_above}" if self.connlimit_upto is None else f"<= {self.connlimit_upto}"
        return f" #conn {side}/{self.connlimit_mask} {compared}"

    def says(self) -> Text:
        if self.connlimit_upto is None:
            return message(
                "when {who_has} more than {limit} connections at once",
                who_has=self._who_has(),
                limit=self.connlimit_above or 0,
            )
        return message(
            "when {who_has} at most {limit} connections at once",
            who_has=self._who_has(),
            limit=self.connlimit_upto,
        )


class Connlimit4(_Connlimit):
    """The connections that an IPv4 source or destination, or the network around it, has at once."""

    family: ClassVar[int | None] = 4


class Connlimit6(_Connlimit):
    """The connections that an IPv6 source or destination, or the network around it, has at once."""

    family: ClassVar[int | None] = 6

    connlimit_mask: int = 128


EXTENSIONS = (Connlimit4, Connlimit6)
