"""`-j SET`: add to or delete from an ipset, or set marks by one (net/netfilter/xt_set.c)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, NamedTuple

from iptsim.extensions.base import Status, Target
from iptsim.extensions.checks import given
from iptsim.extensions.context import LEAVING, Context
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import join_phrases
from iptsim.extensions.texts import cut
from iptsim.extensions.values import bare, integer_value
from iptsim.extensions.verdicts import CONTINUE, Verdict
from iptsim.languages import Message, Text, message, message_joined
from iptsim.partly_known import UnknownNumber, unknown_mark

_MOST_DIRECTIONS = 6
_LONGEST_NAME = 31
#: The greatest timeout that iptables accepts; the kernel limits it to about 24 days.
_LONGEST_TIMEOUT = 0xFFFFFFFE


class SetEntry(NamedTuple):
    """A set, and which parts of the packet make its entry.

    Attributes:
        name: the set's.
        directions: "src" or "dst" for each dimension of the set.
    """

    name: str
    directions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{bare(self.name)} {','.join(self.directions)}"


def parse_entry(name: str, directions_text: str) -> SetEntry:
    """Read a set's name and its directions.

    Raises:
        ValueError: not one to six of src and dst.
    """
    directions = tuple(directions_text.split(","))
    if any(direction not in ("src", "dst") for direction in directions):
        raise ValueError(
            message(
                "{directions_text!r} is not a list of src and dst such as src,dst",
                directions_text=directions_text,
            )
        )
    if len(directions) > _MOST_DIRECTIONS:
        raise ValueError(
            message("a set has at most {most_directions} dimensions", most_directions=_MOST_DIRECTIONS)
        )
    if cut(name, _LONGEST_NAME) != name:
        raise ValueError(
            message(
                "the set name {name!r} is longer than {longest_name} characters",
                name=name,
                longest_name=_LONGEST_NAME,
            )
        )
    return SetEntry(name, directions)


_ENTRY = Value("a set's name, and src or dst for each of its dimensions (web src,dst)", parse_entry, words=2)


def _sides(entry: SetEntry) -> Message:
    sides = {"src": message("source"), "dst": message("destination")}
    named = message_joined(" and ", (sides[direction] for direction in dict.fromkeys(entry.directions)))
    return message("its {sides}", sides=named)


def _says_add(entry: SetEntry, negated: bool) -> Text:
    return message("add {entry} to ipset {name}", entry=_sides(entry), name=entry.name)


def _says_delete(entry: SetEntry, negated: bool) -> Text:
    return message("delete {entry} from ipset {name}", entry=_sides(entry), name=entry.name)


class Set(Target):
    """Change ipsets, with effect from the next rule on."""

    name: ClassVar[str] = "SET"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--add-set", "add_set", _ENTRY, phrase=_says_add, listed=" add-set {value}"),
        Option("--exist", "exist", listed=" exist"),
        Option(
            "--timeout", "timeout", integer_value("seconds", 0, _LONGEST_TIMEOUT), listed=" timeout {value}"
        ),
        Option("--del-set", "del_set", _ENTRY, phrase=_says_delete, listed=" del-set {value}"),
        Option("--map-set", "map_set", _ENTRY, listed=" map-set {value}"),
        Option("--map-mark", "map_mark", listed=" map-mark"),
        Option("--map-prio", "map_prio", listed=" map-prio"),
        Option("--map-queue", "map_queue", listed=" map-queue"),
    )
    joint: ClassVar[str] = " and "
    status: ClassVar[Status] = "given"

    add_set: SetEntry | None = None
    exist: bool = False
    #: seconds
    timeout: int | None = None
    del_set: SetEntry | None = None
    map_set: SetEntry | None = None
    map_mark: bool = False
    map_prio: bool = False
    map_queue: bool = False

    def check(self) -> None:
        if not given(self, "add_set", "del_set", "map_set"):
            raise ValueError(message("SET needs --add-set, --del-set or --map-set"))
        if self.add_set is None and given(self, "exist", "timeout"):
            raise ValueError(message("--exist and --timeout belong to --add-set"))
        mapped = given(self, "map_mark", "map_prio", "map_queue")
        if self.map_set is None and mapped:
            raise ValueError(message("--map-mark, --map-prio and --map-queue belong to --map-set"))
        if self.map_set is not None and not mapped:
            raise ValueError(message("--map-set needs --map-mark, --map-prio or --map-queue"))

    def allowed_tables(self) -> frozenset[str] | None:
        """Return only mangle if something is mapped."""
        return None if self.map_set is None else frozenset({"mangle"})

    def allowed_hooks(self) -> frozenset[str] | None:
        """Return the hooks of packets that go out, where their priority or queue is mapped."""
        return LEAVING if self.map_prio or self.map_queue else None

    @property
    def changes_memory(self) -> frozenset[Hashable]:
        return frozenset(("ipset", one.name) for one in (self.add_set, self.del_set) if one is not None)

    def apply(self, context: Context) -> Verdict:
        # which mark a set has for the packet is known only if it has no entry for it
        if self.add_set is not None:
            context.surroundings.change_set(*self.add_set, "add", context, overwrite=self.exist)
        if self.del_set is not None:
            context.surroundings.change_set(*self.del_set, "del", context)
        if self.map_set is not None and self.map_mark:
            name, directions = self.map_set
            if context.surroundings.set_contains(name, directions, context, {}) is not False:
                reason = message("the mark that ipset {name} has for it", name=name)
                context.packet.mark = unknown_mark(UnknownNumber(reason))
        return CONTINUE

    def says(self) -> Text:
        if self.map_set is None:
            return super().says()
        what = {
            "map_mark": message("mark"),
            "map_prio": message("priority"),
            "map_queue": message("hardware queue"),
        }
        taken = message_joined(" and ", (what[field] for field in given(self, *what)))
        mapped = message("set the {taken} from ipset {name}", taken=taken, name=self.map_set.name)
        return join_phrases(self.joint, super().says(), mapped)


EXTENSIONS = (Set,)
