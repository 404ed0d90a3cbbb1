"""`-m connbytes`: how much a connection has carried (net/netfilter/xt_connbytes.c).

The kernel has counted the packet before it asks. The counters of a :class:`Connection` are taken as
they stood before the packet (what `conntrack -L` shows), so the packet is added to its direction here.
The first packet of a connection finds all counters at 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

from pydantic import model_validator

from iptsim.extensions.base import Given, Match, Option, Predicate, Status, Value
from iptsim.extensions.checks import demand
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import choice, integer
from iptsim.languages import later, say, say_if, told
from iptsim.packet import Context, Direction, Truth, Unknown

_MOST = 0xFFFFFFFFFFFFFFFF
_DIRECTIONS: dict[str, tuple[Direction, ...]] = {
    "original": ("original",), "reply": ("reply",), "both": ("original", "reply"),
}  # fmt: skip
_SAID = {"packets": later("packets"), "bytes": later("octets"), "avgpkt": later("octets a packet")}


class Amount(NamedTuple):
    """From `low` to `high`, both included; no upper bound if `high` is None."""

    low: int
    high: int | None = None

    def __str__(self) -> str:
        return str(self.low) if self.high is None else f"{self.low}:{self.high}"

    def says(self) -> str:
        """Return the range in words."""
        if self.high is None:
            return say("at least {low}", low=self.low)
        return (
            say("exactly {low}", low=self.low)
            if self.low == self.high
            else say("{low} to {high}", low=self.low, high=self.high)
        )


def _parse(text: str) -> Amount:
    low_text, _, high_text = text.partition(":")
    low = integer(low_text, 0, _MOST) if low_text else 0
    high = integer(high_text, 0, _MOST) if high_text else None
    if high is not None and high < low:
        raise ValueError(f"the range {text} ends before it starts")
    return Amount(low, None if high == _MOST else high)


class Connbytes(Match):
    """Packets, octets or octets a packet, in one direction of the connection or in both."""

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

    connbytes: Amount | None = None
    connbytes_mode: str | None = None
    connbytes_dir: str | None = None

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

    @model_validator(mode="after")
    def _complete(self) -> Connbytes:
        demand(self, "connbytes", "connbytes_mode", "connbytes_dir")
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition; it is false, negated or not, without a connection."""
        return (Predicate(self.save(), self._test, self._got),)

    def _measure(self, context: Context) -> int | None:
        """Return the packets, octets or octets a packet; None if nobody knows."""
        connection, packet = context.connection, context.packet
        if connection is None:
            return None
        packets, octets = connection.packets, connection.octets
        if context.state == "NEW" and "CONFIRMED" not in connection.status:
            packets = octets = {"original": 0, "reply": 0}
        if (packets is None and self.connbytes_mode != "bytes") or (
            octets is None and self.connbytes_mode != "packets"
        ):
            return None
        sides = _DIRECTIONS[self.connbytes_dir or "both"]
        # an error about a packet, or what REJECT sends back, is related to its connection without being counted in it:
        # nf_conntrack_in counts neither
        is_counted = context.state != "RELATED" or connection.related
        current = is_counted and context.direction in sides
        count = sum((packets or {}).get(side, 0) for side in sides) + current
        total = sum((octets or {}).get(side, 0) for side in sides) + current * packet.length
        if self.connbytes_mode == "packets":
            return count
        if "length" in packet.defaults and current:
            context.consulted.add("length")
        if self.connbytes_mode == "bytes":
            return total
        return total // count if count else 0

    def _test(self, context: Context) -> Truth:
        if context.connection is None or self.connbytes is None:
            return False
        measured = self._measure(context)
        if measured is None:
            return Unknown(
                later(
                    "the {what} that the connection has carried", what=_SAID[self.connbytes_mode or "bytes"]
                ),
                later("its line in conntrack.txt"),
            )
        low, high = self.connbytes
        inside = low <= measured and (high is None or measured <= high)
        return inside is not bool(self.negated)

    def _got(self, context: Context) -> str:
        if context.connection is None:
            return say("it belongs to no tracked connection")
        measured = self._measure(context)
        what = told(_SAID[self.connbytes_mode or "bytes"])
        if measured is None:
            return say("the {what} of its connection are not known", what=what)
        return say("its connection has {measured} {what}", measured=measured, what=what)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        amount = self.connbytes or Amount(0)
        text = f"{self.bang('connbytes', ' !')} connbytes {amount if amount.high else amount.low}"
        return f"{text} connbytes mode {self.connbytes_mode} connbytes direction {self.connbytes_dir}"

    def says(self) -> str:
        """Return the amount in words."""
        side = {
            "both": say("both directions"),
            "reply": say("the reply direction"),
            "original": say("the original direction"),
        }
        amount = self.connbytes.says() if self.connbytes else ""
        return say_if(
            self.negated,
            "whose connection has not carried {amount} {word} in {side}",
            "whose connection has carried {amount} {word} in {side}",
            amount=amount,
            word=told(_SAID[self.connbytes_mode or "bytes"]),
            side=side[self.connbytes_dir or "both"],
        )


EXTENSIONS = (Connbytes,)
