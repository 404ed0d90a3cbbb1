"""`-m cgroup`: the control group of the process that owns the socket (net/netfilter/xt_cgroup.c).

Facts about the sending process (in INPUT: the receiving one): `cgroup`, its cgroup2 path relative to
the root ("system.slice/nginx.service"), and `classid`, its net_cls class.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import accumulate
from typing import Any, ClassVar

from iptsim.extensions.base import Match, Status
from iptsim.extensions.checks import demand_one
from iptsim.extensions.constraints import Field, equal, one_member
from iptsim.extensions.context import Context
from iptsim.extensions.options import Option
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import integer_value, word_value
from iptsim.languages import Text, message, message_if
from iptsim.truth import Unknown


def _has_socket(context: Context) -> bool | None:
    """Return whether the packet has a socket yet; None if that depends."""
    if context.hook != "INPUT":
        return context.packet.local_socket
    # an arriving packet has its socket here only if early demultiplexing found a connected one
    return False if context.state == "NEW" else None


def _read(context: Context, fact: str, read: Callable[[Any], Any]) -> Any:
    has_socket = _has_socket(context)
    if has_socket is False:
        return None
    stated = context.surroundings.fact(fact)
    if stated is None or has_socket is None:
        return Unknown(
            message_if(
                context.hook == "INPUT",
                "the control group of the receiving process",
                "the control group of the sending process",
            ),
            f"--set {fact}=...",
        )
    return read(stated)


def _got(context: Context, fact: str) -> Text:
    if _has_socket(context) is False:
        return message("it has no socket here")
    stated = context.surroundings.fact(fact)
    if stated is None:
        return message("its process's control group was not stated")
    return message("its process is in {group}", group=stated)


def _groups(path: Any) -> frozenset[str]:
    """Return a control group and those that it lies in; the root has an empty name."""
    names = str(path).strip("/").split("/")
    return frozenset({"", *accumulate(names, lambda outer, name: f"{outer}/{name}")})


def _field(fact: str, read: Callable[[Any], Any]) -> Field:
    return Field(f"fact.{fact}", partial(_read, fact=fact, read=read), partial(_got, fact=fact))


class Cgroup(Match):
    """The control group of the local process that sent the packet, or will get it.

    Without a socket it never matches, with or without `!`.
    """

    name: ClassVar[str] = "cgroup"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--path", "path", word_value("the path of a control group, from the root"), True,
            reads=_field("cgroup", _groups), relation=lambda path: one_member(path.strip("/")),
            phrase=Phrase(
                "of a local process in control group {value}", "of a local process not in control group {value}"
            ),
            listed=" cgroup [! ]{raw}",
        ),
        Option(
            "--cgroup", "cgroup", integer_value("a net_cls class"), True,
            reads=_field("classid", lambda number: number), relation=equal,
            phrase=Phrase(
                "of a local process in net_cls class {value}", "of a local process not in net_cls class {value}"
            ),
            listed=" cgroup [! ]{value}",
        ),
    )  # fmt: skip
    hooks: ClassVar[frozenset[str] | None] = frozenset({"INPUT", "OUTPUT", "POSTROUTING"})
    status: ClassVar[Status] = "given"

    path: str | None = None
    cgroup: int | None = None

    def check(self) -> None:
        demand_one(self, "path", "cgroup")


EXTENSIONS = (Cgroup,)
