"""`-m realm`: the realm of the packet's route (net/netfilter/xt_realm.c).

The fact `realm` is the number of that realm; 0 where the routes have none.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, ClassVar

from iptsim.extensions.base import Match, Option, Predicate, Status, Value, constrained
from iptsim.extensions.constraints import Constraint, Masked, fact_field, named
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.stated import stated_number
from iptsim.extensions.values import MaskedNumber, bare, masked_number
from iptsim.languages import later, say, say_if
from iptsim.packet import Unknown

#: Realms that /etc/iproute2/rt_realms names on every host.
_KNOWN = {"cosmos": MaskedNumber(0)}


def _parse(text: str) -> MaskedNumber | str:
    """Read a number with or without mask, or a name of /etc/iproute2/rt_realms."""
    if text[:1].isdigit():
        return masked_number(text)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", text):
        raise ValueError(f"{text!r} is neither a realm's number nor a name")
    return text


class Realm(Match):
    """The routing realm; every system has the name cosmos, for 0."""

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
        ),
    )

    realm: MaskedNumber | str

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the route's realm."""
        realm, negated = self.realm, bool(self.negated)
        wanted = _KNOWN.get(realm) if isinstance(realm, str) else realm
        if wanted is not None:
            return (constrained(self.save(), Constraint(_REALM, Masked(wanted.value, wanted.mask), negated)),)
        unknown = Unknown(
            later("the number of the realm {wanted}", wanted=realm),
            later("the number in the rule"),
            ("realm", realm),
        )
        field = replace(_REALM, read=lambda context: unknown)
        return (constrained(self.save(), Constraint(field, named(realm), negated)),)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        realm = _KNOWN.get(self.realm, self.realm) if isinstance(self.realm, str) else self.realm
        return f"{self.bang('realm', ' !')} realm {realm}"

    def says(self) -> str:
        """Return the realm in words."""
        return say_if(
            self.negated,
            "whose route is not of realm {realm}",
            "whose route is of realm {realm}",
            realm=self.realm,
        )


def _got(number: Any) -> str:
    return say("the realm of its route is {value}", value="not known" if number is None else number)


_REALM = fact_field(
    "realm",
    Unknown(later("the realm of its route"), "--set realm=N"),
    _got,
    lambda number: stated_number("realm", number),
)

EXTENSIONS = (Realm,)
