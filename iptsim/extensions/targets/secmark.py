"""`-j SECMARK` and `-j CONNSECMARK`: set the packet's security mark, or copy it to or from the connection.

Sources: net/netfilter/xt_SECMARK.c, xt_CONNSECMARK.c.
"""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Target
from iptsim.extensions.checks import demand_one
from iptsim.extensions.context import Context
from iptsim.extensions.options import Option
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.texts import text_value
from iptsim.extensions.values import bare
from iptsim.extensions.verdicts import CONTINUE, Verdict

_TABLES = frozenset({"mangle", "security"})


class Secmark(Target):
    """Label the packet with a security context."""

    name: ClassVar[str] = "SECMARK"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--selctx", "selctx", text_value("a security context", 255, bare),
            phrase=Phrase("set the security context to {value}"), listed=" SECMARK selctx {raw}",
        ),
    )  # fmt: skip
    tables: ClassVar[frozenset[str] | None] = _TABLES

    selctx: str

    def apply(self, context: Context) -> Verdict:
        context.packet.secmark = self.selctx
        return CONTINUE


class Connsecmark(Target):
    """Copy the security mark from the packet to the connection or back, unless the other side already has one."""

    name: ClassVar[str] = "CONNSECMARK"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--save", "save_", constant=True, listed=" CONNSECMARK save",
            phrase=Phrase("copy the security mark to the connection if that has none"),
        ),
        Option(
            "--restore", "restore", listed=" CONNSECMARK restore",
            phrase=Phrase("copy the connection's security mark to the packet if that has none"),
        ),
    )  # fmt: skip
    tables: ClassVar[frozenset[str] | None] = _TABLES

    #: `--save`; the name without the underscore is the method that prints
    save_: bool = False
    restore: bool = False

    def check(self) -> None:
        demand_one(self, "save_", "restore")

    def apply(self, context: Context) -> Verdict:
        connection, packet = context.connection, context.packet
        if connection is not None:
            if self.save_:
                connection.secmark = connection.secmark or packet.secmark
            else:
                packet.secmark = packet.secmark or connection.secmark
        return CONTINUE


EXTENSIONS = (Secmark, Connsecmark)
