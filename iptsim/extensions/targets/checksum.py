"""`-j CHECKSUM`: fill in a checksum that was left to the network card (net/netfilter/xt_CHECKSUM.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Target
from iptsim.extensions.options import Option
from iptsim.languages import Text, message


class Checksum(Target):
    """Fill in the checksum of a packet that has none yet."""

    name: ClassVar[str] = "CHECKSUM"
    options: ClassVar[tuple[Option, ...]] = (Option("--checksum-fill", "checksum_fill"),)
    tables: ClassVar[frozenset[str] | None] = frozenset({"mangle"})
    changes: ClassVar[bool] = False
    listed: ClassVar[str] = " CHECKSUM fill"
    alone: ClassVar[Text] = message("fill in the checksum if the packet has none")

    checksum_fill: bool


EXTENSIONS = (Checksum,)
