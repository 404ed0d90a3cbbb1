"""`-m mh`: the type of an IPv6 mobility header (net/ipv6/netfilter/ip6t_mh.c).

Key of :attr:`Packet.extra`: `mh_type`, the header's type as a number.
"""

from __future__ import annotations

from typing import Any, ClassVar

from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import Constraint, Field, between
from iptsim.extensions.context import Context
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.stated import stated_number
from iptsim.extensions.values import in_order, integer, range_text, range_words
from iptsim.languages import Text, message
from iptsim.truth import Unknown

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
    return in_order((_type(first) if first else 0, _type(last) if last else 255), text)


def _read(context: Context) -> int | Unknown | None:
    if context.packet.is_later_fragment:
        return None
    kind = stated_number("mh_type", context.packet.extra.get("mh_type"))
    return _NO_TYPE if kind is None else kind


def _got(context: Context) -> Text:
    if context.packet.is_later_fragment:
        return message("a later fragment carries no mobility header")
    kind = context.packet.extra.get("mh_type", message("not known"))
    return message("its mobility header type is {type}", type=kind)


_NO_TYPE = Unknown(message("the type of its mobility header"), "--set mh_type=N")
#: The type, for a rule that allows every type: only whether the packet has one matters.
_ANY_TYPE = Field("mh_any_type", lambda context: None if context.packet.is_later_fragment else 0, _got)


class Mh(Match):
    """The mobility header's type; a later fragment never matches, with or without `!`."""

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
            reads=Field("mh_type", _read, _got),
            relation=between,
            phrase=Phrase(
                "whose mobility header type is {value}",
                "whose mobility header type is not {value}",
                range_words,
            ),
            listed=" [!]{value}",
        ),
    )
    presence: ClassVar[Field | None] = Field("mh", lambda context: not context.packet.is_later_fragment, _got)
    listed: ClassVar[str] = " mh"
    alone: ClassVar[Text] = message("with a mobility header")

    mh_type: tuple[int, int] | None = None

    def constraint(self, field: Field, option: Option, value: Any) -> Constraint:
        return super().constraint(_ANY_TYPE if value == _ALL_TYPES else field, option, value)


EXTENSIONS = (Mh,)
