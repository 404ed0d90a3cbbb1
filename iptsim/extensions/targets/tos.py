"""`-j TOS` and `-j DSCP`: change the TOS byte, in IPv6 the traffic class (net/netfilter/xt_DSCP.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Target
from iptsim.extensions.checks import demand_one
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.tos import DSCP, DSCP_CLASS, TOS, dscp_text
from iptsim.extensions.tos import Tos as TosValue
from iptsim.extensions.values import integer
from iptsim.extensions.verdicts import CONTINUE, Verdict
from iptsim.languages import Text, message

_BITS = Value("an 8-bit number (0x10)", lambda text: integer(text, 0, 0xFF), lambda bits: f"{bits:#04x}")
_TABLES = frozenset({"mangle"})


class Tos(Target):
    """Clear bits of the TOS byte and flip others, the ECN bits included."""

    name: ClassVar[str] = "TOS"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--set-tos", "set_tos", TOS),
        Option("--and-tos", "and_tos", _BITS),
        Option("--or-tos", "or_tos", _BITS),
        Option("--xor-tos", "xor_tos", _BITS),
    )
    tables: ClassVar[frozenset[str] | None] = _TABLES

    set_tos: TosValue | None = None
    and_tos: int | None = None
    or_tos: int | None = None
    xor_tos: int | None = None

    def check(self) -> None:
        demand_one(self, "set_tos", "and_tos", "or_tos", "xor_tos")

    @property
    def change(self) -> TosValue:
        """The bits to flip, and the mask of those to clear first: the form in which iptables stores all options."""
        if self.set_tos is not None:
            return self.set_tos
        if self.and_tos is not None:
            return TosValue(0, ~self.and_tos & 0xFF)
        return (
            TosValue(self.or_tos, self.or_tos) if self.or_tos is not None else TosValue(self.xor_tos or 0, 0)
        )

    def save(self) -> str:
        """Return the change as iptables-save prints all its forms."""
        return f"--set-tos {self.change}"

    def apply(self, context: Context) -> Verdict:
        value, mask = self.change
        context.packet.tos = (context.packet.tos & ~mask & 0xFF) ^ value
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        return f" TOS set {self.change}"

    def says(self) -> Text:
        value, mask = self.change
        if mask in (0xFF, 0x3F):
            return message("set the TOS to {value}", value=self.change.says())
        if mask == 0:
            return message("flip bits {value:#04x} of the TOS", value=value)
        if not value:
            return message("clear bits {mask:#04x} of the TOS", mask=mask)
        return message(
            "clear bits {mask:#04x} of the TOS, then flip bits {value:#04x}", mask=mask, value=value
        )


class Dscp(Target):
    """Set the six upper bits of the TOS byte, and keep the ECN bits."""

    name: ClassVar[str] = "DSCP"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--set-dscp", "set_dscp", DSCP, phrase=Phrase("set the DSCP to {value}", show=dscp_text),
            listed=" DSCP set {value}",
        ),
        Option("--set-dscp-class", "set_dscp", DSCP_CLASS),
    )  # fmt: skip
    tables: ClassVar[frozenset[str] | None] = _TABLES

    set_dscp: int

    def apply(self, context: Context) -> Verdict:
        context.packet.tos = context.packet.tos & 0x03 | self.set_dscp << 2
        return CONTINUE


EXTENSIONS = (Tos, Dscp)
