"""`-j NFLOG` and `-j ULOG`: hand a copy of the packet to a logging program.

Sources: net/netfilter/xt_NFLOG.c; net/ipv4/netfilter/ipt_ULOG.c, until Linux 3.16.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from iptsim.extensions.base import Target
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, quote
from iptsim.extensions.texts import text_value
from iptsim.extensions.values import integer_value
from iptsim.languages import Text, message

#: Bytes of a prefix: what iptables-nft keeps, and what the xtables structure of the legacy backend holds.
_LONGEST, _LONGEST_LEGACY = 127, 63


def _says_copy(group: int, prefix: str | None) -> Text:
    if prefix is None:
        return message("send a copy to the log group {group}", group=group)
    return message(
        'send a copy to the log group {group} with the prefix "{prefix}"', group=group, prefix=prefix
    )


class Nflog(Target):
    """Send the beginning of the packet to the programs that listen on a netlink group, and continue."""

    name: ClassVar[str] = "NFLOG"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--nflog-prefix", "nflog_prefix", text_value("a string of up to 64 characters", _LONGEST)),
        Option("--nflog-group", "nflog_group", integer_value("a netlink group, 0 to 65535", 0, 0xFFFF)),
        Option("--nflog-range", "nflog_range", integer_value("how many bytes to copy")),
        Option("--nflog-size", "nflog_size", integer_value("how many bytes to copy")),
        Option(
            "--nflog-threshold", "nflog_threshold", integer_value("how many packets to collect", 0, 0xFFFF)
        ),
    )
    changes: ClassVar[bool] = False

    nflog_prefix: str | None = None
    nflog_group: int | None = None
    #: has never had an effect
    nflog_range: int | None = None
    nflog_size: int | None = None
    nflog_threshold: int | None = None

    def check(self) -> None:
        if self.nflog_range is not None and self.nflog_size is not None:
            raise ValueError(message("--nflog-range and --nflog-size are mutually exclusive"))

    def kept_by(self, form: ListingForm) -> Nflog:
        """Return it as the backend keeps it: legacy half of the prefix, nf_tables since 1.8.8 no range."""
        prefix = self.nflog_prefix
        if form.backend == "legacy" and prefix is not None:
            data = prefix.encode("utf-8", "surrogateescape")[:_LONGEST_LEGACY]
            return replace(self, nflog_prefix=data.decode("utf-8", "surrogateescape"))
        if form.backend == "nf_tables" and form.since(1, 8, 8):
            return replace(self, nflog_range=None)
        return self

    def save(self) -> str:
        """Return the options as iptables-save prints them: zeros are defaults, except for the size."""
        defaults = ("--nflog-group 0", "--nflog-range 0", "--nflog-threshold 0")
        return " ".join(clause for clause in self.clauses() if clause not in defaults)

    def lists(self, form: ListingForm) -> str:
        text = ""
        if self.nflog_prefix is not None:
            text = f" nflog-prefix {'' if form.since(1, 8, 8) else ' '}{quote(self.nflog_prefix)}"
        text += f" nflog-group {self.nflog_group}" if self.nflog_group else ""
        if self.nflog_size is not None:
            text += f" nflog-size {self.nflog_size}"
        text += f" nflog-range {self.nflog_range}" if self.nflog_range else ""
        return text + (f" nflog-threshold {self.nflog_threshold}" if self.nflog_threshold else "")

    def says(self) -> Text:
        return _says_copy(self.nflog_group or 0, self.nflog_prefix)


class Ulog(Target):
    """Send the beginning of the packet to the programs that listen on a netlink group, and continue."""

    name: ClassVar[str] = "ULOG"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--ulog-prefix", "ulog_prefix", text_value("a string of up to 32 characters", 31)),
        Option("--ulog-nlgroup", "ulog_nlgroup", integer_value("a netlink group, 1 to 32", 1, 32)),
        Option("--ulog-cprange", "ulog_cprange", integer_value("how many bytes to copy, 0 for all")),
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

    def lists(self, form: ListingForm) -> str:
        text = f" ULOG copy_range {self.ulog_cprange or 0} nlgroup {self.ulog_nlgroup or 1}"
        text += "" if self.ulog_prefix is None else f' prefix "{self.ulog_prefix}"'
        return f"{text} queue_threshold {self.ulog_qthreshold or 1}"

    def says(self) -> Text:
        return _says_copy(self.ulog_nlgroup or 1, self.ulog_prefix)


EXTENSIONS = (Nflog, Ulog)
