"""`-m owner`: the owner of the program that sends the packet (net/netfilter/xt_owner.c).

A packet without a local socket (forwarded, or made by the kernel) satisfies only negated conditions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import (
    Allowed,
    Constraint,
    Field,
    Several,
    between,
    look,
    named,
)
from iptsim.extensions.context import Context
from iptsim.extensions.options import Given, Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.predicates import Predicate, combined
from iptsim.extensions.values import bare, in_order, integer, range_text, range_words
from iptsim.languages import Text, message, message_if
from iptsim.truth import Unknown

_LAST_ID = 0xFFFFFFFE


def _owner(text: str) -> tuple[int, int] | str:
    """Read an id, a range of ids (with `-` or `:`), or a name; a name is kept, but root is 0."""
    if not text[:1].isdigit():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.$-]*", text):
            raise ValueError(message("{text!r} is not an ID, a range of IDs or a name", text=text))
        return (0, 0) if text == "root" else text
    first, separator, last = re.fullmatch(r"([^:-]*)([:-]?)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    low = integer(first, 0, _LAST_ID)
    return in_order((low, integer(last, 0, _LAST_ID) if separator else low), text)


def _owner_text(owner: tuple[int, int] | str) -> str:
    return bare(owner) if isinstance(owner, str) else range_text(owner, "-")


def _allowed(owner: tuple[int, int] | str) -> Allowed:
    return named(owner) if isinstance(owner, str) else between(owner)


def _owner_words(owner: tuple[int, int] | str) -> Text:
    return owner if isinstance(owner, str) else range_words(owner)


def _listed(owner: tuple[int, int] | str, negated: bool, name: str) -> str:
    shown = owner if isinstance(owner, str) else range_text(owner, "-")
    return f"{' !' if negated else ''} owner {name} match {shown}"


# -- the fields -----------------------------------------------------------------------------------------


def _got_socket(context: Context) -> Text:
    return message_if(context.packet.local_socket, "a local socket sends it", "no local socket sends it")


def _read_id(context: Context, name: str) -> int | Unknown | None:
    """Return the user or group ("uid", "gid") of the program that sends the packet; None without one."""
    if not context.packet.local_socket:
        return None
    number: int | None = look(context, name)
    return _NOT_STATED[name] if number is None else number


def _got_id(context: Context, name: str) -> Text:
    if not context.packet.local_socket:
        return message("no local program sends it")
    number = getattr(context.packet, name)
    return message_if(
        name == "uid",
        "the sending program's user is {value}",
        "the sending program's group is {value}",
        value=message("not known") if number is None else number,
    )


def _read_named(context: Context, name: str, owner: str) -> Unknown | None:
    """Return what is missing to compare with the name of a user or group."""
    number = _read_id(context, name)
    if not isinstance(number, int):
        return number
    which = message_if(name == "uid", "which user id {owner} has", "which group id {owner} has", owner=owner)
    return Unknown(which, message("the number instead of {owner}", owner=owner))


def _read_other_groups(context: Context) -> Unknown | None:
    return _NO_GROUPS if context.packet.local_socket else None


_NOT_STATED = {
    "uid": Unknown(message("the user whose program sends it"), "--set uid=N"),
    "gid": Unknown(message("the group whose program sends it"), "--set gid=N"),
}
_SOCKET = Field("local_socket", lambda context: context.packet.local_socket, _got_socket)
_UID, _GID = (Field(name, partial(_read_id, name=name), partial(_got_id, name=name)) for name in _NOT_STATED)
_NO_GROUPS = Unknown(message("the supplementary groups of the program that sends it"), "--assume owner=yes")
#: The supplementary groups of the process, which neither a dump nor a packet shows.
_OTHER_GROUPS = Field("other_groups", _read_other_groups, _GID.got)


class Owner(Match):
    """User and group of the socket that sends the packet."""

    name: ClassVar[str] = "owner"
    status: ClassVar[Status] = "given"
    hooks: ClassVar[frozenset[str] | None] = frozenset({"OUTPUT", "POSTROUTING"})
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--socket-exists", "socket_exists", None, True, reads=_SOCKET,
            phrase=Phrase("sent by a local program"), listed="[ !] owner socket exists",
        ),
        Option(
            "--uid-owner", "uid_owner", Value("a user id, a range (0-999) or a name", _owner, _owner_text), True,
            reads=_UID, relation=_allowed, listed=partial(_listed, name="UID"),
            phrase=Phrase("sent by a program of user {value}", show=_owner_words),
        ),
        Option(
            "--gid-owner", "gid_owner", Value("a group id, a range (0-999) or a name", _owner, _owner_text), True,
            reads=_GID, relation=_allowed, listed=partial(_listed, name="GID"),
            phrase=Phrase("sent by a program of group {value}", show=_owner_words),
        ),
        Option("--suppl-groups", "suppl_groups", reads=_SOCKET, listed=" incl. suppl. groups"),
    )  # fmt: skip
    joint: ClassVar[str] = " and "

    socket_exists: bool = False
    uid_owner: tuple[int, int] | str | None = None
    gid_owner: tuple[int, int] | str | None = None
    suppl_groups: bool = False

    @classmethod
    def gather(cls, given: Iterable[Given]) -> dict[str, Any]:
        """Return the model's fields; `--suppl-groups` follows the group."""
        fields = super().gather(given)
        written = list(fields)
        if "suppl_groups" in written and "gid_owner" not in written[: written.index("suppl_groups")]:
            raise ValueError(message("--suppl-groups must follow --gid-owner"))
        return fields

    def check(self) -> None:
        if not self.socket_exists and self.uid_owner is None and self.gid_owner is None:
            raise ValueError(message("owner needs one of --uid-owner, --gid-owner and --socket-exists"))

    def constraint(self, field: Field, option: Option, value: Any) -> Constraint:
        negated = option.field in self.negated
        if isinstance(value, str):
            field = replace(field, read=partial(_read_named, name=field.key, owner=value))
        return Constraint(field, option.relation(value), negated, absent=negated)

    def predicates(self) -> tuple[Predicate, ...]:
        found = super().predicates()
        if not self.suppl_groups:
            return found
        return tuple(self._with_groups(one) if one.field == "gid" else one for one in found)

    def _with_groups(self, group: Predicate) -> Predicate:
        """Return a condition on the group that the other groups of the process satisfy as well."""
        assert isinstance(group.constraint, Constraint)
        constraint, negated = group.constraint, group.negated
        others = Constraint(_OTHER_GROUPS, constraint.allowed, negated, absent=negated)
        return combined(group.text, Several((others, constraint), every=negated), group.got, negated=negated)


EXTENSIONS = (Owner,)
