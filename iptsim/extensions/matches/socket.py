"""`-m socket`: whether this host has an open socket for the packet (net/netfilter/xt_socket.c).

Facts: `socket`, whether there is one, or its kind: "any" is bound to no address, "transparent" may be bound to foreign
    addresses; `socket_mark`, its mark.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import Constraint, Field, named
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option
from iptsim.extensions.predicates import Predicate, constrained
from iptsim.extensions.stated import stated
from iptsim.languages import Text, message, message_if
from iptsim.packet import Packet
from iptsim.partly_known import UnknownNumber, unknown_mark
from iptsim.protocols import ICMP, ICMPV6, TCP, UDP
from iptsim.truth import Truth, Unknown

#: ICMP messages that quote the packet they are about.
_ERRORS = frozenset({3, 4, 5, 11, 12})


def _looked_up(packet: Packet) -> bool:
    """Return whether the kernel looks for a socket: TCP, UDP, or an ICMP error about one."""
    if packet.proto == ICMP:
        return packet.icmp_type in _ERRORS
    if packet.proto == ICMPV6:
        return packet.icmp_type is not None and packet.icmp_type < 128
    return packet.proto in (TCP, UDP)


class Socket(Match):
    """Whether this host has a connected or listening socket for the packet."""

    name: ClassVar[str] = "socket"
    status: ClassVar[Status] = "given"
    hooks: ClassVar[frozenset[str] | None] = frozenset({"PREROUTING", "INPUT"})
    options: ClassVar[tuple[Option, ...]] = (
        Option("--transparent", "transparent"),
        Option("--nowildcard", "nowildcard"),
        Option("--restore-skmark", "restore_skmark"),
    )

    transparent: bool = False
    nowildcard: bool = False
    restore_skmark: bool = False

    def predicates(self) -> tuple[Predicate, ...]:
        key = " ".join(["socket", *self.clauses()])
        constraint = Constraint(Field(key, self._read, _got), named(True))
        found = constrained(f"-m {key}", constraint)
        return (replace(found, effect=self._restore),)

    def _read(self, context: Context) -> Truth:
        if not _looked_up(context.packet):
            return False
        kind = context.surroundings.fact("socket")
        if kind is None:
            key = ("socket", self.transparent, self.nowildcard, context.packet.flow)
            return Unknown(
                message("whether a program here has a socket open for it"),
                "--assume socket=yes",
                key,
                (lambda found: self._copy_mark(context) if found else None) if self.restore_skmark else None,
            )
        if kind == "any":
            found = self.nowildcard and not self.transparent
        else:
            found = bool(stated(context, "socket")) and not (kind == "bound" and self.transparent)
        return found

    def _restore(self, context: Context) -> None:
        if self.restore_skmark and self._read(context) is True:
            self._copy_mark(context)

    def _copy_mark(self, context: Context) -> None:
        mark = context.surroundings.fact("socket_mark")
        if mark is None:
            mark = unknown_mark(UnknownNumber(message("the mark of the socket"), "--set socket_mark=N"))
        context.packet.mark = mark

    def lists(self, form: ListingForm) -> str:
        return " ".join([" socket", *self.clauses()])

    def says(self) -> Text:
        return message_if(
            self.transparent,
            "for which a transparent socket of this host is open",
            "for which a socket of this host is open",
        )


def _got(context: Context) -> Text:
    if not _looked_up(context.packet):
        return message("the kernel looks up no socket for its protocol")
    found = stated(context, "socket")
    if found is None:
        return message("the open sockets are not known")
    return message_if(found, "a socket is open for it", "no socket is open for it")


EXTENSIONS = (Socket,)
