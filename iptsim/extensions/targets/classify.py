"""`-j CLASSIFY`: set the class of traffic control (net/netfilter/xt_CLASSIFY.c)."""

from __future__ import annotations

import re
from typing import ClassVar, NamedTuple

from iptsim.extensions.base import Target
from iptsim.extensions.context import LEAVING, Context
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.verdicts import CONTINUE, Verdict
from iptsim.languages import message

_CLASS = re.compile(r"(?:0[xX])?([0-9a-fA-F]+):(?:0[xX])?([0-9a-fA-F]+)")


class ClassId(NamedTuple):
    """A class of traffic control; both numbers have 16 bits."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major:04x}:{self.minor:04x}"


def parse_class(text: str) -> ClassId:
    """Read `major:minor`, both hexadecimal; iptables drops what is over 16 bits.

    Raises:
        ValueError: not two hexadecimal numbers.
    """
    found = _CLASS.fullmatch(text)
    if not found:
        raise ValueError(message("{text!r} is not two hexadecimal numbers such as 1:10", text=text))
    major, minor = (int(number, 16) & 0xFFFF for number in found.groups())
    return ClassId(major, minor)


def _listed(number: ClassId, negated: bool) -> str:
    return f" CLASSIFY set {number.major:x}:{number.minor:x}"


class Classify(Target):
    """Put the packet into a class of traffic control."""

    name: ClassVar[str] = "CLASSIFY"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--set-class", "set_class", Value("major:minor, hexadecimal (1:10)", parse_class),
            phrase=Phrase("put into traffic class {value}"), listed=_listed,
        ),
    )  # fmt: skip
    hooks: ClassVar[frozenset[str] | None] = LEAVING

    set_class: ClassId

    def apply(self, context: Context) -> Verdict:
        context.packet.priority = str(self.set_class)
        return CONTINUE


EXTENSIONS = (Classify,)
