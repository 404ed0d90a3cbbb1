"""Header fields that only a few matches test, held in :attr:`Packet.extra` under documented keys.

What was not stated there is unknown: no default would be right for the SPI of an IPsec packet.
"""

from __future__ import annotations

from collections.abc import Callable

from iptsim.extensions.constraints import Field
from iptsim.extensions.context import Context
from iptsim.extensions.options import Value
from iptsim.extensions.values import number_range, range_text
from iptsim.languages import Text, message, message_if
from iptsim.packet import Packet
from iptsim.truth import Unknown

WHOLE = (0, 0xFFFFFFFF)
#: A number of 32 bits or a range. A range that ends before it starts is valid, but empty.
NUMBER_RANGE = Value(
    "a number or a range (5, 5:9, 5:, :9)", lambda text: number_range(text, WHOLE[1]), range_text
)


def number_field(
    key: str,
    name: Text,
    find: Callable[[Packet], int | None],
    has_header: Callable[[Packet], bool],
    header: Text,
) -> Field:
    """Make a field that is a number of a rare header.

    Args:
        key: the key in :attr:`Packet.extra`, named in the hint on what would decide the match.
        name: the number in plain words, for "its {name} is {value}".
        find: the number; None if it was not stated.
        has_header: whether the packet has that header at all.
        header: the header in plain words, for "it has no {header}".
    """
    unknown = Unknown(message("the packet's {name}", name=name), f"--set {key}=N")

    def read(context: Context) -> int | Unknown | None:
        if not has_header(context.packet):
            return None
        number = find(context.packet)
        return unknown if number is None else number

    def got(context: Context) -> Text:
        if not has_header(context.packet):
            return message("it has no {header}", header=header)
        number = find(context.packet)
        if number is None:
            return message("its {name} was not stated", name=name)
        return message("its {name} is {value}", name=name, value=number)

    return Field(key, read, got)


def presence_field(has_header: Callable[[Packet], bool], header: Text) -> Field:
    """Make a field that returns whether the packet has a header; arguments as for :func:`number_field`."""

    def got(context: Context) -> Text:
        if not has_header(context.packet):
            return message("it has no {header}", header=header)
        return message_if(vowel, "it has an {header}", "it has a {header}", header=header)

    vowel = str(header)[0] in "AEIO"
    return Field(str(header), lambda context: has_header(context.packet), got)
