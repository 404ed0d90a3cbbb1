"""`-j LOG`: write a line to the kernel log (net/netfilter/xt_LOG.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Target
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.texts import text_value
from iptsim.extensions.values import NoSuchWord, integer
from iptsim.languages import Text, message

LEVELS = {
    "panic": 0, "emerg": 0, "alert": 1, "crit": 2, "error": 3,
    "warning": 4, "notice": 5, "info": 6, "debug": 7,
}  # fmt: skip
#: The bit of each flag in a listing.
_BITS = {"log_tcp_sequence": 1, "log_tcp_options": 2, "log_ip_options": 4, "log_uid": 8, "log_macdecode": 32}
_WARNING = LEVELS["warning"]


def parse_level(text: str) -> int:
    """Read a log level: 0 to 7, or its name.

    Raises:
        ValueError: neither.
    """
    if text[:1].isdigit():
        return integer(text, 0, 7)
    if text not in LEVELS:
        raise NoSuchWord(
            message(
                "unknown log level {text!r}; choose from: 0 to 7, {choices}",
                text=text,
                choices=", ".join(LEVELS),
            ),
            text,
            LEVELS,
        )
    return LEVELS[text]


class Log(Target):
    """Write a line to the kernel log and continue."""

    name: ClassVar[str] = "LOG"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--log-prefix", "log_prefix", text_value("a string of up to 29 characters", 29),
            phrase=Phrase('write a log line with the prefix "{value}"'),
        ),
        Option("--log-level", "log_level", Value("a log level, 0 to 7 or a name (debug)", parse_level)),
        Option("--log-tcp-sequence", "log_tcp_sequence"),
        Option("--log-tcp-options", "log_tcp_options"),
        Option("--log-ip-options", "log_ip_options"),
        Option("--log-uid", "log_uid"),
        Option("--log-macdecode", "log_macdecode"),
    )  # fmt: skip
    changes: ClassVar[bool] = False
    alone: ClassVar[Text] = message("write a log line")

    log_prefix: str | None = None
    log_level: int | None = None
    log_tcp_sequence: bool = False
    log_tcp_options: bool = False
    log_ip_options: bool = False
    log_uid: bool = False
    log_macdecode: bool = False

    def save(self) -> str:
        """Return the options as iptables-save prints them: the level "warning" is the default."""
        return " ".join(clause for clause in self.clauses() if clause != f"--log-level {_WARNING}")

    def lists(self, form: ListingForm) -> str:
        flags = sum(bit for field, bit in _BITS.items() if getattr(self, field))
        level = _WARNING if self.log_level is None else self.log_level
        prefix = "" if self.log_prefix is None else f' prefix "{self.log_prefix}"'
        return f" LOG flags {flags} level {level}{prefix}"


EXTENSIONS = (Log,)
