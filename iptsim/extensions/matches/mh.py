"""`-m mh`: the type of an IPv6 mobility header (net/ipv6/netfilter/ip6t_mh.c).

Key of :attr:`Packet.extra`: `mh_type`, the header's type as a number.
"""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate, Status, Value
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.stated import stated_number
from iptsim.extensions.values import integer, range_text, range_words
from iptsim.languages import later, say, say_if
from iptsim.packet import Context, Truth, Unknown

_ALL_TYPES = (0, 255)
#: Names of the types with their short forms, by number.
_NAMES = (
    ("binding-refresh-request", "brr"), ("home-test-init", "hoti"), ("careof-test-init", "coti"),
    ("home-test", "hot"), ("careof-test", "cot"), ("binding-update", "bu"),
    ("binding-acknowledgement", "ba"), ("binding-error", "be"),
)  # fmt: skip


def _type(text: str) -> int:
    """Read a type: a whole name, the beginning of one (the last that fits counts), or a number."""
    found = None
    for number, names in enumerate(_NAMES):
        for name in names:
            if name.startswith(text.lower()) and (found is None or name == text.lower()):
                found = number
    return integer(text, 0, 255) if found is None else found


def _types(text: str) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    if not colon:
        return (number := _type(first)), number
    low, high = _type(first) if first else 0, _type(last) if last else 255
    if low > high:
        raise ValueError(f"the range {text} ends before it starts")
    return low, high


class Mh(Match):
    """The mobility header's type; a later fragment never matches, `!` or not."""

    name: ClassVar[str] = "mh"
    family: ClassVar[int | None] = 6
    status: ClassVar[Status] = "given"
    protocols: ClassVar[frozenset[int] | None] = frozenset({135})
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--mh-type",
            "mh_type",
            Value("a mobility header type or a range of them (5, binding-update, 1:3)", _types, range_text),
            True,
            idle=_ALL_TYPES,
        ),
    )

    mh_type: tuple[int, int] | None = None

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the type; without an option, that the header is there to be read."""
        (low, high), negated = self.mh_type or _ALL_TYPES, bool(self.negated)
        unknown = Unknown(later("the type of its mobility header"), "--set mh_type=N", ("mh_type", low, high))

        def test(context: Context) -> Truth:
            if context.packet.fragment in ("middle", "last"):
                return False
            if (low, high) == _ALL_TYPES:
                return not negated
            kind = stated_number("mh_type", context.packet.extra.get("mh_type"))
            return unknown if kind is None else (low <= kind <= high) is not negated

        def got(context: Context) -> str:
            if context.packet.fragment in ("middle", "last"):
                return say("a later fragment carries no mobility header")
            return say(
                "its mobility header type is {get}", get=context.packet.extra.get("mh_type", "not known")
            )

        return (Predicate(self.save() or "-m mh", test, got, negated=negated),)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        if self.mh_type is None:
            return " mh"
        return f" mh {self.bang('mh_type')}{range_text(self.mh_type)}"

    def says(self) -> str:
        """Return the types in words."""
        if self.mh_type is None:
            return say("with a mobility header")
        return say_if(
            self.negated,
            "whose mobility header type is not {mh_type}",
            "whose mobility header type is {mh_type}",
            mh_type=range_words(self.mh_type),
        )


EXTENSIONS = (Mh,)
