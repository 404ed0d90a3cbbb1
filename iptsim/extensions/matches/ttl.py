"""`-m ttl` and `-m hl`: the time to live of IPv4, the hop limit of IPv6 (net/netfilter/xt_hl.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.checks import demand_one
from iptsim.extensions.constraints import above, below, equal, packet_field
from iptsim.extensions.options import Option
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import integer_value
from iptsim.languages import Message, message

_HOPS = integer_value("a number of hops from 0 to 255", 0, 255)


def _options(name: str, called: Message) -> tuple[Option, ...]:
    """Return the options of a match.

    Args:
        name: of the match.
        called: the field in words.
    """
    field, listed = packet_field("ttl", called), f" {name.upper()} match {name.upper()}"
    return (
        Option(
            f"--{name}-eq", "hops_eq", _HOPS, True, (f"--{name}",), reads=field, relation=equal,
            phrase=Phrase("whose {name} is {value}", "whose {name} is not {value}", name=called),
            listed=f"{listed} [!=|==] {{value}}",
        ),
        Option(
            f"--{name}-lt", "hops_lt", _HOPS, reads=field, relation=below,
            phrase=Phrase("whose {name} is below {value}", name=called), listed=f"{listed} < {{value}}",
        ),
        Option(
            f"--{name}-gt", "hops_gt", _HOPS, reads=field, relation=above,
            phrase=Phrase("whose {name} is above {value}", name=called), listed=f"{listed} > {{value}}",
        ),
    )  # fmt: skip


class Hops(Match):
    """The number of hops that a packet has left; lower and greater are strict."""

    hops_eq: int | None = None
    hops_lt: int | None = None
    hops_gt: int | None = None

    def check(self) -> None:
        demand_one(self, "hops_eq", "hops_lt", "hops_gt")


class Ttl(Hops):
    """The time to live; lower and greater are strict."""

    name: ClassVar[str] = "ttl"
    family: ClassVar[int | None] = 4
    options: ClassVar[tuple[Option, ...]] = _options("ttl", message("TTL"))


class Hl(Hops):
    """The hop limit; lower and greater are strict."""

    name: ClassVar[str] = "hl"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = _options("hl", message("hop limit"))


EXTENSIONS = (Ttl, Hl)
