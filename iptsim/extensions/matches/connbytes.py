"""`-m connbytes`: how much a connection has carried (net/netfilter/xt_connbytes.c).

The kernel has counted the packet before it evaluates the match. The counters of a :class:`Connection` are those
before the packet (what `conntrack -L` shows), so the packet is added to its direction here. The first packet of a
connection finds all counters at 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

from iptsim.connection import Direction
from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import NOT_TRACKED, Constraint, Field, between
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Given, Option, Value
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.values import choice, in_order, integer
from iptsim.languages import Message, Text, message, message_if
from iptsim.truth import Unknown

_MOST = 0xFFFFFFFFFFFFFFFF
_Mode = Literal["packets", "bytes", "avgpkt"]
_Side = Literal["original", "reply", "both"]
_DIRECTIONS: dict[_Side, tuple[Direction, ...]] = {
    "original": ("original",), "reply": ("reply",), "both": ("original", "reply"),
}  # fmt: skip
_UNITS = {"packets": message("packets"), "bytes": message("bytes"), "avgpkt": message("bytes per packet")}
_SIDES = {
    "both": message("both directions"),
    "reply": message("the reply direction"),
    "original": message("the original direction"),
}


class Amount(NamedTuple):
    """From `low` to `high`, both included; no upper bound if `high` is None."""

    low: int
    high: int | None = None

    def __str__(self) -> str:
        return str(self.low) if self.high is None else f"{self.low}:{self.high}"

    def says(self) -> Message:
        """Return the range in words."""
        if self.high is None:
            return message("at least {low}", low=self.low)
        return (
            message("exactly {low}", low=self.low)
            if self.low == self.high
            else message("{low} to {high}", low=self.low, high=self.high)
        )


def _parse(text: str) -> Amount:
    low_text, _, high_text = text.partition(":")
    low = integer(low_text, 0, _MOST) if low_text else 0
    _, high = in_order((low, integer(high_text, 0, _MOST) if high_text else _MOST), text)
    return Amount(low, None if high == _MOST else high)


def _measure(context: Context, mode: _Mode, side: _Side) -> int | Unknown | None:
    """Return the packets, bytes or bytes a packet of the connection; None without one, or if it is a template of CT."""
    connection, packet = context.connection, context.packet
    if connection is None or context.state is None:
        return None
    packets, sizes = connection.carried(context.state)
    if (packets is None and mode != "bytes") or (sizes is None and mode != "packets"):
        return Unknown(
            message("the {what} that the connection has carried", what=_UNITS[mode]),
            message("its line in conntrack.txt"),
        )
    sides = _DIRECTIONS[side]
    # an error about a packet, or what REJECT sends back, is related to its connection without being counted in it:
    # nf_conntrack_in counts neither
    is_counted = context.state != "RELATED" or connection.related
    current = is_counted and context.direction in sides
    count = sum((packets or {}).get(side, 0) for side in sides) + current
    total = sum((sizes or {}).get(side, 0) for side in sides) + current * packet.length
    if mode == "packets":
        return count
    if "length" in packet.defaults and current:
        context.consulted.add("length")
    if mode == "bytes":
        return total
    return total // count if count else 0


def _got(context: Context, mode: _Mode, side: _Side) -> Text:
    measured = _measure(context, mode, side)
    if measured is None:
        return NOT_TRACKED
    if isinstance(measured, Unknown):
        return message("the {what} of its connection are not known", what=_UNITS[mode])
    return message("its connection has {measured} {what}", measured=measured, what=_UNITS[mode])


class Connbytes(Match):
    """Packets, bytes or bytes per packet, in one direction of the connection or in both."""

    name: ClassVar[str] = "connbytes"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--connbytes", "connbytes", Value("an amount or a range (1000, 1000:5000)", _parse), True),
        Option(
            "--connbytes-mode",
            "connbytes_mode",
            choice("packets, bytes or avgpkt", ("packets", "bytes", "avgpkt")),
        ),
        Option(
            "--connbytes-dir",
            "connbytes_dir",
            choice("original, reply or both", ("original", "reply", "both")),
        ),
    )

    status: ClassVar[Status] = "given"

    connbytes: Amount
    connbytes_mode: _Mode
    connbytes_dir: _Side

    @classmethod
    def gather(cls, given: Iterable[Given]) -> dict[str, Any]:
        """Return the model's fields.

        iptables negates a range by swapping its ends, so that `!` is lost on a range of one number.
        """
        fields = super().gather(given)
        amount = fields.get("connbytes")
        if amount is not None and amount.low == amount.high:
            fields.pop("negated", None)
        return fields

    def predicates(self) -> tuple[Predicate, ...]:
        mode, side = self.connbytes_mode, self.connbytes_dir
        read, got = partial(_measure, mode=mode, side=side), partial(_got, mode=mode, side=side)
        field = Field(f"ct.{mode}.{side}", read, got, steady=False)
        low, high = self.connbytes
        allowed = between((low, _MOST if high is None else high))
        return self.one(Constraint(field, allowed, bool(self.negated)))

    def lists(self, form: ListingForm) -> str:
        amount = self.connbytes if self.connbytes.high else self.connbytes.low
        text = f"{self.bang('connbytes', ' !')} connbytes {amount}"
        return f"{text} connbytes mode {self.connbytes_mode} connbytes direction {self.connbytes_dir}"

    def says(self) -> Text:
        return message_if(
            self.negated,
            "whose connection has not carried {amount} {unit} in {side}",
            "whose connection has carried {amount} {unit} in {side}",
            amount=self.connbytes.says(),
            unit=_UNITS[self.connbytes_mode],
            side=_SIDES[self.connbytes_dir],
        )


EXTENSIONS = (Connbytes,)
