"""`-m physdev`: bridge ports of a packet that br_netfilter shows to iptables (net/netfilter/xt_physdev.c).

A packet that no bridge port is known of satisfies the negated conditions and no other, not even `+`.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, Value
from iptsim.extensions.constraints import interface_matches
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.parameters import INTERFACE, parse_interface
from iptsim.extensions.values import bare, not_if
from iptsim.languages import joined, say, say_if
from iptsim.packet import Context, Truth

_PORT = Value("the name of a bridge port (veth1, vnet+)", parse_interface, bare, form=INTERFACE.form)
_HOOKS = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})


class Physdev(Match):
    """The bridge ports by which the packet arrives and leaves."""

    name: ClassVar[str] = "physdev"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--physdev-is-in", "physdev_is_in", None, True),
        Option("--physdev-in", "physdev_in", _PORT, True),
        Option("--physdev-is-out", "physdev_is_out", None, True),
        Option("--physdev-out", "physdev_out", _PORT, True),
        Option("--physdev-is-bridged", "physdev_is_bridged", None, True),
    )

    physdev_is_in: bool = False
    physdev_in: str | None = None
    physdev_is_out: bool = False
    physdev_out: str | None = None
    physdev_is_bridged: bool = False

    @model_validator(mode="after")
    def _check(self) -> Physdev:
        if not any(getattr(self, option.field) not in (None, False) for option in self.options):
            raise ValueError("physdev needs at least one option")
        return self

    def allowed_hooks(self) -> frozenset[str] | None:
        """Return the hooks: OUTPUT knows no outgoing port, so the kernel refuses to be asked there."""
        outgoing = self.physdev_out is not None or self.physdev_is_out
        bridged = self.physdev_is_bridged and "physdev_is_bridged" not in self.negated
        return _HOOKS - {"OUTPUT"} if outgoing and not bridged else None

    def predicates(self) -> tuple[Predicate, ...]:
        """Return one condition an option, in the kernel's order."""
        found = []
        for field in ("physdev_is_bridged", "physdev_is_in", "physdev_is_out", "physdev_in", "physdev_out"):
            option = next(option for option in self.options if option.field == field)
            value = getattr(self, field)
            if value not in (None, False):
                pattern = value if isinstance(value, str) else None
                incoming = field in ("physdev_is_in", "physdev_in")
                text, negated = self.clause(option, value), field in self.negated
                found.append(_port_predicate(text, incoming, pattern, negated))
        return tuple(found)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = " PHYSDEV match"
        for option in self.options:
            value = getattr(self, option.field)
            if value not in (None, False):
                text += f"{self.bang(option.field, ' !')} {option.flag}{'' if value is True else f' {value}'}"
        return text

    def says(self) -> str:
        """Return the ports in words."""
        said = {
            "physdev_is_in": say("arriving by a bridge port"),
            "physdev_in": say("arriving by bridge port {port}", port=self.physdev_in),
            "physdev_is_out": say("leaving by a bridge port"),
            "physdev_out": say("leaving by bridge port {port}", port=self.physdev_out),
            "physdev_is_bridged": say("bridged, not routed"),
        }
        given = {field: phrase for field, phrase in said.items() if getattr(self, field) not in (None, False)}
        return joined(" ", (not_if(field in self.negated, phrase) for field, phrase in given.items()))


def _port_predicate(text: str, incoming: bool, pattern: str | None, negated: bool) -> Predicate:
    """Make a condition on a port: that there is one, or that its name fits a pattern.

    The kernel takes a packet as bridged when it knows the port that it leaves by.
    """

    def test(context: Context) -> Truth:
        if context.physical_in is None and context.physical_out is None:
            return negated
        port = context.physical_in if incoming else context.physical_out
        if pattern is None:
            return (port is not None) is not negated
        # While only the other port is known, no name is the one it goes out by, `!` or not.
        return incoming if port is None else interface_matches(pattern, port) is not negated

    def got(context: Context) -> str:
        port = context.physical_in if incoming else context.physical_out
        if port is None:
            return say_if(
                incoming,
                "it came in by no bridge port that iptables knows of",
                "it goes out by no bridge port that iptables knows of",
            )
        return say_if(
            incoming, "it came in by bridge port {port}", "it goes out by bridge port {port}", port=port
        )

    return Predicate(text, test, got, negated=negated)


EXTENSIONS = (Physdev,)
