"""`-j TCPOPTSTRIP`: blank out TCP options (net/netfilter/xt_TCPOPTSTRIP.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Target
from iptsim.extensions.constraints import look
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import integer
from iptsim.extensions.verdicts import CONTINUE, Verdict
from iptsim.languages import Message, Text, message, message_joined
from iptsim.protocols import TCP

OPTION_NAMES = {"mss": 2, "wscale": 3, "sack-permitted": 4, "sack": 5, "timestamp": 8, "md5": 19}
_NOP = 1


def parse_options(text: str) -> tuple[int, ...]:
    """Read a comma-separated list of TCP options, by number or name.

    Raises:
        ValueError: an unknown name, a number that is not an option, or a repeated option.
    """
    numbers = [
        OPTION_NAMES[word] if word in OPTION_NAMES else integer(word, 2, 255) for word in text.split(",")
    ]
    if len(set(numbers)) < len(numbers):
        raise ValueError(message("{text} names an option twice", text=text))
    return tuple(sorted(numbers))


def _format(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))


def _names(numbers: tuple[int, ...]) -> Message:
    names = {number: name for name, number in OPTION_NAMES.items()}
    return message_joined(", ", (names.get(number, str(number)) for number in numbers))


class Tcpoptstrip(Target):
    """Overwrite TCP options with NOPs."""

    name: ClassVar[str] = "TCPOPTSTRIP"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--strip-options", "strip_options", Value("TCP options (mss,wscale,19)", parse_options, _format),
            phrase=Phrase("strip the TCP options {value}", show=_names),
        ),
    )  # fmt: skip
    alone: ClassVar[Text] = message("strip no TCP option")
    tables: ClassVar[frozenset[str] | None] = frozenset({"mangle"})
    protocols: ClassVar[frozenset[int] | None] = frozenset({TCP})

    strip_options: tuple[int, ...] | None = None

    def apply(self, context: Context) -> Verdict:
        packet = context.packet
        if not packet.is_later_fragment:
            present = look(context, "tcp_options")
            stripped = set(present).intersection(self.strip_options or ())
            if stripped:
                packet.tcp_options = {kind: data for kind, data in present.items() if kind not in stripped}
                packet.tcp_options[_NOP] = b""
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        if not self.strip_options and form.since(1, 8, 9):
            return ""
        return f" TCPOPTSTRIP options {_format(self.strip_options or ())}"


EXTENSIONS = (Tcpoptstrip,)
