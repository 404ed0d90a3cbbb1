"""`-m set`: membership in an ipset (net/netfilter/xt_set.c)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, NamedTuple

from iptsim.extensions.base import Match, Status
from iptsim.extensions.checks import given
from iptsim.extensions.constraints import Constraint, Field, Several, named, undecided
from iptsim.extensions.context import Context
from iptsim.extensions.options import Option, Value
from iptsim.extensions.predicates import Predicate, combined
from iptsim.extensions.values import bare, integer_value
from iptsim.languages import Text, message, message_if, message_joined
from iptsim.truth import Truth, Unknown

_LONGEST_NAME = 31
_MOST_DIRECTIONS = 6


class SetReference(NamedTuple):
    """An ipset's name, and for each of its dimensions whether the source or the destination counts."""

    name: str
    directions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{bare(self.name)} {','.join(self.directions)}"


def set_reference(name: str, directions: str) -> SetReference:
    """Read a set's name and its comma-separated list of `src` and `dst`.

    Raises:
        ValueError: name too long, or another direction, or too many.
    """
    if not 0 < len(name.encode()) <= _LONGEST_NAME:
        raise ValueError(
            message("a set name must have 1 to {longest_name} characters", longest_name=_LONGEST_NAME)
        )
    # iptables compares only the first three letters
    found = tuple(direction[:3] for direction in directions.split(","))
    if any(direction not in ("src", "dst") for direction in found):
        raise ValueError(
            message("{directions!r} is not a list of src and dst such as src,dst", directions=directions)
        )
    if len(found) > _MOST_DIRECTIONS:
        raise ValueError(message("more than {most_directions} directions", most_directions=_MOST_DIRECTIONS))
    return SetReference(name, found)


SET_REFERENCE = Value("a set's name and its directions (blocklist src, web dst,dst)", set_reference, words=2)
_COUNT = integer_value("a number", 0, 0xFFFFFFFFFFFFFFFF)
_COUNTERS = {
    "packets": ("packets_eq", "packets_lt", "packets_gt"),
    "bytes": ("bytes_eq", "bytes_lt", "bytes_gt"),
}


def _counter(name: str, *, negatable: bool = False) -> Option:
    return Option(f"--{name}", name.replace("-", "_"), _COUNT, negatable, listed=f"[ !] {name} {{value}}")


def _says(reference: SetReference, negated: bool) -> Text:
    words = {"src": message("source"), "dst": message("destination")}
    return message_if(
        negated,
        "whose {sides} is not in ipset {name}",
        "whose {sides} is in ipset {name}",
        sides=message_joined(" and ", dict.fromkeys(words[side] for side in reference.directions)),
        name=reference.name,
    )


class Set(Match):
    """The packet's addresses, ports or similar fields are in an ipset."""

    name: ClassVar[str] = "set"
    status: ClassVar[Status] = "given"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--match-set", "match_set", SET_REFERENCE, True, ("--set",), phrase=_says,
            listed="[ !] match-set {value}",
        ),
        Option("--return-nomatch", "return_nomatch", listed=" return-nomatch"),
        Option("--update-counters", "update_counters", None, True, listed="[ ! update-counters]"),
        Option("--update-subcounters", "update_subcounters", None, True, listed="[ ! update-subcounters]"),
        _counter("packets-eq", negatable=True),
        _counter("packets-lt"),
        _counter("packets-gt"),
        _counter("bytes-eq", negatable=True),
        _counter("bytes-lt"),
        _counter("bytes-gt"),
    )  # fmt: skip

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

    def check(self) -> None:
        for counted, fields in _COUNTERS.items():
            if len(given(self, *fields)) > 1:
                raise ValueError(
                    message(
                        "--{counted}-eq, --{counted}-lt and --{counted}-gt are mutually exclusive",
                        counted=counted,
                    )
                )

    def clauses(self) -> list[str]:
        """Return the options; updating counters is the default and not printed."""
        return [clause for clause in super().clauses() if not clause.startswith("--update-")]

    def predicates(self) -> tuple[Predicate, ...]:
        name, directions = self.match_set
        negated = "match_set" in self.negated
        options = {"return_nomatch": self.return_nomatch}

        def read(context: Context) -> Truth:
            return context.surroundings.set_contains(name, directions, context, options)

        def got(context: Context) -> Text:
            inside = read(context)
            if isinstance(inside, Unknown):
                return message("it depends on {reason}", reason=inside.reason)
            return message_if(inside, "it is in ipset {name}", "it is not in ipset {name}", name=name)

        key = f"ipset {self.match_set}{' return-nomatch' if self.return_nomatch else ''}"
        inside = Constraint(Field(key, read, got), named(True), negated)
        if not given(self, *(field for fields in _COUNTERS.values() for field in fields)):
            return tuple(replace(one, memory=("ipset", name)) for one in self.one(inside))
        # the negation covers the counters as well
        unknown = Unknown(
            message("the counters of the packet's entry in ipset {name}", name=name), "--assume set=yes"
        )
        counted = Several((inside, undecided("ipset.counters", unknown, "")), every=not negated)
        return (replace(combined(self.save(), counted, got, negated=negated), memory=("ipset", name)),)


EXTENSIONS = (Set,)
