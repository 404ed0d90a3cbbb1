"""`-m rpfilter`: the route back to the packet's source (net/ipv4/netfilter/ipt_rpfilter.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Constraint, Field, named
from iptsim.extensions.context import Context
from iptsim.extensions.options import Option
from iptsim.extensions.predicates import Predicate, constrained
from iptsim.languages import Text, message, message_if
from iptsim.truth import Truth, Unknown


class Rpfilter(Match):
    """The reverse path test."""

    name: ClassVar[str] = "rpfilter"
    tables: ClassVar[frozenset[str] | None] = frozenset({"raw", "mangle"})
    hooks: ClassVar[frozenset[str] | None] = frozenset({"PREROUTING"})
    options: ClassVar[tuple[Option, ...]] = (
        Option("--loose", "loose", listed=" loose"),
        Option("--validmark", "validmark", listed=" validmark"),
        Option("--accept-local", "accept_local", listed=" accept-local"),
        Option("--invert", "invert", listed=" invert"),
    )
    listed: ClassVar[str] = " rpfilter"

    loose: bool = False
    validmark: bool = False
    accept_local: bool = False
    invert: bool = False

    def predicates(self) -> tuple[Predicate, ...]:
        how = {"loose": self.loose, "validmark": self.validmark, "accept_local": self.accept_local}

        def read(context: Context) -> Truth:
            return context.surroundings.reverse_path(context, **how)

        def got(context: Context) -> Text:
            good = read(context)
            if isinstance(good, Unknown):
                return message("the route back to its source is not known")
            return message_if(
                good,
                "the route back to its source fits {interface}",
                "the route back to its source does not fit {interface}",
                interface=str(context.in_interface),
            )

        key = ".".join(["reverse_path", *(name for name, on in how.items() if on)])
        constraint = Constraint(Field(key, read, got), named(True), self.invert)
        return (constrained(f"-m rpfilter {self.save()}".strip(), constraint),)

    def says(self) -> Text:
        return message_if(
            self.invert,
            "whose source is not reached by {way}",
            "whose source is reached by {way}",
            way=message("some interface") if self.loose else message("the incoming interface"),
        )


EXTENSIONS = (Rpfilter,)
