"""`-j ECN`: work around hosts that fail with congestion notification (net/ipv4/netfilter/ipt_ECN.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Target
from iptsim.extensions.checks import given
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option
from iptsim.extensions.values import integer_value
from iptsim.extensions.verdicts import CONTINUE, Verdict
from iptsim.languages import Text, message, message_joined
from iptsim.protocols import CWR, ECE, TCP

_BIT = integer_value("0 or 1", 0, 1)


class Ecn(Target):
    """Clear or set the ECN bits of the TCP or IP header."""

    name: ClassVar[str] = "ECN"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--ecn-tcp-remove", "ecn_tcp_remove"),
        # three more that iptables accepts without naming them in its help
        Option("--ecn-tcp-ece", "ecn_tcp_ece", _BIT),
        Option("--ecn-tcp-cwr", "ecn_tcp_cwr", _BIT),
        Option("--ecn-ip-ect", "ecn_ip_ect", integer_value("a 2-bit number", 0, 3)),
    )
    family: ClassVar[int | None] = 4
    tables: ClassVar[frozenset[str] | None] = frozenset({"mangle"})

    ecn_tcp_remove: bool = False
    ecn_tcp_ece: int | None = None
    ecn_tcp_cwr: int | None = None
    ecn_ip_ect: int | None = None

    def check(self) -> None:
        tcp = given(self, "ecn_tcp_ece", "ecn_tcp_cwr")
        if self.ecn_tcp_remove and tcp:
            raise ValueError(
                message("--ecn-tcp-remove can't be combined with --ecn-tcp-ece or --ecn-tcp-cwr")
            )
        if not (self.ecn_tcp_remove or tcp or self.ecn_ip_ect is not None):
            raise ValueError(message("ECN needs an operation: --ecn-tcp-remove"))

    @property
    def _bits(self) -> tuple[int | None, int | None]:
        """What ECE and CWR are set to; None to keep."""
        return (0, 0) if self.ecn_tcp_remove else (self.ecn_tcp_ece, self.ecn_tcp_cwr)

    def allowed_protocols(self) -> frozenset[int] | None:
        """Return TCP where the TCP header is changed."""
        return None if self._bits == (None, None) else frozenset({TCP})

    def save(self) -> str:
        """Return the operation as iptables-save prints it."""
        ece, cwr = self._bits
        if (ece, cwr, self.ecn_ip_ect) == (0, 0, None):
            return "--ecn-tcp-remove"
        words = (("--ecn-tcp-ece", ece), ("--ecn-tcp-cwr", cwr), ("--ecn-ip-ect", self.ecn_ip_ect))
        return " ".join(f"{flag} {value}" for flag, value in words if value is not None)

    def apply(self, context: Context) -> Verdict:
        packet = context.packet
        if self.ecn_ip_ect is not None:
            packet.tos = packet.tos & ~3 | self.ecn_ip_ect
        if packet.proto == TCP:
            for flag, value in zip((ECE, CWR), self._bits, strict=True):
                if value is not None:
                    packet.tcp_flags = packet.tcp_flags | flag if value else packet.tcp_flags & ~flag
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        ece, cwr = self._bits
        if (ece, cwr, self.ecn_ip_ect) == (0, 0, None):
            return " ECN TCP remove"
        words = ((" ECE=", ece), (" CWR=", cwr), (" ECT codepoint=", self.ecn_ip_ect))
        return " ECN" + "".join(f"{word}{value}" for word, value in words if value is not None)

    def says(self) -> Text:
        if self.save() == "--ecn-tcp-remove":
            return message("clear the ECN bits of the TCP header")
        ece, cwr = self._bits
        named = (
            (message("the TCP flag ECE"), ece),
            (message("the TCP flag CWR"), cwr),
            (message("the ECN bits of the IP header"), self.ecn_ip_ect),
        )
        set_to = [
            message("{name} to {value}", name=name, value=value) for name, value in named if value is not None
        ]
        return message("set {fields}", fields=message_joined(" and ", set_to))


EXTENSIONS = (Ecn,)
