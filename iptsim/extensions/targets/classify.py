"""`-j CLASSIFY`: set the class of traffic control (net/netfilter/xt_CLASSIFY.c)."""

from __future__ import annotations

import re
from typing import ClassVar, NamedTuple

from pydantic import model_validator

from iptsim.extensions.base import CONTINUE, Option, Target, Value, Verdict
from iptsim.extensions.checks import demand
from iptsim.extensions.listing import ListingForm
from iptsim.languages import say
from iptsim.packet import Context

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
        raise ValueError(f"{text!r} is not two hexadecimal numbers such as 1:10")
    major, minor = (int(number, 16) & 0xFFFF for number in found.groups())
    return ClassId(major, minor)


class Classify(Target):
    """Put the packet into a class of traffic control."""

    name: ClassVar[str] = "CLASSIFY"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--set-class", "set_class", Value("major:minor, hexadecimal (1:10)", parse_class)),
    )
    hooks: ClassVar[frozenset[str] | None] = frozenset({"FORWARD", "OUTPUT", "POSTROUTING"})

    set_class: ClassId | None = None

    @model_validator(mode="after")
    def _complete(self) -> Classify:
        demand(self, "set_class")
        return self

    def apply(self, context: Context) -> Verdict:
        """Set the packet's priority."""
        context.packet.priority = str(self.set_class)
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        major, minor = self.set_class or (0, 0)
        return f" CLASSIFY set {major:x}:{minor:x}"

    def says(self) -> str:
        """Return the order in words."""
        return say("put into traffic class {set_class}", set_class=self.set_class)


EXTENSIONS = (Classify,)
