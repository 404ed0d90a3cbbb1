"""`-j AUDIT`: write an audit record (net/netfilter/xt_AUDIT.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import CONTINUE, Option, Target, Verdict
from iptsim.extensions.checks import demand
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import choice
from iptsim.languages import say
from iptsim.packet import Context


class Audit(Target):
    """Write a record of the packet to the audit log."""

    name: ClassVar[str] = "AUDIT"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--type", "type", choice("accept, drop or reject", ("accept", "drop", "reject"))),
    )
    changes: ClassVar[bool] = False

    type: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Audit:
        demand(self, "type")
        return self

    def apply(self, context: Context) -> Verdict:
        """Go on."""
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" AUDIT {self.type}"

    def says(self) -> str:
        """Return the order in words."""
        return say("write an audit record of the type {type}", type=self.type)


EXTENSIONS = (Audit,)
