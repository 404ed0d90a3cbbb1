"""`-m ipcomp`: the parameter index of compressed IP packets (net/netfilter/xt_ipcomp.c).

Key of :attr:`Packet.extra`: `ipcomp_cpi`, a number of 16 bits.
"""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Field, between
from iptsim.extensions.headers import NUMBER_RANGE, WHOLE, number_field, presence_field
from iptsim.extensions.listing import range_lister
from iptsim.extensions.options import Option
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import range_words
from iptsim.languages import Text, message
from iptsim.packet import Packet
from iptsim.protocols import IPCOMP

_HEADER = message("IPComp header")


def _has_header(packet: Packet) -> bool:
    return packet.proto == IPCOMP and not packet.is_later_fragment


def _index(packet: Packet) -> int | None:
    return packet.extra.get("ipcomp_cpi")


class Ipcomp(Match):
    """The parameter index (CPI) of an IPComp packet; the kernel ignores `--compres`."""

    name: ClassVar[str] = "ipcomp"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--ipcompspi", "ipcompspi", NUMBER_RANGE, True, idle=WHOLE,
            reads=number_field("ipcomp_cpi", message("IPComp CPI"), _index, _has_header, _HEADER),
            relation=between,
            phrase=Phrase(
                "whose IPComp header has CPI {value}", "whose IPComp header does not have CPI {value}", range_words
            ),
            listed=range_lister("spi"),
        ),
        Option("--compres", "compres", listed=" reserved"),
    )  # fmt: skip
    protocols: ClassVar[frozenset[int] | None] = frozenset({IPCOMP})
    presence: ClassVar[Field | None] = presence_field(_has_header, _HEADER)
    listed: ClassVar[str] = " comp "
    alone: ClassVar[Text] = message("with an IPComp header")

    #: without the option iptables tests for index 0
    ipcompspi: tuple[int, int] | None = (0, 0)
    compres: bool = False


EXTENSIONS = (Ipcomp,)
