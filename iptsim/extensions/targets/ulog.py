"""`-j ULOG`: hand a copy to a logging program (net/ipv4/netfilter/ipt_ULOG.c, until Linux 3.16)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import CONTINUE, Option, Target, Verdict
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.texts import text_value
from iptsim.extensions.values import integer_value
from iptsim.languages import say
from iptsim.packet import Context


class Ulog(Target):
    """Send the packet's beginning to the programs that listen at a netlink group, and go on."""

    name: ClassVar[str] = "ULOG"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--ulog-prefix", "ulog_prefix", text_value("a text of up to 32 characters", 31)),
        Option("--ulog-nlgroup", "ulog_nlgroup", integer_value("a netlink group, 1 to 32", 1, 32)),
        Option("--ulog-cprange", "ulog_cprange", integer_value("how many octets to copy, 0 for all")),
        Option(
            "--ulog-qthreshold",
            "ulog_qthreshold",
            integer_value("how many packets to collect, 1 to 50", 1, 50),
        ),
    )
    family: ClassVar[int | None] = 4
    changes: ClassVar[bool] = False

    ulog_prefix: str | None = None
    ulog_nlgroup: int | None = None
    ulog_cprange: int | None = None
    ulog_qthreshold: int | None = None

    def save(self) -> str:
        """Return the options as iptables-save prints them, without the defaults."""
        defaults = ("--ulog-nlgroup 1", "--ulog-cprange 0", "--ulog-qthreshold 1")
        return " ".join(clause for clause in self.clauses() if clause not in defaults)

    def apply(self, context: Context) -> Verdict:
        """Go on."""
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = f" ULOG copy_range {self.ulog_cprange or 0} nlgroup {self.ulog_nlgroup or 1}"
        text += "" if self.ulog_prefix is None else f' prefix "{self.ulog_prefix}"'
        return f"{text} queue_threshold {self.ulog_qthreshold or 1}"

    def says(self) -> str:
        """Return the order in words."""
        text = say("send a copy to the log group {ulog_nlgroup}", ulog_nlgroup=self.ulog_nlgroup or 1)
        return (
            text
            if self.ulog_prefix is None
            else say('{text} with the prefix "{ulog_prefix}"', text=text, ulog_prefix=self.ulog_prefix)
        )


EXTENSIONS = (Ulog,)
