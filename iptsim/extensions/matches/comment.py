"""`-m comment`: a remark; it holds for every packet."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate, Value, quote
from iptsim.extensions.listing import ListingForm

#: Octets that the kernel keeps; iptables cuts off the rest.
_LONGEST = 255


def _parse(text: str) -> str:
    return text.encode("utf-8", "surrogateescape")[:_LONGEST].decode("utf-8", "surrogateescape")


class Comment(Match):
    """A remark of up to 255 octets."""

    name: ClassVar[str] = "comment"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--comment",
            "comment",
            Value(f"a remark of up to {_LONGEST} octets", _parse, quote, plain="any_text"),
        ),
    )

    comment: str

    def predicates(self) -> tuple[Predicate, ...]:
        """Return no condition."""
        return ()

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" /* {self.comment} */"

    def says(self) -> str:
        """Return nothing: a remark restricts no packet."""
        return ""


EXTENSIONS = (Comment,)
