"""`-m ipcomp`: the parameter index of compressed IP packets (net/netfilter/xt_ipcomp.c).

Key of :attr:`Packet.extra`: `ipcomp_cpi`, a number of 16 bits.
"""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate
from iptsim.extensions.headers import (
    NUMBER_RANGE,
    WHOLE,
    header_predicate,
    is_later_fragment,
    number_predicate,
)
from iptsim.extensions.listing import ListingForm, listed_range
from iptsim.extensions.values import range_words
from iptsim.extensions.wire import IPCOMP
from iptsim.languages import later, say, say_if
from iptsim.packet import Packet


class Ipcomp(Match):
    """The parameter index (CPI) of an IPComp packet; the kernel ignores `--compres`."""

    name: ClassVar[str] = "ipcomp"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--ipcompspi", "ipcompspi", NUMBER_RANGE, True, idle=WHOLE),
        Option("--compres", "compres"),
    )
    protocols: ClassVar[frozenset[int] | None] = frozenset({IPCOMP})

    #: without the option iptables asks for index 0
    ipcompspi: tuple[int, int] | None = (0, 0)
    compres: bool = False

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the index; a later fragment has no header."""
        if self.ipcompspi is None:
            return (header_predicate("-m ipcomp", _has_header, _HEADER),)
        return (
            number_predicate(
                self.clause(self.options[0], self.ipcompspi),
                "ipcomp_cpi",
                (self.ipcompspi,),
                lambda packet: packet.extra.get("ipcomp_cpi"),
                negated="ipcompspi" in self.negated,
                name=later("IPComp CPI"),
                has_header=_has_header,
                header=_HEADER,
            ),
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" comp {listed_range('spi', self.ipcompspi, self.bang('ipcompspi'))}" + (
            " reserved" if self.compres else ""
        )

    def says(self) -> str:
        """Return the index in words."""
        if self.ipcompspi is None:
            return say("with an IPComp header")
        return say_if(
            "ipcompspi" in self.negated,
            "whose IPComp header does not have CPI {cpi}",
            "whose IPComp header has CPI {cpi}",
            cpi=range_words(self.ipcompspi),
        )


_HEADER = later("IPComp header")


def _has_header(packet: Packet) -> bool:
    return packet.proto == IPCOMP and not is_later_fragment(packet)


EXTENSIONS = (Ipcomp,)
