"""`-m connlimit`: how many connections a host or network has at once (net/netfilter/xt_connlimit.c).

The count includes the packet's own connection, so that it is never below 1. Beyond that no dump tells.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Given, Match, Option, Predicate, Status, Value
from iptsim.extensions.checks import demand_one
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import integer_value, one_address, prefix_length
from iptsim.languages import later, say, say_if
from iptsim.packet import Context, Truth, Unknown


def _parse_mask(text: str, family: int) -> int:
    width = 32 if family == 4 else 128
    if text.isascii() and text.isdigit():
        length = int(text)
        if length > width:
            raise ValueError(f"the prefix length {length} is over {width}")
        return length
    found = prefix_length(one_address(text, family), width)
    if found is None:
        raise ValueError(f"the mask {text} has holes")
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
        """Return the model's fields; iptables takes `! --connlimit-above` as `--connlimit-upto`."""
        fields = super().gather(given)
        for field in fields.pop("negated", frozenset()):
            fields[_OPPOSITE[field]] = fields.pop(field)
        return fields

    @model_validator(mode="after")
    def _complete(self) -> _Connlimit:
        demand_one(self, "connlimit_upto", "connlimit_above")
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition, which is known for a limit of 0 only."""
        return (Predicate(self.save(), self._test, self._got),)

    def _test(self, context: Context) -> Truth:
        if self.connlimit_above == 0:
            return True
        if self.connlimit_upto == 0:
            return False
        return Unknown(
            later("how many connections {who_has} at that moment", who_has=self._who_has()),
            "--assume connlimit=yes",
        )

    def _got(self, context: Context) -> str:
        return say("{who_has} at least this connection", who_has=self._who_has())

    def _who_has(self) -> str:
        if self.connlimit_mask == 0:
            return say("all hosts together have")
        whole = self.connlimit_mask == (128 if self.family == 6 else 32)
        return (
            say_if(self.grouped_by == "saddr", "its source has", "its destination has")
            if whole
            else say_if(
                self.grouped_by == "saddr",
                "the /{connlimit_mask} network of its source has",
                "the /{connlimit_mask} network of its destination has",
                connlimit_mask=self.connlimit_mask,
            )
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        side = "src" if self.grouped_by == "saddr" else "dst"
        compared = f"> {self.connlimit_above}" if self.connlimit_upto is None else f"<= {self.connlimit_upto}"
        return f" #conn {side}/{self.connlimit_mask} {compared}"

    def says(self) -> str:
        """Return the limit in words."""
        if self.connlimit_above is not None:
            return say(
                "where {who_has} more than {connlimit_above} connections at once",
                who_has=self._who_has(),
                connlimit_above=self.connlimit_above,
            )
        return say(
            "where {who_has} at most {connlimit_upto} connections at once",
            who_has=self._who_has(),
            connlimit_upto=self.connlimit_upto,
        )


class Connlimit4(_Connlimit):
    """The same, for IPv4."""

    family: ClassVar[int | None] = 4


class Connlimit6(_Connlimit):
    """The same, for IPv6."""

    family: ClassVar[int | None] = 6

    connlimit_mask: int = 128


EXTENSIONS = (Connlimit4, Connlimit6)
