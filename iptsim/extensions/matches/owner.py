"""`-m owner`: whose program sends the packet (net/netfilter/xt_owner.c).

A packet without a local socket (forwarded, or made by the kernel itself) satisfies the negated
conditions and no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Given, Match, Option, Predicate, Status, Value
from iptsim.extensions.constraints import look
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import bare, integer, not_if, range_text, range_words
from iptsim.languages import Text, joined, later, say, say_if
from iptsim.packet import Context, Truth, Unknown

_LAST_ID = 0xFFFFFFFE


def _owner(text: str) -> tuple[int, int] | str:
    """Read an id, a range of ids (with `-` or `:`), or a name; a name stays, but root is 0."""
    if not text[:1].isdigit():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.$-]*", text):
            raise ValueError(f"{text!r} is neither an id, a range of ids nor a name")
        return (0, 0) if text == "root" else text
    first, separator, last = re.fullmatch(r"([^:-]*)([:-]?)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    low = integer(first, 0, _LAST_ID)
    high = integer(last, 0, _LAST_ID) if separator else low
    if low > high:
        raise ValueError(f"the range {text} ends before it starts")
    return low, high


def _owner_text(owner: tuple[int, int] | str) -> str:
    return bare(owner) if isinstance(owner, str) else range_text(owner, "-")


class Owner(Match):
    """User and group of the socket that sends the packet."""

    name: ClassVar[str] = "owner"
    status: ClassVar[Status] = "given"
    hooks: ClassVar[frozenset[str] | None] = frozenset({"OUTPUT", "POSTROUTING"})
    options: ClassVar[tuple[Option, ...]] = (
        Option("--socket-exists", "socket_exists", None, True),
        Option(
            "--uid-owner",
            "uid_owner",
            Value("a user id, a range (0-999) or a name", _owner, _owner_text),
            True,
        ),
        Option(
            "--gid-owner",
            "gid_owner",
            Value("a group id, a range (0-999) or a name", _owner, _owner_text),
            True,
        ),
        Option("--suppl-groups", "suppl_groups"),
    )

    socket_exists: bool = False
    uid_owner: tuple[int, int] | str | None = None
    gid_owner: tuple[int, int] | str | None = None
    suppl_groups: bool = False

    @classmethod
    def gather(cls, given: Iterable[Given]) -> dict[str, Any]:
        """Return the model's fields; `--suppl-groups` stands behind the group."""
        fields = super().gather(given)
        written = list(fields)
        if "suppl_groups" in written and "gid_owner" not in written[: written.index("suppl_groups")]:
            raise ValueError("--suppl-groups needs --gid-owner before it")
        return fields

    @model_validator(mode="after")
    def _check(self) -> Owner:
        if not self.socket_exists and self.uid_owner is None and self.gid_owner is None:
            raise ValueError("owner needs one of --uid-owner, --gid-owner and --socket-exists")
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return one condition an option."""
        found = []
        if self.socket_exists:
            found.append(
                _socket_predicate(self.clause(self.options[0], True), "socket_exists" in self.negated)
            )
        for option, owner in ((self.options[1], self.uid_owner), (self.options[2], self.gid_owner)):
            if owner is not None:
                groups = self.suppl_groups and option.field == "gid_owner"
                text, negated = self.clause(option, owner), option.field in self.negated
                found.append(_id_predicate(text, option.field[:3], owner, groups, negated))
        if self.suppl_groups:
            found.append(_socket_predicate("--suppl-groups", False))
        return tuple(found)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = f"{self.bang('socket_exists', ' !')} owner socket exists" if self.socket_exists else ""
        for field, word in (("uid_owner", "UID"), ("gid_owner", "GID")):
            owner = getattr(self, field)
            if owner is not None:
                shown = owner if isinstance(owner, str) else range_text(owner, "-")
                text += f"{self.bang(field, ' !')} owner {word} match {shown}"
        return text + (" incl. suppl. groups" if self.suppl_groups else "")

    def says(self) -> str:
        """Return the owners in words."""
        phrases = []
        if self.socket_exists:
            phrases.append(not_if("socket_exists" in self.negated, say("sent by a local program")))
        if self.uid_owner is not None:
            user = say("sent by a program of user {owner}", owner=_owner_words(self.uid_owner))
            phrases.append(not_if("uid_owner" in self.negated, user))
        if self.gid_owner is not None:
            group = say("sent by a program of group {owner}", owner=_owner_words(self.gid_owner))
            phrases.append(not_if("gid_owner" in self.negated, group))
        return joined(" and ", phrases)


def _owner_words(owner: str | tuple[int, int]) -> Text:
    return owner if isinstance(owner, str) else range_words(owner)


def _socket_predicate(text: str, negated: bool) -> Predicate:
    return Predicate(
        text,
        lambda context: context.packet.local_socket is not negated,
        lambda context: say_if(
            context.packet.local_socket, "a local socket sends it", "no local socket sends it"
        ),
        negated=negated,
    )


def _id_predicate(
    text: str, field: str, owner: tuple[int, int] | str, groups: bool, negated: bool
) -> Predicate:
    """Make a condition on the `uid` or `gid` of the sending socket.

    Args:
        text: as the rule writes it.
        field: the packet's field.
        owner: the ids, or a name whose id nobody told.
        groups: whether the process's supplementary groups count as well.
        negated: whether it stood behind a `!`.
    """
    unknown = Unknown(
        say_if(field == "uid", "the user whose program sends it", "the group whose program sends it"),
        f"--set {field}=N",
        (field, owner),
    )

    def test(context: Context) -> Truth:
        if not context.packet.local_socket:
            return negated
        number = look(context, field)
        if number is None:
            return unknown
        if isinstance(owner, str):
            return Unknown(
                say_if(
                    field == "uid", "which user id {owner} has", "which group id {owner} has", owner=owner
                ),
                say("the number instead of {owner}", owner=owner),
                (field, owner),
            )
        if owner[0] <= number <= owner[1]:
            return not negated
        if groups:
            return Unknown(
                later("the supplementary groups of the program that sends it"),
                "--assume owner=yes",
                unknown.key,
            )
        return negated

    def got(context: Context) -> str:
        if not context.packet.local_socket:
            return say("no local program sends it")
        number = getattr(context.packet, field)
        return say_if(
            field == "uid",
            "the sending program's user is {value}",
            "the sending program's group is {value}",
            value=say("not known") if number is None else number,
        )

    return Predicate(text, test, got, negated=negated)


EXTENSIONS = (Owner,)
