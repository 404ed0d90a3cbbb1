"""`-j SECMARK`: set the packet's security mark (net/netfilter/xt_SECMARK.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import CONTINUE, Option, Target, Verdict
from iptsim.extensions.checks import demand
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.texts import text_value
from iptsim.extensions.values import bare
from iptsim.languages import say
from iptsim.packet import Context


class Secmark(Target):
    """Label the packet with a security context."""

    name: ClassVar[str] = "SECMARK"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--selctx", "selctx", text_value("a security context", 255, bare)),
    )
    tables: ClassVar[frozenset[str] | None] = frozenset({"mangle", "security"})

    selctx: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Secmark:
        demand(self, "selctx")
        return self

    def apply(self, context: Context) -> Verdict:
        """Set the security mark."""
        context.packet.secmark = self.selctx
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" SECMARK selctx {self.selctx}"

    def says(self) -> str:
        """Return the order in words."""
        return say("set the security context to {selctx}", selctx=self.selctx)


EXTENSIONS = (Secmark,)
