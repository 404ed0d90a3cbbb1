"""`-m pkttype`: how the frame was addressed (net/netfilter/xt_pkttype.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.addresses import is_multicast
from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Field, look
from iptsim.extensions.context import Context
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import NoSuchWord
from iptsim.languages import Text, message

_TYPES = {
    "unicast": "unicast", "host": "unicast", "broadcast": "broadcast", "bcast": "broadcast",
    "multicast": "multicast", "mcast": "multicast", "otherhost": "otherhost",
}  # fmt: skip


def _parse(text: str) -> str:
    if text.lower() not in _TYPES:
        raise NoSuchWord(
            message("unknown packet type {text!r}; choose from: unicast, broadcast, multicast", text=text),
            text,
            ("unicast", "broadcast", "multicast"),
        )
    return _TYPES[text.lower()]


def _seen(context: Context) -> str:
    """Return the packet's type in the kernel: always unicast until a packet of this host leaves."""
    sent_here = context.in_interface is None and not context.bridged
    if context.hook == "OUTPUT" or (context.hook == "POSTROUTING" and sent_here):
        return "unicast"
    seen = str(look(context, "pkttype"))
    if seen == "loopback":
        packet = context.packet
        return "multicast" if is_multicast(packet.family, packet.dst) else "broadcast"
    return seen


def _got(context: Context) -> Text:
    return message("its frame type is {type}", type=_seen(context))


class Pkttype(Match):
    """Unicast, broadcast or multicast, by the frame's destination; a packet of this host is unicast."""

    name: ClassVar[str] = "pkttype"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--pkt-type", "pkt_type", Value("unicast, broadcast or multicast", _parse), True,
            reads=Field("pkttype", _seen, _got),
            phrase=Phrase("whose frame is {value}", "whose frame is not {value}"),
            listed=" PKTTYPE [!]= {value}",
        ),
    )  # fmt: skip

    pkt_type: str


EXTENSIONS = (Pkttype,)
