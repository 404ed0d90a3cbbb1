"""`-m mark`: the packet's mark, set by the MARK target or by the sending socket (net/netfilter/xt_mark.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import packet_field
from iptsim.extensions.options import Option
from iptsim.extensions.values import MARK, MaskedNumber, masked
from iptsim.languages import Text, message_if
from iptsim.partly_known import mark_text


def _says(mark: MaskedNumber, negated: bool) -> Text:
    if mark.mask == 0xFFFFFFFF:
        return message_if(negated, "not marked {value}", "marked {value}", value=str(mark))
    if mark.value == mark.mask and mark.mask.bit_count() == 1:
        return message_if(
            negated,
            "whose mark does not have the bit {mask:#x}",
            "whose mark has the bit {mask:#x}",
            mask=mark.mask,
        )
    return message_if(
        negated,
        "whose mark is not {value:#x} in the bits {mask:#x}",
        "whose mark is {value:#x} in the bits {mask:#x}",
        value=mark.value,
        mask=mark.mask,
    )


class Mark(Match):
    """The packet's mark under a mask."""

    name: ClassVar[str] = "mark"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--mark", "mark", MARK, True, reads=packet_field("mark", show=mark_text), relation=masked, phrase=_says,
            listed=" mark match[ !] {value}",
        ),
    )  # fmt: skip

    mark: MaskedNumber


EXTENSIONS = (Mark,)
