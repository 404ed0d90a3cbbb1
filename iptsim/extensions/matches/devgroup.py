"""`-m devgroup`: the group of the arriving or leaving interface (net/netfilter/xt_devgroup.c).

Fact: `interface_groups`, a mapping of interface names to their groups as `ip -j link` prints them: a
name such as "default", or a number.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, Status, Value
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import bare, masked_number
from iptsim.languages import joined, later, say, say_if
from iptsim.packet import Context, Truth, Unknown

#: Group names that every system has (/etc/iproute2/group).
_KNOWN = {"default": 0}


class DeviceGroup(NamedTuple):
    """Groups g with g & mask == value & mask, or the group that a system calls `name`.

    Attributes:
        value: the number; None for a name that only that system knows.
        mask: the bits that count.
        name: the name that it was written by, empty for a number.
    """

    value: int | None
    mask: int = 0xFFFFFFFF
    name: str = ""

    def __str__(self) -> str:
        if self.name or self.value is None:
            return bare(self.name)
        return f"{self.value:#x}" if self.mask == 0xFFFFFFFF else f"{self.value:#x}/{self.mask:#x}"


def _parse(text: str) -> DeviceGroup:
    if text[:1].isdigit():
        return DeviceGroup(*masked_number(text))
    if not text:
        raise ValueError("the group's name is empty")
    return DeviceGroup(_KNOWN.get(text), name=text)


_GROUP = Value("a group's number, with or without /mask, or its name", _parse)
_SIDES = {
    "src_group": ("in_interface", "arriving on", frozenset({"PREROUTING", "INPUT", "FORWARD"})),
    "dst_group": ("out_interface", "leaving by", frozenset({"FORWARD", "OUTPUT", "POSTROUTING"})),
}


class Devgroup(Match):
    """The groups of the packet's interfaces."""

    name: ClassVar[str] = "devgroup"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--src-group", "src_group", _GROUP, True),
        Option("--dst-group", "dst_group", _GROUP, True),
    )
    status: ClassVar[Status] = "given"

    src_group: DeviceGroup | None = None
    dst_group: DeviceGroup | None = None

    @model_validator(mode="after")
    def _complete(self) -> Devgroup:
        if self.src_group is None and self.dst_group is None:
            raise ValueError("devgroup needs --src-group or --dst-group")
        return self

    def allowed_hooks(self) -> frozenset[str]:
        """Return the hooks that have the interfaces which are asked about."""
        hooks = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})
        for field, (_, _, side) in _SIDES.items():
            if getattr(self, field) is not None:
                hooks &= side
        return hooks

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the conditions on the arriving, then the leaving interface."""
        found = []
        for option in self.options:
            value = getattr(self, option.field)
            if value is not None:
                text, negated = self.clause(option, value), option.field in self.negated
                found.append(_predicate(text, option.field, value, negated))
        return tuple(found)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = ""
        for option in self.options:
            group = getattr(self, option.field)
            if group is not None:
                known = group if group.value is None else group._replace(name="")
                text += f"{self.bang(option.field, ' !')} {option.flag.removeprefix('--')} {known}"
        return text

    def says(self) -> str:
        """Return the groups in words."""
        arriving, leaving = self.src_group, self.dst_group
        phrases = []
        if arriving is not None:
            phrases.append(
                say_if(
                    "src_group" in self.negated,
                    "arriving on an interface outside group {group}",
                    "arriving on an interface of group {group}",
                    group=arriving,
                )
            )
        if leaving is not None:
            phrases.append(
                say_if(
                    "dst_group" in self.negated,
                    "leaving by an interface outside group {group}",
                    "leaving by an interface of group {group}",
                    group=leaving,
                )
            )
        return joined(" ", phrases)


def _predicate(text: str, field: str, wanted: DeviceGroup, negated: bool) -> Predicate:
    side = _SIDES[field][0]

    def group(context: Context) -> str | int | None:
        groups: dict[str, str | int] = context.surroundings.fact("interface_groups") or {}
        return groups.get(getattr(context, side))

    def test(context: Context) -> Truth:
        interface = getattr(context, side)
        if interface is None:
            return False
        found = _same(group(context), wanted)
        if found is None:
            return Unknown(
                later("the group of interface {interface}", interface=interface),
                later("ip-link.json in the capture"),
                ("devgroup", interface, wanted),
            )
        return found is not negated

    def got(context: Context) -> str:
        interface = getattr(context, side)
        if interface is None:
            return say("{hook} has no such interface", hook=context.hook)
        found = group(context)
        of = say("whose group is not known") if found is None else say("of group {found}", found=found)
        return say_if(
            side == "in_interface",
            "it arrives on {interface}, {of}",
            "it leaves by {interface}, {of}",
            interface=interface,
            of=of,
        )

    return Predicate(text, test, got, negated=negated)


def _same(group: str | int | None, wanted: DeviceGroup) -> bool | None:
    """Tell whether an interface's group is the one that is asked for; None if nobody can tell."""
    if group is None:
        return None
    found = DeviceGroup(group) if isinstance(group, int) else _parse(group)
    if found.value is not None and wanted.value is not None:
        return found.value & wanted.mask == wanted.value & wanted.mask
    # a name on both sides can be compared; what number a name stands for nobody says
    return found.name == wanted.name if found.name and wanted.name else None


EXTENSIONS = (Devgroup,)
