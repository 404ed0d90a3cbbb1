"""`-m connmark`: the mark of the packet's connection (net/netfilter/xt_connmark.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import connection_value
from iptsim.extensions.options import Option
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import MARK, MaskedNumber, masked
from iptsim.languages import message
from iptsim.partly_known import mark_text

_MARK = connection_value(
    "mark",
    lambda connection: connection.mark,
    lambda connection: message("its connection's mark is {mark}", mark=mark_text(connection.mark)),
)


class Connmark(Match):
    """The connection's mark; without a connection it never matches, with or without `!`."""

    name: ClassVar[str] = "connmark"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--mark", "mark", MARK, True, reads=_MARK, relation=masked,
            phrase=Phrase("whose connection has mark {value}", "whose connection does not have mark {value}"),
            listed=" connmark match [!] {value}",
        ),
    )  # fmt: skip

    mark: MaskedNumber


EXTENSIONS = (Connmark,)
