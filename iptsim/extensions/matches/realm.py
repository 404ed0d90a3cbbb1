"""`-m realm`: the realm of the packet's route (net/netfilter/xt_realm.c).

The fact `realm` is the number of that realm; 0 where the routes have none.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, ClassVar

from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import Constraint, Field, fact_field, named
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.stated import stated_number
from iptsim.extensions.values import MaskedNumber, bare, masked, masked_number
from iptsim.languages import Text, message
from iptsim.truth import Unknown

#: Realms that /etc/iproute2/rt_realms names on every host.
_KNOWN = {"cosmos": MaskedNumber(0)}


def _parse(text: str) -> MaskedNumber | str:
    """Read a number with or without mask, or a name of /etc/iproute2/rt_realms."""
    if text[:1].isdigit():
        return masked_number(text)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", text):
        raise ValueError(message("{text!r} is neither a realm number nor a realm name", text=text))
    return text


def _got(number: Any) -> Text:
    return message(
        "the realm of its route is {value}", value=message("not known") if number is None else number
    )


_REALM = fact_field(
    "realm",
    Unknown(message("the realm of its route"), "--set realm=N"),
    _got,
    lambda number: stated_number("realm", number),
)


def _listed(realm: MaskedNumber | str, negated: bool) -> str:
    known = _KNOWN.get(realm, realm) if isinstance(realm, str) else realm
    return f"{' !' if negated else ''} realm {known}"


class Realm(Match):
    """The routing realm; every system has the name cosmos for realm 0."""

    name: ClassVar[str] = "realm"
    family: ClassVar[int | None] = 4
    status: ClassVar[Status] = "given"
    hooks: ClassVar[frozenset[str] | None] = frozenset({"INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--realm",
            "realm",
            Value(
                "a realm's number with or without /mask, or its name",
                _parse,
                lambda realm: bare(realm) if isinstance(realm, str) else str(realm),
            ),
            True,
            reads=_REALM,
            phrase=Phrase("whose route is of realm {value}", "whose route is not of realm {value}"),
            listed=_listed,
        ),
    )

    realm: MaskedNumber | str

    def constraint(self, field: Field, option: Option, value: Any) -> Constraint:
        negated = bool(self.negated)
        number = _KNOWN.get(value) if isinstance(value, str) else value
        if number is not None:
            return Constraint(field, masked(number), negated)
        unknown = Unknown(
            message("the number of the realm {name}", name=value),
            message("the number in the rule"),
            ("realm", value),
        )
        return Constraint(replace(field, read=lambda context: unknown), named(value), negated)


EXTENSIONS = (Realm,)
