"""`-m cgroup`: the control group of the process that owns the socket (net/netfilter/xt_cgroup.c).

Facts about the sending process (in INPUT: the receiving one): `cgroup`, its cgroup2 path relative to
the root ("system.slice/nginx.service"), and `classid`, its net_cls class.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, Status
from iptsim.extensions.checks import demand_one
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import integer_value, word_value
from iptsim.languages import say, say_if
from iptsim.packet import Context, Truth, Unknown


class Cgroup(Match):
    """The control group of the local process that sent the packet, or will get it.

    Without a socket it never holds, negated or not.
    """

    name: ClassVar[str] = "cgroup"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--path", "path", word_value("the path of a control group, from the root"), True),
        Option("--cgroup", "cgroup", integer_value("a net_cls class"), True),
    )
    hooks: ClassVar[frozenset[str] | None] = frozenset({"INPUT", "OUTPUT", "POSTROUTING"})
    status: ClassVar[Status] = "given"

    path: str | None = None
    cgroup: int | None = None

    @model_validator(mode="after")
    def _complete(self) -> Cgroup:
        demand_one(self, "path", "cgroup")
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the control group."""
        return (Predicate(self.save(), self._test, self._got, negated=bool(self.negated)),)

    def _has_socket(self, context: Context) -> bool | None:
        """Tell whether the packet has a socket yet; None if that depends."""
        if context.hook != "INPUT":
            return context.packet.local_socket
        # An arriving packet has its socket here only if early demultiplexing found a connected one.
        return False if context.state == "NEW" else None

    def _test(self, context: Context) -> Truth:
        has_socket = self._has_socket(context)
        if has_socket is False:
            return False
        name = "cgroup" if self.path is not None else "classid"
        fact = context.surroundings.fact(name)
        if fact is None or has_socket is None:
            return Unknown(
                say_if(
                    context.hook == "INPUT",
                    "the control group of the receiving process",
                    "the control group of the sending process",
                ),
                f"--set {name}=...",
                (name, self.path, self.cgroup),
            )
        if self.path is None:
            return (fact == self.cgroup) is not bool(self.negated)
        path, group = self.path.strip("/"), str(fact).strip("/")
        inside = not path or group == path or group.startswith(f"{path}/")
        return inside is not bool(self.negated)

    def _got(self, context: Context) -> str:
        if self._has_socket(context) is False:
            return say("it has no socket here")
        fact = context.surroundings.fact("cgroup" if self.path is not None else "classid")
        return (
            say("its process's control group was not stated")
            if fact is None
            else say("its process is in {fact}", fact=fact)
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        field = "cgroup" if self.path is None else "path"
        return f" cgroup {self.bang(field, '! ')}{getattr(self, field)}"

    def says(self) -> str:
        """Return the control group in words."""
        which = (
            say("control group {path}", path=self.path)
            if self.path is not None
            else say("net_cls class {cgroup}", cgroup=self.cgroup)
        )
        return say_if(
            self.negated, "of a local process not in {which}", "of a local process in {which}", which=which
        )


EXTENSIONS = (Cgroup,)
