"""`-m helper`: connections that a conntrack helper has announced (net/netfilter/xt_helper.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, Value, fact_predicate, quote
from iptsim.extensions.checks import demand
from iptsim.extensions.listing import ListingForm
from iptsim.languages import later, say, say_if
from iptsim.packet import Context, Truth, Unknown

#: The kernel keeps 29 characters of the name.
_NAME = Value("a helper's name (ftp, ftp-2121); empty for any", lambda text: text[:29], quote)


class Helper(Match):
    """The helper of the connection that expected this one, such as FTP's control connection.

    The control connection's own packets are not meant, nor is a helper that it has itself.
    """

    name: ClassVar[str] = "helper"
    options: ClassVar[tuple[Option, ...]] = (Option("--helper", "helper", _NAME, True),)

    helper: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Helper:
        demand(self, "helper")
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the helper."""
        return (fact_predicate(self.save(), self._test, _got, negated="helper" in self.negated),)

    def _test(self, context: Context) -> Truth:
        connection = context.connection
        if connection is None:
            return False
        if connection.master_helper is None:
            if connection.related:
                return Unknown(
                    later("the helper of the connection that expected this one"),
                    "--set ct.helper=ftp",
                    ("helper", self.helper),
                )
            return False
        # the kernel compares as many characters as its helper's name has: ftp fits "ftp-2121" as well
        return not self.helper or self.helper.startswith(connection.master_helper)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f' helper match {self.bang("helper", "! ")}"{self.helper}"'

    def says(self) -> str:
        """Return the helper in words."""
        which = say("helper {helper}", helper=self.helper) if self.helper else say("any helper")
        return say_if(
            self.negated,
            "not of a connection that {which} expected",
            "of a connection that {which} expected",
            which=which,
        )


def _got(context: Context) -> str:
    connection = context.connection
    if connection is None:
        return say("it belongs to no tracked connection")
    if connection.master_helper:
        return say("helper {master_helper} expected its connection", master_helper=connection.master_helper)
    return say("its helper is not known") if connection.related else say("no helper expected its connection")


EXTENSIONS = (Helper,)
