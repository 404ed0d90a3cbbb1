"""`-m helper`: connections that a conntrack helper has announced (net/netfilter/xt_helper.c)."""

from __future__ import annotations

from typing import Any, ClassVar

from iptsim.connection import Connection
from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Allowed, Constraint, Field, Names, Pattern, connection_value
from iptsim.extensions.options import Option, Value, quote
from iptsim.extensions.phrases import Phrase
from iptsim.languages import Text, message
from iptsim.truth import Unknown

#: The kernel keeps 29 characters of the name.
_NAME = Value("a helper's name (ftp, ftp-2121); empty for any", lambda text: text[:29], quote)


def _read(connection: Connection) -> str | Unknown | None:
    if connection.master_helper is None and connection.related:
        return _NOT_KNOWN
    return connection.master_helper


def _got(connection: Connection) -> Text:
    if connection.master_helper:
        return message("helper {name} expected its connection", name=connection.master_helper)
    if connection.related:
        return message("its helper is not known")
    return message("no helper expected its connection")


def _fitting(helper: str) -> Allowed:
    """Return the names of helpers that fit a name; any name fits an empty one.

    The kernel compares as many characters as its helper's name has: ftp fits "ftp-2121" as well.
    """
    if not helper:
        return Pattern("+")
    return Names(frozenset(helper[:length] for length in range(len(helper) + 1)))


def _shown(helper: str) -> Text:
    return message("helper {name}", name=helper) if helper else message("any helper")


_NOT_KNOWN = Unknown(message("the helper of the connection that expected this one"), "--set ct.helper=ftp")


class Helper(Match):
    """The helper of the connection that expected this one, such as FTP's control connection.

    It matches neither the control connection's own packets, nor a helper that the connection has itself.
    """

    name: ClassVar[str] = "helper"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--helper", "helper", _NAME, True, reads=connection_value("master_helper", _read, _got),
            relation=_fitting,
            phrase=Phrase(
                "of a connection that {value} expected", "not of a connection that {value} expected", _shown
            ),
            listed=' helper match [! ]"{raw}"',
        ),
    )  # fmt: skip

    helper: str

    def constraint(self, field: Field, option: Option, value: Any) -> Constraint:
        negated = bool(self.negated)
        return Constraint(field, option.relation(value), negated, absent=negated)


EXTENSIONS = (Helper,)
