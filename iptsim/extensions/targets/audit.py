"""`-j AUDIT`: write an audit record (net/netfilter/xt_AUDIT.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Target
from iptsim.extensions.options import Option
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import choice


class Audit(Target):
    """Write a record of the packet to the audit log."""

    name: ClassVar[str] = "AUDIT"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--type", "type", choice("accept, drop or reject", ("accept", "drop", "reject")),
            phrase=Phrase("write an audit record of the type {value}"), listed=" AUDIT {value}",
        ),
    )  # fmt: skip
    changes: ClassVar[bool] = False

    type: str


EXTENSIONS = (Audit,)
