"""`-m osf`: the sender's operating system, guessed from its SYN (net/netfilter/xt_osf.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate, Status
from iptsim.extensions.constraints import look
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import bare_value, integer_value
from iptsim.languages import later, say
from iptsim.packet import SYN, TCP, Context, Truth, Unknown


class Osf(Match):
    """The operating system whose fingerprint a SYN bears; any other packet never matches.

    The kernel knows no `!` here: it matches as if it were not there. With `--log`, any system matches
    whose fingerprint is known.
    """

    name: ClassVar[str] = "osf"
    family: ClassVar[int | None] = 4
    status: ClassVar[Status] = "unknown"
    hooks: ClassVar[frozenset[str] | None] = frozenset({"PREROUTING", "INPUT", "FORWARD"})
    protocols: ClassVar[frozenset[int] | None] = frozenset({TCP})
    options: ClassVar[tuple[Option, ...]] = (
        Option("--genre", "genre", bare_value("the name of an operating system (Linux)", 31), True),
        Option("--ttl", "ttl", integer_value("how to compare the TTL: 0, 1 or 2", 0, 2)),
        Option("--log", "log", integer_value("what to log: 0, 1 or 2", 0, 2)),
    )

    genre: str
    ttl: int | None = None
    log: int | None = None

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the one condition; only a SYN can be guessed from."""
        looks_like = self.genre if self.log is None else later("a known system")
        unknown = Unknown(
            later("whether the sender's SYN looks like one of {looks_like}", looks_like=looks_like),
            "--assume osf=yes",
            ("osf", looks_like, self.ttl),
        )

        def test(context: Context) -> Truth:
            return unknown if look(context, "tcp_flags") & SYN else False

        def got(context: Context) -> str:
            syn = context.packet.tcp_flags & SYN
            return say("the fingerprint of its SYN is not known") if syn else say("it is no SYN")

        return (Predicate(self.save(), test, got),)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" OS fingerprint match {self.bang('genre', '! ')}{self.genre}"

    def says(self) -> str:
        """Return the system in words."""
        looks_like = self.genre if self.log is None else say("any known one")
        return say("opening a connection from a system that looks like {looks_like}", looks_like=looks_like)


EXTENSIONS = (Osf,)
