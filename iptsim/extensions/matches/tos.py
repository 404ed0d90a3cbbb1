"""`-m tos` and `-m dscp`: the TOS byte of IPv4, the traffic class of IPv6 (net/netfilter/xt_dscp.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Masked, packet_field
from iptsim.extensions.options import Option
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.tos import DSCP, DSCP_CLASS, TOS, dscp_text
from iptsim.extensions.tos import Tos as TosValue
from iptsim.languages import message


class Tos(Match):
    """The TOS byte under a mask; a number alone tests all bits, those of ECN included."""

    name: ClassVar[str] = "tos"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--tos", "tos", TOS, True, reads=packet_field("tos", message("TOS"), lambda tos: f"{tos:#04x}"),
            relation=lambda tos: Masked(tos.value, tos.mask),
            phrase=Phrase("whose TOS is {value}", "whose TOS is not {value}", TosValue.says),
            listed=" tos match[!]{value}",
        ),
    )  # fmt: skip

    tos: TosValue


class Dscp(Match):
    """The DSCP value, by number or by class; the ECN bits do not matter."""

    name: ClassVar[str] = "dscp"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--dscp", "dscp", DSCP, True,
            reads=packet_field("tos", message("DSCP"), lambda tos: dscp_text(tos >> 2)),
            relation=lambda dscp: Masked(dscp << 2, 0xFC),
            phrase=Phrase("whose DSCP is {value}", "whose DSCP is not {value}", dscp_text),
            listed=" DSCP match [!]{value}",
        ),
        Option("--dscp-class", "dscp", DSCP_CLASS, True),
    )  # fmt: skip

    dscp: int


EXTENSIONS = (Tos, Dscp)
