"""`-j CONNSECMARK`: copy the security mark to or from the connection (net/netfilter/xt_CONNSECMARK.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import CONTINUE, Option, Target, Verdict
from iptsim.extensions.checks import demand_one
from iptsim.extensions.listing import ListingForm
from iptsim.languages import say
from iptsim.packet import Context


class Connsecmark(Target):
    """Copy the security mark between packet and connection, unless the other has one."""

    name: ClassVar[str] = "CONNSECMARK"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--save", "save_", constant=True),
        Option("--restore", "restore"),
    )
    tables: ClassVar[frozenset[str] | None] = frozenset({"mangle", "security"})

    #: `--save`; the name without the underscore is the method that prints
    save_: bool = False
    restore: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> Connsecmark:
        demand_one(self, "save_", "restore")
        return self

    def apply(self, context: Context) -> Verdict:
        """Copy the mark."""
        connection, packet = context.connection, context.packet
        if connection is not None:
            if self.save_:
                connection.secmark = connection.secmark or packet.secmark
            else:
                packet.secmark = packet.secmark or connection.secmark
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" CONNSECMARK {'save' if self.save_ else 'restore'}"

    def says(self) -> str:
        """Return the order in words."""
        if self.save_:
            return say("copy the security mark to the connection if that has none")
        return say("copy the connection's security mark to the packet if that has none")


EXTENSIONS = (Connsecmark,)
