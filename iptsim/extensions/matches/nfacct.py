"""`-m nfacct`: counts the packet in a named accounting object (net/netfilter/xt_nfacct.c).

An object without a quota matches every packet; one with a quota only from the moment it is used up.
"""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import undecided
from iptsim.extensions.options import Option, quote
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.values import bare_value
from iptsim.languages import message
from iptsim.truth import Unknown


class Nfacct(Match):
    """Count the packet in an accounting object that nfacct(8) made."""

    name: ClassVar[str] = "nfacct"
    status: ClassVar[Status] = "unknown"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--nfacct-name", "nfacct_name", bare_value("the name of an accounting object", 31),
            phrase=Phrase("counted in the accounting object {value}"),
            listed=lambda name, _: f" nfacct-name  {quote(name)}",
        ),
    )  # fmt: skip

    nfacct_name: str

    def predicates(self) -> tuple[Predicate, ...]:
        unknown = Unknown(
            message(
                "whether the accounting object {name} has a quota that is not used up", name=self.nfacct_name
            ),
            "--assume nfacct=yes",
            ("nfacct", self.nfacct_name),
        )
        got = message("the state of the accounting object is not in the dump")
        return self.one(undecided(f"nfacct.{self.nfacct_name}", unknown, got))


EXTENSIONS = (Nfacct,)
