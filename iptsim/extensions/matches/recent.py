"""`-m recent`: lists of recently seen addresses (net/netfilter/xt_recent.c)."""

from __future__ import annotations

import socket
from collections.abc import Hashable
from dataclasses import replace
from typing import Any, ClassVar

from iptsim.addresses import BITS, address_text
from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import Constraint, Field, look, named
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import not_if
from iptsim.extensions.predicates import Predicate, constrained
from iptsim.extensions.values import bare, integer_value, one_address
from iptsim.languages import Message, Text, message, message_if, message_joined
from iptsim.truth import Truth, Unknown

_DEFAULT_NAME = "DEFAULT"
_ACTIONS = ("set", "rcheck", "update", "remove")


def _name(text: str) -> str:
    if not 0 < len(text.encode()) < 200 or "/" in text:
        raise ValueError(
            message("a list name must have 1 to 199 characters and no slash: it becomes a file name")
        )
    return text


def _mask(text: str, family: int) -> tuple[int, int]:
    """Read a mask as an address; an IPv4 one like inet_aton(3), so that `24` is 0.0.0.24."""
    if family == 4 and text.isascii() and text.isdigit():
        return 4, int.from_bytes(socket.inet_aton(text), "big")
    return family, one_address(text, family)


def whole_mask(family: int) -> tuple[int, int]:
    """Return the mask that keeps an address as it is."""
    return family, (1 << BITS[family]) - 1


class Recent(Match):
    """Add the packet's source (or destination) to a list, look it up, or remove it."""

    name: ClassVar[str] = "recent"
    status: ClassVar[Status] = "given"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--set", "set", None, True),
        Option("--rcheck", "rcheck", None, True),
        Option("--update", "update", None, True),
        Option("--remove", "remove", None, True),
        Option("--seconds", "seconds", integer_value("a number of seconds", 1)),
        Option("--reap", "reap"),
        Option("--hitcount", "hitcount", integer_value("a number of packets", 0, 65535)),
        Option("--rttl", "rttl"),
        Option("--name", "list_name", Value("the name of a list", _name, bare)),
        Option(
            "--mask",
            "mask",
            Value(
                "a network mask (255.255.255.0)", _mask, lambda mask: address_text(*mask), needs_family=True
            ),
        ),
        Option("--rsource", "rsource"),
        Option("--rdest", "rdest"),
    )

    set: bool = False
    rcheck: bool = False
    update: bool = False
    remove: bool = False
    seconds: int | None = None
    reap: bool = False
    hitcount: int | None = None
    rttl: bool = False
    #: `--name`
    list_name: str | None = None
    #: the mask's family and its bits
    mask: tuple[int, int] | None = None
    rsource: bool = False
    rdest: bool = False

    def check(self) -> None:
        if len([action for action in _ACTIONS if getattr(self, action)]) != 1:
            raise ValueError(message("recent needs exactly one of --set, --rcheck, --update and --remove"))
        if (self.set or self.remove) and (self.seconds or self.hitcount or self.rttl or self.reap):
            raise ValueError(message("--seconds, --hitcount, --rttl and --reap need --rcheck or --update"))
        if self.reap and not self.seconds:
            raise ValueError(message("--reap needs --seconds"))

    def kept_by(self, form: ListingForm) -> Recent:
        """Return it with a mask, which is kept and printed since 1.4.15."""
        if self.mask is not None or not form.since(1, 4, 15):
            return self
        return replace(self, mask=whole_mask(form.family))

    @property
    def remembered_in(self) -> str:
        """The name of the list."""
        return self.list_name or _DEFAULT_NAME

    @property
    def _action(self) -> str:
        return next(action for action in _ACTIONS if getattr(self, action))

    def clauses(self) -> list[str]:
        """Return the options, including list name and side even if they are the defaults, as iptables does."""
        shown = replace(
            self, list_name=self.remembered_in, rsource=not self.rdest, hitcount=self.hitcount or None
        )
        return super(Recent, shown).clauses()

    def predicates(self) -> tuple[Predicate, ...]:
        negated = bool(self.negated)
        side = "dst" if self.rdest else "src"

        def address(context: Context) -> int:
            found: int = look(context, side)
            return found & self.mask[1] if self.mask else found

        def enter(context: Context) -> None:
            entries = context.surroundings.recent(self.remembered_in)
            if entries is not None:
                entries.setdefault(address(context), []).insert(0, 0.0)

        def test(context: Context) -> Truth:
            entries = context.surroundings.recent(self.remembered_in)
            if entries is None:
                shown = address_text(context.packet.family, address(context))
                return self._unknown(self._question(shown), address(context))
            ages = entries.get(address(context))
            if ages is None or not self.enough(ages):
                return negated
            if self.update:
                ages.insert(0, 0.0)
            elif self.remove:
                del entries[address(context)]
            if self.rttl:
                shown = address_text(context.packet.family, address(context))
                reason = message(
                    "the TTL that {address} had when it entered list {list}",
                    address=shown,
                    list=self.remembered_in,
                )
                return self._unknown(reason, address(context))
            return not negated

        def got(context: Context) -> Text:
            shown = address_text(context.packet.family, address(context))
            entries = context.surroundings.recent(self.remembered_in)
            if entries is None:
                return message("the contents of the list {list} are not known", list=self.remembered_in)
            ages = entries.get(address(context))
            if ages is None:
                return message("{shown} is not in the list {list}", shown=shown, list=self.remembered_in)
            return message(
                "{shown} was seen {ages} times, last {ages2:g} seconds ago",
                shown=shown,
                ages=len(ages),
                ages2=min(ages),
            )

        if self.set:
            # it always matches, and the kernel remembers the address
            always = Constraint(Field("recent.set", lambda context: True, got), named(True), negated)
            return (replace(constrained(self.save(), always), effect=enter),)
        same = (self._repeatable, side, self.mask) if self.rcheck else ()
        return (Predicate(self.save(), test, got, negated=negated, same=same, memory=self._memory),)

    @property
    def _memory(self) -> tuple[str, str]:
        return "recent", self.remembered_in

    @property
    def changes_memory(self) -> frozenset[Hashable]:
        # with --reap, xt_recent.c also removes an entry that is too old
        return frozenset() if self.rcheck and not self.reap else frozenset({self._memory})

    @property
    def _repeatable(self) -> tuple[Any, ...]:
        """A key of the options that decide a lookup, for a rule that does not change the list."""
        return "recent", self.remembered_in, self.seconds, self.hitcount, self.rttl

    def enough(self, ages: list[float]) -> bool:
        """Return whether enough packets of an entry are young enough."""
        young = [age for age in ages if not self.seconds or age <= self.seconds]
        return self.remove or len(young) >= max(1, self.hitcount or 0)

    def _question(self, address: str) -> Message:
        """Return what must be known about an address to decide the match."""
        count = self.hitcount or 1
        if not self.seconds and count == 1:
            return message(
                "whether {address} is in the recent list {list}", address=address, list=self.remembered_in
            )
        if not self.seconds:
            return message(
                "whether the recent list {list} has seen {address} at least {count} times",
                address=address, count=count, list=self.remembered_in,
            )  # fmt: skip
        if count == 1:
            return message(
                "whether the recent list {list} has seen {address} in the last {seconds} seconds",
                address=address, seconds=self.seconds, list=self.remembered_in,
            )  # fmt: skip
        return message(
            "whether the recent list {list} has seen {address} at least {count} times in the last {seconds} seconds",
            address=address, count=count, seconds=self.seconds, list=self.remembered_in,
        )  # fmt: skip

    def _unknown(self, reason: Message, address: int) -> Unknown:
        """Return what is unknown, with a key only if the lookup is repeatable: if it does not change the list."""
        key = (*self._repeatable, address) if self.rcheck else ()
        return Unknown(reason, "--assume recent=yes", key)

    def lists(self, form: ListingForm) -> str:
        action = {"rcheck": "CHECK"}.get(self._action, self._action.upper())
        text = f"{self.bang(self._action, ' !')} recent: {action}"
        text += f" seconds: {self.seconds}" if self.seconds else ""
        text += " reap" if self.reap else ""
        text += f" hit_count: {self.hitcount}" if self.hitcount else ""
        text += " TTL-Match" if self.rttl else ""
        mask = self.mask or whole_mask(form.family)
        side = "dest" if self.rdest else "source"
        return f"{text} name: {self.remembered_in} side: {side} mask: {address_text(*mask)}"

    def says(self) -> Text:
        limits = []
        if self.hitcount:
            limits.append(message("at least {hitcount} times", hitcount=self.hitcount))
        if self.seconds:
            limits.append(message("in the last {seconds} seconds", seconds=self.seconds))
        listed = (
            message("listed {limits}", limits=message_joined(" ", limits)) if limits else message("listed")
        )
        seen = not_if(bool(self.negated), listed)
        enters = message_if(
            self.rdest,
            "adding their destination to the list {list}",
            "adding their source to the list {list}",
            list=self.remembered_in,
        )
        return {
            "set": message("never, but {phrase}", phrase=enters) if self.negated else enters,
            "rcheck": message_if(
                self.rdest,
                "whose destination is {seen} in the list {list}",
                "whose source is {seen} in the list {list}",
                seen=seen,
                list=self.remembered_in,
            ),
            "update": message_if(
                self.rdest,
                "whose destination is {seen} in the list {list}, which is then updated",
                "whose source is {seen} in the list {list}, which is then updated",
                seen=seen,
                list=self.remembered_in,
            ),
            "remove": message_if(
                self.rdest,
                "whose destination is {seen} in the list {list}, and is then removed from it",
                "whose source is {seen} in the list {list}, and is then removed from it",
                seen=seen,
                list=self.remembered_in,
            ),
        }[self._action]


EXTENSIONS = (Recent,)
