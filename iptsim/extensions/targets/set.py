"""`-j SET`: add to or delete from an ipset, or set marks by one (net/netfilter/xt_set.c)."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from pydantic import model_validator

from iptsim.extensions.base import CONTINUE, Option, Status, Target, Value, Verdict
from iptsim.extensions.checks import given
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.texts import cut
from iptsim.extensions.values import bare, integer_value
from iptsim.languages import joined, later, say
from iptsim.packet import Context, Unknown

_MOST_DIRECTIONS = 6
_LONGEST_NAME = 31
#: The greatest timeout that iptables takes; the kernel cuts it to some 24 days.
_LONGEST_TIMEOUT = 0xFFFFFFFE


class SetEntry(NamedTuple):
    """A set, and which parts of the packet make its entry.

    Attributes:
        name: the set's.
        directions: "src" and "dst", one a dimension of the set.
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
        raise ValueError(f"{directions_text!r} is not a list of src and dst")
    if len(directions) > _MOST_DIRECTIONS:
        raise ValueError(f"a set has at most {_MOST_DIRECTIONS} dimensions")
    if cut(name, _LONGEST_NAME) != name:
        raise ValueError(f"the set name {name!r} is longer than {_LONGEST_NAME} characters")
    return SetEntry(name, directions)


_ENTRY = Value("a set's name, and src or dst for each of its dimensions (web src,dst)", parse_entry, words=2)


class Set(Target):
    """Change ipsets. It takes effect for the next rule already."""

    name: ClassVar[str] = "SET"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--add-set", "add_set", _ENTRY),
        Option("--exist", "exist"),
        Option("--timeout", "timeout", integer_value("seconds", 0, _LONGEST_TIMEOUT)),
        Option("--del-set", "del_set", _ENTRY),
        Option("--map-set", "map_set", _ENTRY),
        Option("--map-mark", "map_mark"),
        Option("--map-prio", "map_prio"),
        Option("--map-queue", "map_queue"),
    )
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

    @model_validator(mode="after")
    def _complete(self) -> Set:
        if not given(self, "add_set", "del_set", "map_set"):
            raise ValueError("SET needs --add-set, --del-set or --map-set")
        if self.add_set is None and given(self, "exist", "timeout"):
            raise ValueError("--exist and --timeout belong to --add-set")
        mapped = given(self, "map_mark", "map_prio", "map_queue")
        if self.map_set is None and mapped:
            raise ValueError("--map-mark, --map-prio and --map-queue belong to --map-set")
        if self.map_set is not None and not mapped:
            raise ValueError("--map-set needs --map-mark, --map-prio or --map-queue")
        return self

    def allowed_tables(self) -> frozenset[str] | None:
        """Return mangle where something is mapped."""
        return None if self.map_set is None else frozenset({"mangle"})

    def allowed_hooks(self) -> frozenset[str] | None:
        """Return the hooks of packets that go out, where their priority or queue is mapped."""
        return frozenset({"FORWARD", "OUTPUT", "POSTROUTING"}) if self.map_prio or self.map_queue else None

    def apply(self, context: Context) -> Verdict | Unknown:
        """Change the sets. What mark a set has for the packet is known only where it has no entry for it."""
        if self.add_set is not None:
            context.surroundings.change_set(*self.add_set, "add", context, overwrite=self.exist)
        if self.del_set is not None:
            context.surroundings.change_set(*self.del_set, "del", context)
        if self.map_set is not None and self.map_mark:
            name, directions = self.map_set
            if context.surroundings.set_contains(name, directions, context, {}) is not False:
                return Unknown(later("the mark that ipset {name} has for it", name=name))
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = ""
        for option in self.options:
            value = getattr(self, option.field)
            if value is not None and value is not False:
                text += f" {option.flag.removeprefix('--')}{'' if value is True else f' {value}'}"
        return text

    def says(self) -> str:
        """Return the order in words."""
        phrases = []
        if self.add_set is not None:
            phrases.append(
                say(
                    "add {add_set} to ipset {name}",
                    add_set=_entry_words(self.add_set),
                    name=self.add_set.name,
                )
            )
        if self.del_set is not None:
            phrases.append(
                say(
                    "delete {del_set} from ipset {name}",
                    del_set=_entry_words(self.del_set),
                    name=self.del_set.name,
                )
            )
        if self.map_set is not None:
            what = {"map_mark": say("mark"), "map_prio": say("priority"), "map_queue": say("hardware queue")}
            named = joined(" and ", (what[field] for field in given(self, *what)))
            phrases.append(say("take the {named} from ipset {name}", named=named, name=self.map_set.name))
        return joined(" and ", phrases)


def _entry_words(entry: SetEntry) -> str:
    sides = {"src": say("source"), "dst": say("destination")}
    named = joined(" and ", (sides[direction] for direction in dict.fromkeys(entry.directions)))
    return say("its {sides}", sides=named)


EXTENSIONS = (Set,)
