"""`-m ecn`: Explicit Congestion Notification in the IP and TCP headers (net/netfilter/xt_ecn.c)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, constrained, field_predicate
from iptsim.extensions.constraints import Constraint, Field, Masked, look, packet_field
from iptsim.extensions.headers import is_later_fragment
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.matches.tcp import flags_text
from iptsim.extensions.values import integer_value
from iptsim.extensions.wire import octets, transport_offset
from iptsim.languages import joined, later, say_if
from iptsim.packet import CWR, ECE, TCP, Context, Unknown

_FLAGS = {"ecn_tcp_ece": ECE, "ecn_tcp_cwr": CWR}
#: Of a TCP header, in octets.
_FLAGS_OFFSET, _HEADER_SIZE = 13, 20
#: What the two ECN bits of the IP header mean (RFC 3168).
_ECT = ("Not-ECT", "ECT(1)", "ECT(0)", "CE")


class Ecn(Match):
    """The ECN bits of the IP header, and the flags ECE and CWR of the TCP header."""

    name: ClassVar[str] = "ecn"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--ecn-tcp-ece", "ecn_tcp_ece", None, True),
        Option("--ecn-tcp-cwr", "ecn_tcp_cwr", None, True),
        Option("--ecn-ip-ect", "ecn_ip_ect", integer_value("ECN bits from 0 to 3", 0, 3), True),
    )

    ecn_tcp_ece: bool = False
    ecn_tcp_cwr: bool = False
    ecn_ip_ect: int | None = None

    @model_validator(mode="after")
    def _complete(self) -> Ecn:
        if not self.clauses():
            raise ValueError("ecn needs one of --ecn-tcp-ece, --ecn-tcp-cwr, --ecn-ip-ect")
        return self

    def allowed_protocols(self) -> frozenset[int] | None:
        """Return TCP where the options look at TCP flags."""
        return frozenset({TCP}) if self.ecn_tcp_ece or self.ecn_tcp_cwr else None

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the conditions in the kernel's order: IP header, then TCP flags."""
        ece, cwr, ect = self.options
        found = []
        if self.ecn_ip_ect is not None:
            text = self.clause(ect, self.ecn_ip_ect)
            found.append(_ip_predicate(text, self.ecn_ip_ect, ect.field in self.negated))
        for option in (ece, cwr):
            if getattr(self, option.field):
                text = self.clause(option, True)
                found.append(_tcp_predicate(text, _FLAGS[option.field], option.field in self.negated))
        return tuple(found)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = " ECN match"
        text += f" {self.bang('ecn_tcp_ece')}ECE" if self.ecn_tcp_ece else ""
        text += f" {self.bang('ecn_tcp_cwr')}CWR" if self.ecn_tcp_cwr else ""
        return text + ("" if self.ecn_ip_ect is None else f" {self.bang('ecn_ip_ect')}ECT={self.ecn_ip_ect}")

    def says(self) -> str:
        """Return the bits in words."""
        phrases = []
        if self.ecn_ip_ect is not None:
            phrases.append(
                say_if(
                    "ecn_ip_ect" in self.negated,
                    "whose ECN bits are not {ecn_ip_ect} ({word})",
                    "whose ECN bits are {ecn_ip_ect} ({word})",
                    ecn_ip_ect=self.ecn_ip_ect,
                    word=_ECT[self.ecn_ip_ect],
                )
            )
        for field, flag in _FLAGS.items():
            if getattr(self, field):
                phrases.append(
                    say_if(
                        field in self.negated,
                        "without TCP flag {flag}",
                        "with TCP flag {flag}",
                        flag=_flag_text(flag),
                    )
                )
        return joined(" and ", phrases)


def _flag_text(flags: int) -> str:
    names = [name for name, bit in (("ECE", ECE), ("CWR", CWR)) if flags & bit]
    return joined(" and ", names)


def _ip_predicate(text: str, bits: int, negated: bool) -> Predicate:
    return field_predicate(
        text,
        "tos",
        Masked(bits, 3),
        negated=negated,
        name=later("ECN field"),
        show=lambda tos: f"{tos & 3} ({_ECT[tos & 3]})",
    )


def _flags_seen(context: Context, flag: int) -> int | Unknown | None:
    if not is_later_fragment(context.packet):
        flags: int = look(context, "tcp_flags")
        return flags
    # The kernel does not ask whether there is a TCP header: it reads the fragment's data as one.
    start = transport_offset(context.packet)
    data = octets(context.packet)
    found = data.number(context, start + _FLAGS_OFFSET, 1)
    if found is None or len(data.data) < start + _HEADER_SIZE:
        return None
    return found[0] if found[1] & flag else _NOT_STATED


def _tcp_predicate(text: str, flag: int, negated: bool) -> Predicate:
    field = Field("tcp_flags", partial(_flags_seen, flag=flag), _PLAIN_FLAGS.got, steady=False)
    return constrained(text, Constraint(field, Masked(flag, flag), negated))


_NOT_STATED = Unknown(later("the fragment's data, read as if it were a TCP header"), "--set payload_hex=...")
_PLAIN_FLAGS = packet_field(
    "tcp_flags",
    later("TCP flags"),
    lambda flags: " ".join(filter(None, (flags_text(flags), _flag_text(flags)))),
)

EXTENSIONS = (Ecn,)
