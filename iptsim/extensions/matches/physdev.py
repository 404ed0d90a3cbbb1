"""`-m physdev`: bridge ports of a packet that br_netfilter shows to iptables (net/netfilter/xt_physdev.c).

A packet without a known bridge port satisfies only negated conditions, not even `+`.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Constraint, Field, Pattern, Several, named
from iptsim.extensions.context import HOOKS, Context
from iptsim.extensions.options import Option, Value
from iptsim.extensions.parameters import INTERFACE, parse_interface
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.predicates import Predicate, combined
from iptsim.extensions.values import bare
from iptsim.languages import Text, message, message_if

_PORT = Value("the name of a bridge port (veth1, vnet+)", parse_interface, bare, form=INTERFACE.form)


def _port(context: Context, side: str) -> str | None:
    """Return the bridge port that a packet came in by or leaves by ("physical_in", "physical_out")."""
    port: str | None = getattr(context, side)
    return port


def _has_port(context: Context, side: str) -> bool:
    return _port(context, side) is not None


def _got(context: Context, side: str) -> Text:
    incoming, port = side == "physical_in", _port(context, side)
    if port is None:
        return message_if(
            incoming,
            "it arrives on no bridge port known to iptables",
            "it leaves by no bridge port known to iptables",
        )
    return message_if(
        incoming, "it arrives on bridge port {port}", "it leaves by bridge port {port}", port=port
    )


_PORTS, _PRESENT = (
    {
        side: Field(f"{side}{ending}", partial(read, side=side), partial(_got, side=side))
        for side in ("physical_in", "physical_out")
    }
    for read, ending in ((_port, ""), (_has_port, ".present"))
)


class Physdev(Match):
    """The bridge ports by which the packet arrives and leaves."""

    name: ClassVar[str] = "physdev"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--physdev-is-in", "physdev_is_in", None, True, reads=_PRESENT["physical_in"],
            phrase=Phrase("arriving by a bridge port"), listed="[ !] --physdev-is-in",
        ),
        Option(
            "--physdev-in", "physdev_in", _PORT, True, reads=_PORTS["physical_in"], relation=Pattern,
            phrase=Phrase("arriving by bridge port {value}"), listed="[ !] --physdev-in {raw}",
        ),
        Option(
            "--physdev-is-out", "physdev_is_out", None, True, reads=_PRESENT["physical_out"],
            phrase=Phrase("leaving by a bridge port"), listed="[ !] --physdev-is-out",
        ),
        Option(
            "--physdev-out", "physdev_out", _PORT, True, reads=_PORTS["physical_out"], relation=Pattern,
            phrase=Phrase("leaving by bridge port {value}"), listed="[ !] --physdev-out {raw}",
        ),
        # the kernel counts a packet as bridged when it knows the port that it leaves by
        Option(
            "--physdev-is-bridged", "physdev_is_bridged", None, True, reads=_PRESENT["physical_out"],
            phrase=Phrase("bridged, not routed"), listed="[ !] --physdev-is-bridged",
        ),
    )  # fmt: skip
    tested: ClassVar[tuple[str, ...]] = ("physdev_is_bridged", "physdev_is_in", "physdev_is_out")
    listed: ClassVar[str] = " PHYSDEV match"

    physdev_is_in: bool = False
    physdev_in: str | None = None
    physdev_is_out: bool = False
    physdev_out: str | None = None
    physdev_is_bridged: bool = False

    def check(self) -> None:
        if not any(getattr(self, option.field) not in (None, False) for option in self.options):
            raise ValueError(message("physdev needs at least one option"))

    def allowed_hooks(self) -> frozenset[str] | None:
        """Return the hooks: in OUTPUT the outgoing port is not known yet, so the kernel rejects such a rule there."""
        outgoing = self.physdev_out is not None or self.physdev_is_out
        bridged = self.physdev_is_bridged and "physdev_is_bridged" not in self.negated
        return frozenset(HOOKS) - {"OUTPUT"} if outgoing and not bridged else None

    def predicates(self) -> tuple[Predicate, ...]:
        return tuple(_with_known_ports(one) if one.field in _PORTS else one for one in super().predicates())


def _with_known_ports(one: Predicate) -> Predicate:
    """Return a condition on the name of a port for packets of which only the other port is known, or none.

    In the first case, every name matches the incoming port and none the outgoing one, with or without `!`; packets
    without any port satisfy the negated condition.
    """
    constraint, negated = one.constraint, one.negated
    assert isinstance(constraint, Constraint)
    known = Several(
        tuple(Constraint(field, named(True), negated) for field in _PRESENT.values()), every=negated
    )
    name = Constraint(
        constraint.field, constraint.allowed, negated, absent=constraint.field.key == "physical_in"
    )
    return combined(one.text, Several((known, name), every=not negated), one.got, negated=negated)


EXTENSIONS = (Physdev,)
