"""`-j SNPT` and `-j DNPT`: translate IPv6 prefixes (RFC 6296; net/ipv6/netfilter/ip6t_NPT.c)."""

from __future__ import annotations

from typing import ClassVar, Literal

from iptsim.extensions.base import Target
from iptsim.extensions.context import Context
from iptsim.extensions.options import Option, Value
from iptsim.extensions.prefixes import Prefix, checksum, parse_prefix, translate
from iptsim.extensions.verdicts import CONTINUE, Verdict
from iptsim.languages import Message, Text, message, message_if
from iptsim.packet import Packet

_PREFIX = Value("an IPv6 prefix of up to 64 bits", parse_prefix)


class _PrefixTranslation(Target):
    """Replace a prefix, without connection tracking."""

    options: ClassVar[tuple[Option, ...]] = (
        Option("--src-pfx", "src_pfx", _PREFIX, listed=" src-pfx {value}"),
        Option("--dst-pfx", "dst_pfx", _PREFIX, listed=" dst-pfx {value}"),
    )
    family: ClassVar[int | None] = 6
    tables: ClassVar[frozenset[str] | None] = frozenset({"mangle"})
    #: the address whose prefix is replaced, and the note on a packet whose prefix cannot be
    side: ClassVar[Literal["src", "dst"]]
    failure: ClassVar[Message]

    src_pfx: Prefix
    dst_pfx: Prefix

    def apply(self, context: Context) -> Verdict:
        # a packet whose address cannot be translated is dropped; the kernel sends a parameter problem back
        return CONTINUE if self._replace(context.packet) else Verdict("DROP", detail=self.failure)

    def _replace(self, packet: Packet) -> bool:
        old = getattr(packet, self.side)
        new = translate(old, self.src_pfx, self.dst_pfx)
        if new is None:
            return False
        # the kernel does not check that the address has the prefix; if not, the checksum is wrong from here on
        packet.checksum_error = (packet.checksum_error + checksum(new) - checksum(old)) % 0xFFFF
        setattr(packet, self.side, new)
        return True

    def says(self) -> Text:
        return message_if(
            self.side == "src",
            "change the source's prefix from {old} to {new}",
            "change the destination's prefix from {old} to {new}",
            old=str(self.src_pfx),
            new=str(self.dst_pfx),
        )


class Snpt(_PrefixTranslation):
    """Replace the source's prefix, without connection tracking."""

    name: ClassVar[str] = "SNPT"
    hooks: ClassVar[frozenset[str] | None] = frozenset({"INPUT", "POSTROUTING"})
    side: ClassVar[Literal["src", "dst"]] = "src"
    failure: ClassVar[Message] = message("the source can't be translated")
    listed: ClassVar[str] = " SNPT"


class Dnpt(_PrefixTranslation):
    """Replace the destination's prefix, without connection tracking."""

    name: ClassVar[str] = "DNPT"
    hooks: ClassVar[frozenset[str] | None] = frozenset({"OUTPUT", "PREROUTING"})
    side: ClassVar[Literal["src", "dst"]] = "dst"
    failure: ClassVar[Message] = message("the destination can't be translated")
    listed: ClassVar[str] = " DNPT"


EXTENSIONS = (Snpt, Dnpt)
