"""`-j TEE`: send a copy of the packet to another host (net/netfilter/xt_TEE.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import CONTINUE, Option, Target, Verdict
from iptsim.extensions.checks import demand
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.texts import text_value
from iptsim.extensions.values import ADDRESS, Address, bare
from iptsim.languages import say
from iptsim.packet import Context


class Tee(Target):
    """Send an untracked copy to a gateway by OUTPUT and POSTROUTING; the packet itself goes on."""

    name: ClassVar[str] = "TEE"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--gateway", "gateway", ADDRESS),
        Option("--oif", "oif", text_value("an interface name", 15, bare)),
    )
    changes: ClassVar[bool] = False

    gateway: Address | None = None
    oif: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Tee:
        demand(self, "gateway")
        if self.gateway is not None and self.gateway.address == 0:
            raise ValueError(f"{self.gateway} is not an address that a copy can be sent to")
        return self

    def apply(self, context: Context) -> Verdict:
        """Go on."""
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" TEE gw:{self.gateway}" + (f" oif={self.oif}" if self.oif else "")

    def says(self) -> str:
        """Return the order in words."""
        text = say("send a copy to {gateway}", gateway=self.gateway)
        return text if self.oif is None else say("{text} by {oif}", text=text, oif=self.oif)


EXTENSIONS = (Tee,)
