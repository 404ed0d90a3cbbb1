"""`-m tcpmss`: the maximum segment size that a TCP packet offers (net/netfilter/xt_tcpmss.c)."""

from __future__ import annotations

from typing import Any, ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Constraint, Field, between, look
from iptsim.extensions.context import Context
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import in_order, number_range, range_text, range_words
from iptsim.languages import Text, message
from iptsim.protocols import TCP
from iptsim.truth import Unknown

_MSS = 2


def _sizes(text: str) -> tuple[int, int]:
    return in_order(number_range(text, 0xFFFF), text)


def _size(context: Context) -> int | None:
    """Return the packet's MSS; an option of another length does not count."""
    data = look(context, "tcp_options").get(_MSS, b"")
    return int.from_bytes(data, "big") if len(data) == 2 else None


def _read(context: Context) -> int | Unknown | None:
    return _NO_HEADER if context.packet.is_later_fragment else _size(context)


def _got(context: Context) -> Text:
    size = _size(context)
    return message("it has no MSS option") if size is None else message("its MSS is {size}", size=size)


_NO_HEADER = Unknown(
    message("the data that -m tcpmss reads in a later fragment, which has no TCP header"),
    "--assume tcpmss=yes",
)


class Tcpmss(Match):
    """The MSS option of TCP; a packet without one matches only the negated form."""

    name: ClassVar[str] = "tcpmss"
    protocols: ClassVar[frozenset[int] | None] = frozenset({TCP})
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--mss", "mss", Value("a number of bytes or a range (1460, 1400:1500)", _sizes, range_text), True,
            reads=Field("mss", _read, _got, steady=False), relation=between,
            phrase=Phrase("whose MSS is {value}", "whose MSS is not {value}", range_words),
            listed=" tcpmss match [!]{value}",
        ),
    )  # fmt: skip

    mss: tuple[int, int]

    def constraint(self, field: Field, option: Option, value: Any) -> Constraint:
        negated = bool(self.negated)
        return Constraint(field, option.relation(value), negated, absent=negated)


EXTENSIONS = (Tcpmss,)
