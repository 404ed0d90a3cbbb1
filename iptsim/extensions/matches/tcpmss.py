"""`-m tcpmss`: the maximum segment size that a TCP packet offers (net/netfilter/xt_tcpmss.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate, Value, constrained
from iptsim.extensions.constraints import Constraint, Field, between, look
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import number_range, range_text, range_words
from iptsim.languages import later, say, say_if
from iptsim.packet import TCP, Context, Unknown

_MSS = 2


def _sizes(text: str) -> tuple[int, int]:
    low, high = number_range(text, 0xFFFF)
    if low > high:
        raise ValueError(f"the range {text} ends before it starts")
    return low, high


class Tcpmss(Match):
    """The MSS option of TCP; a packet without one matches only the negated form."""

    name: ClassVar[str] = "tcpmss"
    protocols: ClassVar[frozenset[int] | None] = frozenset({TCP})
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--mss", "mss", Value("a number of octets or a range (1460, 1400:1500)", _sizes, range_text), True
        ),
    )

    mss: tuple[int, int]

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the option."""
        negated = bool(self.negated)
        return (constrained(self.save(), Constraint(_MSS_FIELD, between(self.mss), negated, absent=negated)),)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" tcpmss match {self.bang('mss')}{range_text(self.mss)}"

    def says(self) -> str:
        """Return the sizes in words."""
        return say_if(self.negated, "whose MSS is not {mss}", "whose MSS is {mss}", mss=range_words(self.mss))


def _size(context: Context) -> int | None:
    """Return the packet's MSS; an option of another length does not count."""
    data = look(context, "tcp_options").get(_MSS, b"")
    return int.from_bytes(data, "big") if len(data) == 2 else None


def _read(context: Context) -> int | Unknown | None:
    return _NO_HEADER if context.packet.fragment in ("middle", "last") else _size(context)


def _got(context: Context) -> str:
    size = _size(context)
    return say("it has no MSS option") if size is None else say("its MSS is {size}", size=size)


_NO_HEADER = Unknown(
    later("what the match reads where a later fragment has no TCP header"), "--assume tcpmss=yes"
)
_MSS_FIELD = Field("mss", _read, _got, steady=False)

EXTENSIONS = (Tcpmss,)
