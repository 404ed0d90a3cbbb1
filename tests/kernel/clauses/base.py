"""A clause of a rule, with packets on both sides of its boundary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from tests.kernel.scenes import Scene

#: Fields of a :class:`~tests.kernel.description.Probe` -> values.
Changes = dict[str, Any]


class Draft(NamedTuple):
    """An option's words, and changes of a packet that should make it true or false."""

    words: str
    inside: tuple[Changes, ...]
    outside: tuple[Changes, ...]


class Clause(NamedTuple):
    """One option of a rule.

    Attributes:
        module: name of the match, "" for the parameters (`-s` ...).
        option: its flag.
        text: the option as the rule writes it, `!` included.
        needs: changes that the packet needs whatever the outcome.
        inside / outside: changes under which the clause, negation included, should hold or not.

    """

    module: str
    option: str
    negated: bool
    text: str
    needs: Changes
    inside: tuple[Changes, ...]
    outside: tuple[Changes, ...]


@dataclass(frozen=True)
class Maker:
    """Makes clauses of one option.

    Attributes:
        needs: changes that any packet needs for the option to be looked at; `proto` among them puts
            `-p` before the match.
        hooks: the base chains in which the kernel takes it, None for all.
        family: 4, 6 or None for both.
        weight: how often it is chosen, 0 for options that need a rule made for them.
        before: another option of the match that the kernel's tools want to see first.

    """

    module: str
    option: str
    make: Callable[[Random, Scene], Draft]
    negatable: bool
    needs: tuple[tuple[str, Any], ...] = ()
    hooks: frozenset[str] | None = None
    family: int | None = None
    weight: float = 1
    before: str = ""

    def clause(self, random: Random, scene: Scene, negated: bool) -> Clause:
        """Make a clause."""
        draft = self.make(random, scene)
        while negated and self.option in ("-s", "-d") and "," in draft.words:
            # the tools refuse a negated list
            draft = self.make(random, scene)
        inside, outside = draft.inside, draft.outside
        text = f"{self.option} {draft.words}".strip()
        if negated:
            inside, outside, text = outside, inside, f"! {text}"
        text = f"{self.before} {text}".strip()
        return Clause(self.module, self.option, negated, text, dict(self.needs), inside, outside)


MAKERS: list[Maker] = []


def maker(
    module: str,
    *options: str,
    negatable: bool = True,
    hooks: str = "",
    family: int | None = None,
    weight: float = 1,
    before: str = "",
    **needs: Any,
) -> Callable[[Callable[[Random, Scene], Draft]], Callable[[Random, Scene], Draft]]:
    """Register a function as the maker of options; `hooks` are base chains, separated by blanks."""

    def register(make: Callable[[Random, Scene], Draft]) -> Callable[[Random, Scene], Draft]:
        places = frozenset(hooks.split()) if hooks else None
        for option in options:
            MAKERS.append(
                Maker(module, option, make, negatable, tuple(needs.items()), places, family, weight, before)
            )
        return make

    return register


def each(field: str, *values: Any) -> tuple[Changes, ...]:
    """Return one change of a field for each value."""
    return tuple({field: value} for value in values)


def span(random: Random, low: int, high: int) -> tuple[int, int]:
    """Return the ends of a random range, often short, sometimes at an end of what is allowed."""
    kind = random.random()
    if kind < 0.15:
        return low, random.randint(low, high)
    if kind < 0.3:
        return random.randint(low, high), high
    first = random.randint(low, high)
    return first, min(high, first + random.choice((0, 0, 1, 2, 10, 1000)))


def edges(
    field: str, first: int, last: int, low: int, high: int
) -> tuple[tuple[Changes, ...], tuple[Changes, ...]]:
    """Return the changes at both ends of a range, just inside and just outside."""
    outside = [value for value in (first - 1, last + 1) if low <= value <= high]
    return each(field, *dict.fromkeys((first, last))), each(field, *outside)
