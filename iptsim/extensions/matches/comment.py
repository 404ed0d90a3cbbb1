"""`-m comment`: a comment; it matches every packet."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.options import Option, Value, quote
from iptsim.languages import message

#: Bytes that the kernel keeps; iptables cuts off the rest.
_LONGEST = 255


def _parse(text: str) -> str:
    return text.encode("utf-8", "surrogateescape")[:_LONGEST].decode("utf-8", "surrogateescape")


class Comment(Match):
    """A comment of up to 255 bytes."""

    name: ClassVar[str] = "comment"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--comment",
            "comment",
            Value(
                message("a comment of up to {longest} bytes", longest=_LONGEST),
                _parse,
                quote,
                plain="any_text",
            ),
            listed=" /* {raw} */",
        ),
    )

    comment: str


EXTENSIONS = (Comment,)
