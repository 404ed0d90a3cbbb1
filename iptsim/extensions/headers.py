"""Header fields that only a few matches look at, held in :attr:`Packet.extra` under documented keys.

What the question left out there is unknown: no default would be right for the SPI of an IPsec packet.
"""

from __future__ import annotations

from collections.abc import Callable

from iptsim.extensions.base import Predicate, Value, constrained
from iptsim.extensions.constraints import Constraint, Field, Ranges, named
from iptsim.extensions.values import number_range, range_text
from iptsim.languages import later, say, say_if, told
from iptsim.packet import Context, Packet, Unknown

WHOLE = (0, 0xFFFFFFFF)
#: A number of 32 bits or a range. A range that ends before it starts is taken, and nothing lies in it.
NUMBER_RANGE = Value(
    "a number or a range (5, 5:9, 5:, :9)", lambda text: number_range(text, WHOLE[1]), range_text
)


def is_later_fragment(packet: Packet) -> bool:
    """Tell whether a packet is a fragment without a transport header."""
    return packet.fragment in ("middle", "last")


def number_predicate(
    text: str,
    key: str,
    allowed: Ranges,
    find: Callable[[Packet], int | None],
    *,
    negated: bool = False,
    name: str,
    has_header: Callable[[Packet], bool],
    header: str,
) -> Predicate:
    """Make a predicate on a number of a rare header.

    Args:
        text: as the rule writes it.
        key: of :attr:`Packet.extra`, named in what would decide it.
        allowed: the numbers that satisfy it.
        find: the number; None if nobody stated it.
        negated: whether it stood behind a `!`.
        name: the number in plain words, for "its {name} is {value}".
        has_header: whether the packet has that header at all; without it the predicate is false,
            negated or not.
        header: the header in plain words, for "it has no {header}".
    """
    unknown = Unknown(later("the packet's {name}", name=name), f"--set {key}=N")

    def read(context: Context) -> int | Unknown | None:
        if not has_header(context.packet):
            return None
        number = find(context.packet)
        return unknown if number is None else number

    def got(context: Context) -> str:
        if not has_header(context.packet):
            return say("it has no {header}", header=told(header))
        number = find(context.packet)
        return (
            say("its {name} was not stated", name=told(name))
            if number is None
            else say("its {name} is {number}", name=told(name), number=number)
        )

    return constrained(text, Constraint(Field(key, read, got), allowed, negated))


def header_predicate(text: str, has_header: Callable[[Packet], bool], header: str) -> Predicate:
    """Make a predicate that holds for packets with a header, whatever is in it."""

    def got(context: Context) -> str:
        if not has_header(context.packet):
            return say("it has no {header}", header=told(header))
        return say_if(header[0] in "AEIO", "it has an {header}", "it has a {header}", header=told(header))

    field = Field(str(header), lambda context: has_header(context.packet), got)
    return constrained(text, Constraint(field, named(True)))
