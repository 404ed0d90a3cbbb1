"""`-m ecn`: Explicit Congestion Notification in the IP and TCP headers (net/netfilter/xt_ecn.c)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Field, Masked, look, packet_field
from iptsim.extensions.context import Context
from iptsim.extensions.matches.tcp import flags_text
from iptsim.extensions.options import Option
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import integer_value
from iptsim.extensions.wire import transport_offset, wire_bytes
from iptsim.languages import Message, Text, message, message_if, message_joined
from iptsim.protocols import CWR, ECE, TCP
from iptsim.truth import Unknown

#: The offset of the flags in a TCP header and the header's size, in bytes.
_FLAGS_OFFSET, _HEADER_SIZE = 13, 20
#: What the two ECN bits of the IP header mean (RFC 3168).
_ECT = ("Not-ECT", "ECT(1)", "ECT(0)", "CE")


def _says_bits(bits: int, negated: bool) -> Text:
    return message_if(
        negated,
        "whose ECN bits are not {value} ({meaning})",
        "whose ECN bits are {value} ({meaning})",
        value=bits,
        meaning=_ECT[bits],
    )


def _flag_text(flags: int) -> Message:
    names = [name for name, bit in (("ECE", ECE), ("CWR", CWR)) if flags & bit]
    return message_joined(" and ", names)


def _shown_flags(flags: int) -> str:
    return " ".join(filter(None, (flags_text(flags), str(_flag_text(flags)))))


def _flags_seen(context: Context, flag: int) -> int | Unknown | None:
    if not context.packet.is_later_fragment:
        flags: int = look(context, "tcp_flags")
        return flags
    # the kernel does not check that there is a TCP header: it reads the fragment's data as one
    start = transport_offset(context.packet)
    data = wire_bytes(context.packet)
    found = data.number(context, start + _FLAGS_OFFSET, 1)
    if found is None or len(data.data) < start + _HEADER_SIZE:
        return None
    return found[0] if found[1] & flag else _NOT_STATED


_NOT_STATED = Unknown(
    message("the fragment's data, read as if it were a TCP header"), "--set payload_hex=..."
)
_PLAIN_FLAGS = packet_field("tcp_flags", message("TCP flags"), _shown_flags)


def _flag_option(flag: str, field: str, bit: int) -> Option:
    name = _flag_text(bit)
    return Option(
        flag, field, None, True,
        reads=Field("tcp_flags", partial(_flags_seen, flag=bit), _PLAIN_FLAGS.got, steady=False),
        relation=lambda _: Masked(bit, bit),
        phrase=Phrase("with TCP flag {value}", "without TCP flag {value}", lambda _: name),
        listed=f" [!]{name}",
    )  # fmt: skip


class Ecn(Match):
    """The ECN bits of the IP header, and the flags ECE and CWR of the TCP header."""

    name: ClassVar[str] = "ecn"
    options: ClassVar[tuple[Option, ...]] = (
        _flag_option("--ecn-tcp-ece", "ecn_tcp_ece", ECE),
        _flag_option("--ecn-tcp-cwr", "ecn_tcp_cwr", CWR),
        Option(
            "--ecn-ip-ect", "ecn_ip_ect", integer_value("ECN bits from 0 to 3", 0, 3), True,
            reads=packet_field("tos", message("ECN field"), lambda tos: f"{tos & 3} ({_ECT[tos & 3]})"),
            relation=lambda bits: Masked(bits, 3),
            phrase=_says_bits,
            listed=" [!]ECT={value}",
        ),
    )  # fmt: skip
    tested: ClassVar[tuple[str, ...]] = ("ecn_ip_ect",)
    said: ClassVar[tuple[str, ...]] = ("ecn_ip_ect",)
    listed: ClassVar[str] = " ECN match"
    joint: ClassVar[str] = " and "

    ecn_tcp_ece: bool = False
    ecn_tcp_cwr: bool = False
    ecn_ip_ect: int | None = None

    def check(self) -> None:
        if not self.clauses():
            raise ValueError(message("ecn needs one of --ecn-tcp-ece, --ecn-tcp-cwr, --ecn-ip-ect"))

    def allowed_protocols(self) -> frozenset[int] | None:
        """Return TCP where the options test TCP flags."""
        return frozenset({TCP}) if self.ecn_tcp_ece or self.ecn_tcp_cwr else None


EXTENSIONS = (Ecn,)
