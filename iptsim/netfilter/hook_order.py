"""The order of base chains of equal priority: with rules of two backends, no file shows which come first."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

from iptsim.languages import message
from iptsim.netfilter.hooks import IptablesChain, Registered
from iptsim.netfilter.kernel import Kernel
from iptsim.truth import Unknown

_T = TypeVar("_T", bound=Registered)


def in_order(kernel: Kernel, hook: str, entries: tuple[_T, ...]) -> tuple[_T, ...]:
    """Return what is registered at a hook in the order in which the kernel calls it.

    At equal priority, the kernel first calls what was registered last (nf_hook_entries_grow). No file shows which of
    two backends that was; if it can matter, each order is a branch of its own.
    """
    if not kernel.hooks.is_mixed:
        return entries
    for place, (one, other) in enumerate(pairwise(entries)):
        if not (isinstance(one, IptablesChain) and isinstance(other, IptablesChain)):
            continue
        if one.priority == other.priority and not _comes_first(kernel, hook, one, other):
            entries = (*entries[:place], entries[place + 1], entries[place], *entries[place + 2 :])
    return entries


def _comes_first(kernel: Kernel, hook: str, chain: IptablesChain, other: IptablesChain) -> bool:
    """Return whether one backend's base chain is called before that of the other backend."""
    table, program = chain.table, chain.program
    if program.is_empty(table, hook) or other.program.is_empty(table, hook):
        return True
    if program.is_idle(table, hook) and other.program.is_idle(table, hook):
        return True
    stated = kernel.world.fact("first_backend")
    if stated is not None:
        return bool(stated == program.backend)
    place = f"{table} {hook}"
    unknown = Unknown(
        message("which rules come first in {place}: those of nf_tables or of legacy", place=place),
        message("--set first_backend=nf_tables or legacy (the rules that were loaded last come first)"),
        (table, hook),
    )
    words = message("the {backend} rules of {place} come first", backend=program.backend, place=place)
    return kernel.choices.choose(unknown, "backend", words)
