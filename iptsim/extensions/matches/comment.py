"""`-m comment`: a remark; it holds for every packet."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate, Value, quote
from iptsim.extensions.listing import ListingForm


def _parse(text: str) -> str:
    if len(text.encode()) > 256:
        raise ValueError("a comment may have at most 256 characters")
    return text


class Comment(Match):
    """A remark of up to 256 characters."""

    name: ClassVar[str] = "comment"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--comment", "comment", Value("a remark of up to 256 characters", _parse, quote)),
    )

    comment: str | None = None

    def predicates(self) -> tuple[Predicate, ...]:
        """Return no condition."""
        return ()

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" /* {self.comment or ''} */"

    def says(self) -> str:
        """Return nothing: a remark restricts no packet."""
        return ""


EXTENSIONS = (Comment,)
