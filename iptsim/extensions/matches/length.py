"""`-m length`: the length of the IP packet, header included (net/netfilter/xt_length.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import between, packet_field
from iptsim.extensions.options import Option, Value
from iptsim.extensions.values import number_range, range_text, range_words
from iptsim.languages import Text, message, message_if

_LAST = 0xFFFF
#: The length of the IP packet.
LENGTH = packet_field("length", message("length in bytes"))


def _says(lengths: tuple[int, int], negated: bool) -> Text:
    if lengths[1] == _LAST:
        return message_if(negated, "not of {low} or more bytes", "of {low} or more bytes", low=lengths[0])
    return message_if(negated, "not of {lengths} bytes", "of {lengths} bytes", lengths=range_words(lengths))


class Length(Match):
    """The IP packet's length in bytes; for a fragment, that of the fragment."""

    name: ClassVar[str] = "length"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--length",
            "length",
            Value(
                "a length in bytes, or a range (100, 40:100, 1000:)",
                lambda text: number_range(text, _LAST),
                range_text,
            ),
            True,
            reads=LENGTH,
            relation=between,
            phrase=_says,
            listed=" length [!]{value}",
        ),
    )

    length: tuple[int, int]


EXTENSIONS = (Length,)
