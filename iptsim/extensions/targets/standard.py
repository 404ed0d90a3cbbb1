"""The targets that are verdicts by themselves: ACCEPT, DROP, RETURN, QUEUE."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Insists, Status, Target, Verdict
from iptsim.extensions.listing import ListingForm
from iptsim.languages import say
from iptsim.packet import Context


class Accept(Target):
    """Let the packet through this chain's hook and table."""

    name: ClassVar[str] = "ACCEPT"
    changes: ClassVar[bool] = False
    terminal: ClassVar[bool] = True

    def apply(self, context: Context) -> Verdict:
        """Accept."""
        return Verdict("ACCEPT")

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return ""

    def says(self) -> str:
        """Return the order in words."""
        return say("accept")


class Drop(Target):
    """Drop the packet without an answer."""

    name: ClassVar[str] = "DROP"
    #: iptables refuses it in table nat, which is not for filtering
    tables: ClassVar[frozenset[str] | None] = frozenset({"filter", "mangle", "raw", "security"})
    insists: ClassVar[Insists] = "tables"
    changes: ClassVar[bool] = False
    terminal: ClassVar[bool] = True

    def apply(self, context: Context) -> Verdict:
        """Drop."""
        return Verdict("DROP")

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return ""

    def says(self) -> str:
        """Return the order in words."""
        return say("drop")


class Return(Target):
    """Leave the chain: go on after the rule that jumped here, or with the policy."""

    name: ClassVar[str] = "RETURN"
    changes: ClassVar[bool] = False
    terminal: ClassVar[bool] = True

    def apply(self, context: Context) -> Verdict:
        """Return."""
        return Verdict("RETURN")

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return ""

    def says(self) -> str:
        """Return the order in words."""
        return say("go back to the calling chain")


class Queue(Target):
    """Hand the packet to a program that reads queue 0."""

    name: ClassVar[str] = "QUEUE"
    status: ClassVar[Status] = "given"
    changes: ClassVar[bool] = False
    terminal: ClassVar[bool] = True

    def apply(self, context: Context) -> Verdict:
        """Queue."""
        return Verdict("QUEUE", detail=say("queue 0"))

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return ""

    def says(self) -> str:
        """Return the order in words."""
        return say("hand to the program that reads queue 0")


EXTENSIONS = (Accept, Drop, Return, Queue)
