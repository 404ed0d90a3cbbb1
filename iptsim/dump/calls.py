"""Which chain calls which, by name. Every dump needs this, so no graph is built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import compress
from typing import NamedTuple, TypeVar

from iptsim.dump.ruleset import BUILTIN_CHAINS, Table

_Start = TypeVar("_Start")


class Node(NamedTuple):
    """A node's identity.

    Attributes:
        place: "hook", the table of a chain, or, in the graph of rules, "verdict".
        name: of the hook, the chain or the verdict (a target's name).
    """

    place: str
    name: str

    def __str__(self) -> str:
        return self.name if self.place in ("hook", "verdict") else f"{self.place}:{self.name}"


def nesting(tables: Iterable[Table]) -> int | None:
    """Return the maximum nesting of calls on a packet's path from a base chain; None if there is a loop."""
    deepest = 0
    for table in tables:
        called = callees(table)
        hooks = [hook for hook in BUILTIN_CHAINS.get(table.name, ()) if hook in table.chains]
        reached = reached_from(hooks, called)
        #: the calls of each chain that have not been followed
        left = Counter(callee for name in reached for callee in called(name))
        depth = dict.fromkeys(hooks, 0)
        todo = [hook for hook in hooks if not left[hook]]
        for name in todo:
            for callee in called(name):
                depth[callee] = max(depth.get(callee, 0), depth[name] + 1)
                left[callee] -= 1
                if not left[callee]:
                    todo.append(callee)
        if len(todo) < len(reached):
            return None
        deepest = max(deepest, *depth.values(), 0)
    return deepest


def hooks_of(table: Table) -> dict[str, tuple[str, ...]]:
    """Return the hooks from which packets reach each chain of a table."""
    hooks = BUILTIN_CHAINS.get(table.name, ())
    called = callees(table)
    #: a bit for each hook
    found: dict[str, int] = {}
    for place, hook in enumerate(hooks):
        todo, bit = [hook] if hook in table.chains else [], 1 << place
        found |= dict.fromkeys(todo, bit)
        for name in todo:
            for callee in called(name):
                before = found.get(callee, 0)
                if not before & bit:
                    found[callee] = before | bit
                    todo.append(callee)
    names = {bits: tuple(compress(hooks, _bits(bits))) for bits in {*found.values()}}
    return {name: names[bits] for name, bits in found.items()}


def reached_from(starts: Iterable[_Start], following: Callable[[_Start], Iterable[_Start]]) -> list[_Start]:
    """Return some items and all their successors, nearest first."""
    found = dict.fromkeys(starts)
    todo = list(found)
    for one in todo:
        for other in following(one):
            if other not in found:
                found[other] = None
                todo.append(other)
    return todo


def callees(table: Table) -> Callable[[str], list[str]]:
    """Return a function that returns the names of the chains that a chain calls."""

    @cache
    def called(name: str) -> list[str]:
        chain = table.chains.get(name)
        return [rule.jump.chain for rule in chain.rules if rule.jump is not None] if chain else []

    return called


def _bits(number: int) -> Iterator[bool]:
    """Yield the bits of a number, lowest first."""
    while number:
        yield bool(number & 1)
        number >>= 1
