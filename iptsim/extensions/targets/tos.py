"""`-j TOS`: change the TOS octet, in IPv6 the traffic class (net/netfilter/xt_DSCP.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import CONTINUE, Option, Target, Value, Verdict
from iptsim.extensions.checks import demand_one
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.tos import TOS, Tos
from iptsim.extensions.values import integer
from iptsim.languages import say
from iptsim.packet import Context

_BITS = Value("a number of 8 bits (0x10)", lambda text: integer(text, 0, 0xFF), lambda bits: f"{bits:#04x}")


class TosTarget(Target):
    """Clear bits of the TOS octet and flip others, the ECN bits included."""

    name: ClassVar[str] = "TOS"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--set-tos", "set_tos", TOS),
        Option("--and-tos", "and_tos", _BITS),
        Option("--or-tos", "or_tos", _BITS),
        Option("--xor-tos", "xor_tos", _BITS),
    )
    tables: ClassVar[frozenset[str] | None] = frozenset({"mangle"})

    set_tos: Tos | None = None
    and_tos: int | None = None
    or_tos: int | None = None
    xor_tos: int | None = None

    @model_validator(mode="after")
    def _one_form(self) -> TosTarget:
        demand_one(self, "set_tos", "and_tos", "or_tos", "xor_tos")
        return self

    @property
    def change(self) -> Tos:
        """The bits to flip, and the mask of those to clear before, as iptables stores all forms."""
        if self.set_tos is not None:
            return Tos(self.set_tos.value, self.set_tos.mask)
        if self.and_tos is not None:
            return Tos(0, ~self.and_tos & 0xFF)
        return Tos(self.or_tos, self.or_tos) if self.or_tos is not None else Tos(self.xor_tos or 0, 0)

    def save(self) -> str:
        """Return the change as iptables-save prints all its forms."""
        return f"--set-tos {self.change}"

    def apply(self, context: Context) -> Verdict:
        """Change the octet."""
        value, mask = self.change
        context.packet.tos = (context.packet.tos & ~mask & 0xFF) ^ value
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" TOS set {self.change}"

    def says(self) -> str:
        """Return the order in words."""
        value, mask = self.change
        if mask in (0xFF, 0x3F):
            return say("set the TOS to {change}", change=self.change.says())
        if mask == 0:
            return say("flip bits {value:#04x} of the TOS", value=value)
        return (
            say("clear bits {mask:#04x} of the TOS, then flip bits {value:#04x}", mask=mask, value=value)
            if value
            else (say("clear bits {mask:#04x} of the TOS", mask=mask))
        )


EXTENSIONS = (TosTarget,)
