"""`-j TTL` and `-j HL`: change the time to live of IPv4, the hop limit of IPv6 (net/netfilter/xt_HL.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Target
from iptsim.extensions.checks import demand_one
from iptsim.extensions.context import Context
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import integer_value
from iptsim.extensions.verdicts import CONTINUE, Verdict
from iptsim.languages import Message, message

_STEPS = integer_value("by how much, 1 to 255", 1, 255)


def _options(name: str, hops: Value, called: Message) -> tuple[Option, ...]:
    """Return the options of a target.

    Args:
        name: of the target.
        hops: the value to set.
        called: the field in words.
    """
    listed = name.upper()
    return (
        Option(
            f"--{name}-set", "hops_set", hops, phrase=Phrase("set the {name} to {value}", name=called),
            listed=f" {listed} set to {{value}}",
        ),
        Option(
            f"--{name}-dec", "hops_dec", _STEPS, phrase=Phrase("lower the {name} by {value}", name=called),
            listed=f" {listed} decrement by {{value}}",
        ),
        Option(
            f"--{name}-inc", "hops_inc", _STEPS, phrase=Phrase("raise the {name} by {value}", name=called),
            listed=f" {listed} increment by {{value}}",
        ),
    )  # fmt: skip


class _Hops(Target):
    """Set, lower or raise the number of hops that a packet has left; it stays between 0 and 255."""

    tables: ClassVar[frozenset[str] | None] = frozenset({"mangle"})

    hops_set: int | None = None
    hops_dec: int | None = None
    hops_inc: int | None = None

    def check(self) -> None:
        demand_one(self, "hops_set", "hops_dec", "hops_inc")

    def apply(self, context: Context) -> Verdict:
        hops = context.packet.ttl if self.hops_set is None else self.hops_set
        context.packet.ttl = min(255, max(0, hops - (self.hops_dec or 0) + (self.hops_inc or 0)))
        return CONTINUE


class Ttl(_Hops):
    """Set, lower or raise the TTL."""

    name: ClassVar[str] = "TTL"
    family: ClassVar[int | None] = 4
    options: ClassVar[tuple[Option, ...]] = _options(
        "ttl", integer_value("a TTL, 0 to 255", 0, 255), message("TTL")
    )


class Hl(_Hops):
    """Set, lower or raise the hop limit."""

    name: ClassVar[str] = "HL"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = _options(
        "hl", integer_value("a hop limit, 0 to 255", 0, 255), message("hop limit")
    )


EXTENSIONS = (Ttl, Hl)
