"""`-j DNPT`: replace the prefix of an IPv6 destination address (net/ipv6/netfilter/ip6t_NPT.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import CONTINUE, Verdict
from iptsim.extensions.prefixes import PrefixTranslation
from iptsim.languages import say
from iptsim.packet import Context


class Dnpt(PrefixTranslation):
    """Replace the destination's prefix, without connection tracking."""

    name: ClassVar[str] = "DNPT"
    hooks: ClassVar[frozenset[str] | None] = frozenset({"OUTPUT", "PREROUTING"})

    def apply(self, context: Context) -> Verdict:
        """Rewrite the destination; a parameter problem answers an address that can't be translated."""
        if not self.replace(context.packet, "dst"):
            return Verdict("DROP", detail=say("the destination can't be translated"))
        return CONTINUE

    def says(self) -> str:
        """Return the order in words."""
        return say(
            "change the destination's prefix from {src_pfx} to {dst_pfx}",
            src_pfx=self.src_pfx,
            dst_pfx=self.dst_pfx,
        )


EXTENSIONS = (Dnpt,)
