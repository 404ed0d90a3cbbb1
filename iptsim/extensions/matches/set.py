"""`-m set`: membership in an ipset (net/netfilter/xt_set.c)."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, Status, Value, fact_predicate
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import bare, integer_value
from iptsim.languages import joined, later, say, say_if, told
from iptsim.packet import Context, Truth, Unknown

_LONGEST_NAME = 31
_MOST_DIRECTIONS = 6


class SetReference(NamedTuple):
    """An ipset's name, and for each of its dimensions whether the source or the destination counts."""

    name: str
    directions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{bare(self.name)} {','.join(self.directions)}"


def set_reference(name: str, directions: str) -> SetReference:
    """Read a set's name and its comma list of `src` and `dst`.

    Raises:
        ValueError: name too long, or another direction, or too many.
    """
    if not 0 < len(name.encode()) <= _LONGEST_NAME:
        raise ValueError(f"the name of a set has 1 to {_LONGEST_NAME} characters")
    # iptables looks at the first three letters alone.
    found = tuple(direction[:3] for direction in directions.split(","))
    if any(direction not in ("src", "dst") for direction in found):
        raise ValueError(f"{directions!r} is not a comma list of src and dst")
    if len(found) > _MOST_DIRECTIONS:
        raise ValueError(f"more than {_MOST_DIRECTIONS} directions")
    return SetReference(name, found)


SET_REFERENCE = Value("a set's name and its directions (blocklist src, web dst,dst)", set_reference, words=2)
_COUNT = integer_value("a number", 0, 0xFFFFFFFFFFFFFFFF)
_COUNTERS = {
    "packets": ("packets_eq", "packets_lt", "packets_gt"),
    "bytes": ("bytes_eq", "bytes_lt", "bytes_gt"),
}


class Set(Match):
    """Addresses, ports and the like of the packet are in an ipset."""

    name: ClassVar[str] = "set"
    status: ClassVar[Status] = "given"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--match-set", "match_set", SET_REFERENCE, True, ("--set",)),
        Option("--return-nomatch", "return_nomatch"),
        Option("--update-counters", "update_counters", None, True),
        Option("--update-subcounters", "update_subcounters", None, True),
        Option("--packets-eq", "packets_eq", _COUNT, True),
        Option("--packets-lt", "packets_lt", _COUNT),
        Option("--packets-gt", "packets_gt", _COUNT),
        Option("--bytes-eq", "bytes_eq", _COUNT, True),
        Option("--bytes-lt", "bytes_lt", _COUNT),
        Option("--bytes-gt", "bytes_gt", _COUNT),
    )

    match_set: SetReference
    return_nomatch: bool = False
    update_counters: bool = False
    update_subcounters: bool = False
    packets_eq: int | None = None
    packets_lt: int | None = None
    packets_gt: int | None = None
    bytes_eq: int | None = None
    bytes_lt: int | None = None
    bytes_gt: int | None = None

    @model_validator(mode="after")
    def _check(self) -> Set:
        for counted, fields in _COUNTERS.items():
            if len([field for field in fields if getattr(self, field) is not None]) > 1:
                raise ValueError(
                    f"only one of --{counted}-eq, --{counted}-lt and --{counted}-gt may be given"
                )
        return self

    def clauses(self) -> list[str]:
        """Return the options; updating counters is the default and not printed."""
        return [clause for clause in super().clauses() if not clause.startswith("--update-")]

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the set; its negation covers the counters as well."""
        name, directions = self.match_set
        counted = any(getattr(self, field) is not None for fields in _COUNTERS.values() for field in fields)

        def test(context: Context) -> Truth:
            options = {"return_nomatch": self.return_nomatch}
            inside = context.surroundings.set_contains(name, directions, context, options)
            if counted and inside is not False:
                return Unknown(
                    later("the counters of the packet's entry in ipset {name}", name=name), "--assume set=yes"
                )
            return inside

        def got(context: Context) -> str:
            inside = context.surroundings.set_contains(
                name, directions, context, {"return_nomatch": self.return_nomatch}
            )
            if isinstance(inside, Unknown):
                return say("it depends on {reason}", reason=told(inside.reason))
            return say_if(inside, "it is in ipset {name}", "it is not in ipset {name}", name=name)

        return (fact_predicate(self.save(), test, got, negated="match_set" in self.negated),)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = f"{self.bang('match_set', ' !')} match-set {self.match_set}"
        text += " return-nomatch" if self.return_nomatch else ""
        for field in ("update_counters", "update_subcounters"):
            text += f" ! {field.replace('_', '-')}" if field in self.negated else ""
        for option in self.options:
            value = getattr(self, option.field)
            if option.value is _COUNT and value is not None:
                text += f"{self.bang(option.field, ' !')} {option.flag.removeprefix('--')} {value}"
        return text

    def says(self) -> str:
        """Return the membership in words."""
        words = {"src": say("source"), "dst": say("destination")}
        sides = joined(" and ", dict.fromkeys(words[side] for side in self.match_set.directions))
        return say_if(
            "match_set" in self.negated,
            "whose {sides} is not in ipset {name}",
            "whose {sides} is in ipset {name}",
            sides=sides,
            name=self.match_set.name,
        )


EXTENSIONS = (Set,)
