"""`-m pkttype`: how the frame was addressed (net/netfilter/xt_pkttype.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate, Value, constrained
from iptsim.extensions.constraints import Constraint, Field, look, named
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import NoSuchWord
from iptsim.languages import say, say_if
from iptsim.packet import Context

_TYPES = {
    "unicast": "unicast", "host": "unicast", "broadcast": "broadcast", "bcast": "broadcast",
    "multicast": "multicast", "mcast": "multicast", "otherhost": "otherhost",
}  # fmt: skip


def _parse(text: str) -> str:
    if text.lower() not in _TYPES:
        raise NoSuchWord(
            f"{text!r} is not one of unicast, broadcast, multicast",
            text,
            ("unicast", "broadcast", "multicast"),
        )
    return _TYPES[text.lower()]


class Pkttype(Match):
    """Unicast, broadcast or multicast, by the frame's destination; a packet of this host is unicast."""

    name: ClassVar[str] = "pkttype"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--pkt-type", "pkt_type", Value("unicast, broadcast or multicast", _parse), True),
    )

    pkt_type: str

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the frame's type."""
        return (constrained(self.save(), Constraint(_TYPE, named(self.pkt_type), bool(self.negated))),)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" PKTTYPE {self.bang('pkt_type')}= {self.pkt_type}"

    def says(self) -> str:
        """Return the type in words."""
        return say_if(
            self.negated, "whose frame is not {pkt_type}", "whose frame is {pkt_type}", pkt_type=self.pkt_type
        )


def _seen(context: Context) -> str:
    """Return the type that the kernel has noted: nothing but unicast before the packet left or came in."""
    sent_here = context.in_interface is None and not context.bridged
    if context.hook == "OUTPUT" or (context.hook == "POSTROUTING" and sent_here):
        return "unicast"
    seen = str(look(context, "pkttype"))
    if seen == "loopback":
        packet = context.packet
        multicast = packet.dst >> 28 == 0xE if packet.family == 4 else packet.dst >> 120 == 0xFF
        return "multicast" if multicast else "broadcast"
    return seen


_TYPE = Field("pkttype", _seen, lambda context: say("its frame type is {context}", context=_seen(context)))

EXTENSIONS = (Pkttype,)
