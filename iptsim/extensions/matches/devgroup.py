"""`-m devgroup`: the group of the arriving or leaving interface (net/netfilter/xt_devgroup.c).

Fact: `interface_groups`, a mapping of interface names to their groups as `ip -j link` prints them: a
name such as "default", or a number.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, NamedTuple

from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import Constraint, Field, Masked, named
from iptsim.extensions.context import ARRIVING, HOOKS, LEAVING, Context
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import bare, masked_number
from iptsim.languages import Text, message, message_if
from iptsim.truth import Unknown

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
        raise ValueError(message("the group name is empty"))
    return DeviceGroup(_KNOWN.get(text), name=text)


_GROUP = Value("a group's number, with or without /mask, or its name", _parse)
#: For each option, the interface and the hooks at which a packet has one.
_SIDES = {
    "src_group": ("in_interface", ARRIVING),
    "dst_group": ("out_interface", LEAVING),
}


def _listed(group: DeviceGroup, negated: bool, name: str) -> str:
    known = group if group.value is None else group._replace(name="")
    return f"{' !' if negated else ''} {name} {known}"


# -- the fields -----------------------------------------------------------------------------------------


def _group(context: Context, side: str) -> str | int | None:
    groups: dict[str, str | int] = context.surroundings.fact("interface_groups") or {}
    return groups.get(getattr(context, side))


#: Stands in for the number of a group whose name differs from the one in the rule.
_OTHER = -1


def _read(context: Context, side: str, by_name: bool, other: int | None) -> int | str | Unknown | None:
    """Return the group of an interface: its number, or with `by_name` its name.

    Only the number of the default group's name is known; other names get the number `other`, or None for unknown.
    """
    interface = getattr(context, side)
    if interface is None:
        return None
    stated = _group(context, side)
    group = DeviceGroup(stated) if isinstance(stated, int) else _parse(stated) if stated else None
    found: int | str | None = None
    if group is not None:
        found = group.name or None if by_name else other if group.value is None else group.value
    if found is None:
        return Unknown(
            message("the group of interface {interface}", interface=interface),
            message("ip-link.json in the capture"),
        )
    return found


def _got(context: Context, side: str) -> Text:
    interface = getattr(context, side)
    if interface is None:
        return message("{hook} has no such interface", hook=context.hook)
    group = _group(context, side)
    return message_if(
        side == "in_interface",
        "it arrives on {interface}, {of}",
        "it leaves by {interface}, {of}",
        interface=interface,
        of=message("whose group is not known") if group is None else message("of group {group}", group=group),
    )


def _field(side: str, *, by_name: bool = False, other: int | None = None) -> Field:
    read = partial(_read, side=side, by_name=by_name, other=other)
    return Field(f"{side}.group{'_name' if by_name else ''}", read, partial(_got, side=side))


class Devgroup(Match):
    """The groups of the packet's interfaces."""

    name: ClassVar[str] = "devgroup"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--src-group", "src_group", _GROUP, True, reads=_field("in_interface"),
            phrase=Phrase(
                "arriving on an interface of group {value}", "arriving on an interface outside group {value}"
            ),
            listed=partial(_listed, name="src-group"),
        ),
        Option(
            "--dst-group", "dst_group", _GROUP, True, reads=_field("out_interface"),
            phrase=Phrase(
                "leaving by an interface of group {value}", "leaving by an interface outside group {value}"
            ),
            listed=partial(_listed, name="dst-group"),
        ),
    )  # fmt: skip
    status: ClassVar[Status] = "given"

    src_group: DeviceGroup | None = None
    dst_group: DeviceGroup | None = None

    def check(self) -> None:
        if self.src_group is None and self.dst_group is None:
            raise ValueError(message("devgroup needs --src-group or --dst-group"))

    def allowed_hooks(self) -> frozenset[str]:
        hooks = frozenset(HOOKS)
        for option, _ in self.given():
            hooks &= _SIDES[option.field][1]
        return hooks

    def constraint(self, field: Field, option: Option, value: Any) -> Constraint:
        side, negated = _SIDES[option.field][0], option.field in self.negated
        if value.value is None:
            return Constraint(_field(side, by_name=True), named(value.name), negated)
        if value.name:
            field = _field(side, other=_OTHER)
        return Constraint(field, Masked(value.value & value.mask, value.mask), negated)


EXTENSIONS = (Devgroup,)
