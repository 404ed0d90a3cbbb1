"""`-m osf`: the sender's operating system, guessed from its SYN (net/netfilter/xt_osf.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import Constraint, Field, look, named
from iptsim.extensions.context import ARRIVING, Context
from iptsim.extensions.options import Option
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.values import bare_value, integer_value
from iptsim.languages import Text, message
from iptsim.protocols import SYN, TCP
from iptsim.truth import Unknown


class Osf(Match):
    """The operating system whose fingerprint a SYN has; other packets never match.

    The kernel ignores a `!` here. With `--log`, any system matches
    whose fingerprint is known.
    """

    name: ClassVar[str] = "osf"
    family: ClassVar[int | None] = 4
    status: ClassVar[Status] = "unknown"
    hooks: ClassVar[frozenset[str] | None] = ARRIVING
    protocols: ClassVar[frozenset[int] | None] = frozenset({TCP})
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--genre", "genre", bare_value("the name of an operating system (Linux)", 31), True,
            listed=" OS fingerprint match [! ]{raw}",
        ),
        Option("--ttl", "ttl", integer_value("how to compare the TTL: 0, 1 or 2", 0, 2)),
        Option("--log", "log", integer_value("what to log: 0, 1 or 2", 0, 2)),
    )  # fmt: skip

    genre: str
    ttl: int | None = None
    log: int | None = None

    def predicates(self) -> tuple[Predicate, ...]:
        system = self.genre if self.log is None else message("a known system")
        unknown = Unknown(
            message("whether the sender's SYN looks like one of {system}", system=system), "--assume osf=yes"
        )

        def read(context: Context) -> Unknown | None:
            return unknown if look(context, "tcp_flags") & SYN else None

        return self.one(Constraint(Field("osf", read, _got), named((system, self.ttl))))

    def says(self) -> Text:
        system = self.genre if self.log is None else message("any known one")
        return message("opening a connection from a system that looks like {system}", system=system)


def _got(context: Context) -> Text:
    if context.packet.tcp_flags & SYN:
        return message("the fingerprint of its SYN is not known")
    return message("it is not a SYN")


EXTENSIONS = (Osf,)
